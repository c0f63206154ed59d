"""The operations as a user runs them: exit codes, output, nothing secret on record."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.mongodb.conftest import ESCAPED, PASSWORD
from tests.operations.conftest import bare_project

if TYPE_CHECKING:
    from tests.mongodb.conftest import Guarded, Target
    from tests.operations.conftest import Project

__all__ = ["bare_project"]

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mongodb")]


def test_a_sample_is_extended_json_line_by_line(bare_project: Project, target: Target) -> None:
    target.database.c.insert_many([{"_id": n, "t": None} for n in range(3)])
    ran = bare_project.run("mongodb_sample", {**target.of("c"), "sort": {"_id": 1}})
    assert ran.documents == [{"_id": n, "t": None} for n in range(3)]


def test_secrets_stay_secret(bare_project: Project, guarded: Guarded) -> None:
    config = {"mongodb_uri": {"$env": "SECRET_URI"}}
    ran = bare_project.run("mongodb_list_databases", config, SECRET_URI=guarded.uri("root"))
    assert ran.code == 0, ran.err
    wrong = {**config, "database": "shop", "collection": "orders"}
    denied = bare_project.run("mongodb_count", wrong, SECRET_URI=guarded.uri("root", "wrong"))
    assert (denied.code, denied.result["code"]) == (77, "PERMISSION_DENIED")
    literal = bare_project.run("mongodb_list_databases", {"mongodb_uri": guarded.uri("root")})
    assert literal.code == 64
    kept = "".join(path.read_text() for path in bare_project.session.iterdir() if path.is_file())
    for text in (ran.out, ran.err, denied.out, denied.err, literal.out, literal.err, kept):
        assert ESCAPED not in text
        assert PASSWORD not in text


@pytest.mark.parametrize(
    ("operation", "config", "code"),
    [
        ("mongodb_count", {"collection": "nothing"}, 66),
        ("mongodb_count", {"collection": "c", "filter": {"a": {"$gtt": 1}}}, 64),
        ("mongodb_drop_index", {"collection": "c", "name": "no"}, 66),
        (
            "mongodb_list_databases",
            {"mongodb_uri": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"},
            69,
        ),
        ("mongodb_sample", {"collection": "c", "limit": 0}, 64),
    ],
)
def test_exit_codes(
    bare_project: Project, target: Target, operation: str, config: dict[str, Any], code: int
) -> None:
    target.database.c.insert_one({"a": 1})
    place = {"mongodb_uri": target.uri, "database": target.name}
    given = config if "mongodb_uri" in config else {**place, **config}
    ran = bare_project.run(operation, given)
    assert ran.code == code, ran.err


def test_a_watch_ends_at_ctrl_c(bare_project: Project, target: Target) -> None:
    target.database.c.insert_one({"_id": 0})
    now = target.database.client.admin.command("hello")["operationTime"]
    moment = {"$timestamp": {"t": now.time, "i": now.inc}}
    config = {**target.of("c"), "start_at_operation_time": moment, "max_seconds": 60}
    with bare_project.open("mongodb_watch", config) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["operationType"] == "insert"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
