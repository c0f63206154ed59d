"""`local` as a MongoDB deployment: the instance's own mongod."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]


def test_local_is_the_instances_own_mongod(project: Any) -> None:
    made = project.run(
        "mongodb_ensure_collection",
        {"mongodb_uri": "local", "database": "shop", "collection": "orders"},
    )
    assert made.code == 0, made.err
    assert made.result["created"]
    listed = project.run("mongodb_list_databases", {"mongodb_uri": "local"})
    names = {each["name"] for each in listed.result["databases"]}
    assert "shop" in names
    assert not any(name.startswith("__asp_local") for name in names)
