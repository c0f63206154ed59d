"""Which actions make what a file says of what exists, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from asp_utils.pipeline.environment.plan import Action, actions, picture

WORKSPACE = {"name": "w", "streamConfig": {"tier": "SP10"}}
KAFKA = {
    "name": "events",
    "type": "Kafka",
    "bootstrapServers": "a:9092",
    "security": {"protocol": "SASL_SSL"},
    "authentication": {"mechanism": "PLAIN", "username": "me", "password": "new"},
}
SHOWN_KAFKA = {**KAFKA, "authentication": {"mechanism": "PLAIN", "username": "me"}}
CLUSTER = {"name": "cluster", "type": "Cluster", "clusterName": "c"}
PIPELINE = [
    {"$source": {"connectionName": "events", "topic": "t"}},
    {"$merge": {"into": {"connectionName": "cluster", "db": "d", "coll": "c"}}},
]
PROCESSOR = {"name": "p", "pipeline": PIPELINE}
LIVE: dict[str, Any] = {
    "workspace": {"_id": "1", **WORKSPACE},
    "connections": {"events": SHOWN_KAFKA, "cluster": CLUSTER},
    "topics": {},
    "processors": {"p": {**PROCESSOR, "tier": "SP10", "state": "STARTED"}},
    "builtIn": [],
}
EMPTY = {**LIVE, "workspace": None, "connections": {}, "processors": {}}
FILE: dict[str, Any] = {
    "workspace": WORKSPACE,
    "connections": [KAFKA, CLUSTER],
    "topics": [{"connectionName": "events", "name": "t", "partitions": 2}],
    "processors": [{**PROCESSOR, "state": "STARTED"}],
}


def found(wanted: dict[str, Any], live: dict[str, Any], **options: bool) -> list[Action]:
    return actions(wanted, live, lambda _section, item: dict(item), **options)


def steps(wanted: dict[str, Any], live: dict[str, Any], **options: bool) -> list[str]:
    return [f"{it.verb} {it.section} {it.name}" for it in found(wanted, live, **options)]


def without(key: str) -> dict[str, Any]:
    return {each: value for each, value in FILE.items() if each != key}


def test_everything_is_made_where_nothing_is_and_each_thing_before_its_users() -> None:
    assert steps(FILE, EMPTY) == [
        "create workspace w",
        "create topics events/t",
        "create connections events",
        "create connections cluster",
        "create processors p",
        "start processors p",
    ]


def test_nothing_is_to_do_where_all_is_as_the_file_says() -> None:
    assert steps(without("topics"), LIVE) == []
    assert picture([]) == "nothing to do: everything is as the file says"


def test_secrets_are_set_anew_only_when_asked_and_never_shown() -> None:
    asked = found(without("topics"), LIVE, update_secrets=True)
    verbs = [(it.verb, it.name) for it in asked]
    assert verbs == [("stop", "p"), ("update", "events"), ("start", "p")]
    assert "new" not in picture(asked).split()


def test_a_running_processor_is_stopped_changed_and_started_again() -> None:
    changed = [*PIPELINE[:1], {"$match": {"a": 1}}, *PIPELINE[1:]]
    wanted = {**without("topics"), "processors": [{"name": "p", "pipeline": changed}]}
    assert steps(wanted, LIVE) == [
        "stop processors p",
        "update processors p",
        "start processors p",
    ]
    [_, update, _] = found(wanted, LIVE)
    paths = [change.path for change in update.changes]
    assert paths == ["pipeline[1].$match", "pipeline[1].$merge", "pipeline[2]"]


def test_users_of_a_changed_connection_are_stopped_though_the_file_does_not_name_them() -> None:
    moved = {**KAFKA, "bootstrapServers": "b:9092"}
    wanted = {"workspace": WORKSPACE, "connections": [moved]}
    assert steps(wanted, LIVE) == [
        "stop processors p",
        "update connections events",
        "start processors p",
    ]


@pytest.mark.parametrize("field", ["networking", "type"])
def test_what_cannot_be_changed_of_a_connection_is_made_anew(field: str) -> None:
    value: Any = "Https" if field == "type" else {"access": {"type": "VPC"}}
    wanted = {"workspace": WORKSPACE, "connections": [{**KAFKA, field: value}]}
    assert steps(wanted, LIVE)[1:3] == ["delete connections events", "create connections events"]


def test_a_wanted_state_is_reached() -> None:
    stopped = {**without("topics"), "processors": [{**PROCESSOR, "state": "STOPPED"}]}
    assert steps(stopped, LIVE) == ["stop processors p"]
    resting = {**LIVE, "processors": {"p": {**PROCESSOR, "state": "STOPPED"}}}
    assert steps(without("topics"), resting) == ["start processors p"]
    assert steps(stopped, resting) == []


def test_only_pruning_removes_and_users_go_before_what_they_use() -> None:
    wanted = {"workspace": WORKSPACE, "connections": [], "processors": []}
    assert steps(wanted, LIVE) == []
    assert steps(wanted, LIVE, prune=True) == [
        "stop processors p",
        "delete processors p",
        "delete connections events",
        "delete connections cluster",
    ]
    kept = {**LIVE, "builtIn": ["cluster"]}
    assert "delete connections cluster" not in steps(wanted, kept, prune=True)


def test_sections_that_are_left_out_are_not_touched_by_pruning() -> None:
    assert steps({"workspace": WORKSPACE}, LIVE, prune=True) == []


def test_the_picture_names_each_difference() -> None:
    wanted = {**without("topics"), "workspace": {"name": "w", "streamConfig": {"tier": "SP30"}}}
    assert picture(found(wanted, LIVE)).splitlines() == [
        "~ update workspace w",
        '    streamConfig.tier: "SP10" -> "SP30"',
    ]
