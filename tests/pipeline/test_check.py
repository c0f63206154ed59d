"""Faults of pipelines, found offline: where, what, and what to do."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.catalogue import catalogue
from asp_utils.pipeline.check import check_pipeline

CONNECTIONS = {
    "cluster": {"type": "atlas"},
    "sample_stream_solar": {"type": "inmemory"},
}
SOURCE = {"$source": {"connectionName": "sample_stream_solar"}}
MERGE = {"$merge": {"into": {"connectionName": "cluster", "db": "d", "coll": "c"}}}
MINUTE = {"size": 1, "unit": "minute"}


def faults(pipeline: Any, *, persistent: bool = True) -> list[tuple[str, str, str]]:
    found = check_pipeline(pipeline, catalogue(), CONNECTIONS, persistent=persistent)
    return [(fault.path, fault.message, fault.hint) for fault in found]


def window(pipeline: Any, **more: Any) -> dict[str, Any]:
    return {"$tumblingWindow": {"interval": MINUTE, "pipeline": pipeline, **more}}


@pytest.mark.parametrize(
    "pipeline",
    [
        [SOURCE, MERGE],
        [SOURCE, {"$match": {"a": "$$NOW"}}, window([{"$group": {"_id": None}}]), MERGE],
        [SOURCE, window([{"$match": {"text": "$$NOW"}}], allowedLateness=0), MERGE],
        [
            SOURCE,
            window([{"$sort": {"a": 1}}], allowedLateness={"size": 0, "unit": "second"}),
            MERGE,
        ],
        [SOURCE, {"$project": {"a": {"$literal": "$$NOW"}, "b": "a $$NOWAY"}}, MERGE],
        [
            {"$source": {"connectionName": "cluster", "db": "d", "config": {"maxAwaitTimeMS": 5}}},
            MERGE,
        ],
    ],
)
def test_what_is_right_has_no_faults(pipeline: list[Any]) -> None:
    assert faults(pipeline) == []


@pytest.mark.parametrize(
    ("pipeline", "path", "message", "hint"),
    [
        ({}, "", "a pipeline is a list of stages", ""),
        ([], "", "the pipeline is empty", "begin with {$source: {connectionName: ...}}"),
        ([SOURCE], "[0]", "the last stage must be a sink ($merge)", "only process may leave the sink out"),
        ([SOURCE, {"a": 1, "b": 2}, MERGE], "[1]", "a stage is an object with exactly one key", "one stage is {$name: options}"),
        ([SOURCE, {"$mach": {}}, MERGE], "[1].$mach", "$mach is no stage of Atlas Stream Processing", "did you mean $match?"),
        ([SOURCE, {"$facet": {}}, MERGE], "[1].$facet", "$facet is no stage of Atlas Stream Processing", ""),
        ([SOURCE, {"$group": {}}, MERGE], "[1].$group", "$group is only allowed inside a window", "put it into the pipeline of a window stage"),
        ([SOURCE, window([MERGE]), MERGE], "[1].$tumblingWindow.pipeline[0].$merge", "$merge is not allowed inside a window", ""),
        ([SOURCE, window([window([])]), MERGE], "[1].$tumblingWindow.pipeline[0].$tumblingWindow", "$tumblingWindow is not allowed inside a window", ""),
        ([SOURCE, window([{"$sort": {}}]), window([{"$sort": {}}]), MERGE], "[2].$tumblingWindow", "a pipeline has at most one window", ""),
        ([SOURCE, MERGE, MERGE], "[1].$merge", "$merge may only be the last stage", "a pipeline has one sink, at its end"),
        ([SOURCE, SOURCE, MERGE], "[1].$source", "$source may only be the first stage", ""),
        ([{"$source": {"connectionName": "clutser"}}, MERGE], "[0].$source.connectionName", "there is no connection 'clutser'", "did you mean 'cluster'?"),
        ([{"$source": {}}, MERGE], "[0].$source.connectionName", "the required field 'connectionName' is missing", "or give documents instead"),
        ([{"$source": {"conectionName": "cluster"}}, MERGE], "[0].$source.connectionName", "the required field 'connectionName' is missing", "'conectionName' is misspelled"),
        ([SOURCE, {"$set": {"at": "$$NOW"}}, MERGE], "[1].$set.at", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, {"$match": {"$expr": {"$gt": ["$a", "$$NOW"]}}}, MERGE], "[1].$match.$expr.$gt[1]", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, window([{"$limit": 1}], boundry="eventTime"), MERGE], "[1].$tumblingWindow.boundry", "unknown field 'boundry'", "did you mean 'boundary'?"),
        ([SOURCE, {"$merge": {"into": {"connectionName": "sample_stream_solar", "db": "d", "coll": "c"}}}], "[1].$merge.into.connectionName", "connection 'sample_stream_solar' of type 'inmemory' cannot be used in $merge", "it needs one of type atlas"),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_place(
    pipeline: Any, path: str, message: str, hint: str
) -> None:
    assert (path, message, hint) in faults(pipeline)


def test_all_faults_come_at_once() -> None:
    bad = {"$tumblingWindow": {"interval": {"size": 0, "unit": "min"}, "pipelin": []}}
    found = {path for path, _, _ in faults([{"$mach": 1}, bad, {"$limit": 1}])}
    assert found >= {
        "[0]",
        "[0].$mach",
        "[1].$tumblingWindow.interval.size",
        "[1].$tumblingWindow.interval.unit",
        "[1].$tumblingWindow.pipeline",
        "[1].$tumblingWindow.pipelin",
        "[2].$limit",
    }


def test_process_may_leave_the_sink_out() -> None:
    assert faults([SOURCE, {"$match": {}}], persistent=False) == []


def test_lateness_has_no_meaning_in_processing_time() -> None:
    stage = window([{"$limit": 1}], boundary="processingTime", allowedLateness=MINUTE)
    [(path, message, _)] = faults([SOURCE, stage, MERGE])
    assert path == "[1].$tumblingWindow"
    assert message.startswith("allowedLateness has no meaning with boundary processingTime")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text() | st.sampled_from(["$source", "$match", "$merge", "$tumblingWindow", "interval",
                                     "pipeline", "into", "documents", "connectionName", "size"]), inner),
)  # fmt: skip


@given(
    json_values
    | st.lists(
        st.dictionaries(st.sampled_from(["$source", "$tumblingWindow", "$merge"]), json_values)
    )
)
def test_no_input_breaks_the_check(pipeline: Any) -> None:
    for path, message, _ in faults(pipeline):
        assert path.startswith("[") or path == ""
        assert message
