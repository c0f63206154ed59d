"""`$merge` into a real collection, compared with what mongod's own `$merge` does."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient


def merge(database: str, coll: Any = "out", **options: Any) -> dict[str, Any]:
    return {"$merge": {"into": {"connectionName": "c", "db": database, "coll": coll}, **options}}


def source(*documents: dict[str, Any]) -> dict[str, Any]:
    return {"$source": {"documents": list(documents)}}


def stored(cluster: MongoClient[Any], database: str, coll: str = "out") -> list[dict[str, Any]]:
    return list(cluster[database][coll].find().sort("_id", 1))


MODES: list[Any] = [
    "merge",
    "replace",
    "keepExisting",
    [{"$set": {"n": {"$add": ["$n", "$$new.n"]}}}],
]

ids = st.integers(0, 3)
documents = st.lists(
    st.fixed_dictionaries(
        {"_id": ids, "n": st.integers(0, 9)}, optional={"z": st.booleans(), "a": ids}
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    "when_matched", MODES, ids=["merge", "replace", "keepExisting", "pipeline"]
)
@pytest.mark.parametrize("when_not_matched", ["insert", "discard"])
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=documents, new=documents)
def test_does_what_mongod_does(
    rig: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    when_matched: Any,
    when_not_matched: str,
    before: list[dict[str, Any]],
    new: list[dict[str, Any]],
) -> None:
    modes = {"whenMatched": when_matched, "whenNotMatched": when_not_matched}
    if (when_matched, when_not_matched) == ("keepExisting", "discard"):
        with pytest.raises(ValidationError, match="writes nothing"):
            rig([source(*new), merge(database, "ours", **modes)])
        return
    for coll in ("ours", "theirs"):
        cluster[database].drop_collection(coll)
        for document in before:
            cluster[database][coll].replace_one({"_id": document["_id"]}, document, upsert=True)
    rig([source(*copy.deepcopy(new)), merge(database, "ours", **modes)]).drain()
    for document in new:
        into = {"$merge": {"into": {"db": database, "coll": "theirs"}, **modes}}
        cluster[database].aggregate([{"$documents": [{"$literal": document}]}, into])
    # Field order too: compare as lists of items.
    ours, theirs = (stored(cluster, database, coll) for coll in ("ours", "theirs"))
    assert [list(d.items()) for d in ours] == [list(d.items()) for d in theirs]


def test_delete_and_discard(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].out.insert_many([{"_id": n} for n in (1, 2, 3)])
    sink = merge(database, whenMatched="delete", whenNotMatched="discard")
    rig([source({"_id": 2}, {"_id": 9}), sink]).drain()
    assert stored(cluster, database) == [{"_id": 1}, {"_id": 3}]


def test_replication_with_modes_by_document(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    gone = {"$eq": ["$op", "delete"]}
    sink = merge(
        database,
        whenMatched={"$cond": [gone, "delete", "replace"]},
        whenNotMatched={"$cond": [gone, "discard", "insert"]},
    )
    changes = [
        (1, "insert"),
        (2, "insert"),
        (1, "delete"),
        (3, "delete"),
        (2, "replace"),
        (1, "insert"),
    ]
    made = rig([source(*({"_id": n, "op": op} for n, op in changes)), sink]).drain()
    assert stored(cluster, database) == [{"_id": 1, "op": "insert"}, {"_id": 2, "op": "replace"}]
    assert made.dead == []


def test_targets_by_document_and_bad_ones_to_the_dead_letters(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = rig(
        [source({"_id": 1, "to": "a"}, {"_id": 2, "to": "b"}, {"_id": 3}), merge(database, "$to")]
    )
    made.drain()
    assert [len(stored(cluster, database, name)) for name in ("a", "b")] == [1, 1]
    assert "into.coll gave no name" in made.dead[0]["errInfo"]["reason"]


def test_metadata_may_choose_the_target_and_stays_out_of_the_document(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    rig([source({"_id": 1}), merge(database, {"$meta": "stream.source.type"})]).drain()
    assert stored(cluster, database, "generated") == [{"_id": 1}]


def test_variables_of_let_reach_the_pipeline(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].out.insert_one({"_id": 1, "sum": 1})
    sink = merge(
        database, let={"more": "$n"}, whenMatched=[{"$set": {"sum": {"$add": ["$sum", "$$more"]}}}]
    )
    rig([source({"_id": 1, "n": 5}), sink]).drain()
    assert stored(cluster, database) == [{"_id": 1, "sum": 6}]


def test_a_refused_document_is_dead_lettered_and_the_others_are_written(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].out.create_index("k", unique=True)
    documents = [{"_id": 1, "k": 1}, {"_id": 2, "k": 1}, {"_id": 3, "k": 3}]
    made = rig([source(*documents), merge(database)]).drain()
    assert [d["_id"] for d in stored(cluster, database)] == [1, 3]
    assert "duplicate key" in made.dead[0]["errInfo"]["reason"]
    assert made.dead[0]["doc"] == {"_id": 2, "k": 1}
    assert made.processor.parts.stats.total.dlq_message_count == 1


def test_on_other_fields_needs_their_unique_index(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    sink = merge(database, on=["a", "b"], whenMatched="replace")
    documents: list[dict[str, Any]] = [
        {"a": 1, "b": 1, "n": 1},
        {"a": 1, "b": 1, "n": 2},
        {"a": 1},
        {"a": [1], "b": 1},
    ]
    with pytest.raises(ProcessorFailed, match="create one: createIndex"):
        rig([source(*documents), sink]).drain()
    cluster[database].out.create_index([("a", 1), ("b", 1)], unique=True)
    made = rig([source(*documents), sink]).drain()
    assert [d["n"] for d in stored(cluster, database)] == [2]
    assert len(made.dead) == 2


def test_dead_letters_reach_their_collection(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    dlq = {"connectionName": "c", "db": database, "coll": "dead"}
    pipeline = [
        source({"_id": 1, "a": 0}),
        {"$set": {"b": {"$divide": [1, "$a"]}}},
        merge(database),
    ]
    rig(pipeline, dlq=dlq).drain()
    letter = stored(cluster, database, "dead")[0]
    assert letter["doc"] == {"_id": 1, "a": 0}
    assert letter["operatorName"] == "SetOperator"
    assert {"processorName", "instanceName", "dlqTime", "errInfo", "_stream_meta"} <= set(letter)
