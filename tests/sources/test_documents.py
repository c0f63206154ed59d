"""`$source: {documents: …}`: an array, or an expression that gives one; once, then silence."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.documents import SPEC, DocumentsOptions, DocumentsSource
from asp_utils.pipeline.grammar import option_faults
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.engine.evaluate import Evaluator

NOW_MS = 1_700_000_000_000
NUMBERS = {"$map": {"input": {"$range": [0, 4]}, "in": {"n": "$$this"}}}


@pytest.fixture
def opened(evaluator: Evaluator) -> Callable[..., DocumentsSource]:
    def build(documents: Any, position: int | None = None) -> DocumentsSource:
        surroundings = Surroundings("tested", {}, evaluator, ManualClock(NOW_MS), threading.Event())
        options = DocumentsOptions.model_validate({"documents": documents})
        return DocumentsSource(options, surroundings, position)

    return build


@pytest.mark.proves("$source:documents", "$source:documents.documents")
def test_an_array_comes_once_with_the_time_of_its_ingestion(
    opened: Callable[..., DocumentsSource],
) -> None:
    source = opened([{"n": 1}, {"n": 2}, {"n": 3}])
    first = source.read(2, 100)
    assert first is not None
    assert (first.documents, first.times_ms) == ([{"n": 1}, {"n": 2}], [NOW_MS, NOW_MS])
    assert first.position == 2
    assert not source.drained
    second = source.read(2, 100)
    assert second is not None
    assert second.documents == [{"n": 3}]
    assert source.drained
    assert source.read(2, 100) is None
    assert source.source_type == "generated"


@pytest.mark.proves("$source:documents.documents")
def test_an_expression_gives_the_array(opened: Callable[..., DocumentsSource]) -> None:
    batch = opened(NUMBERS, position=1).read(10, 0)
    assert batch is not None
    assert batch.documents == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert opened({"$slice": [[{"n": 1}], 0, 0 + 1]}).read(10, 0) is not None
    assert opened({"$filter": {"input": [{"n": 1}], "cond": False}}).drained


def test_more_than_one_message_holds(opened: Callable[..., DocumentsSource]) -> None:
    text = "x" * 40_000
    many = {"$map": {"input": {"$range": [0, 1000]}, "in": {"n": "$$this", "text": text}}}
    source = opened(many)
    seen = []
    while not source.drained:
        batch = source.read(100, 0)
        assert batch is not None
        seen += [document["n"] for document in batch.documents]
    assert seen == list(range(1000))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ({"n": 1}, "type object"),
        ({"$literal": 5}, "type int"),
        ({"$range": [0, 3]}, "object"),
        ({"$arrayElemAt": [[1], {"$toInt": "x"}]}, "x"),
    ],
)
def test_an_expression_that_gives_something_else(
    opened: Callable[..., DocumentsSource], expression: Any, reason: str
) -> None:
    with pytest.raises(ProcessorFailed, match=r"\$source\.documents") as caught:
        opened(expression)
    assert reason in caught.value.message
    assert (caught.value.code, caught.value.retryable) == (420, False)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"documents": 5}, ".documents"),
        ({"documents": [{}, 1]}, ".documents[1]"),
        ({"documents": [], "connectionName": "c"}, ".connectionName"),
        ({"documents": [], "timeField": {"$add": []}}, ".timeField"),
        ({}, ".documents"),
    ],
)
def test_faults(options: dict[str, Any], path: str) -> None:
    (fault,) = option_faults(DocumentsOptions, options, "")
    assert fault.path == path


def test_mongod_parses_the_expression_before_the_processor_is_created() -> None:
    assert SPEC.probes is not None
    (probe,) = SPEC.probes({"documents": NUMBERS})
    assert (probe.path, probe.stage) == (".documents", {"$project": {"d": NUMBERS}})
    assert list(SPEC.probes({"documents": [{"$price": 1}]})) == []


@pytest.mark.proves("$source:documents.timeField")
def test_event_time_and_metadata(rig: Callable[..., Any]) -> None:
    shown = {"$set": {"ts": {"$meta": "stream.source.ts"}, "of": {"$meta": "stream.source.type"}}}
    documents = [{"at": "2026-01-20T14:30:15Z"}, {"at": "never"}]
    timed = {"documents": documents, "timeField": {"$toDate": "$at"}}
    made = rig([{"$source": timed}, shown]).drain()
    (document,) = made.output
    assert document["ts"] == datetime(2026, 1, 20, 14, 30, 15)  # noqa: DTZ001
    assert document["of"] == "generated"
    assert [letter["doc"] for letter in made.dead] == [{"at": "never"}]
    untimed = rig([{"$source": {"documents": [{"n": 1}]}}, shown], name="untimed").drain()
    assert untimed.output[0]["ts"] == datetime_of(NOW_MS)
