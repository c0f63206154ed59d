"""Warnings about pipelines that are right, and likely not meant so."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils import ejson
from asp_utils.engine.catalogue import catalogue
from asp_utils.errors import Fault
from asp_utils.pipeline.catalogue import Catalogue, StageSpec
from asp_utils.pipeline.check import check_pipeline
from asp_utils.pipeline.scene import duration_words, milliseconds
from asp_utils.pipeline.traps import pipeline_warnings

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "pipelines").glob("*.json"))
CONNECTIONS = {
    "solar": {"type": "inmemory"},
    "cluster": {"type": "atlas"},
    "broker": {"type": "kafka"},
    "kinesis": {"type": "awskinesisdatastreams"},
}
SOLAR = {"$source": {"connectionName": "solar"}}
DLQ = {"connectionName": "cluster", "db": "d", "coll": "dead"}
INTO = {"connectionName": "cluster", "db": "d", "coll": "c"}
MINUTE = {"size": 1, "unit": "minute"}
IDLE = {"idleTimeout": MINUTE}


def warnings(*stages: Any, **options: Any) -> dict[str, str]:
    pipeline = list(stages)
    if "$source" not in pipeline[0]:
        pipeline.insert(0, SOLAR)
    found = pipeline_warnings(pipeline, _catalogue(), CONNECTIONS, **{"dlq": DLQ, **options})
    return {fault.path: fault.message for fault in found}


def _catalogue() -> Catalogue:
    """The engine's, and what it may not have: traps look at the pipeline alone."""
    kinds = dict(catalogue().by_name)
    kinds["$source"] = (
        StageSpec("$source", "source", connection_type="inmemory"),
        StageSpec("$source", "source", connection_type="atlas"),
        StageSpec("$source", "source", connection_type="kafka"),
        StageSpec("$source", "source", connection_type="awskinesisdatastreams"),
        StageSpec("$source", "source", marks=frozenset({"documents"})),
    )
    return Catalogue(kinds)


def source(name: str, **options: Any) -> dict[str, Any]:
    return {"$source": {"connectionName": name, **options}}


def window(*inner: Any, **options: Any) -> dict[str, Any]:
    return {"$tumblingWindow": {"interval": MINUTE, "pipeline": list(inner), **options}}


def hopping(**options: Any) -> dict[str, Any]:
    return {
        "$hoppingWindow": {"interval": MINUTE, "pipeline": [{"$sort": {"a": 1}}], **IDLE, **options}
    }


def session(partition_by: Any) -> dict[str, Any]:
    return {"$sessionWindow": {"gap": MINUTE, "partitionBy": partition_by, "pipeline": [SORTED]}}


def merge(**options: Any) -> dict[str, Any]:
    return {"$merge": {"into": INTO, **options}}


SORTED = {"$sort": {"a": 1}}
EARLIEST = {"config": {"auto_offset_reset": "earliest"}}
PARTITIONS = {"partitionIdleTimeout": MINUTE}
META = {"$set": {"x": {"$meta": "stream.window.start"}}}


