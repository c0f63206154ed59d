"""New secrets for a connection on a stateful Atlas: tried out, sent, processors restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    NotFound,
    PermissionDenied,
    Temporary,
)
from asp_utils.operations.connection_help import connection_rotate_secret
from tests.admin.conftest import _served as _served
from tests.admin.conftest import here as here
from tests.admin.fake_atlas import problem
from tests.connections.conftest import SECRET
from tests.emit.registry import Registry, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.admin.conftest import Here

INTO = {"into": {"connectionName": "cluster", "db": "d", "coll": "c"}}
READS: list[dict[str, Any]] = [
    {"$source": {"connectionName": "k", "topic": "t", "schemaRegistry": {"connectionName": "r"}}},
    {"$merge": INTO},
]
NEW = {"schemaRegistryAuthentication": {"password": SECRET}}


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry that wants the new password already."""
    made = Registry(credentials=("u", SECRET))
    server = Server(made)
    yield made
    server.stop()


@pytest.fixture
def workspace(here: Here, registry: Registry) -> Here:
    """`main` with the connection `r` to that registry, and three processors, two of which run."""
    here.fake.add_connection(
        "main",
        name="r",
        type="SchemaRegistry",
        provider="CONFLUENT",
        schemaRegistryUrls=[registry.url],
        schemaRegistryAuthentication={"type": "USER_INFO", "username": "u"},
    )
    here.fake.add_processor("main", "one", READS, state="STARTED")
    here.fake.add_processor("main", "two", READS, state="STARTED")
    here.fake.add_processor("main", "idle", READS, state="STOPPED")
    other = [{"$source": {"connectionName": "k", "topic": "t"}}, {"$merge": INTO}]
    here.fake.add_processor("main", "other", other, state="STARTED")
    return here


def rotate(here: Here, secrets: dict[str, Any], **more: Any) -> Any:
    return connection_rotate_secret(here.ctx, "main", "r", secrets, atlas=here.account, **more)


def states(here: Here) -> dict[str, str]:
    return {name: it.shown["state"] for name, it in here.fake.processors["main"].items()}


def test_secrets_are_tried_out_sent_whole_and_processors_restarted(workspace: Here) -> None:
    found = rotate(workspace, NEW, restart_processors=True)
    assert (found["changed"], found["tested"]) == (True, True)
    assert found["replaced"] == ["schemaRegistryAuthentication.password"]
    assert [check["name"] for check in found["checks"]] == ["resolve", "connect", "subjects"]
    assert found["restarted"] == [
        {"name": "one", "state": "STARTED"},
        {"name": "two", "state": "STARTED"},
    ]
    assert SECRET not in str(found)
    (sent,) = workspace.fake.sent("PATCH")
    assert sent.body["schemaRegistryAuthentication"] == {
        "type": "USER_INFO", "username": "u", "password": SECRET,
    }  # fmt: skip
    assert sent.body.items() >= {"name": "r", "type": "SchemaRegistry"}.items()
    verbs = [path.rpartition("/")[2] for path in workspace.fake.changes() if "oauth" not in path]
    assert verbs == ["one:stop", "two:stop", "r", "one:start", "two:start"]
    assert states(workspace)["idle"] == "STOPPED"


def test_nothing_is_changed_while_a_processor_runs(workspace: Here) -> None:
    with pytest.raises(Conflict, match="one, two") as caught:
        rotate(workspace, NEW)
    assert "restart_processors" in caught.value.hint
    assert not workspace.fake.sent("PATCH")
    assert states(workspace)["one"] == "STARTED"


def test_secrets_that_are_not_accepted_are_not_sent(workspace: Here) -> None:
    wrong = {"schemaRegistryAuthentication": {"password": "wrong-one"}}
    with pytest.raises(PermissionDenied) as caught:
        rotate(workspace, wrong, restart_processors=True)
    assert caught.value.details["checks"][-1]["ok"] is False
    assert "wrong-one" not in str(caught.value.to_json())
    assert not workspace.fake.sent("PATCH")
    assert states(workspace)["one"] == "STARTED"
    untested = rotate(workspace, wrong, restart_processors=True, test=False)
    assert (untested["tested"], untested["checks"]) == (None, [])


