"""Option values that are computed for every document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.computed import Computed
from asp_utils.engine.value_probes import value_probes
from asp_utils.pipeline.rewrite import METADATA_FIELD, METADATA_VARIABLE, WINDOW_FIELD

if TYPE_CHECKING:
    from asp_utils.engine.evaluate import Evaluator

DOCUMENT: dict[str, Any] = {"_id": 1, "x": 5, "v": {"a": 7}, "items": [{"n": 1}, {"n": 2}]}


@pytest.mark.parametrize(
    ("value", "computed"),
    [
        ("constant", {"v": "constant"}),
        ("$x", {"v": 5}),
        ("$_id", {"v": 1}),
        ("$items.n", {"v": [1, 2]}),
        ("$missing", {}),
        ("$missing.too", {}),
        ({"a": "$x", "one": 1}, {"v": {"a": 5, "one": 1}}),
        ({}, {"v": {}}),
        ({"a": 1}, {"v": {"a": 1}}),
        ({"$add": ["$x", 1]}, {"v": 6}),
        ([{"k": "a", "v": "$x"}], {"v": [{"k": "a", "v": 5}]}),
        (True, {"v": True}),
        (0, {"v": 0}),
        ({"$meta": "stream.source.topic"}, {"v": "orders"}),
        ("$$ROOT", {"v": DOCUMENT}),
    ],
)
def test_values(evaluator: Evaluator, value: Any, computed: Any) -> None:
    values = Computed({"v": value}, "TestOperator", evaluator)
    metadata = {"source": {"topic": "orders"}}
    hidden = {METADATA_FIELD: metadata, WINDOW_FIELD: 3}
    assert values.values([{**DOCUMENT, **hidden}], None) == ([computed], [])
    assert values.values([DOCUMENT], {METADATA_VARIABLE: metadata}) == ([computed], [])
    assert values.values([], None) == ([], [])
    assert values.is_constant == (value == "constant")


def test_what_fails_does_not_disturb_the_others(evaluator: Evaluator) -> None:
    fields = {"a": {"$divide": [6, "$x"]}, "b": "$x", "c": "constant"}
    values, failures = Computed(fields, "TestOperator", evaluator).values(
        [{"x": 2}, {"x": 0}, {"x": 3}], None
    )
    assert values == [
        {"a": 3, "b": 2, "c": "constant"},
        None,
        {"a": 2, "b": 3, "c": "constant"},
    ]
    assert [(f.index, f.operator_name) for f in failures] == [(1, "TestOperator")]


def test_probes_are_made_of_expressions_only() -> None:
    probes = value_probes({".a": "constant", ".b": None, ".c": "$x", ".d": {"a": 1}})
    assert [probe.path for probe in probes] == [".c", ".d"]
