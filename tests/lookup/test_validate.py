"""`$validate`: what is valid passes, what is not is discarded, or tells which rule it breaks."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.engine.check import check_processor
from asp_utils.engine.stages.validate import REASON, SPEC
from asp_utils.pipeline.rewrite import METADATA_FIELD, METADATA_VARIABLE, WINDOW_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod

    Document = dict[str, Any]

HIDDEN: Document = {METADATA_FIELD: {"source": {"type": "kafka", "topic": "t"}}, WINDOW_FIELD: 1}

fields = st.sampled_from(["a", "b", "c", "x1"])
scalars = st.sampled_from([0, 1, 5, "x", None, True, [1], {"a": 1}])
documents = st.lists(st.dictionaries(fields, scalars, max_size=4), max_size=8)
LEAVES: list[Document] = [
    {},
    {"required": ["a"]},
    {"additionalProperties": False, "properties": {"a": {}, "b": {"bsonType": "int"}}},
    {"additionalProperties": False},
    {"additionalProperties": {"bsonType": "int"}},
    {"minProperties": 2},
    {"maxProperties": 2},
    {"patternProperties": {"^x": {"bsonType": "int"}}, "additionalProperties": False},
    {"patternProperties": {"": {"bsonType": "int"}}},
    {"enum": [{"a": 1}, {}]},
    {"properties": {"a": {"bsonType": "object", "minProperties": 1}}},
    {"properties": {"a": {"enum": [1, "x"]}}},
]
leaves = st.sampled_from(LEAVES)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda s: {"not": s}, inner),
        st.builds(lambda k, s: {k: s}, st.sampled_from(["allOf", "anyOf", "oneOf"]),
                  st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda s: {"dependencies": {"a": s, "b": ["a"]}}, inner),
        st.builds(lambda a, b: {**a, **b}, inner, inner),
    ),
    max_leaves=4,
)  # fmt: skip
queries = st.recursive(
    st.builds(lambda s: {"$jsonSchema": s}, schemas)
    | st.sampled_from([
        {"a": 1},
        {"a": {"$gt": 0}},
        {"b": {"$exists": True}},
        {"$expr": {"$eq": ["$a", "$b"]}},
        {"$expr": {"$gte": [{"$size": {"$objectToArray": "$$ROOT"}}, 2]}},
    ]),
    lambda inner: st.builds(
        lambda k, q: {k: q}, st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=2),
    ) | st.builds(lambda a, b: {**a, **b}, inner, inner),
    max_leaves=3,
)  # fmt: skip


@pytest.mark.proves("$validate", "$validate.validator")
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries, batch=documents, hidden=st.sampled_from([{}, HIDDEN]))
def test_the_verdict_is_mongods_own_whatever_is_hidden(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    query: Document,
    batch: list[Document],
    hidden: Document,
) -> None:
    valid = matching(cluster, database, query, batch)
    carried = [{**document, **hidden} for document in copy.deepcopy(batch)]
    for action in ("dlq", "discard"):
        stage = build(SPEC, {"validator": query, "validationAction": action})
        outcome = stage.process(copy.deepcopy(carried), None)
        passed = [{**document, **hidden} for document in valid]
        assert [bson.encode(d) for d in outcome.documents] == [bson.encode(d) for d in passed]
        failed = len(batch) - len(valid) if action == "dlq" else 0
        assert len(outcome.failures) == failed
        stage.close()
    translated = SPEC.translate({"validator": query}) if SPEC.translate else None
    if translated is not None:
        visible = matching(cluster, database, translated[0]["$match"], carried)
        # $$ROOT is seen to by whoever carries hidden fields.
        if "$$ROOT" not in repr(query):
            assert [bson.encode(d) for d in visible] == [bson.encode(d) for d in passed]


@pytest.mark.parametrize("schema", LEAVES, ids=range(len(LEAVES)))
@pytest.mark.parametrize("document", [{}, {"a": 1}, {"b": 1}, {"x1": 1}, {"a": 1, "b": 1}])
def test_a_schema_of_the_whole_document_does_not_see_hidden_fields(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    schema: Document,
    document: Document,
) -> None:
    query = {"$jsonSchema": schema}
    valid = matching(cluster, database, query, [document])
    outcome = build(SPEC, {"validator": query}).process([{**document, **HIDDEN}], None)
    assert len(outcome.documents) == len(valid)
    assert SPEC.translate is not None
    for stage in SPEC.translate({"validator": query}) or []:
        passed = matching(cluster, database, stage["$match"], [{**document, **HIDDEN}])
        assert len(passed) == len(valid)


def matching(
    cluster: MongoClient[Any], database: str, query: Document, batch: list[Document]
) -> list[Document]:
    command = {
        "aggregate": 1,
        "pipeline": [{"$documents": "$$batch"}, {"$match": query}],
        "let": {"batch": {"$literal": batch}},
        "cursor": {},
    }
    documents: list[Document] = cluster[database].command(command)["cursor"]["firstBatch"]
    return documents


SCHEMA: Document = {
    "$jsonSchema": {
        "required": ["device", "watts"],
        "additionalProperties": False,
        "properties": {
            "device": {"bsonType": "string"},
            "watts": {"bsonType": "int", "minimum": 0, "maximum": 100},
            "tags": {"bsonType": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}},
            "place": {"bsonType": "object", "required": ["city"]},
        },
    }
}
GOOD: Document = {"device": "d", "watts": 1}
BROKEN: list[tuple[Document, Document, list[str]]] = [
    (SCHEMA, {"device": "d"}, ['$jsonSchema.required: missing ["watts"]']),
    (
        SCHEMA,
        {"device": 1, "watts": 1},
        ["$jsonSchema.properties.device.bsonType", "type did not match", "value 1"],
    ),
    (SCHEMA, {**GOOD, "watts": 101}, ['.watts.maximum: comparison failed, value 101, rule {"max']),
    (SCHEMA, {**GOOD, "x": 1}, ['$jsonSchema.additionalProperties: not allowed ["x"]']),
    (SCHEMA, {**GOOD, "tags": ["a", "z"]}, [".tags.items[1].enum", '"z"']),
    (SCHEMA, {**GOOD, "tags": ["a", "a"]}, [".tags.uniqueItems", 'twice "a"']),
    (SCHEMA, {**GOOD, "place": {}}, ['.place.required: missing ["city"]']),
    (SCHEMA, {"device": 1, "watts": -1}, [".device.bsonType", "; ", ".watts.minimum"]),
    ({"a": {"$gt": 5}}, {"a": 1}, ['$gt: comparison failed, value 1, rule {"a":{"$gt":5}}']),
    ({"a": {"$gt": 5}}, {}, ["$gt: field was missing"]),
    ({"a": 1, "b": {"$type": "string"}}, {"a": 1, "b": 2}, ["$type: type did not match, value 2"]),
    ({"$or": [{"a": 1}, {"b": 1}]}, {"a": 2}, ["$or[0].$eq", "$or[1].$eq: field was missing"]),
    ({"$expr": {"$lt": ["$a", 3]}}, {"a": 5}, ["$expr: expression did not match, rule"]),
    ({"$jsonSchema": {"not": {"required": ["a"]}}}, {"a": 1}, ["$jsonSchema.not"]),
    (
        {"$jsonSchema": {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]}},
        {},
        ['$jsonSchema.anyOf[0].required: missing ["x"]', "anyOf[1]"],
    ),
    ({"$jsonSchema": {"dependencies": {"a": ["b"]}}}, {"a": 1}, ["$jsonSchema.dependencies"]),
    ({"$jsonSchema": {"oneOf": [{}, {}]}}, {}, ["oneOf: more than one subschema matched"]),
    ({"_id": {"$exists": True}}, {"a": 1}, ["it lacks an _id"]),
    ({"a": 1}, {"_id": [1], "a": 2}, ["mongod does not tell which rule"]),
]


@pytest.mark.proves("$validate.validationAction")
@pytest.mark.parametrize(("validator", "document", "words"), BROKEN, ids=range(len(BROKEN)))
def test_a_dead_letter_names_the_rule(
    build: Callable[..., Any], validator: Document, document: Document, words: list[str]
) -> None:
    stage = build(SPEC, {"validator": validator, "validationAction": "dlq"})
    outcome = stage.process([{**document, **HIDDEN}], None)
    [failure] = outcome.failures
    assert failure.reason.startswith(f"{REASON}: ")
    assert failure.operator_name == "ValidateOperator"
    assert failure.index == 0
    for word in words:
        assert word in failure.reason
    assert "_id" not in failure.reason or "_id" in repr((validator, document))
    assert "__asp" not in failure.reason


def test_rules_on_the_id_count_where_the_document_has_one(build: Callable[..., Any]) -> None:
    validator = {"$jsonSchema": {"properties": {"_id": {"bsonType": "string"}}, "required": ["a"]}}
    stage = build(SPEC, {"validator": validator, "validationAction": "dlq"})
    first, second = stage.process([{"_id": ObjectId()}, {}], None).failures
    assert ".properties._id.bsonType" in first.reason
    assert second.reason == f'{REASON}: $jsonSchema.required: missing ["a"], rule ' + (
        '{"required":["a"]}'
    )


def test_many_failures_keep_their_places_and_leave_nothing_behind(
    build: Callable[..., Any], cluster: MongoClient[Any]
) -> None:
    before = set(cluster["asp_tests"].list_collection_names())
    stage = build(SPEC, {"validator": SCHEMA, "validationAction": "dlq"})
    batch = [{"device": "d", "watts": n, "n" * (n % 2): n} for n in range(0, 400)]
    outcome = stage.process([{k: v for k, v in d.items() if k} for d in batch], None)
    assert [d["watts"] for d in outcome.documents] == list(range(0, 101, 2))
    assert [f.index for f in outcome.failures] == [n for n in range(400) if n % 2 or n > 100]
    for failure in outcome.failures:
        watts = failure.document["watts"]
        assert (f"value {watts}" in failure.reason) == (watts > 100)
        assert ("additionalProperties" in failure.reason) == (watts % 2 == 1)
    stage.close()
    assert set(cluster["asp_tests"].list_collection_names()) == before


def test_a_long_explanation_is_cut(build: Callable[..., Any]) -> None:
    schema = {"properties": {f"field{n}": {"bsonType": "string"} for n in range(100)}}
    stage = build(SPEC, {"validator": {"$jsonSchema": schema}, "validationAction": "dlq"})
    [failure] = stage.process([{f"field{n}": n for n in range(100)}], None).failures
    assert len(failure.reason) < 1100
    assert failure.reason.endswith("...")


@pytest.mark.parametrize("action", ["dlq", "discard"])
@pytest.mark.parametrize("counting", [{}, {"$jsonSchema": {"minProperties": 1}}])
def test_metadata_can_be_asked_for(
    build: Callable[..., Any], action: str, counting: Document
) -> None:
    topic = {"$expr": {"$eq": [{"$meta": "stream.source.topic"}, "$t"]}}
    stage = build(SPEC, {"validator": {**topic, **counting}, "validationAction": action})
    outcome = stage.process([{"t": "t", **HIDDEN}, {"t": "u", **HIDDEN}], None)
    assert [document["t"] for document in outcome.documents] == ["t"]
    if action == "dlq":
        assert "$expr: expression did not match" in outcome.failures[0].reason
    variables = {METADATA_VARIABLE: {"source": {"topic": "u"}}}
    outcome = stage.process([{"t": "t"}, {"t": "u"}], variables)
    assert [document["t"] for document in outcome.documents] == ["u"]


@pytest.mark.parametrize("action", ["dlq", "discard"])
def test_an_expression_that_fails_is_a_failure_whatever_the_action(
    build: Callable[..., Any], action: str
) -> None:
    validator = {"$expr": {"$gt": [{"$divide": [6, "$n"]}, 1]}}
    stage = build(SPEC, {"validator": validator, "validationAction": action})
    outcome = stage.process([{"n": 1}, {"n": 0}, {"n": 6}], None)
    assert outcome.documents == [{"n": 1}]
    zero = next(failure for failure in outcome.failures if failure.index == 1)
    assert "divide by zero" in zero.reason
    assert REASON not in zero.reason


def source(*batch: Document) -> Document:
    return {"$source": {"documents": list(batch)}}


@pytest.mark.proves("$validate.validationAction")
def test_in_a_pipeline_invalid_documents_vanish_or_become_dead_letters(
    rig: Callable[..., Any],
) -> None:
    batch = [GOOD, {"device": "e"}, {**GOOD, "watts": 2}]
    silent = rig([source(*batch), {"$validate": {"validator": SCHEMA}}]).drain()
    assert [document["watts"] for document in silent.output] == [1, 2]
    assert silent.dead == []
    telling = rig(
        [source(*batch), {"$validate": {"validator": SCHEMA, "validationAction": "dlq"}}],
        streamMetaFieldName="_stream_meta",
    ).drain()
    assert [document["watts"] for document in telling.output] == [1, 2]
    [dead] = telling.dead
    assert dead["doc"] == {"device": "e"}
    assert dead["operatorName"] == "ValidateOperator"
    assert dead["errInfo"]["reason"].startswith(f"{REASON}: $jsonSchema.required")
    assert dead["_stream_meta"]["source"]["type"] == "generated"


def test_metadata_under_its_old_name_can_be_asked_for(rig: Callable[..., Any]) -> None:
    schema = {"properties": {"n": {}}, "additionalProperties": False}
    query = {"_stream_meta.source.type": "kafka", "$jsonSchema": schema}
    validate = {"$validate": {"validator": query, "validationAction": "dlq"}}
    [dead] = rig([source({"n": 1}), validate]).drain().dead
    assert dead["errInfo"]["reason"] == (
        f'{REASON}: $eq: comparison failed, value "generated", '
        'rule {"_stream_meta.source.type":"kafka"}'
    )


@pytest.mark.parametrize("action", ["dlq", "discard"])
def test_inside_a_window_with_a_closed_schema(rig: Callable[..., Any], action: str) -> None:
    day = "2026-01-01T00:0"
    batch = [{"n": n, "t": f"{day}{m}:00Z"} for n, m in [(1, 0), ("x", 0), (3, 0), (4, 5)]]
    schema = {
        "properties": {"n": {"bsonType": "int"}, "t": {}},
        "additionalProperties": False,
        "maxProperties": 2,
    }
    validate = {"validator": {"$jsonSchema": schema}, "validationAction": action}
    window: Document = {
        "interval": {"size": 1, "unit": "minute"},
        "allowedLateness": 0,
        "pipeline": [{"$validate": validate}, {"$group": {"_id": None, "sum": {"$sum": "$n"}}}],
    }
    timed = {"$source": {"documents": batch, "timeField": {"$toDate": "$t"}}}
    for stages in (
        [{"$tumblingWindow": window}],
        [
            {"$validate": validate},
            {"$tumblingWindow": {**window, "pipeline": window["pipeline"][1:]}},
        ],
    ):
        processor = rig([timed, *stages]).drain()
        assert [document["sum"] for document in processor.output] == [4]
        assert [dead["doc"]["n"] for dead in processor.dead] == (["x"] if action == "dlq" else [])


FAULTS: list[tuple[Document, str, str]] = [
    ({}, ".validator", "missing"),
    ({"validator": {"$where": "true"}}, ".validator.$where", "not available"),
    ({"validator": {"$text": {"$search": "x"}}}, ".validator.$text", "not available"),
    (
        {"validator": {"$and": [{"a": 1}, {"at": {"$near": [1, 1]}}]}},
        ".validator.$and[1].at.$near",
        "not available",
    ),
    (
        {"validator": {"at": {"$not": {"$nearSphere": [1, 1]}}}},
        ".validator.at.$not.$nearSphere",
        "not available",
    ),
    ({"validator": {"a": 1, "b": {"$foo": 1}}}, ".validator.b", "$foo"),
    ({"validator": {"$jsonSchema": {"bsonType": "no"}}}, ".validator.$jsonSchema", "no"),
    ({"validator": {"$expr": {"$no": 1}}}, ".validator.$expr", "$no"),
    ({"validator": {}, "validationAction": "error"}, ".validationAction", "does not stop"),
    ({"validator": {}, "validationAction": "drop"}, ".validationAction", "'dlq'"),
    ({"validator": {}, "validationLevel": "strict"}, ".validationLevel", "unknown field"),
]


@pytest.mark.parametrize(("options", "path", "words"), FAULTS, ids=range(len(FAULTS)))
def test_faults_are_named_where_they_stand(
    mongod: Mongod, options: Document, path: str, words: str
) -> None:
    pipeline = [source(GOOD), {"$validate": options}]
    faults = check_processor(pipeline, {}, {}, mongod.uri, persistent=False)
    where = {fault.path: f"{fault.message} {fault.hint}" for fault in faults}
    assert words in where.get(f"pipeline[1].$validate{path}", f"only {where}")


def test_names_of_operators_are_no_operators_where_no_query_stands(mongod: Mongod) -> None:
    validator = {
        "$jsonSchema": {"properties": {"$where": {"bsonType": "string"}}},
        "$expr": {"$eq": ["$a", {"$literal": {"$near": 1}}]},
        "b": {"$in": [1, 2]},
    }
    pipeline = [source(GOOD), {"$validate": {"validator": validator}}]
    assert check_processor(pipeline, {}, {}, mongod.uri, persistent=False) == []


def test_discarding_is_warned_of() -> None:
    assert SPEC.warnings is not None
    [warning] = SPEC.warnings({"validator": {}})
    assert (warning.path, "silently" in warning.message) == (".validationAction", True)
    assert not list(SPEC.warnings({"validator": {}, "validationAction": "dlq"}))