@pytest.mark.parametrize(
    ("secrets", "path", "words"),
    [
        ({}, "$.secrets", "nothing to replace"),
        ({"provider": "CONFLUENT", **NEW}, "$.secrets.provider", "has no secret"),
        ({"schemaRegistryUrls": []}, "$.secrets.schemaRegistryUrls", "has no secret"),
        ({"password": SECRET}, "$.secrets.password", "has no secret"),
        (
            {"schemaRegistryAuthentication": {"username": "v"}},
            "$.secrets.schemaRegistryAuthentication.password",
            "needs password",
        ),
    ],
)
def test_what_is_no_secret_or_is_missing(
    workspace: Here, secrets: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        rotate(workspace, secrets)
    faults = {fault.path: fault.message for fault in caught.value.faults}
    assert words in faults[path]
    assert SECRET not in str(caught.value.to_json())
    assert not workspace.fake.changes()[1:]


def test_a_connection_that_is_not_there(workspace: Here) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        connection_rotate_secret(workspace.ctx, "main", "nope", NEW, atlas=workspace.account)


def test_a_change_that_fails_starts_everything_again(workspace: Here) -> None:
    workspace.fake.refuse("PATCH", ".*/r", problem(503, "UNEXPECTED_ERROR", "down"))
    with pytest.raises(Temporary) as caught:
        rotate(workspace, NEW, restart_processors=True)
    assert (
        "whether the secrets were replaced is unknown; running again: one, two"
        in caught.value.message
    )
    assert caught.value.details["stopped"] == []
    assert states(workspace)["one"] == states(workspace)["two"] == "STARTED"


def test_a_processor_that_cannot_be_started_again_is_named(workspace: Here) -> None:
    for _ in range(9):
        workspace.fake.refuse("POST", ".*two:start", problem(400, "STREAM_X", "no capacity"))
    with pytest.raises(Conflict) as caught:
        rotate(workspace, NEW, restart_processors=True)
    assert "has its new secrets; running again: one" in caught.value.message
    assert "NOT seen running again: two" in caught.value.message
    assert caught.value.details["stopped"] == ["two"]
    assert "cli_processor_start.py" in caught.value.hint


def test_both_failures_are_told(workspace: Here) -> None:
    workspace.fake.refuse("PATCH", ".*/r", problem(409, "CONFLICT", "busy"))
    workspace.fake.refuse("POST", ".*one:start", problem(400, "STREAM_X", "no capacity"))
    with pytest.raises(Conflict) as caught:
        rotate(workspace, NEW, restart_processors=True)
    assert "not replaced; running again: two; NOT seen running again" in caught.value.message
    assert caught.value.details["stopped"] == ["one"]


def test_a_processor_that_failed_for_want_of_them_is_as_good_as_stopped(workspace: Here) -> None:
    workspace.fake.processors["main"]["one"].ahead = ["STARTED", "STARTED", "FAILED"]
    workspace.fake.refuse("POST", ".*one:stop", problem(400, "STREAM_X", "it failed"))
    found = rotate(workspace, NEW, restart_processors=True)
    assert [each["name"] for each in found["restarted"]] == ["one", "two"]


def test_a_processor_that_does_not_stop_keeps_the_secrets_as_they_are(workspace: Here) -> None:
    refusal = problem(400, "STREAM_PROCESSOR_GENERIC_ERROR", "not now")
    workspace.fake.refuse("POST", ".*two:stop", refusal)
    with pytest.raises(AspError) as caught:
        rotate(workspace, NEW, restart_processors=True)
    assert "not replaced; running again: one, two" in caught.value.message + caught.value.hint
    assert not workspace.fake.sent("PATCH")
    assert states(workspace)["one"] == "STARTED"
