"""Faults of pipelines, found offline: where, what, and what to do."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils import ejson
from asp_utils.engine.catalogue import catalogue
from asp_utils.pipeline.catalogue import ATLAS_STAGES, Catalogue, StageSpec
from asp_utils.pipeline.check import check_pipeline
from asp_utils.pipeline.grammar import Name, Options
from asp_utils.pipeline.mistakes import REFUSALS
from asp_utils.pipeline.operators import FORBIDDEN_VARIABLES, NEWER, NO_QUERIES

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "pipelines").glob("*.json"))
CONNECTIONS = {
    "cluster": {"type": "atlas"},
    "sample_stream_solar": {"type": "inmemory"},
    "web": {"type": "https"},
    "broker": {"type": "kafka"},
    "registry": {"type": "schemaregistry"},
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
        [SOURCE, window([{"$sort": {"a": 1}}], allowedLateness={"size": 0, "unit": "second"}), MERGE],
        [SOURCE, {"$project": {"a": {"$literal": "$$NOW"}, "b": "a $$NOWAY"}}, MERGE],
        [SOURCE, {"$set": {"a": {"$function": {"body": "$$NOW", "args": [], "lang": "js"}}}}, MERGE],
        [SOURCE, {"$set": {"a": {"$currentDate": {}}, "b": {"$createUUID": {}}, "c": {"$expr": "$x"}}}, MERGE],
        [SOURCE, {"$set": {"a": {"$let": {"vars": {"x": 1}, "in": "$$x"}}, "b": "$$ROOT"}}, MERGE],
        [{"$source": {"documents": [{"a": "$$NOW", "b": {"$strange": 1}}]}}, MERGE],
        [{"$source": {"connectionName": "cluster", "db": "d", "config": {"maxAwaitTimeMS": 5}}}, MERGE],
    ],
)  # fmt: skip
def test_what_is_right_has_no_faults(pipeline: list[Any]) -> None:
    assert faults(pipeline) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_have_no_faults(file: Path) -> None:
    pipeline = ejson.loads(file.read_bytes())["pipeline"]
    assert check_pipeline(pipeline, catalogue(), persistent=False) == []


@pytest.mark.parametrize(
    ("pipeline", "path", "message", "hint"),
    [
        ({}, "", "a pipeline is a list of stages", ""),
        ([], "", "the pipeline is empty", "begin with {$source: {connectionName: ...}}"),
        ([SOURCE, {"a": 1, "b": 2}, MERGE], "[1]", "a stage is an object with exactly one key", "one stage is {$name: options}"),
        ([SOURCE, {"$mach": {}}, MERGE], "[1].$mach", "$mach is no stage of Atlas Stream Processing", "did you mean $match?"),
        ([SOURCE, {"$facet": {}}, MERGE], "[1].$facet", "$facet is no stage of Atlas Stream Processing", "use one processor for each branch"),
        ([SOURCE, {"$out": "c"}], "[1].$out", "$out is no stage of Atlas Stream Processing", "write with $merge"),
        ([SOURCE, {"$skip": 1}, MERGE], "[1].$skip", "$skip is no stage of Atlas Stream Processing", "a stream has no first documents; inside a window use $group with $lastN or $topN"),
        ([{"$changeStream": {}}, MERGE], "[0].$changeStream", "$changeStream is no stage of Atlas Stream Processing", "read a change stream with $source: {connectionName, db, coll}"),
        ([SOURCE, {"$group": {}}, MERGE], "[1].$group", "$group is only allowed inside a window", "put it into the pipeline of a window stage"),
        ([SOURCE, window([MERGE]), MERGE], "[1].$tumblingWindow.pipeline[0].$merge", "$merge is not allowed inside a window", ""),
        ([SOURCE, window([window([])]), MERGE], "[1].$tumblingWindow.pipeline[0].$tumblingWindow", "$tumblingWindow is not allowed inside a window", ""),
        ([SOURCE, window([{"$sort": {"a": 1}}]), window([{"$sort": {"a": 1}}]), MERGE], "[2].$tumblingWindow", "a pipeline has at most one window", "send what the first one gives to another processor, through a topic"),
        ([SOURCE, MERGE, MERGE], "[1].$merge", "$merge may only be the last stage", "a pipeline has one sink, at its end"),
        ([SOURCE, SOURCE, MERGE], "[1].$source", "$source may only be the first stage", "a pipeline has one source; a Kafka source reads several topics"),
        ([{"$source": {"connectionName": "clutser"}}, MERGE], "[0].$source.connectionName", "there is no connection 'clutser'", "did you mean 'cluster'?"),
        ([{"$source": {}}, MERGE], "[0].$source.connectionName", "the required field 'connectionName' is missing", "or give documents instead"),
        ([{"$source": {"conectionName": "cluster"}}, MERGE], "[0].$source.connectionName", "the required field 'connectionName' is missing", "'conectionName' is misspelled"),
        ([SOURCE, {"$set": {"at": "$$NOW"}}, MERGE], "[1].$set.at", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, {"$set": {"at": "$$ROOTS"}}, MERGE], "[1].$set.at", "there is no variable $$ROOTS", "did you mean $$ROOT?"),
        ([SOURCE, {"$match": {"$expr": {"$gt": ["$a", "$$NOW"]}}}, MERGE], "[1].$match.$expr.$gt[1]", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, {"$validate": {"validator": {"$expr": {"$gt": ["$a", "$$NOW"]}}}}, MERGE], "[1].$validate.validator.$expr.$gt[1]", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, {"$lookup": {"from": {"connectionName": "cluster", "db": "d", "coll": "c"}, "as": "x", "pipeline": [{"$match": {"$expr": "$$NOW"}}]}}, MERGE], "[1].$lookup.pipeline[0].$match.$expr", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, {"$merge": {**MERGE["$merge"], "whenMatched": [{"$set": {"at": "$$NOW"}}]}}], "[1].$merge.whenMatched[0].$set.at", "the variable $$NOW is not available", "use {$currentDate: {}}"),
        ([SOURCE, window([{"$limit": 1}], boundry="eventTime"), MERGE], "[1].$tumblingWindow.boundry", "unknown field 'boundry'", "did you mean 'boundary'?"),
        ([SOURCE, window([{"$limit": 1}], interval={"size": 1, "unit": "minutes"}), MERGE], "[1].$tumblingWindow.interval.unit", "must be 'ms', 'second', 'minute', 'hour' or 'day', not \"minutes\"", "did you mean 'minute'?"),
        ([SOURCE, window([{"$limit": 1}], interval="1m"), MERGE], "[1].$tumblingWindow.interval", "must be an object, not \"1m\"", 'a duration is {size: 5, unit: "minute"}'),
        ([SOURCE, window([{"$limit": 1}], idleTimeout={"size": -1, "unit": "minute"}), MERGE], "[1].$tumblingWindow.idleTimeout.size", "must be greater than 0, not -1", ""),
        ([SOURCE, window([{"$limit": 1}], idleTimeout="none"), MERGE], "[1].$tumblingWindow.idleTimeout", "must be an object or 0, not \"none\"", 'a duration is {size: 5, unit: "minute"}'),
        ([SOURCE, {"$merge": {**MERGE["$merge"], "on": 5}}], "[1].$merge.on", "must be a string or an array, not 5", ""),
        ([SOURCE, {"$merge": {**MERGE["$merge"], "on": []}}], "[1].$merge.on", "must not be empty", ""),
        ([SOURCE, {"$merge": {**MERGE["$merge"], "parallelism": "2"}}], "[1].$merge.parallelism", "must be a whole number, not \"2\"", ""),
        ([SOURCE, {"$merge": {"into": {"connectionName": "sample_stream_solar", "db": "d", "coll": "c"}}}], "[1].$merge.into.connectionName", "connection 'sample_stream_solar' of type 'inmemory' cannot be used in $merge.into", "it needs one of type atlas: cluster"),
        ([{"$source": {"connectionName": "cluster", "documents": []}}, MERGE], "[0].$source.documents", "unknown field 'documents'", "known: coll, config, connectionName, db, initialSync, readPreference, readPreferenceTags, timeField"),
        ([{"$source": {"connectionName": "cluster", "db": "d", "coll": "c", "initialSync": {"enable": True}}}, window([{"$limit": 1}]), MERGE], "[0].$source.initialSync", "initialSync cannot be combined with a window", "copy with one processor, aggregate with another"),
        # Stages that mongod runs
        ([SOURCE, {"$match": 5}, MERGE], "[1].$match", "a query is an object", "for instance {status: 3}"),
        ([SOURCE, {"$match": {"$gt": ["$a", 1]}}, MERGE], "[1].$match.$gt", "$gt is asked of a field", "name the field first: {field: {$gt: …}}"),
        ([SOURCE, {"$match": {"$add": [1]}}, MERGE], "[1].$match.$add", "$add is no operator of queries", "put the expression below $expr"),
        ([SOURCE, {"$match": {"a": {"$gtt": 1}}}, MERGE], "[1].$match.a.$gtt", "there is no query operator $gtt", "did you mean $gt?"),
        ([SOURCE, {"$match": {"$or": [{"a": {"$near": 1}}]}}, MERGE], "[1].$match.$or[0].a.$near", "$near is not available in a stream", ""),
        ([SOURCE, {"$set": {"a": {"$toStrin": "$b"}}}, MERGE], "[1].$set.a.$toStrin", "there is no operator $toStrin", "did you mean $toString?"),
        ([SOURCE, {"$set": {"a": {"$push": "$b"}}}, MERGE], "[1].$set.a.$push", "$push is only allowed in $group", "it is an accumulator: use it in $group, inside a window"),
        ([SOURCE, {"$set": {"a": {"$add": [1], "$sum": [1]}}}, MERGE], "[1].$set.a", "an object with $add holds nothing else", "give each expression a field of its own"),
        ([SOURCE, {"$set": {"a": {"$exists": 1}}}, MERGE], "[1].$set.a.$exists", "$exists is no operator of expressions", "it belongs in a query, in $match"),
        ([SOURCE, {"$set": {"a": {"$meta": "textScore"}}}, MERGE], "[1].$set.a.$meta", "there is no metadata 'textScore' in a stream", 'for instance {$meta: "stream.source.ts"}'),
        ([SOURCE, {"$unwind": "a"}, MERGE], "[1].$unwind", "a field path begins with $, unlike 'a'", 'write "$a"'),
        ([SOURCE, {"$unset": "$a"}, MERGE], "[1].$unset", "a field name here has no $ in front", "write 'a'"),
        ([SOURCE, {"$project": {}}, MERGE], "[1].$project", "must name at least one field", ""),
        ([SOURCE, {"$project": {"a": 1, "b": 0}}, MERGE], "[1].$project.b", "cannot leave 'b' out of what is kept", "keep fields or leave fields out; only _id may be left out of those kept"),
        ([SOURCE, {"$set": {"$a": 1}}, MERGE], "[1].$set.$a", "a field name cannot begin with $", "an expression needs a field to go into"),
        ([SOURCE, {"$replaceRoot": "$a"}, MERGE], "[1].$replaceRoot", "must be an object, not \"$a\"", ""),
        ([SOURCE, window([{"$group": {"id": "$a"}}]), MERGE], "[1].$tumblingWindow.pipeline[0].$group.id", "must be an object with one accumulator", 'what to group by is called _id: {_id: "$device"}'),
        ([SOURCE, window([{"$group": {"_id": 1, "n": {"$add": 1}}}]), MERGE], "[1].$tumblingWindow.pipeline[0].$group.n.$add", "$add is no accumulator", "compute it inside an accumulator ($first, $sum) or in a stage after $group"),
        ([SOURCE, window([{"$sort": {"a": "asc"}}]), MERGE], "[1].$tumblingWindow.pipeline[0].$sort.a", "must be 1 (ascending) or -1 (descending), not \"asc\"", ""),
        ([SOURCE, window([{"$limit": 0}]), MERGE], "[1].$tumblingWindow.pipeline[0].$limit", "must be a whole number above 0, not 0", ""),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_place(
    pipeline: Any, path: str, message: str, hint: str
) -> None:
    assert (path, message, hint) in faults(pipeline)


def test_only_process_may_leave_the_sink_out() -> None:
    assert faults([SOURCE, {"$match": {}}], persistent=False) == []
    [(path, message, hint)] = faults([SOURCE, {"$match": {}}])
    assert path == "[1]"
    assert message.startswith("the last stage must be a sink (")
    assert "$merge" in message
    assert hint == "only process may leave the sink out"


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


def test_a_rule_between_fields_is_checked_beside_an_unknown_field() -> None:
    stage = window([{"$limit": 1}], boundary="processingTime", allowedLateness=MINUTE, strange=1)
    paths = {path for path, _, _ in faults([SOURCE, stage, MERGE])}
    assert paths == {"[1].$tumblingWindow.strange", "[1].$tumblingWindow.allowedLateness"}


@pytest.mark.parametrize("name", sorted(ATLAS_STAGES))
def test_what_atlas_has_is_a_fault_here_only_where_it_does_not_run(name: str) -> None:
    pipeline = [SOURCE, {name: {}}, MERGE]
    anywhere = check_pipeline(pipeline, catalogue(), CONNECTIONS, local=False)
    assert not [fault for fault in anywhere if "does not run" in fault.message]
    here = check_pipeline(pipeline, catalogue(), CONNECTIONS)
    refused = [fault for fault in here if fault.message == f"the local engine does not run {name}"]
    assert bool(refused) == (name not in catalogue().by_name)


@pytest.mark.proves(
    "$bucket",
    "$bucketAuto",
    "$changeStream",
    "$cron",
    "$densify",
    "$documents",
    "$facet",
    "$fill",
    "$function",
    "$geoNear",
    "$graphLookup",
    "$http",
    "$lambda",
    "$out",
    "$sample",
    "$search",
    "$searchMeta",
    "$setWindowFields",
    "$sink",
    "$skip",
    "$slidingWindow",
    "$sortByCount",
    "$unionWith",
    "$window",
)
@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_what_is_no_stage_is_refused_with_what_to_use_instead(name: str) -> None:
    found = faults([SOURCE, {name: {}}, window([{name: {}}]), MERGE])
    message = f"{name} is no stage of Atlas Stream Processing"
    for path in (f"[1].{name}", f"[2].$tumblingWindow.pipeline[0].{name}"):
        assert (path, message, REFUSALS[name]) in found


@pytest.mark.proves("$$CLUSTER_TIME", "$$NOW", "$$SEARCH_META", "$$USER_ROLES")
@pytest.mark.parametrize("name", sorted(FORBIDDEN_VARIABLES))
def test_variables_that_a_stream_lacks_are_refused_with_what_to_use_instead(name: str) -> None:
    stage = {"$set": {"a": {"$ifNull": [f"$${name}.below", 1]}, "b": {"$literal": f"$${name}"}}}
    message = f"the variable $${name} is not available"
    expected = ("[1].$set.a.$ifNull[0]", message, FORBIDDEN_VARIABLES[name])
    assert faults([SOURCE, stage, MERGE]) == [expected]


@pytest.mark.proves("$near", "$nearSphere", "$text", "$where")
@pytest.mark.parametrize("name", sorted(NO_QUERIES))
def test_queries_that_a_stream_lacks_are_refused(name: str) -> None:
    message = f"{name} is not available in a stream"
    assert faults([SOURCE, {"$match": {name: 1}}, MERGE]) == [(f"[1].$match.{name}", message, "")]
    query = {"$and": [{"a": {"$not": {name: 1}}}]}
    path = f"[1].$match.$and[0].a.$not.{name}"
    assert faults([SOURCE, {"$match": query}, MERGE]) == [(path, message, "")]


@pytest.mark.proves(
    "$bitAnd",
    "$bitNot",
    "$bitOr",
    "$bitXor",
    "$createObjectId",
    "$deserializeEJSON",
    "$encStrContains",
    "$encStrEndsWith",
    "$encStrStartsWith",
    "$hash",
    "$hexHash",
    "$median",
    "$percentile",
    "$serializeEJSON",
    "$sigmoid",
    "$similarityCosine",
    "$similarityDotProduct",
    "$similarityEuclidean",
    "$subtype",
    "$toArray",
    "$toObject",
    "$toUUID",
)
@pytest.mark.parametrize("name", sorted(NEWER))
def test_operators_that_the_server_lacks_are_refused_by_path(name: str) -> None:
    pipeline = [SOURCE, {"$set": {"a": {name: ["$b"]}}}, MERGE]
    [fault] = check_pipeline(pipeline, catalogue(), CONNECTIONS)
    assert fault.path == f"[1].$set.a.{name}"
    assert f"{name} needs MongoDB {NEWER[name][0]}.{NEWER[name][1]}" in fault.message
    assert check_pipeline(pipeline, catalogue(), CONNECTIONS, server=NEWER[name]) == []


@pytest.mark.proves("$convert.format", "$convert.byteOrder", "$toUUID", "$median", "$percentile")
@pytest.mark.parametrize(
    ("expression", "path", "version"),
    [
        ({"$percentile": {"input": "$a", "p": [0.5], "method": "approximate"}}, ".$percentile", "7.0"),
        ({"$median": {"input": "$a", "method": "approximate"}}, ".$median", "7.0"),
        ({"$toUUID": "$a"}, ".$toUUID", "8.0"),
        ({"$convert": {"input": "$a", "to": "binData", "format": "hex"}}, ".$convert.format", "8.0"),
        ({"$convert": {"input": "$a", "to": "long", "byteOrder": "big"}}, ".$convert.byteOrder", "8.1"),
    ],
)  # fmt: skip
def test_what_the_server_lacks_is_refused_with_the_version_that_has_it(
    expression: Any, path: str, version: str
) -> None:
    pipeline = [SOURCE, {"$set": {"x": expression}}, MERGE]
    [fault] = check_pipeline(pipeline, catalogue(), CONNECTIONS)
    assert fault.path == f"[1].$set.x{path}"
    assert f"needs MongoDB {version}" in fault.message
    assert "by MongoDB 6.0" in fault.message
    assert check_pipeline(pipeline, catalogue(), CONNECTIONS, local=False) == []
    assert check_pipeline(pipeline, catalogue(), CONNECTIONS, server=(8, 2)) == []


def test_an_accumulator_that_the_server_lacks_is_refused_too() -> None:
    group = {"$group": {"_id": None, "m": {"$median": {"input": "$a", "method": "approximate"}}}}
    [(path, message, _)] = faults([SOURCE, window([group]), MERGE])
    assert path == "[1].$tumblingWindow.pipeline[0].$group.m.$median"
    assert "needs MongoDB 7.0" in message


def test_what_another_cluster_runs_need_not_run_here() -> None:
    """Stages of a `$lookup` and updates of a `$merge` are the target's own business."""
    bits = {"$set": {"x": {"$bitAnd": ["$a", 1]}}}
    merge = {"$merge": {**MERGE["$merge"], "whenMatched": [bits]}}
    assert faults([SOURCE, merge]) == []


