"""Random stages over random documents give what mongod gives on a collection.

The engine divides what mongod does as a whole: hidden fields are carried through stages that would
drop or show them, runs are cut, documents that fail are found among the others, groups are divided
into partial states. None of it may be seen in the result.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from asp_utils.engine import processor as processor_module
from asp_utils.engine.windows import open_windows as open_windows_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient
    from pymongo.synchronous.collection import Collection

    Document = dict[str, Any]

pytestmark = pytest.mark.server
NAMES = ("a", "b", "c")
DAY = datetime(2026, 1, 20)  # noqa: DTZ001 - BSON dates are naive UTC
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([Int64(2**40), 0.5, -1.5, float("inf"), Decimal128("1.50"), Decimal128("2")]),
    st.sampled_from(["", "a", "b", "12", "2026-01-20T00:00:00Z", "$a", "é"]),
    st.builds(lambda n: DAY + timedelta(hours=n), st.integers(-30, 30)),
    st.sampled_from([ObjectId("0" * 24), Regex("^a", "i"), Binary(b"ab"), Binary(b"x", 5)]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    ),
    max_leaves=4,
)
DOCUMENTS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES), min_size=1, max_size=8)
PATHS = st.sampled_from(["a", "b", "c", "a.b", "b.a", "c.a.b"])
FIELDS = PATHS.map(lambda path: f"${path}")
TYPE: Document = {"$meta": "stream.source.type"}
GENERATED: Document = {"$literal": "generated"}
"""What that gives, for mongod."""


def _operators(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.tuples(inner, inner).map(list)
    binary = ["$add", "$subtract", "$multiply", "$divide", "$eq", "$lt", "$concat", "$ifNull"]
    binary += ["$and", "$or", "$mod", "$arrayElemAt", "$concatArrays", "$cmp", "$max"]
    unary = ["$toString", "$toInt", "$toDouble", "$type", "$size", "$not", "$toDate", "$isArray"]
    unary += ["$toUpper", "$abs", "$objectToArray", "$year", "$isNumber"]
    return st.one_of(
        st.builds(lambda name, pair: {name: pair}, st.sampled_from(binary), pairs),
        st.builds(lambda name, one: {name: one}, st.sampled_from(unary), inner),
        st.builds(lambda c, t, e: {"$cond": [c, t, e]}, inner, inner, inner),
        st.builds(lambda one: {"x": one, "y": [one, 1]}, inner),
        st.builds(
            lambda one: {"$map": {"input": {"$ifNull": ["$a", []]}, "in": ["$$this", one]}}, inner
        ),
        st.builds(
            lambda one: {"$let": {"vars": {"v": one}, "in": {"$mergeObjects": ["$$ROOT"]}}}, inner
        ),
    )


LITERALS = st.one_of(st.integers(-2, 2), SCALARS.map(lambda value: {"$literal": value}))
LEAVES = st.one_of(FIELDS, FIELDS, LITERALS, st.just("$$ROOT"), st.just("META"))
EXPRESSIONS = st.recursive(LEAVES, _operators, max_leaves=4)
QUERIES = st.one_of(
    st.builds(lambda p, v: {p: v}, PATHS, SCALARS.filter(lambda v: not isinstance(v, Regex))),
    st.builds(
        lambda p, o, n: {p: {o: n}},
        PATHS,
        st.sampled_from(["$gt", "$lte", "$ne"]),
        LITERALS.filter(lambda v: isinstance(v, int)),
    ),
    st.builds(lambda p, e: {p: {"$exists": e}}, PATHS, st.booleans()),
    st.builds(lambda e: {"$expr": e}, EXPRESSIONS),
    st.builds(lambda p, t: {p: {"$type": t}}, PATHS, st.sampled_from(["number", "array", "null"])),
)


@st.composite
def projections(draw: st.DrawFn) -> Document:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    kind = draw(st.sampled_from(["in", "out", "computed"]))
    if kind == "out":
        return {"$project": dict.fromkeys(names, 0) | {"_id": draw(st.sampled_from([0, 1]))}}
    found: Document = dict.fromkeys(names, 1)
    if kind == "computed":
        found["new"] = draw(EXPRESSIONS)
        found["deep"] = {"er": draw(EXPRESSIONS)}
    if draw(st.booleans()):
        found["_id"] = 0
    return {"$project": found}


@st.composite
def unwinds(draw: st.DrawFn) -> Document:
    path = draw(FIELDS)
    if draw(st.booleans()):
        return {"$unwind": path}
    more: Document = {"preserveNullAndEmptyArrays": draw(st.booleans())}
    if draw(st.booleans()):
        more["includeArrayIndex"] = draw(st.sampled_from(["at", "b", "new.at"]))
    return {"$unwind": {"path": path, **more}}


def _object(expression: Any) -> Any:
    """Mostly an object, so that not every document fails."""
    return {"$mergeObjects": ["$$ROOT", {"made": expression}]}


REDACTIONS = st.builds(
    lambda test, yes, no: {"$redact": {"$cond": [test, yes, no]}},
    EXPRESSIONS,
    st.sampled_from(["$$KEEP", "$$DESCEND"]),
    st.sampled_from(["$$PRUNE", "$$DESCEND", "$$KEEP"]),
)
STAGES = st.one_of(
    QUERIES.map(lambda query: {"$match": query}),
    projections(),
    st.builds(
        lambda name, path, e: {name: {path: e}},
        st.sampled_from(["$set", "$addFields"]),
        st.sampled_from(["a", "d", "a.b", "d.e"]),
        EXPRESSIONS,
    ),
    st.builds(lambda path: {"$unset": path}, PATHS),
    unwinds(),
    EXPRESSIONS.map(lambda e: {"$replaceWith": _object(e)}),
    FIELDS.map(lambda path: {"$replaceRoot": {"newRoot": path}}),
    REDACTIONS,
)
PIPELINES = st.lists(STAGES, min_size=1, max_size=5)


def with_meta(value: Any, meta: Any) -> Any:
    """Replace the mark META by an expression."""
    if isinstance(value, dict):
        return {key: with_meta(inner, meta) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_meta(inner, meta) for inner in value]
    return meta if value == "META" else value


@pytest.fixture(scope="module")
def plain(cluster: MongoClient[Any]) -> Iterator[Collection[Any]]:
    """A collection for what mongod does as a whole."""
    yield cluster["differential"].plain
    cluster.drop_database("differential")


def at_mongod(plain: Collection[Any], documents: list[Document], stages: list[Document]) -> Any:
    """What mongod gives; None where it refuses."""
    plain.delete_many({})
    plain.insert_many(documents)
    try:
        return list(plain.aggregate([{"$sort": {"_id": 1}}, *stages]))
    except OperationFailure as error:
        # 16 000 and above, or a conversion: a value was refused. Below: the stage as such.
        assert error.code is not None
        return None


def in_order(stages: list[Document]) -> list[Document]:
    """The stages as they are given: mongod filters first where it can, and meets fewer failures."""
    held: Document = {"$_internalInhibitOptimization": {}}
    return [each for stage in stages for each in (held, stage)]


def is_valid(plain: Collection[Any], stages: list[Document]) -> bool:
    """Whether mongod parses the stages (a constant that fails does not, whatever comes)."""
    try:
        list(plain.database["empty"].aggregate(stages))
    except OperationFailure:
        return False
    return True


def same(one: list[Document], other: list[Document]) -> bool:
    """Equal to the byte: types and the order of fields too."""
    return [bson.encode(d) for d in one] == [bson.encode(d) for d in other]


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(documents=DOCUMENTS, stages=PIPELINES, carried=st.booleans(), windowed=st.booleans())
def test_stages_give_what_they_give_on_a_collection(
    rig: Callable[..., Any],
    plain: Collection[Any],
    documents: list[Document],
    stages: list[Document],
    carried: bool,
    windowed: bool,
) -> None:
    documents = [{"_id": n, **document} for n, document in enumerate(documents)]
    meta = TYPE if carried else GENERATED
    mine, theirs = with_meta(stages, meta), with_meta(stages, GENERATED)
    if not is_valid(plain, theirs):
        return
    if windowed:
        window = {
            "interval": {"size": 1, "unit": "hour"},
            "idleTimeout": {"size": 1, "unit": "second"},
            "pipeline": [{"$sort": {"_id": 1}}, *mine],
        }
        mine = [{"$tumblingWindow": window}]
    alone = [at_mongod(plain, [document], theirs) for document in documents]
    if alone != [at_mongod(plain, [document], in_order(theirs)) for document in documents]:
        return  # mongod itself does not always fail there
    made = rig([{"$source": {"documents": documents}}, *mine]).drain()
    if None not in alone:
        whole = at_mongod(plain, documents, theirs)
        assert made.dead == []
        assert same(made.output, whole), (made.output, whole)
        return
    # Some fail: those that do not, alone, are those that come.
    assert made.dead
    if not any("$unwind" in stage for stage in stages):
        expected = list(itertools.chain.from_iterable(a for a in alone if a is not None))
        assert same(made.output, expected), (made.output, expected)
        assert len(made.dead) == alone.count(None)


PLAIN = ["$sum", "$avg", "$min", "$max", "$first", "$last", "$push", "$stdDevPop", "$stdDevSamp"]
ACCUMULATORS = st.one_of(
    st.builds(
        lambda name, e: {name: e},
        st.sampled_from(PLAIN),
        EXPRESSIONS,
    ),
    st.just({"$count": {}}),
    FIELDS.map(lambda path: {"$mergeObjects": {"$cond": [{"$isNumber": path}, {"x": path}, {}]}}),
    st.builds(
        lambda name, n, e: {name: {"n": n, "input": e}},
        st.sampled_from(["$firstN", "$lastN", "$maxN", "$minN"]),
        st.integers(1, 3),
        EXPRESSIONS,
    ),
    st.builds(
        lambda name, n, path: {name: {"n": n, "sortBy": {"a": 1, "_id": -1}, "output": path}},
        st.sampled_from(["$topN", "$bottomN"]),
        st.integers(1, 3),
        FIELDS,
    ),
    st.just({"$addToSet": "$a"}),
)
GROUPS = st.builds(
    lambda key, accumulators: {
        "$group": {"_id": key, **{f"f{n}": each for n, each in enumerate(accumulators)}}
    },
    st.one_of(FIELDS, st.none(), EXPRESSIONS),
    st.lists(ACCUMULATORS, min_size=1, max_size=4),
)


def unordered(documents: list[Document], sets: list[str]) -> list[str]:
    """Groups in any order, sets in any order; sums of doubles to twelve digits."""

    def plainly(value: Any) -> Any:
        return f"{value:.12g}" if isinstance(value, float) else value

    return sorted(
        repr(
            {
                key: sorted(map(repr, value)) if key in sets else plainly(value)
                for key, value in document.items()
            }
        )
        for document in documents
    )


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    documents=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES), min_size=1, max_size=25),
    group=GROUPS,
    batch=st.sampled_from([1, 3, 2000]),
)
def test_a_divided_group_gives_what_a_whole_one_gives(
    rig: Callable[..., Any],
    plain: Collection[Any],
    monkeypatch: pytest.MonkeyPatch,
    documents: list[Document],
    group: Document,
    batch: int,
) -> None:
    monkeypatch.setattr(processor_module, "BATCH_DOCUMENTS", batch)
    monkeypatch.setattr(open_windows_module, "_COMPACT_FROM", 4)
    documents = [{"_id": n, **document} for n, document in enumerate(documents)]
    theirs = with_meta([group], GENERATED)
    # Kept from its other engine (SBE), for which an array plus null is null, and no failure.
    whole = at_mongod(plain, documents, in_order(theirs)) if is_valid(plain, theirs) else None
    if whole is None:
        return
    window = {
        "interval": {"size": 1, "unit": "hour"},
        "idleTimeout": {"size": 1, "unit": "second"},
        "pipeline": theirs,
    }
    made = rig([{"$source": {"documents": documents}}, {"$tumblingWindow": window}]).drain()
    sets = [key for key, value in group["$group"].items() if key != "_id" and "$addToSet" in value]
    assert made.dead == []
    assert unordered(made.output, sets) == unordered(whole, sets)
