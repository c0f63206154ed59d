"""Differences between what a file says and what exists."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.pipeline.environment.changes import ABSENT, changes
from asp_utils.pipeline.environment.document import environment_faults
from asp_utils.pipeline.environment.plan import digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from(["a", "b", "pipeline"]), JSON, max_size=3)


def shown(wanted: Any, existing: Any, *ignored: str) -> list[str]:
    return [str(change) for change in changes(wanted, existing, ignored)]


@given(OBJECT)
def test_nothing_differs_from_itself(document: dict[str, Any]) -> None:
    assert changes(document, copy.deepcopy(document)) == []


@given(OBJECT, OBJECT)
def test_what_differs_has_changes_and_no_others(
    wanted: dict[str, Any], existing: dict[str, Any]
) -> None:
    merged = {**existing, **wanted}
    if digest({"x": merged}) == digest({"x": existing}):
        assert changes(wanted, existing) == []
    if "pipeline" in wanted and digest({"p": [wanted["pipeline"]]}) != digest(
        {"p": [existing.get("pipeline", ABSENT is None)]}
    ):
        assert changes({"pipeline": wanted["pipeline"]}, existing) != []


@pytest.mark.parametrize(
    ("wanted", "existing", "expected"),
    [
        ({"tier": "SP10"}, {"tier": "SP5", "id": "x"}, ['tier: "SP5" -> "SP10"']),
        ({"dlq": {"db": "a"}}, {}, ['dlq: (none) -> {"db": "a"}']),
        (
            {"pipeline": [{"$match": {"a": 1}}]},
            {"pipeline": [{"$match": {"a": 1, "b": 2}}]},
            ["pipeline[0].$match.b: 2 -> (none)"],
        ),
        (
            {"pipeline": [{"$sort": {"a": 1, "b": 1}}]},
            {"pipeline": [{"$sort": {"b": 1, "a": 1}}]},
            ['pipeline[0].$sort (order of fields): ["b", "a"] -> ["a", "b"]'],
        ),
        (
            {"pipeline": [{"$match": {}}, {"$merge": {}}]},
            {"pipeline": [{"$match": {}}]},
            ['pipeline[1]: (none) -> {"$merge": {}}'],
        ),
        ({"flag": True}, {"flag": 1}, ["flag: 1 -> true"]),
    ],
)
def test_a_change_names_its_place_and_both_sides(
    wanted: Any, existing: Any, expected: list[str]
) -> None:
    assert shown(wanted, existing) == expected


def test_what_cannot_be_compared_is_left_out() -> None:
    wanted = {"authentication": {"username": "me", "password": "new"}}
    existing = {"authentication": {"username": "you"}}
    ignored = "authentication.password"
    assert shown(wanted, existing, ignored) == ['authentication.username: "you" -> "me"']


def test_the_order_of_fields_counts_in_pipelines_only() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert digest(one) == digest(other)
    assert digest({"pipeline": [one]}) != digest({"pipeline": [other]})


def test_all_faults_of_a_file_are_named_at_once() -> None:
    document = {
        "workspace": {"name": "w"},
        "connections": [{"name": "kafka", "type": "Kafka"}],
        "topics": [
            {"connectionName": "kafak", "name": "t"},
            {"connectionName": "kafka", "name": "t"},
            {"connectionName": "kafka", "name": "t"},
        ],
        "processors": [{"name": "p", "pipeline": [{}]}, {"name": "p", "pipeline": [{}]}],
    }
    faults = {fault.path: fault for fault in environment_faults(document)}
    assert set(faults) == {
        "$.topics[0].connectionName",
        "$.topics[2].name",
        "$.processors[1].name",
    }
    assert faults["$.topics[0].connectionName"].hint == "did you mean 'kafka'?"


def test_unknown_fields_and_wrong_values_are_named_by_path() -> None:
    document = {"workspace": {"nam": "w"}, "processors": [{"name": "p", "tier": "SP1"}]}
    paths = {fault.path for fault in environment_faults(document)}
    assert paths >= {"$.workspace.name", "$.workspace.nam", "$.processors[0].tier"}
    assert environment_faults([])[0].path == "$"
