"""What documentation and old examples got wrong is answered with the right spelling."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

from typing import Any

import pytest

from asp_utils.engine.catalogue import catalogue
from asp_utils.pipeline.catalogue import ATLAS_STAGES
from asp_utils.pipeline.check import check_pipeline
from asp_utils.pipeline.faults import fields_of, has_field
from asp_utils.pipeline.mistakes import MISTAKES, REFUSALS, Mistake

MINUTE = {"size": 1, "unit": "minute"}
INNER = [{"$group": {"_id": None}}]
SOURCE = {"$source": {"connectionName": "solar"}}
INTO = {"connectionName": "cluster", "db": "d", "coll": "c"}
MERGE = {"$merge": {"into": INTO}}
CONNECTIONS = {
    "solar": {"type": "inmemory"},
    "cluster": {"type": "atlas"},
    "broker": {"type": "kafka"},
    "web": {"type": "https"},
}


def advice(*stages: Any, at: str) -> list[tuple[str, str]]:
    pipeline = list(stages)
    if "$source" not in pipeline[0]:
        pipeline.insert(0, SOURCE)
    if next(iter(pipeline[-1])) not in ("$merge", "$emit"):
        pipeline.append(MERGE)
    found = check_pipeline(pipeline, catalogue(), CONNECTIONS)
    return [(fault.message, fault.hint) for fault in found if fault.path == at]


@pytest.mark.parametrize(
    ("stage", "at", "message", "hint"),
    [
        ({"$tumblingWindow": {"interval": MINUTE, "pipeline": INNER, "boundaryType": "eventTime"}}, "boundaryType", "unknown field 'boundaryType'", 'write boundary: "eventTime" (the default)'),
        ({"$tumblingWindow": {"interval": MINUTE, "pipeline": INNER, "boundaryType": "processTime"}}, "boundaryType", "unknown field 'boundaryType'", 'write boundary: "processingTime"'),
        ({"$tumblingWindow": {"interval": MINUTE, "pipeline": INNER, "boundary": "processTime"}}, "boundary", "must be 'eventTime' or 'processingTime', not \"processTime\"", 'write "processingTime"'),
        ({"$sessionWindow": {"gap": MINUTE, "pipeline": INNER, "key": "$a"}}, "key", "unknown field 'key'", "it is called partitionBy"),
        ({"$sessionWindow": {"gap": MINUTE, "partitionBy": "$a", "pipeline": INNER, "idleTimeout": MINUTE}}, "idleTimeout", "unknown field 'idleTimeout'", "a session closes by its gap; only tumbling and hopping windows have idleTimeout"),
        ({"$lookup": {"connectionName": "cluster", "localField": "a", "foreignField": "b", "as": "c"}}, "connectionName", "unknown field 'connectionName'", 'it stands in from: {connectionName: "cluster", db: "…", coll: "…"}'),
        ({"$lookup": {"from": "coll", "localField": "a", "foreignField": "b", "as": "c"}}, "from", "must be an object, not \"coll\"", 'write {connectionName: "…", db: "…", coll: "coll"}'),
        ({"$https": {"connectionName": "web", "as": "x", "onError": "discard"}}, "onError", "must be 'dlq', 'ignore' or 'fail', not \"discard\"", '"ignore" passes the document on without the answer, "dlq" puts it aside'),
        ({"$https": {"connectionName": "web", "as": "x", "body": "$x"}}, "body", "unknown field 'body'", "it is called payload"),
        ({"$validate": {"validator": {}, "validationAction": "error"}}, "validationAction", "must be 'discard' or 'dlq', not \"error\"", 'write "discard" (nothing is kept) or "dlq"; a stream processor does not stop for a document that is invalid'),
        ({"$merge": {"into": {"connectionName": "cluster", "database": "d", "coll": "c"}}}, "into.database", "unknown field 'database'", "it is called db and stands in into"),
        ({"$merge": {"into": "coll"}}, "into", "must be an object, not \"coll\"", 'write {connectionName: "…", db: "…", coll: "coll"}'),
        ({"$merge": {"into": INTO, "whenNotMatched": "fail"}}, "whenNotMatched", "must be 'insert' or 'discard', not \"fail\"", 'a stream offers "insert" or "discard"'),
        ({"$merge": {"into": INTO, "dlq": {}}}, "dlq", "unknown field 'dlq'", "the dead letter queue is an option of the processor, beside the pipeline: dlq: {connectionName, db, coll}"),
    ],
)  # fmt: skip
def test_known_mistakes(stage: dict[str, Any], at: str, message: str, hint: str) -> None:
    name = next(iter(stage))
    assert advice(stage, at=f"[1].{name}.{at}") == [(message, hint)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fullDocument", "required"),
        ("fullDocumentOnly", True),
        ("fullDocumentBeforeChange", "off"),
        ("startAfter", {"_data": "x"}),
    ],
)
def test_what_stands_beside_config_is_told_its_place(field: str, value: Any) -> None:
    source = {"$source": {"connectionName": "cluster", "db": "d", "coll": "c", field: value}}
    found = advice(source, at=f"[0].$source.{field}")
    assert found == [(f"unknown field {field!r}", f"its place is config.{field}")]


def test_what_stands_in_config_and_should_not_is_told_its_place() -> None:
    source = {"$source": {"connectionName": "cluster", "config": {"db": "d"}}}
    assert advice(source, at="[0].$source.config.db") == [
        ("unknown field 'db'", "its place is one level up")
    ]


def test_a_field_under_its_wrong_name_is_not_called_missing_too() -> None:
    stage = {"$sessionWindow": {"gap": MINUTE, "pipeline": INNER, "key": "$a"}}
    assert advice(stage, at="[1].$sessionWindow.partitionBy") == []


def test_lateness_has_no_meaning_in_processing_time() -> None:
    window = {"interval": MINUTE, "pipeline": INNER, "boundary": "processingTime"}
    stage = {"$tumblingWindow": {**window, "allowedLateness": MINUTE}}
    [(message, _)] = advice(stage, at="[1].$tumblingWindow.allowedLateness")
    assert message.startswith("allowedLateness has no meaning with boundary processingTime")


def test_a_time_field_that_is_a_string_is_told_the_expression() -> None:
    source = {"$source": {"connectionName": "cluster", "timeField": "$fullDocument.ts"}}
    [(_, hint)] = advice(source, at="[0].$source.timeField")
    assert hint == 'write {$toDate: "$fullDocument.ts"}'


def test_refused_stages_are_none_that_atlas_has() -> None:
    assert not set(REFUSALS) & ATLAS_STAGES


def _models(stages: tuple[str, ...]) -> list[Any]:
    specs = [spec for name in stages for spec in catalogue().by_name.get(name, ())]
    return [spec.options for spec in specs if spec.options is not None]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda row: f"{row.stages[0]}.{row.field}")
def test_each_row_speaks_of_what_the_grammar_knows(mistake: Mistake) -> None:
    """A row for a field that the grammar takes says nothing, unless it is about the value."""
    models = _models(mistake.stages)
    if mistake.right and models:
        assert any(has_field(model, mistake.right) for model in models)
    about_value = mistake.when(object()) is False
    if not about_value and not mistake.always:
        assert not all(has_field(model, mistake.field) for model in models) or not models


def test_fields_are_named_as_pipelines_spell_them() -> None:
    [merge] = _models(("$merge",))
    assert {"whenMatched", "whenNotMatched", "into"} <= set(fields_of(merge))
    assert has_field(merge, "into.connectionName")
    assert not has_field(merge, "into.connection_name")