class CallOptions(Options):
    """A stage that may end a pipeline, as `$externalFunction` and `$https` may."""

    connection_name: Name
    execution: str = "sync"
    as_: str | None = None
    registry: dict[str, Any] | None = None


CALLS = Catalogue.of(
    [
        StageSpec("$source", "source", None),
        StageSpec("$merge", "sink", None),
        StageSpec("$https", "transform", CallOptions, connection_type="https", ends=True),
        StageSpec("$externalFunction", "transform", CallOptions, ends=True),
        StageSpec("$emit", "sink", CallOptions, further_connections={"registry.connectionName": "schemaregistry"}),
    ]
)  # fmt: skip


def call_faults(*stages: Any) -> list[tuple[str, str]]:
    found = check_pipeline([{"$source": {}}, *stages], CALLS, CONNECTIONS)
    return [(fault.path, fault.message) for fault in found]


def test_a_call_may_stand_last_in_place_of_a_sink() -> None:
    assert call_faults({"$https": {"connectionName": "web"}}) == []
    assert call_faults({"$externalFunction": {"connectionName": "f", "execution": "async"}}) == [
        ("[1].$externalFunction.connectionName", "there is no connection 'f'")
    ]


def test_a_call_in_between_must_say_where_its_answer_goes() -> None:
    [(path, message)] = call_faults({"$https": {"connectionName": "web"}}, {"$merge": {}})
    assert (path, message.split(":")[0]) == ("[1].$https.as", "the required field 'as' is missing")


