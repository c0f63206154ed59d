"""Who uses a connection, and which may stand where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, NotFound, PermissionDenied
from asp_utils.operations.connection_help import connection_roles, connection_where_used
from tests.admin.conftest import PIPELINE, Here
from tests.admin.conftest import _served as _served
from tests.admin.conftest import here as here
from tests.admin.fake_atlas import problem

if TYPE_CHECKING:
    from asp_utils.context import Context

SOURCE = "pipeline[0].$source.connectionName"
SINK = "pipeline[2].$merge.into.connectionName"
DLQ = {"dlq": {"connectionName": "cluster", "db": "d", "coll": "c"}}


def test_every_use_is_found_on_all_pages(here: Here) -> None:
    for number in range(5):
        here.fake.add_connection("main", name=f"unused{number}", type="Https", url="http://h")
        here.fake.add_processor("main", f"p{number}", PIPELINE, state="STARTED")
    lost = [PIPELINE[0], {"$emit": {"connectionName": "gone", "topic": "t"}}]
    here.fake.add_processor("main", "last", lost, options=DLQ)
    found = connection_where_used(here.ctx, workspace="main", atlas=here.account)
    uses = {each["name"]: each["uses"] for each in found["connections"]}
    assert found["unused"] == [f"unused{number}" for number in range(5)]
    assert [tuple(use.values()) for use in uses["cluster"]] == [
        *((f"p{number}", "STARTED", "merge", SINK) for number in range(5)),
        ("last", "CREATED", "dlq", "options.dlq.connectionName"),
    ]  # fmt: skip
    assert len(uses["sample_stream_solar"]) == 6
    assert found["missing"] == [
        {
            "connection": "gone",
            "processor": "last",
            "state": "CREATED",
            "role": "emit",
            "path": "pipeline[1].$emit.connectionName",
        }
    ]
    one = connection_where_used(here.ctx, "unused1", workspace="main", atlas=here.account)
    assert one == {
        "connections": [{"name": "unused1", "type": "Https", "uses": []}],
        "unused": ["unused1"],
        "missing": [],
    }
    gone = connection_where_used(here.ctx, "gone", workspace="main", atlas=here.account)
    assert (gone["connections"], len(gone["missing"])) == ([], 1)


def test_what_is_not_there_is_said(here: Here) -> None:
    with pytest.raises(NotFound, match="'clutser'") as caught:
        connection_where_used(here.ctx, "clutser", workspace="main", atlas=here.account)
    assert caught.value.hint == "did you mean 'cluster'?"
    with pytest.raises(NotFound, match="nowhere"):
        connection_where_used(here.ctx, workspace="nowhere", atlas=here.account)
    here.fake.refuse("GET", ".*/processors", problem(403, "USER_UNAUTHORIZED", "no"))
    with pytest.raises(PermissionDenied):
        connection_where_used(here.ctx, workspace="main", atlas=here.account)


@pytest.mark.parametrize("more", [{}, {"stream_processor_url": "local", "workspace": "main"}])
def test_one_way_to_look_must_be_named(ctx: Context, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid):
        connection_where_used(ctx, **more)


def test_the_matrix_names_what_runs_here_too() -> None:
    found = connection_roles()
    types = {each["type"]: each for each in found["types"]}
    assert types["Kafka"] == {
        "type": "Kafka",
        "roles": ["emit", "source"],
        "local": ["emit", "source"],
    }
    assert types["GCPPubSub"]["local"] == []
    assert set(types["Cluster"]["local"]) < set(types["Cluster"]["roles"])
    roles = {each["role"]: each for each in found["roles"]}
    assert roles["dlq"] == {"role": "dlq", "place": "options.dlq", "types": ["Cluster"]}