@pytest.mark.parametrize(
    ("trapped", "path", "words", "free"),
    [
        pytest.param([source("broker", **EARLIEST), window(SORTED, **IDLE)], "[0].$source.partitionIdleTimeout", "holds the watermark", [source("broker", **EARLIEST, **PARTITIONS), window(SORTED, **IDLE)], id="idle partition"),
        pytest.param([source("kinesis"), window(SORTED, **IDLE)], "[0].$source.shardIdleTimeout", "a shard without messages", [source("kinesis"), window(SORTED, boundary="processingTime")], id="idle shard"),
        pytest.param([source("broker")], "[0].$source.config.auto_offset_reset", "reading begins at the end", [source("broker", **EARLIEST)], id="latest offset"),
        pytest.param([source("kinesis")], "[0].$source.config.initialPosition", "reading begins at the end", [source("kinesis", config={"initialPosition": "TRIM_HORIZON"})], id="latest position"),
        pytest.param([source("cluster")], "[0].$source.initialSync", "only changes are read", [source("cluster", initialSync={"enable": True})], id="existing documents"),
        pytest.param([{"$source": {"documents": []}}, window(SORTED, **IDLE)], "[0].$source.timeField", "they share one window", [{"$source": {"documents": [], "timeField": {"$toDate": "$t"}}}, window(SORTED, **IDLE)], id="no event time"),
        pytest.param([source("cluster", timeField={"$toDate": "$ts"})], "[0].$source.timeField", "the document is below fullDocument", [source("cluster", timeField={"$toDate": "$fullDocument.ts"})], id="time below fullDocument"),
        pytest.param([source("cluster"), {"$match": {"status": 1}}], "[1].$match.status", "no field 'status'", [source("cluster"), {"$replaceRoot": {"newRoot": "$fullDocument"}}, {"$match": {"status": 1}}], id="field below fullDocument"),
        pytest.param([source("cluster", config={"fullDocumentOnly": True})], "[0].$source.config.fullDocumentOnly", "a delete has no full document", [source("cluster")], id="deletes"),
        pytest.param([source("cluster"), window(SORTED)], "[1].$tumblingWindow.idleTimeout", "its result waits", [source("cluster"), window(SORTED, **IDLE)], id="quiet source"),
        pytest.param([source("cluster"), {"$sessionWindow": {"gap": MINUTE, "partitionBy": "$a", "pipeline": [SORTED]}}], "[1].$sessionWindow", "the last session", [SOLAR, {"$sessionWindow": {"gap": MINUTE, "partitionBy": "$a", "pipeline": [SORTED]}}], id="last session"),
        pytest.param([window(SORTED, allowedLateness=0)], "[1].$tumblingWindow.allowedLateness", "late at once", [window(SORTED, allowedLateness={"size": 1, "unit": "ms"})], id="no lateness"),
        pytest.param([window(SORTED, boundary="processingTime")], "[1].$tumblingWindow.boundary", "after a restart", [window(SORTED, boundary="eventTime")], id="processing time"),
        pytest.param([hopping(hopSize={"size": 2, "unit": "minute"})], "[1].$hoppingWindow.hopSize", "between two windows are dropped", [hopping(hopSize=MINUTE)], id="gaps"),
        pytest.param([hopping(hopSize={"size": 5, "unit": "ms"})], "[1].$hoppingWindow.hopSize", "in 12000 windows", [hopping(hopSize={"size": 1, "unit": "second"})], id="many windows"),
        pytest.param([window(SORTED, interval={"size": 7, "unit": "day"})], "[1].$tumblingWindow.interval", "more than 7 days", [window(SORTED, interval={"size": 24, "unit": "hour"})], id="long window"),
        pytest.param([window({"$limit": 5}, SORTED)], "[1].$tumblingWindow.pipeline[0].$limit", "came first", [window(SORTED, {"$limit": 5})], id="limit before sort"),
        pytest.param([window({"$group": {"_id": "$a"}}), merge()], "[1].$tumblingWindow.pipeline[0].$group._id", "overwrites", [window({"$group": {"_id": {"a": "$a", "w": {"$meta": "stream.window.start"}}}}), merge()], id="windows overwrite each other"),
        pytest.param([merge(on=["a", "b"])], "[1].$merge.on", "a unique index on a, b", [merge(on="_id")], id="unique index"),
        pytest.param([source("broker"), merge()], "[1].$merge.on", "written twice", [source("broker"), {"$set": {"_id": "$order"}}, merge()], id="duplicates"),
        pytest.param([{"$validate": {"validator": {}}}], "[1].$validate.validationAction", "dropped silently", [{"$validate": {"validator": {}, "validationAction": "dlq"}}], id="silent validation"),
        pytest.param([{"$set": {"x": {"$meta": "stream.source.topik"}}}], "[1].$set.x", "there is no metadata", [source("broker"), {"$set": {"x": {"$meta": "stream.source.topic"}}}], id="unknown metadata"),
        pytest.param([{"$set": {"x": {"$meta": "stream.source.topic"}}}], "[1].$set.x", "only with a Kafka source", [source("broker"), {"$set": {"x": {"$meta": "stream.source.key.id"}}}], id="metadata of another source"),
        pytest.param([META, window(SORTED)], "[1].$set.x", "in the window and behind it", [window(SORTED), META], id="window metadata before"),
        pytest.param([META], "[1].$set.x", "only with a window", [window(META)], id="window metadata without"),
        pytest.param([window(SORTED), {"$set": {"x": {"$meta": "stream.window.partition"}}}], "[2].$set.x", "only with $sessionWindow", [{"$sessionWindow": {"pipeline": []}}, {"$set": {"x": {"$meta": "stream.window.partition"}}}], id="partition"),
        pytest.param([source("broker"), window({"$set": {"x": {"$meta": "stream.source.key"}}})], "[1].$tumblingWindow.pipeline[0].$set.x", "a window does not keep it", [source("broker"), {"$set": {"x": {"$meta": "stream.source.key"}}}, window(SORTED)], id="lost in the window"),
        pytest.param([{"$set": {"x": {"$meta": "stream.https.url"}}}, {"$https": {"as": "y"}}], "[1].$set.x", "only behind $https", [{"$https": {"as": "y"}}, {"$set": {"x": {"$meta": "stream.https.url"}}}], id="https"),
        pytest.param([{"$setStreamMeta": {"stream.mine": 1}}, window({"$set": {"x": {"$meta": "stream.mine"}}})], "[2].$tumblingWindow.pipeline[0].$set.x", "a window does not keep it", [source("broker"), {"$setStreamMeta": {"stream.mine": 1}}, session({"$meta": "stream.mine"}), {"$setStreamMeta": {"stream.more": 1}}, {"$set": {"x": {"$meta": "stream.more"}}}], id="own metadata lost in the window"),
        pytest.param([session({"$meta": "stream.window.start"})], "[1].$sessionWindow.partitionBy", "in the window and behind it", [source("broker"), session({"$meta": "stream.source.key"})], id="window metadata in partitionBy"),
        pytest.param([source("broker"), window({"$set": {"x": {"$meta": "stream.source.key"}}})], "[1].$tumblingWindow.pipeline[0].$set.x", "a window does not keep it", [source("broker"), session({"$meta": "stream.source.key"})], id="metadata in partitionBy"),
        pytest.param([{"$set": {"x": {"$meta": "stream.mine"}}}], "[1].$set.x", "there is no metadata", [{"$setStreamMeta": {"stream.mine": 1}}, {"$set": {"x": {"$meta": "stream.mine.deep"}}}], id="own metadata"),
        pytest.param([{"$set": {"x": "$_stream_meta.source.ts"}}], "[1].$set.x", "until 2025", [{"$set": {"x": {"$literal": "$_stream_meta.source.ts"}}}], id="legacy metadata"),
    ],
)  # fmt: skip
def test_a_trap_is_named_and_its_way_out_is_none(
    trapped: list[Any], path: str, words: str, free: list[Any]
) -> None:
    assert words in warnings(*trapped)[path]
    assert not [message for message in warnings(*free).values() if words in message]


