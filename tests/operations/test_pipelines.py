"""Pipelines looked at by their wrappers: what a person and a shell script get."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils import ejson
from asp_utils.context import Context
from asp_utils.errors import ConfigInvalid, PipelineInvalid
from asp_utils.operations.pipelines import pipeline_check, pipeline_explain

if TYPE_CHECKING:
    from .conftest import Project

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "pipelines").glob("*.json"))
MINUTE = {"size": 1, "unit": "minute"}
SOURCE = {"$source": {"connectionName": "broker", "topic": "orders"}}
GROUP = {"$group": {"_id": {"$meta": "stream.window.start"}, "n": {"$count": {}}}}
WINDOW = {"$tumblingWindow": {"interval": MINUTE, "idleTimeout": MINUTE, "pipeline": [GROUP]}}
MERGE = {"$merge": {"into": {"connectionName": "shop", "db": "d", "coll": "c"}}}
PIPELINE = [SOURCE, {"$match": {"a": 1}}, WINDOW, MERGE]
CONNECTIONS = [{"name": "broker", "type": "Kafka"}, {"name": "shop", "type": "Cluster"}]
DLQ = {"connectionName": "shop", "db": "d", "coll": "dead"}


def check(pipeline: list[Any], **parameters: Any) -> Any:
    given = {"connections": CONNECTIONS, "dlq": DLQ, **parameters}
    return pipeline_check(Context(root=Path()), pipeline, **given)


def refused(pipeline: list[Any], **parameters: Any) -> list[str]:
    with pytest.raises(PipelineInvalid) as caught:
        check(pipeline, **parameters)
    return [fault.path for fault in caught.value.faults]


def test_a_right_pipeline_is_valid_and_its_traps_are_named() -> None:
    result = check(PIPELINE)
    assert result["valid"] is True
    assert result["faults"] == []
    found = {warning["path"]: warning for warning in result["warnings"]}
    assert set(found) == {
        "$.pipeline[0].$source.config.auto_offset_reset",
        "$.pipeline[0].$source.partitionIdleTimeout",
    }
    assert all(warning["hint"] for warning in found.values())


def test_all_faults_are_named_with_their_paths() -> None:
    wrong = [SOURCE, {"$mach": {}}, {"$set": {"a": "$$NOW"}}, {**MERGE}]
    assert refused(wrong) == ["$.pipeline[1].$mach", "$.pipeline[2].$set.a"]


def test_warnings_come_with_faults_too() -> None:
    median = {"$set": {"m": {"$median": {"input": "$a", "method": "approximate"}}}}
    with pytest.raises(PipelineInvalid) as caught:
        check([SOURCE, median, {"$mach": {}}, MERGE])
    details = caught.value.about("file.json").to_json()["details"]
    assert [fault["path"] for fault in details["faults"]] == ["$.pipeline[2].$mach"]
    assert [it["path"] for it in details["warnings"]] == ["$.pipeline[1].$set.m.$median"]


def test_what_only_the_local_instance_lacks_is_a_warning() -> None:
    iceberg = {"$iceberg": {"connectionName": "lake"}}
    result = check([SOURCE, iceberg], connections=None)
    found = [it["message"] for it in result["warnings"] if it["path"] == "$.pipeline[1].$iceberg"]
    assert found == ["the local engine does not run $iceberg"]


def test_process_may_leave_the_sink_out() -> None:
    assert check([SOURCE], purpose="process")["valid"]
    assert refused([SOURCE]) == ["$.pipeline[0]"]


def test_connections_and_dead_letters_are_checked_by_name_and_type() -> None:
    assert refused(PIPELINE, connections=CONNECTIONS[:1], dlq=None) == [
        "$.pipeline[3].$merge.into.connectionName"
    ]
    assert refused(PIPELINE, dlq={**DLQ, "connectionName": "broker"}) == ["$.dlq.connectionName"]
    assert refused(PIPELINE, dlq={"connectionName": "shop", "db": "d"}) == ["$.dlq.coll"]


def test_without_connections_names_are_taken_as_they_are() -> None:
    assert check(PIPELINE, connections=None)["valid"]


@pytest.mark.parametrize(
    ("connection", "path"),
    [
        ({"type": "Kafka"}, "$.connections[0].name"),
        ({"name": "a", "type": "Casandra"}, "$.connections[0].type"),
        ({"name": "a"}, "$.connections[0].type"),
    ],
)
def test_a_connection_must_be_one(connection: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        check(PIPELINE, connections=[connection])
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_tier_that_is_too_small_is_warned_of() -> None:
    merge = {"$merge": {**MERGE["$merge"], "parallelism": 4}}
    paths = [it["path"] for it in check([*PIPELINE[:-1], merge], tier="SP5")["warnings"]]
    assert "$.pipeline[3].$merge.parallelism" in paths


def test_a_modification_is_compared_with_the_pipeline_of_before() -> None:
    wider = {
        "$tumblingWindow": {**WINDOW["$tumblingWindow"], "interval": {"size": 2, "unit": "hour"}}
    }
    new = [SOURCE, {"$match": {"a": 2}}, wider, MERGE]
    assert check(new)["valid"]
    modify: dict[str, Any] = {"purpose": "modify", "old_pipeline": PIPELINE}
    assert refused(new, **modify) == ["$.pipeline[2].$tumblingWindow.interval"]
    assert check(new, **modify, resume_from_checkpoint=False)["valid"]
    assert refused(new, purpose="modify", old_pipeline=[SOURCE]) == ["$.old_pipeline[0]"]


@pytest.mark.parametrize(
    "parameters", [{"purpose": "modify"}, {"purpose": "create", "old_pipeline": PIPELINE}]
)
def test_a_modification_needs_both(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        check(PIPELINE, **parameters)
    assert caught.value.path == "$.old_pipeline"


def test_extended_json_is_understood() -> None:
    stage = {"$set": {"at": {"$date": "2026-01-01T00:00:00Z"}}}
    assert check([SOURCE, stage, MERGE])["valid"]
    with pytest.raises(ConfigInvalid) as caught:
        check([SOURCE, {"$set": {"at": {"$date": "soon"}}}, MERGE])
    assert caught.value.path == "$.pipeline[1].$set.at"


def test_a_pipeline_has_a_largest_size() -> None:
    large = {"$source": {"documents": [{"text": "x" * 1_000_000}] * 17}}
    with pytest.raises(PipelineInvalid) as caught:
        check([large, MERGE])
    assert "at most 16777216 bytes" in caught.value.message
    with pytest.raises(PipelineInvalid) as caught:
        check([{"$source": {"documents": [{"n": 2**64}]}}, MERGE])
    assert "cannot be stored" in caught.value.message


def explain(pipeline: list[Any], **parameters: Any) -> Any:
    given = {"connections": CONNECTIONS, **parameters}
    return pipeline_explain(Context(root=Path()), pipeline, **given)


def test_every_stage_is_told_who_runs_it() -> None:
    validate = {"$validate": {"validator": {"a": {"$gt": 0}}, "validationAction": "dlq"}}
    plan = explain([SOURCE, {"$match": {"a": 1}}, validate, WINDOW, {"$set": {"b": 1}}, MERGE])
    assert [(it["number"], it["stage"], it["runs_in"]) for it in plan["stages"]] == [
        ("1", "$source", "source"),
        ("2", "$match", "mongod"),
        ("3", "$validate", "engine"),
        ("4", "$tumblingWindow", "engine"),
        ("4.1", "$group", "mongod"),
        ("5", "$set", "mongod"),
        ("6", "$merge", "sink"),
    ]
    assert plan["stages"][4]["path"] == "$.pipeline[3].$tumblingWindow.pipeline[0].$group"


def test_stages_that_mongod_runs_together_are_one_command() -> None:
    plan = explain([SOURCE, {"$set": {"a": 1}}, {"$match": {"a": 1}}, {"$unset": "a"}, MERGE])
    assert plan["commands"] == [
        {"number": 1, "when": "every batch", "stages": ["2", "3", "4"]},
    ]
    assert [it["commands"] for it in plan["stages"]] == [[], [1], [1], [1], []]


def test_a_divided_group_is_part_of_two_commands() -> None:
    group = {"$group": {"_id": "$a", "n": {"$sum": 1}}}
    window = {"$tumblingWindow": {**WINDOW["$tumblingWindow"], "pipeline": [group]}}
    plan = explain([SOURCE, window, MERGE])
    assert plan["window_holds"] == "partial groups"
    assert plan["commands"] == [
        {"number": 1, "when": "every batch", "stages": ["2.1"]},
        {"number": 2, "when": "window closes", "stages": ["2.1"]},
    ]


@pytest.mark.parametrize(
    ("inner", "holds"),
    [
        ([{"$sort": {"a": 1}}], "documents"),
        ([{"$group": {"_id": 1}}], "partial groups"),
        ([{"$match": {}}, {"$group": {"_id": 1}}], "partial groups"),
    ],
)
def test_what_a_window_holds_is_told(inner: list[Any], holds: str) -> None:
    window = {"$tumblingWindow": {**WINDOW["$tumblingWindow"], "pipeline": inner}}
    assert explain([SOURCE, window, MERGE])["window_holds"] == holds
    assert explain([SOURCE, MERGE])["window_holds"] is None


def test_metadata_and_parallelism_are_told() -> None:
    plain = explain([SOURCE, MERGE])
    assert (plain["carries_metadata"], plain["added_parallelism"]) == (False, 0)
    reads = {"$set": {"p": {"$meta": "stream.source.partition"}}}
    merge = {"$merge": {**MERGE["$merge"], "parallelism": 3}}
    plan = explain([SOURCE, reads, merge])
    assert (plan["carries_metadata"], plan["added_parallelism"]) == (True, 2)
    assert plan["delivery"].startswith("at least once")
    assert explain([SOURCE])["delivery"].startswith("no sink")


@pytest.mark.parametrize(
    ("stage", "does"),
    [
        ({"$match": {"a": 1}}, 'Keeps documents that match {"a":1}.'),
        ({"$set": {"a": 1, "b": 2}}, "Sets a and b."),
        ({"$set": dict.fromkeys("abcdef", 1)}, "Sets a, b, c and 3 more."),
        ({"$project": {"a": 1, "b": {"$add": [1, "$a"]}, "_id": 0}}, "Keeps a and computes b and leaves out _id."),
        ({"$project": {"a": 0, "b": 0}}, "Leaves out a and b."),
        ({"$unset": ["a", "b"]}, "Removes a and b."),
        ({"$unwind": "$a"}, "Makes a document for each element of $a."),
        ({"$replaceRoot": {"newRoot": "$a"}}, "Puts $a in place of the document."),
        ({"$validate": {"validator": {"a": 1}}}, 'Documents that do not match {"a":1} are discarded.'),
        ({"$throttle": {"messagesPerSec": 5}}, "Lets 5 documents a second pass."),
        ({"$lookup": {"from": {"connectionName": "shop", "db": "d", "coll": "c"}, "localField": "a", "foreignField": "b", "as": "x", "parallelism": 3}}, "Puts into x what it finds in d.c in shop, where b is a, 3 at a time."),
        (WINDOW, "Windows of 1 minute, by event time. One closes when the watermark is 3 seconds past its end. Silence of 1 minute closes it too."),
        ({"$hoppingWindow": {"interval": MINUTE, "hopSize": {"size": 5, "unit": "second"}, "boundary": "processingTime", "pipeline": [GROUP]}}, "Windows of 1 minute, one every 5 seconds, by the clock."),
        ({"$sessionWindow": {"gap": MINUTE, "partitionBy": "$u", "allowedLateness": 0, "pipeline": [GROUP]}}, "Sessions of $u, which 1 minute without documents end, by event time. One closes when the watermark reaches its end."),
    ],
)  # fmt: skip
def test_stages_in_words(stage: dict[str, Any], does: str) -> None:
    assert explain([SOURCE, stage, MERGE])["stages"][1]["does"] == does


@pytest.mark.parametrize(
    ("stage", "does"),
    [
        (SOURCE, "Reads orders of Kafka broker, new messages only."),
        ({"$source": {"connectionName": "broker", "topic": ["a", "b"], "timeField": {"$toDate": "$t"}, "partitionIdleTimeout": MINUTE, "config": {"auto_offset_reset": "earliest"}}}, "Reads a and b of Kafka broker, from the oldest message on. A document's time is $t. A partition that is silent for 1 minute no longer holds the watermark."),
        ({"$source": {"connectionName": "shop", "db": "d", "coll": ["a", "b"], "initialSync": {"enable": True}}}, "Reads the changes of d.a and d.b in shop, after the documents that are there."),
        ({"$source": {"connectionName": "shop"}}, "Reads the changes of the whole cluster in shop."),
        ({"$source": {"documents": [{}, {}]}}, "Gives 2 documents, once."),
    ],
)  # fmt: skip
def test_sources_in_words(stage: dict[str, Any], does: str) -> None:
    assert explain([stage, MERGE])["stages"][0]["does"] == does


@pytest.mark.parametrize(
    ("stage", "does"),
    [
        (MERGE, "Writes to d.c in shop, by _id: merges with what is there, inserts what is new."),
        ({"$merge": {**MERGE["$merge"], "on": ["a", "b"], "whenMatched": [{"$set": {"x": 1}}], "whenNotMatched": "discard"}}, "Writes to d.c in shop, by a and b: updates what is there, drops what is new."),
        ({"$emit": {"connectionName": "broker", "topic": "t", "config": {"key": "$id", "keyFormat": "string"}}}, "Writes to topic t of broker, key $id."),
    ],
)  # fmt: skip
def test_sinks_in_words(stage: dict[str, Any], does: str) -> None:
    assert explain([SOURCE, stage])["stages"][1]["does"] == does


def test_without_connections_their_types_are_guessed() -> None:
    plan = explain(PIPELINE, connections=None)
    assert plan["stages"][0]["does"].startswith("Reads orders of Kafka broker")
    sample = {"$source": {"connectionName": "sample_stream_solar"}}
    plan = explain([sample, MERGE], connections=None)
    assert plan["stages"][0]["does"] == "Gives made-up readings of sample_stream_solar."


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_can_be_explained(file: Path, tmp_path: Path) -> None:
    pipeline = ejson.loads(file.read_bytes())["pipeline"]
    plan = explain(pipeline, connections=None, svg=str(tmp_path / "plan.svg"))
    assert [it["path"].split(".", 2)[1] for it in plan["stages"] if "." not in it["number"]] == [
        f"pipeline[{index}]" for index in range(len(pipeline))
    ]
    assert not [it["does"] for it in plan["stages"] if it["does"].startswith("Runs ")]


def test_the_picture_is_an_svg_with_every_stage(tmp_path: Path) -> None:
    file = tmp_path / "plan.svg"
    match = {"$match": {"text": '<&"quoted">'}}
    plan = explain([SOURCE, match, WINDOW, MERGE], svg=str(file))
    assert plan["svg"] == str(file)
    root = ElementTree.fromstring(file.read_text())  # noqa: S314 - our own picture
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"$source", "$match", "$tumblingWindow", "$group", "$merge"} <= set(texts)
    assert any('<&\\"quoted\\">' in text for text in texts)
    frames = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("class") == "frame"]
    assert len(frames) == 1
    boxes = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("class") == "box"]
    inside = [box for box in boxes if _holds(frames[0], box)]
    assert len(inside) == 1


def _holds(frame: ElementTree.Element, box: ElementTree.Element) -> bool:
    (top, height), (y, box_height) = (
        (int(e.get("y", 0)), int(e.get("height", 0))) for e in (frame, box)
    )
    return top < y and y + box_height < top + height


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        explain(PIPELINE, svg=str(tmp_path / "missing" / "plan.svg"))
    assert caught.value.path == "$.svg"


def test_a_faulty_pipeline_is_not_explained() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        explain([SOURCE, {"$mach": {}}, {"$iceberg": {}}])
    assert [fault.path for fault in caught.value.faults] == [
        "$.pipeline[1].$mach",
        "$.pipeline[2].$iceberg",
    ]


@pytest.mark.server
def test_a_shell_script_can_use_both(bare_project: Project, tmp_path: Path) -> None:
    config = {"pipeline": PIPELINE, "connections": CONNECTIONS}
    right = bare_project.run("pipeline_check", config)
    assert (right.code, right.result["valid"]) == (0, True)
    wrong = bare_project.run(
        "pipeline_check", {**config, "pipeline": [SOURCE, {"$mach": {}}, MERGE]}
    )
    assert wrong.code == 65
    assert wrong.result["code"] == "PIPELINE_INVALID"
    assert [it["path"] for it in wrong.result["details"]["faults"]] == ["$.pipeline[1].$mach"]
    assert wrong.result["details"]["warnings"] == []
    assert "$.pipeline[1].$mach" in wrong.err
    plan = bare_project.run("pipeline_explain", {**config, "svg": str(tmp_path / "plan.svg")})
    assert plan.code == 0
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")


@pytest.mark.server
def test_a_workspace_knows_its_connections(project: Project) -> None:
    url = {"stream_processor_url": "local"}
    source = {"$source": {"connectionName": "sample_stream_solar"}}
    merge = {"$merge": {"into": {"connectionName": "local_cluster", "db": "d", "coll": "c"}}}
    assert project.run("pipeline_check", {"pipeline": [source, merge], **url}).code == 0
    merge["$merge"]["into"]["connectionName"] = "local_clutser"
    ran = project.run("pipeline_check", {"pipeline": [source, merge], **url})
    assert ran.code == 65
    assert ran.result["hint"] == "did you mean 'local_cluster'?"
