"""The commands of the stream endpoint, as a driver without our code sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64
from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from pymongo.database import Database

    Admin = Database[dict[str, Any]]

pytestmark = pytest.mark.server
INVALID = "StreamProcessorInvalidOptions"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
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
        ({"state": {"$in": ["running", "STOPPED"]}}, ["a"]),
        ({"state": {"$ne": "running"}}, ["b"]),
        ({"$or": [{"state": "created"}, {"name": "z"}]}, ["b"]),
        ({"state": {"$regex": "^START"}}, ["a"]),
        ({"options.dlq.connectionName": {"$regex": "cluster$"}}, ["b"]),
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
        ({"startStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"stopStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"dropStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"modifyStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getStreamProcessorStats": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"startSampleStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"getMoreSampleStreamProcessor": "x"}, 40414, "IDLFailedToParse"),
        ({"getMoreSampleStreamProcessor": "x", "cursorId": 5}, 43, "CursorNotFound"),
        ({"createStreamProcessor": "x", "pipeline": [], "tier": "SP3"}, 420, INVALID),
        (
            {"createStreamProcessor": "x", "pipeline": [], "tier": "SP5", "failover": True},
            420,
            INVALID,
        ),
        (
            {
                "createStreamProcessor": "x",
                "pipeline": [],
                "failover": True,
                "failoverEnabled": False,
            },
            420,
            INVALID,
        ),
        (
            {"createStreamProcessor": "x", "pipeline": [], "autoscaling": {"maxTear": "SP5"}},
            40415,
            "IDLUnknownField",
        ),
        (
            {"createStreamProcessor": "x", "pipeline": [], "autoscaling": {"maxTier": 5}},
            14,
            "TypeMismatch",
        ),
        (
            {"createStreamProcessor": "x", "pipeline": [], "autoscaling": {"maxTier": "SP4"}},
            420,
            INVALID,
        ),
        (
            {
                "createStreamProcessor": "x",
                "pipeline": [],
                "options": {"autoscaling": {"minTier": "SP30", "maxTier": "SP10"}},
            },
            420,
            INVALID,
        ),
        (
            {
                "createStreamProcessor": "x",
                "pipeline": [],
                "autoscaling": {"enabled": True},
                "enableAutoScaling": False,
            },
            420,
            INVALID,
        ),
        ({"createStreamProcessor": "x", "pipeline": [], "streamMetaFieldName": ""}, 420, INVALID),
        ({"startStreamProcessor": "x", "failover": {"region": "r"}}, 420, INVALID),
        ({"startStreamProcessor": "x", "options": {"failover": True}}, 420, INVALID),
        ({"startStreamProcessor": "x", "workers": 0}, 420, INVALID),
        ({"startStreamProcessor": "x", "startAfter": "token"}, 14, "TypeMismatch"),
        (
            {
                "startStreamProcessor": "x",
                "startAfter": {"_data": "1"},
                "startAtOperationTime": NEW_YEAR,
            },
            420,
            INVALID,
        ),
        ({"startStreamProcessor": "x", "resume": True}, 40415, "IDLUnknownField"),
        ({"modifyStreamProcessor": "x", "name": 5}, 14, "TypeMismatch"),
        ({"modifyStreamProcessor": "x", "name": "a b"}, 420, INVALID),
        ({"getStreamProcessorStats": "x", "scale": 0}, 2, "BadValue"),
        ({"startSampleStreamProcessor": "x", "limit": -1}, 2, "BadValue"),
        ({"localExplainStreamProcessor": "nope"}, 415, "StreamProcessorDoesNotExist"),
        ({"listStreamProcessors": 1, "filter": {"a": {"$nope": 1}}}, 2, "BadValue"),
        ({"noSuchCommand": 1}, 59, "CommandNotFound"),
        ({"processStreamProcessor": {}}, 14, "TypeMismatch"),
        ({"processStreamProcessor": []}, 40414, "IDLFailedToParse"),
    ],
)
def test_a_wrong_command_is_refused_with_its_code(
    admin: Admin, command: dict[str, Any], code: int, name: str
) -> None:
    details = refusal(admin, command)
    assert (details["code"], details["codeName"]) == (code, name)
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
    large = [*IDLE[:1], {"$match": {"a": "x" * 16 * 1024 * 1024}}, *IDLE[1:]]
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
    scaling = {"enabled": True, "minTier": "SP2", "maxTier": "SP30"}
    admin.command(
        "modifyStreamProcessor",
        "p",
        pipeline=stages,
        dlq={},
        tier="SP5",
        autoscaling=scaling,
        name="q",
    )
    (item,) = listed(admin)
    assert (item["name"], item["pipeline"], item["tier"]) == ("q", stages, "SP5")
    assert item["options"] == {"tier": "SP5", "autoscaling": scaling}
    reply = admin.command("getStreamProcessor", "q")
    assert (reply["pipelineVersion"], reply["enableAutoScaling"]) == (2, True)
    admin.command("modifyStreamProcessor", "q", enableAutoScaling=False, name="q")
    assert not admin.command("getStreamProcessor", "q")["enableAutoScaling"]


def test_either_word_for_failover_is_modified_by_the_other(admin: Admin) -> None:
    create(admin, failover=True)
    assert listed(admin)[0]["options"] == {"failoverEnabled": True}
    admin.command("modifyStreamProcessor", "p", failoverEnabled=False)
    assert not admin.command("getStreamProcessor", "p")["failoverEnabled"]
    admin.command("modifyStreamProcessor", "p", options={"failover": True})
    assert admin.command("getStreamProcessor", "p")["failoverEnabled"]
    assert refusal(admin, "modifyStreamProcessor", "p", tier="SP5")["code"] == 420
    assert refusal(admin, "startStreamProcessor", "p", tier="SP5")["code"] == 420


def test_modify_needs_a_sink_and_a_whole_pipeline(admin: Admin) -> None:
    create(admin)
    details = refusal(admin, "modifyStreamProcessor", "p", pipeline=[{"$source": {}}, {"$a": 1}])
    assert details["faults"] == [{"path": "pipeline", "message": "no sink"}]
    assert listed(admin)[0]["pipeline"] == IDLE


def test_a_failed_processor_can_be_modified(admin: Admin) -> None:
    failure = {"code": 425, "codeName": "X", "message": "gone", "retryable": False}
    create(admin, stages=pipeline({"fail": failure}))
    assert refusal(admin, "startStreamProcessor", "p")["code"] == 425
    admin.command("modifyStreamProcessor", "p", pipeline=IDLE, resumeFromCheckpoint=False)
    admin.command("startStreamProcessor", "p")
    assert listed(admin)[0]["state"] == "STARTED"


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
    # Its state is to be discarded already: there is nothing left that could not fit.
    admin.command("modifyStreamProcessor", "p", pipeline=IDLE)


def test_stats_have_the_atlas_shape_and_scale(admin: Admin) -> None:
    counted = {
        "memoryUsageBytes": 2048,
        "latency": {"p50": 3, "unit": "microseconds"},
        "kafkaPartitions": [{"partition": 0, "currentOffset": 7, "isIdle": False}],
        "watermark": NEW_YEAR,
    }
    script = [{"started": 1}, {"wait": 1}]
    source = {"script": script, "stats": counted}
    create(admin, stages=[{"$source": source}, {"$merge": {"into": "x", "parallelism": 3}}])
    admin.command("startStreamProcessor", "p")
    reply = admin.command("getStreamProcessorStats", "p", options={"scale": 1024, "verbose": True})
    assert reply["ns"].endswith(".p")
    assert (reply["state"], reply["tier"], reply["effectiveTier"]) == ("STARTED", "SP10", "SP10")
    stats = reply["stats"]
    assert (stats["status"], stats["name"], len(stats["processorId"])) == ("running", "p", 24)
    assert (stats["scaleFactor"], stats["stateSize"], stats["addedParallelism"]) == (1024, 4.0, 2)
    assert (stats["memoryUsageBytes"], stats["watermark"].year) == (2.0, 2026)
    assert stats["operatorStats"][0] == {
        "name": "Op",
        "maxMemoryUsage": 1.0,
        "inputMessageCount": 1024,
    }
    assert isinstance(stats["operatorStats"][0]["inputMessageCount"], Int64)
    assert stats["latency"] == {"p50": Int64(3), "unit": "microseconds"}
    assert stats["kafkaPartitions"] == [
        {"partition": 0, "currentOffset": Int64(7), "isIdle": False}
    ]
    plain = admin.command("getStreamProcessorStats", "p")["stats"]
    assert "operatorStats" not in plain
    assert isinstance(plain["stateSize"], Int64)


def test_a_worker_that_does_not_say_is_measured(admin: Admin) -> None:
    create(admin)
    admin.command("startStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p")["stats"]
    assert stats["memoryUsageBytes"] > 1_000_000


def test_a_stopped_processor_answers_with_its_last_counters(admin: Admin) -> None:
    create(admin)
    assert admin.command("getStreamProcessorStats", "p")["stats"]["outputMessageCount"] == 0
    admin.command("startStreamProcessor", "p")
    admin.command("startSampleStreamProcessor", "p")
    admin.command("stopStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p", verbose=False)["stats"]
    assert (stats["status"], stats["outputMessageCount"]) == ("stopped", 2)
    assert "operatorStats" not in stats
    verbose = admin.command("getStreamProcessorStats", "p", verbose=True)["stats"]
    assert verbose["operatorStats"][0]["name"] == "Op"


def test_counters_go_on_when_the_checkpoint_is_discarded(admin: Admin) -> None:
    create(admin)
    for _ in range(2):
        admin.command("startStreamProcessor", "p", resumeFromCheckpoint=False)
        admin.command("startSampleStreamProcessor", "p")
        admin.command("stopStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p")["stats"]
    assert (stats["outputMessageCount"], stats["outputMessageSize"]) == (4, 8192)


def test_get_tells_everything(admin: Admin) -> None:
    create(admin, failover=True, streamMetaFieldName="m")
    reply = admin.command("getStreamProcessor", "p")
    assert reply.keys() >= {
        "id", "name", "state", "pipeline", "pipelineVersion", "tier", "streamMetaFieldName",
        "enableAutoScaling", "failoverEnabled", "activeRegion", "workspaceDefaultRegion",
        "lastStateChange", "lastModifiedAt", "modifiedBy", "hasStarted", "stats", "errorMsg",
        "errorRetryable",
    }  # fmt: skip
    assert (reply["state"], reply["errorMsg"], reply["failoverEnabled"]) == ("CREATED", "", True)
    assert reply["stats"]["status"] == "created"
    assert "lastHeartbeat" not in reply
    admin.command("startStreamProcessor", "p")
    assert admin.command("getStreamProcessor", "p")["lastHeartbeat"] >= reply["lastStateChange"]


def test_tiers_outside_autoscaling_are_refused(admin: Admin) -> None:
    create(admin)
    scaling = {"enabled": True, "minTier": "SP10", "maxTier": "SP30"}
    details = refusal(admin, "startStreamProcessor", "p", tier="SP50", autoscaling=scaling)
    assert details["code"] == 420
    admin.command("startStreamProcessor", "p", tier="SP30", autoscaling=scaling, workers=1)
    reply = admin.command("getStreamProcessorStats", "p")
    assert (reply["tier"], reply["effectiveTier"]) == ("SP10", "SP30")
    assert reply["autoscaling"] == {"minTier": "SP10", "maxTier": "SP30"}
    admin.command("stopStreamProcessor", "p")
    admin.command("startStreamProcessor", "p")
    reply = admin.command("getStreamProcessorStats", "p")
    assert (reply["effectiveTier"], "autoscaling" in reply) == ("SP10", False)


def test_the_workspace_names_its_tiers(admin: Admin) -> None:
    reply = admin.command("listWorkspaceDefaults", 1)
    assert (reply["defaultTierSize"], reply["maxTierSize"]) == ("SP10", "SP50")


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


def test_null_is_as_good_as_missing(admin: Admin) -> None:
    create(admin)
    # mongosh sends it for every argument that it was not given.
    reply = admin.command("listStreamProcessors", 1, filter=None, options=None)
    assert [each["name"] for each in reply["streamProcessors"]] == ["p"]
    assert admin.command("startStreamProcessor", "p", tier=None, options={"startAfter": None})["ok"]
    assert refusal(admin, "modifyStreamProcessor", None)["codeName"] == "TypeMismatch"


def test_autoscaling_is_changed_bound_by_bound(admin: Admin) -> None:
    create(admin, autoscaling={"enabled": True, "minTier": "SP2", "maxTier": "SP30"})

    def scaling(**changes: Any) -> Any:
        admin.command("modifyStreamProcessor", "p", autoscaling=changes)
        return listed(admin, name="p")[0]["options"].get("autoscaling")

    assert scaling(maxTier="SP10") == {"enabled": True, "minTier": "SP2", "maxTier": "SP10"}
    assert scaling(minTier=None) == {"enabled": True, "maxTier": "SP10"}
    assert scaling(enabled=False) is None
