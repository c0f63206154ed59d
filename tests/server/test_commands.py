"""The commands of the stream endpoint, as a driver without our code sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64
from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]

pytestmark = pytest.mark.server
IDLE: list[dict[str, Any]] = [
    {"$source": {"script": [{"started": 1}, {"wait": 1}]}},
    {"$merge": {"into": "x"}},
]


def pipeline(*script: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"$source": {"script": list(script)}}, {"$merge": {"into": "x"}}]


def create(admin: Admin, name: str = "p", stages: Any = None, **options: Any) -> None:
    admin.command("createStreamProcessor", name, pipeline=stages or IDLE, options=options)


def listed(admin: Admin, **criteria: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.command("listStreamProcessors", 1, filter=criteria)[
        "streamProcessors"
    ]
    return found


def refusal(admin: Admin, *command: Any, **fields: Any) -> dict[str, Any]:
    with pytest.raises(OperationFailure) as caught:
        admin.command(*command, **fields)
    assert caught.value.details is not None
    return dict(caught.value.details)


def test_a_processor_goes_through_its_life(admin: Admin) -> None:
    create(admin)
    states = [listed(admin)[0]["state"]]
    for command in ("startStreamProcessor", "stopStreamProcessor", "startStreamProcessor"):
        assert admin.command(command, "p") == {"ok": 1}
        states.append(listed(admin)[0]["state"])
    assert states == ["CREATED", "STARTED", "STOPPED", "STARTED"]
    assert admin.command("dropStreamProcessor", "p") == {"ok": 1}
    assert listed(admin) == []


def test_the_list_shows_what_was_created(admin: Admin) -> None:
    dlq = {"connectionName": "local_cluster", "db": "d", "coll": "dead"}
    create(admin, dlq=dlq, streamMetaFieldName="_meta", tier="SP30")
    (item,) = listed(admin)
    assert len(item["id"]) == 24
    assert item["pipeline"] == IDLE
    assert item["options"]["dlq"] == dlq
    assert item["tier"] == "SP30"
    assert not item["hasStarted"]


@pytest.mark.parametrize(
    ("criteria", "names"),
    [
        ({}, ["a", "b"]),
        ({"name": {"$regex": "^b"}}, ["b"]),
        ({"options.dlq.connectionName": "local_cluster"}, ["b"]),
        ({"state": "STARTED"}, ["a"]),
        ({"state": "running"}, ["a"]),
        ({"$expr": {"$eq": [{"$size": "$pipeline"}, 3]}}, []),
    ],
)
def test_mongod_judges_the_filter(admin: Admin, criteria: dict[str, Any], names: list[str]) -> None:
    create(admin, "a")
    create(admin, "b", dlq={"connectionName": "local_cluster", "db": "d", "coll": "c"})
    admin.command("startStreamProcessor", "a")
    assert [item["name"] for item in listed(admin, **criteria)] == names


def test_a_wrong_filter_is_refused_by_mongod(admin: Admin) -> None:
    create(admin)
    assert refusal(admin, "listStreamProcessors", 1, filter={"$nope": 1})["code"] == 2


@pytest.mark.parametrize(
    ("command", "code", "name"),
    [
        ({"createStreamProcessor": "x"}, 40414, "IDLFailedToParse"),
        ({"createStreamProcessor": "x", "pipeline": {}}, 14, "TypeMismatch"),
        ({"createStreamProcessor": 1, "pipeline": []}, 14, "TypeMismatch"),
        ({"createStreamProcessor": " ", "pipeline": []}, 420, "StreamProcessorInvalidOptions"),
        ({"createStreamProcessor": "a b", "pipeline": []}, 420, "StreamProcessorInvalidOptions"),
        ({"createStreamProcessor": "x" * 65, "pipeline": []}, 420, "StreamProcessorInvalidOptions"),
        ({"createStreamProcessor": "x", "pipeline": [], "pipline": []}, 40415, "IDLUnknownField"),
        (
            {"createStreamProcessor": "x", "pipeline": [], "options": {"dlg": {}}},
            40415,
            "IDLUnknownField",
        ),
        ({"createStreamProcessor": "x", "pipeline": [], "options": []}, 14, "TypeMismatch"),
        ({"createStreamProcessor": "x", "pipeline": [], "tier": "SP3"}, 420, None),
        ({"startStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"stopStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"dropStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"modifyStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getStreamProcessorStats": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"startSampleStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getMoreSampleStreamProcessor": "x"}, 40414, "IDLFailedToParse"),
        ({"getMoreSampleStreamProcessor": "x", "cursorId": 5}, 43, "CursorNotFound"),
        ({"processStreamProcessor": {}}, 14, "TypeMismatch"),
        ({"processStreamProcessor": []}, 40414, "IDLFailedToParse"),
    ],
)
def test_a_wrong_command_is_refused_with_its_code(
    admin: Admin, command: dict[str, Any], code: int, name: str | None
) -> None:
    details = refusal(admin, command)
    assert details["code"] == code
    assert name is None or details["codeName"] == name
    assert listed(admin) == []


def test_a_faulty_pipeline_is_refused_with_all_faults_and_nothing_is_made(admin: Admin) -> None:
    details = refusal(admin, "createStreamProcessor", "p", pipeline=[{"$match": {}}])
    assert details["code"] == 40414
    assert details["faults"] == [
        {"path": "pipeline[0]", "message": "no $source", "hint": "begin with one", "code": 40414},
        {"path": "pipeline", "message": "no sink"},
    ]
    assert details["errmsg"] == "pipeline[0]: no $source; pipeline: no sink"
    assert listed(admin) == []


def test_a_pipeline_too_deep_or_too_large_is_refused(admin: Admin) -> None:
    deep: Any = 1
    for _ in range(90):
        deep = {"a": deep}
    stages = [*IDLE[:1], {"$match": deep}, *IDLE[1:]]
    assert refusal(admin, "createStreamProcessor", "p", pipeline=stages)["code"] == 420
    large = [*IDLE[:1], {"$match": {"a": "x" * 5_000_000}}, *IDLE[1:]]
    assert refusal(admin, "createStreamProcessor", "p", pipeline=large)["code"] == 10334


def test_a_name_can_be_taken_once(admin: Admin) -> None:
    create(admin)
    assert refusal(admin, "createStreamProcessor", "p", pipeline=IDLE)["code"] == 416


def test_any_name_inside_a_pipeline_survives(admin: Admin) -> None:
    hostile = {"$id": 1, "a.b": {"$ref": 2, "": {"$db": [{"$$x": None}]}}}
    stages = [*IDLE[:1], {"$match": hostile}, *IDLE[1:]]
    create(admin, stages=stages)
    assert listed(admin, name="p")[0]["pipeline"] == stages


@pytest.mark.parametrize(
    ("state", "command", "code"),
    [
        ("CREATED", "stopStreamProcessor", 125),
        ("CREATED", "startSampleStreamProcessor", 125),
        ("STARTED", "startStreamProcessor", 416),
        ("STARTED", "modifyStreamProcessor", 125),
        ("STOPPED", "stopStreamProcessor", 125),
    ],
)
def test_a_command_in_the_wrong_state_is_refused(
    admin: Admin, state: str, command: str, code: int
) -> None:
    create(admin)
    for step in ("start", "stop")[: ("CREATED", "STARTED", "STOPPED").index(state)]:
        admin.command(f"{step}StreamProcessor", "p")
    assert refusal(admin, command, "p")["code"] == code
    assert listed(admin)[0]["state"] == state


def test_modify_changes_name_options_and_pipeline(admin: Admin) -> None:
    create(admin, dlq={"connectionName": "local_cluster", "db": "d", "coll": "c"})
    stages = [IDLE[0], {"$match": {}}, IDLE[1]]
    admin.command("modifyStreamProcessor", "p", pipeline=stages, dlq={}, tier="SP5", name="q")
    (item,) = listed(admin)
    assert (item["name"], item["pipeline"], item["tier"]) == ("q", stages, "SP5")
    assert "dlq" not in item["options"]


def test_modify_cannot_take_the_name_of_another(admin: Admin) -> None:
    create(admin, "a")
    create(admin, "b")
    assert refusal(admin, "modifyStreamProcessor", "a", name="b")["code"] == 416
    assert [item["name"] for item in listed(admin)] == ["a", "b"]


def test_modify_while_resuming_asks_whether_the_state_fits(admin: Admin) -> None:
    create(admin)
    admin.command("startStreamProcessor", "p")
    admin.command("stopStreamProcessor", "p")
    other = pipeline({"started": 1}, {"wait": 1}, {"exit": 0})
    details = refusal(admin, "modifyStreamProcessor", "p", pipeline=other)
    assert details["faults"][0]["message"] == "another source"
    admin.command("modifyStreamProcessor", "p", pipeline=other, resumeFromCheckpoint=False)
    assert listed(admin)[0]["pipeline"] == other


def test_stats_have_the_atlas_shape_and_scale(admin: Admin) -> None:
    create(admin)
    admin.command("startStreamProcessor", "p")
    reply = admin.command("getStreamProcessorStats", "p", options={"scale": 1024, "verbose": True})
    assert reply["ns"].endswith(".p")
    assert reply["state"] == "STARTED"
    assert reply["pipeline"] == IDLE
    stats = reply["stats"]
    assert (stats["status"], stats["name"]) == ("running", "p")
    assert (stats["scaleFactor"], stats["stateSize"]) == (1024, 4.0)
    assert stats["operatorStats"][0] == {
        "name": "Op",
        "maxMemoryUsage": 1.0,
        "inputMessageCount": 1024,
    }


def test_a_stopped_processor_answers_with_its_last_counters(admin: Admin) -> None:
    create(admin)
    assert admin.command("getStreamProcessorStats", "p")["stats"]["outputMessageCount"] == 0
    admin.command("startStreamProcessor", "p")
    admin.command("startSampleStreamProcessor", "p")
    admin.command("stopStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p", verbose=False)["stats"]
    assert (stats["status"], stats["outputMessageCount"]) == ("stopped", 2)


def test_counters_go_on_when_the_checkpoint_is_discarded(admin: Admin) -> None:
    create(admin)
    for _ in range(2):
        admin.command("startStreamProcessor", "p", resumeFromCheckpoint=False)
        admin.command("startSampleStreamProcessor", "p")
        admin.command("stopStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p")["stats"]
    assert (stats["outputMessageCount"], stats["outputMessageSize"]) == (4, 8192)


def test_get_tells_everything(admin: Admin) -> None:
    create(admin, failover=True)
    reply = admin.command("getStreamProcessor", "p")
    assert (reply["state"], reply["errorMsg"], reply["failoverEnabled"]) == ("CREATED", "", True)
    assert reply["stats"]["status"] == "created"


def test_tiers_outside_autoscaling_are_refused(admin: Admin) -> None:
    create(admin)
    scaling = {"enabled": True, "minTier": "SP10", "maxTier": "SP30"}
    details = refusal(admin, "startStreamProcessor", "p", tier="SP50", autoscaling=scaling)
    assert details["code"] == 420
    admin.command("startStreamProcessor", "p", tier="SP30", autoscaling=scaling)
    assert admin.command("getStreamProcessorStats", "p")["effectiveTier"] == "SP30"


def test_connections_are_listed_without_their_uri(admin: Admin, instance: InstanceState) -> None:
    uri = "mongodb://user:secret@127.0.0.1/"
    definition = {"name": "orders", "type": "Cluster", "uri": uri}
    admin.command("localUpsertConnections", [definition])
    connections = admin.command("listStreamConnections", 1)["connections"]
    assert {"name": "orders", "type": "atlas", "cluster": "orders"} in connections
    assert {"name": "sample_stream_solar", "type": "inmemory"} in connections
    assert "secret" not in repr(connections)
    found = admin.command("listStreamConnections", 1, filter={"type": "inmemory"})["connections"]
    assert [each["name"] for each in found] == ["sample_stream_solar"]


def test_wrong_connections_are_refused_together(admin: Admin) -> None:
    wrong = [
        {"name": "good", "type": "Cluster", "uri": "mongodb://h/"},
        {"name": "", "type": "Cluster", "uri": "http://h/"},
        {"name": "local_cluster", "type": "Cluster", "uri": "mongodb://h/", "extra": 1},
        {"name": "k", "type": "Kafkaesque"},
        7,
    ]
    details = refusal(admin, "localUpsertConnections", wrong)
    assert [fault["path"] for fault in details["faults"]] == [
        "connections[1].name",
        "connections[1].uri",
        "connections[2].name",
        "connections[2].extra",
        "connections[3].type",
        "connections[4]",
    ]
    names = [each["name"] for each in admin.command("listStreamConnections", 1)["connections"]]
    assert "good" not in names


def test_options_are_taken_in_either_place_and_the_top_wins(admin: Admin) -> None:
    command = {
        "createStreamProcessor": "p",
        "pipeline": IDLE,
        "tier": "SP5",
        "options": {"tier": "SP2", "streamMetaFieldName": "m"},
    }
    admin.command(command)
    (item,) = listed(admin)
    assert (item["tier"], item["options"]["streamMetaFieldName"]) == ("SP5", "m")


def test_numbers_may_stand_for_booleans_and_whole_doubles_for_integers(admin: Admin) -> None:
    create(admin)
    reply = admin.command("getStreamProcessorStats", "p", verbose=1, scale=2.0)
    assert reply["stats"]["scaleFactor"] == Int64(2)
    assert refusal(admin, "getStreamProcessorStats", "p", scale=0)["code"] == 2
    assert refusal(admin, "getStreamProcessorStats", "p", scale=1.5)["code"] == 14