def test_without_dead_letters_documents_vanish() -> None:
    assert "vanish" in warnings(merge(), dlq=None)[""]
    assert warnings(merge()) == {}
    assert warnings(merge(), dlq=None, persistent=False) == {}


def test_dead_letters_of_a_validation_need_a_queue() -> None:
    stage = {"$validate": {"validator": {}, "validationAction": "dlq"}}
    path = "[1].$validate.validationAction"
    assert "no dead letter queue" in warnings(stage, merge(), dlq=None)[path]
    assert path not in warnings(stage, merge())


def test_what_exceeds_a_tier_is_told_the_one_that_fits() -> None:
    found = pipeline_warnings(
        [SOLAR, merge(parallelism=4)], catalogue(), CONNECTIONS, dlq=DLQ, tier="SP5"
    )
    [fault] = [fault for fault in found if "parallelism" in fault.message]
    assert fault.path == "[1].$merge.parallelism"
    assert fault.hint.endswith("SP10")


def test_a_stage_may_warn_of_its_own_traps() -> None:
    slow = StageSpec(
        "$slow", "transform", warnings=lambda options: [Fault(".ms", f"waits {options['ms']}")]
    )
    kinds = Catalogue({**catalogue().by_name, "$slow": (slow,)})
    found = pipeline_warnings([SOLAR, {"$slow": {"ms": 5}}], kinds, CONNECTIONS, dlq=DLQ)
    assert [(fault.path, fault.message) for fault in found] == [("[1].$slow.ms", "waits 5")]


@pytest.mark.parametrize(
    ("value", "ms", "words"),
    [
        (0, 0, "0"),
        ({"size": 1, "unit": "hour"}, 3_600_000, "1 hour"),
        ({"size": 5, "unit": "minute"}, 300_000, "5 minutes"),
        ({"size": 5, "unit": "ms"}, 5, "5 ms"),
        ({"size": "5", "unit": "ms"}, None, "5 ms"),
        ({"size": 5, "unit": "weeks"}, None, "5 weekss"),
    ],
)
def test_durations(value: Any, ms: int | None, words: str) -> None:
    assert milliseconds(value) == ms
    assert duration_words(value) == words


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_can_be_looked_at(file: Path) -> None:
    pipeline = ejson.loads(file.read_bytes())["pipeline"]
    for fault in pipeline_warnings(pipeline, catalogue(), dlq=DLQ):
        assert fault.path.startswith("[")
        assert fault.message
        assert fault.code is None


_NAMES = st.sampled_from(
    ["$match", "$set", "$validate", "$tumblingWindow", "$setStreamMeta", "$merge"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "$meta", "config", "pipeline", "idleTimeout", "hopSize", "on"]), inner, max_size=3),
)  # fmt: skip


@given(st.lists(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=1), max_size=5))
def test_no_pipeline_without_faults_breaks_the_traps(stages: list[Any]) -> None:
    pipeline = [SOLAR, *stages]
    if not check_pipeline(pipeline, catalogue(), CONNECTIONS, persistent=False):
        pipeline_warnings(pipeline, catalogue(), CONNECTIONS)