def test_a_function_in_last_place_is_called_asynchronously() -> None:
    [fault] = call_faults({"$externalFunction": {"connectionName": "web"}})
    assert fault == (
        "[1].$externalFunction.execution",
        "as the last stage a function must be called asynchronously",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("registry", None),
        ("regsitry", "there is no connection 'regsitry'"),
        ("web", "connection 'web' of type 'https' cannot be used in $emit.registry"),
    ],
)
def test_every_connection_that_a_stage_names_is_checked(name: str, message: str | None) -> None:
    found = call_faults(
        {"$emit": {"connectionName": "broker", "registry": {"connectionName": name}}}
    )
    path = "[1].$emit.registry.connectionName"
    assert found == ([] if message is None else [(path, message)])


def test_without_a_registry_options_are_those_of_the_kind_that_they_are_most_like() -> None:
    source = {"$source": {"connectionName": "anything", "tiemField": {"$toDate": "$t"}}}
    [fault] = check_pipeline([source, MERGE], catalogue())
    assert (fault.path, fault.hint) == ("[0].$source.tiemField", "did you mean 'timeField'?")


def test_a_check_of_twenty_stages_takes_less_than_five_milliseconds() -> None:
    expression = {"$cond": [{"$gt": ["$a", 1]}, {"$add": ["$a", "$b", 1]}, {"$toString": "$c"}]}
    stages = [{"$set": {f"x{number}": expression}} for number in range(16)]
    pipeline = [SOURCE, *stages, {"$match": {"a": {"$gt": 1}}}, window([{"$limit": 1}]), MERGE]
    check_pipeline(pipeline, catalogue(), CONNECTIONS)  # builds the models
    taken_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        assert check_pipeline(pipeline, catalogue(), CONNECTIONS) == []
        taken_s.append(time.perf_counter() - begun_s)
    assert min(taken_s) < 0.005


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text() | st.sampled_from(["$source", "$match", "$merge", "$tumblingWindow", "interval",
                                     "pipeline", "into", "documents", "connectionName", "size",
                                     "$expr", "$and", "$not", "$meta", "$group", "_id", "config"]), inner),
)  # fmt: skip


@given(
    json_values
    | st.lists(st.dictionaries(st.sampled_from(sorted(catalogue().by_name)), json_values))
)
def test_no_input_breaks_the_check(pipeline: Any) -> None:
    for path, message, _ in faults(pipeline):
        assert path.startswith("[") or path == ""
        assert message
        json.dumps([path, message])
