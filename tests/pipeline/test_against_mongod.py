"""What is found offline is what mongod itself refuses: the tables, and random stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from asp_utils.pipeline.expressions import Rules
from asp_utils.pipeline.operators import (
    ACCUMULATORS,
    EXPRESSIONS,
    FIELD_QUERIES,
    NEWER,
    NEWER_ACCUMULATORS,
    QUERIES,
)
from asp_utils.pipeline.shapes import shape_faults

if TYPE_CHECKING:
    from pymongo import MongoClient

    Cluster = MongoClient[dict[str, Any]]

_OUR_OWN = {"$createUUID", "$currentDate", "$expr"}
"""What the engine puts into mongod's words (`pipeline.normalize`)."""


def refusal(cluster: Cluster, stage: dict[str, Any]) -> str:
    """What mongod says about a stage on no documents; empty when it takes it."""
    try:
        pipeline = [{"$documents": []}, stage]
        list(cluster.admin.aggregate(pipeline))
    except OperationFailure as error:
        return str(error)
    return ""


def is_unknown(text: str) -> bool:
    words = ("Unrecognized expression", "Unknown expression", "unknown group operator")
    return any(word in text for word in words) or "unknown operator" in text


@pytest.mark.parametrize("operator", sorted(EXPRESSIONS - _OUR_OWN))
def test_mongod_has_every_operator_of_the_table(cluster: Cluster, operator: str) -> None:
    assert not is_unknown(refusal(cluster, {"$project": {"x": {operator: {}}}}))


@pytest.mark.parametrize("operator", sorted(ACCUMULATORS))
def test_mongod_has_every_accumulator_of_the_table(cluster: Cluster, operator: str) -> None:
    assert not is_unknown(refusal(cluster, {"$group": {"_id": None, "x": {operator: {}}}}))


@pytest.mark.parametrize("operator", sorted(FIELD_QUERIES))
def test_mongod_has_every_query_operator_of_the_table(cluster: Cluster, operator: str) -> None:
    assert not is_unknown(refusal(cluster, {"$match": {"a": {operator: 1}}}))


@pytest.mark.parametrize("operator", sorted(QUERIES))
def test_mongod_has_every_query_of_the_table(cluster: Cluster, operator: str) -> None:
    assert "unknown top level operator" not in refusal(cluster, {"$match": {operator: 1}})


def test_what_the_oldest_server_lacks_is_what_the_table_calls_newer(cluster: Cluster) -> None:
    if not cluster.server_info()["version"].startswith("6.0"):
        pytest.skip("the mongod of this run is a newer one")
    for operator in NEWER:
        assert is_unknown(refusal(cluster, {"$project": {"x": {operator: {}}}})), operator
    for operator in NEWER_ACCUMULATORS:
        fields: dict[str, Any] = {"_id": None, "x": {operator: {}}}
        assert is_unknown(refusal(cluster, {"$group": fields})), operator


_NAMES = st.sampled_from(["a", "b.c", "_id", "$a", "a..b", ""])
_TEXTS = st.sampled_from(["a", "$a", "$a.b", "$$ROOT", "$$NOWAY", "x", "", "$$REMOVE"])
_SCALARS = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 3) | _TEXTS
_OPERATORS = st.sampled_from(
    ["$add", "$gt", "$sum", "$first", "$push", "$count", "$toString", "$exists", "$in", "$noSuch",
     "$literal", "$not", "$size", "$and", "$expr", "$regex", "$elemMatch", "$ifNull"]
)  # fmt: skip
_EXPRESSIONS = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(_OPERATORS, inner, max_size=2)
        | st.dictionaries(_NAMES, inner, max_size=2)
    ),
    max_leaves=6,
)
_STAGES = st.sampled_from(
    ["$addFields", "$count", "$group", "$limit", "$match", "$project", "$redact", "$replaceRoot",
     "$replaceWith", "$set", "$sort", "$unset", "$unwind"]
)  # fmt: skip
_OPTIONS = _EXPRESSIONS | st.dictionaries(_NAMES, _EXPRESSIONS, max_size=3)


@settings(max_examples=400)
@given(_STAGES, _OPTIONS)
def test_what_is_refused_offline_is_refused_by_mongod(
    cluster: Cluster, name: str, options: Any
) -> None:
    found = [*shape_faults(name, options, ""), *Rules().stage(name, options, "")]
    if found and not _uses_our_own(options):
        assert refusal(cluster, {name: options}), [fault.to_json() for fault in found]


def _uses_our_own(node: Any) -> bool:
    if isinstance(node, dict):
        return bool(_OUR_OWN & set(node)) or any(map(_uses_our_own, node.values()))
    return isinstance(node, list) and any(map(_uses_our_own, node))
