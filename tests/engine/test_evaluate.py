from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.evaluate import Run
from asp_utils.engine.sizes import documents_bytes
from asp_utils.errors import UnexpectedReply

if TYPE_CHECKING:
    from asp_utils.engine.evaluate import Evaluator

INVERT = Run(({"$match": {"a": {"$gte": 0}}}, {"$set": {"b": {"$divide": [1, "$a"]}}}), ("M", "S"))


def numbers(*values: Any) -> list[dict[str, Any]]:
    return [{"a": value} for value in values]


def test_keeps_the_order_and_names_the_failing_document(evaluator: Evaluator) -> None:
    outcome = evaluator.evaluate(INVERT, numbers(4, 0, 2, -1, 0, 1))
    assert [d["a"] for d in outcome.documents] == [4, 2, 1]
    assert [(f.index, f.operator_name, f.reason) for f in outcome.failures] == [
        (1, "S", "can't $divide by zero"),
        (4, "S", "can't $divide by zero"),
    ]


def test_a_dead_document_is_as_it_entered_the_failing_stage(evaluator: Evaluator) -> None:
    run = Run(
        ({"$set": {"seen": True}}, {"$set": {"b": {"$toInt": "$a"}}}, {"$unset": "a"}),
        ("First", "Second", "Third"),
    )
    failure = evaluator.evaluate(run, [{"a": "x"}]).failures[0]
    assert failure.document == {"a": "x", "seen": True}
    assert failure.operator_name == "Second"


def test_what_is_no_bson_fails_alone(evaluator: Evaluator) -> None:
    outcome = evaluator.evaluate(INVERT, numbers(1, 2**70, 2))
    assert [d["a"] for d in outcome.documents] == [1, 2]
    assert "8-byte ints" in outcome.failures[0].reason


def test_more_than_a_message_holds_goes_through(evaluator: Evaluator) -> None:
    documents = [{"a": n, "x": "y" * 6_000_000} for n in range(1, 5)]
    assert [d["a"] for d in evaluator.evaluate(INVERT, documents).documents] == [1, 2, 3, 4]
    count = Run(({"$group": {"_id": None, "n": {"$sum": 1}}},), ("GroupOperator",))
    assert evaluator.evaluate_whole(count, documents) == [{"_id": None, "n": 4}]


def test_one_document_near_the_limit_goes_through(evaluator: Evaluator) -> None:
    document = {"a": 1, "x": "y" * (16 * 1024 * 1024 - 200)}
    run = Run(({"$project": {"a": 1, "_id": 0}},), ("P",))
    assert evaluator.evaluate(run, [document, {"a": 2}]).documents == numbers(1, 2)


def test_a_reply_larger_than_a_message_comes_whole(evaluator: Evaluator) -> None:
    run = Run(({"$set": {"c": {"$concat": ["$x", "$x", "$x"]}}},), ("S",))
    documents = [{"a": n, "x": "y" * 1_000_000} for n in range(12)]
    in_flight = evaluator.submit(INVERT, numbers(7))
    outcome = evaluator.evaluate(run, documents)
    assert [len(d["c"]) for d in outcome.documents] == [3_000_000] * 12
    assert evaluator.collect(in_flight).documents[0]["a"] == 7


def test_several_batches_in_flight_come_back_in_any_order(evaluator: Evaluator) -> None:
    tickets = [evaluator.submit(INVERT, numbers(n, 0)) for n in range(1, 6)]
    last_first = [evaluator.collect(ticket) for ticket in reversed(tickets)]
    assert [o.documents[0]["a"] for o in last_first] == [5, 4, 3, 2, 1]


def test_a_stage_that_mongod_refuses_raises_its_words(evaluator: Evaluator) -> None:
    with pytest.raises(UnexpectedReply, match=r"unknown top level operator: \$foo"):
        evaluator.evaluate_whole(Run(({"$match": {"$foo": 1}},), ("M",)), [])


def test_mongod_divides_groups(evaluator: Evaluator) -> None:
    assert evaluator.supports_partial_groups()


@given(st.lists(st.dictionaries(st.text("abc"), st.integers(-(2**63), 2**63 - 1)), max_size=120))
def test_sizes_are_those_of_the_documents_alone(documents: list[dict[str, Any]]) -> None:
    assert documents_bytes(documents) == sum(len(bson.encode(d)) for d in documents)
