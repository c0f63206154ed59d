"""`$lookup` compared with mongod's own, on every kind of value and path."""

from __future__ import annotations

import copy
import datetime
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.binary import Binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.evaluate import Outcome
from asp_utils.engine.stages.lookup import SPEC
from asp_utils.pipeline.rewrite import METADATA_FIELD, METADATA_VARIABLE, WINDOW_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    Document = dict[str, Any]

INDEXES: list[Any] = [None, "k", "a.k", "a"]

numbers = st.sampled_from([0, 1, Int64(1), 1.0, 1.5, Decimal128("1"), Decimal128("1.50"), True])
texts = st.sampled_from(["", "x", "y", "1"])
others = st.sampled_from(
    [
        None,
        float("nan"),
        ObjectId("0" * 24),
        b"\x01",
        Binary(b"\x01", 4),
        Binary(b"\x01", 5),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        bson.Regex("x"),
        bson.Timestamp(1, 1),
        bson.MinKey(),
    ]
)
scalars = numbers | texts | others
inner = st.dictionaries(st.sampled_from(["k", "0", "z"]), scalars, max_size=2)
nested = scalars | inner | st.lists(scalars | inner | st.lists(scalars, max_size=2), max_size=3)
records = st.fixed_dictionaries({}, optional={"k": nested, "a": nested})
paths = st.sampled_from(["k", "a", "a.k", "a.0", "a.0.k", "missing"])


def encoded(documents: list[Document]) -> list[bytes]:
    """For comparing types and the order of fields too."""
    return [bson.encode(document) for document in documents]


def theirs(cluster: MongoClient[Any], database: str, documents: Any, stage: Document) -> Any:
    """What mongod's own `$lookup` makes of the documents."""
    command = {
        "aggregate": 1,
        "pipeline": [{"$documents": "$$batch"}, {"$lookup": stage}],
        "let": {"batch": {"$literal": documents}},
        "cursor": {"batchSize": 10_000},
    }
    reply = cluster[database].command(command, codec_options=DOCUMENTS)
    return reply["cursor"]["firstBatch"]


def of(database: str, coll: str = "f") -> Document:
    return {"connectionName": "c", "db": database, "coll": coll}


def processed(stage: Any, documents: list[Document], variables: Any = None) -> Outcome:
    outcome = stage.process(copy.deepcopy(documents), variables)
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.proves(
    "$lookup", "$lookup.from.connectionName", "$lookup.from.db", "$lookup.from.coll",
    "$lookup.localField", "$lookup.foreignField", "$lookup.as",
)  # fmt: skip
@pytest.mark.parametrize("index", INDEXES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.lists(records, max_size=8),
    foreign=st.lists(records, max_size=8),
    local_field=paths,
    foreign_field=paths,
)
def test_equality_is_mongods_own(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    index: str | None,
    mine: list[Document],
    foreign: list[Document],
    local_field: str,
    foreign_field: str,
) -> None:
    collection = cluster[database]["f"]
    collection.drop()
    if index is not None:
        collection.create_index(index)
    if foreign:
        collection.insert_many([{"_id": n, **document} for n, document in enumerate(foreign)])
    fields = {"localField": local_field, "foreignField": foreign_field, "as": "found"}
    stage = build(SPEC, {"from": of(database), **fields})
    ours = processed(stage, mine)
    assert not ours.failures
    assert encoded(ours.documents) == encoded(
        theirs(cluster, database, mine, {"from": "f", **fields})
    )


plain = st.sampled_from(
    [0, 1, Int64(1), 1.0, Decimal128("1.0"), True, False, "1", b"1", Binary(b"1", 4), None]
)
objects = st.fixed_dictionaries({"k": plain | st.lists(plain, max_size=3)})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.lists(st.fixed_dictionaries({"k": plain}), min_size=5, max_size=10),
    foreign=st.lists(
        st.fixed_dictionaries(
            {
                # Several values each: one that is overlooked does not show as belonging to none.
                "k": st.lists(plain, min_size=3, max_size=5),
                "a": st.lists(objects | st.lists(objects, min_size=1, max_size=2), min_size=3),
            }
        ),
        min_size=5,
        max_size=12,
    ),
    foreign_field=st.sampled_from(["k", "a.k"]),
)
def test_equality_of_values_that_look_alike_is_mongods_own(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    mine: list[Document],
    foreign: list[Document],
    foreign_field: str,
) -> None:
    cluster[database]["f"].drop()
    cluster[database]["f"].insert_many([{"_id": n, **d} for n, d in enumerate(foreign)])
    fields = {"localField": "k", "foreignField": foreign_field, "as": "found"}
    ours = processed(build(SPEC, {"from": of(database), **fields}), mine)
    assert encoded(ours.documents) == encoded(
        theirs(cluster, database, mine, {"from": "f", **fields})
    )


def test_one_query_answers_a_batch_of_plain_values(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    """Without an index mongod's `$lookup` reads the collection once for every document."""
    cluster[database]["f"].insert_many([{"_id": n, "k": n % 50} for n in range(500)])
    stage = build(
        SPEC, {"from": of(database), "localField": "k", "foreignField": "k", "as": "found"}
    )
    scans = _collection_scans(cluster)
    ours = processed(stage, [{"k": n} for n in range(100)])
    assert _collection_scans(cluster) - scans == 1
    assert [len(document["found"]) for document in ours.documents] == [10] * 50 + [0] * 50


def _collection_scans(cluster: MongoClient[Any]) -> int:
    metrics = cluster.admin.command("serverStatus")["metrics"]
    scans: int = metrics["queryExecutor"]["collectionScans"]["total"]
    return scans


@pytest.mark.proves("$lookup.as")
@given(
    document=st.fixed_dictionaries({"k": st.just(1)}, optional={"a": nested, "z": scalars}),
    where=st.sampled_from(["a", "a.k", "a.0", "a.k.deep", "k", "new.field"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_result_is_put_where_mongod_puts_it(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    document: Document,
    where: str,
) -> None:
    cluster[database]["f"].replace_one({"_id": 1}, {"_id": 1, "k": 1}, upsert=True)
    fields = {"localField": "k", "foreignField": "k", "as": where}
    ours = processed(build(SPEC, {"from": of(database), **fields}), [document])
    assert encoded(ours.documents) == encoded(
        theirs(cluster, database, [document], {"from": "f", **fields})
    )


PIPELINES: list[Document] = [
    {"pipeline": [{"$match": {"v": {"$gt": 1}}}, {"$sort": {"_id": -1}}]},
    {
        "let": {"v": "$v", "whole": "$$ROOT", "one": 1, "text": "x", "none": "$missing"},
        "pipeline": [
            {"$match": {"$expr": {"$gte": ["$v", "$$v"]}}},
            {"$set": {"mine": "$$whole", "one": "$$one", "text": "$$text", "none": "$$none"}},
            {"$sort": {"_id": 1}},
        ],
    },
    {
        "localField": "k",
        "foreignField": "k",
        "let": {"v": "$v"},
        "pipeline": [{"$match": {"$expr": {"$lt": ["$v", "$$v"]}}}, {"$project": {"_id": 1}}],
    },
    {"localField": "k", "foreignField": "k", "pipeline": [{"$count": "n"}]},
    {
        "localField": "k",
        "foreignField": "k",
        "let": {"v": {"twice": {"$multiply": ["$v", 2]}, "list": ["$v"]}},
        "pipeline": [
            {
                "$lookup": {
                    "from": "g",
                    "let": {"k": "$k"},
                    "pipeline": [
                        {"$match": {"$expr": {"$eq": ["$k", "$$k"]}}},
                        {"$project": {"_id": 1, "v": "$$v"}},
                    ],
                    "as": "deeper",
                }
            }
        ],
    },
]


@pytest.mark.proves("$lookup.let", "$lookup.pipeline")
@pytest.mark.parametrize("options", PIPELINES, ids=range(len(PIPELINES)))
def test_pipelines_are_mongods_own(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str, options: Document
) -> None:
    cluster[database]["f"].insert_many([{"_id": n, "k": n % 3, "v": n % 5} for n in range(12)])
    cluster[database]["g"].insert_many([{"_id": n, "k": n % 3} for n in range(6)])
    mine: list[Document] = [{"n": n, "k": n % 4, "v": n % 6} for n in range(10)]
    mine += [{"k": [1, 2]}, {"v": None}]
    ours = processed(build(SPEC, {"from": of(database), **options, "as": "r"}), mine)
    assert not ours.failures
    assert encoded(ours.documents) == encoded(
        theirs(cluster, database, mine, {"from": "f", **options, "as": "r"})
    )


@pytest.mark.proves("$lookup.pipeline")
def test_a_pipeline_may_supply_its_own_documents(build: Callable[..., Any]) -> None:
    stage = build(
        SPEC,
        {
            "let": {"tags": "$tags"},
            "pipeline": [
                {"$documents": [{"tag": "a", "price": 1}, {"tag": "b", "price": 2}]},
                {"$match": {"$expr": {"$in": ["$tag", "$$tags"]}}},
            ],
            "as": "prices",
        },
    )
    ours = processed(stage, [{"tags": ["b"]}, {"tags": []}, {"tags": ["a", "b"]}])
    assert [[p["price"] for p in d["prices"]] for d in ours.documents] == [[2], [], [1, 2]]


def test_hidden_fields_stay_and_are_not_seen(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_one({"_id": 1})
    stage = build(
        SPEC,
        {
            "from": of(database),
            "let": {
                "all": "$$ROOT",
                "topic": {"$meta": "stream.source.topic"},
            },
            "pipeline": [
                {
                    "$project": {
                        "_id": 0,
                        "all": "$$all",
                        "topic": "$$topic",
                        "type": {"$meta": "stream.source.type"},
                    }
                }
            ],
            "as": "r",
        },
    )
    hidden = {
        METADATA_FIELD: {"source": {"type": "kafka", "topic": "t"}},
        WINDOW_FIELD: 1_700_000_000_000,
    }
    [document] = processed(stage, [{"n": 1, **hidden}]).documents
    assert document == {
        "n": 1,
        **hidden,
        "r": [{"all": {"n": 1}, "topic": "t", "type": "kafka"}],
    }


def test_metadata_of_the_window_behind_a_window(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_one({"_id": 1})
    start = {"$meta": "stream.window.start"}
    stage = build(
        SPEC,
        {
            "from": of(database),
            "let": {"a": start},
            "pipeline": [{"$project": {"_id": 0, "a": "$$a", "b": start}}],
            "as": "r",
        },
    )
    variables = {METADATA_VARIABLE: {"window": {"start": 7}}}
    [document] = processed(stage, [{}], variables).documents
    assert document == {"r": [{"a": 7, "b": 7}]}


@pytest.mark.parametrize(
    "options",
    [
        {"let": {"x": {"$divide": [1, "$n"]}}, "pipeline": [{"$project": {"x": "$$x"}}]},
        {
            "let": {"n": "$n"},
            "pipeline": [{"$project": {"x": {"$divide": [1, "$$n"]}}}],
        },
    ],
    ids=["let", "pipeline"],
)
def test_a_document_whose_lookup_fails_is_a_failure(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str, options: Document
) -> None:
    cluster[database]["f"].insert_one({"_id": 1})
    stage = build(SPEC, {"from": of(database), **options, "as": "r"})
    ours = processed(stage, [{"n": n % 3} for n in range(9)])
    assert [document["n"] for document in ours.documents] == [1, 2, 1, 2, 1, 2]
    assert [failure.index for failure in ours.failures] == [0, 3, 6]
    for failure in ours.failures:
        assert failure.operator_name == "LookupOperator"
        assert "divide by zero" in failure.reason
        assert failure.document == {"n": 0}


@pytest.mark.proves("$lookup.parallelism", "$lookup.partitionBy")
@pytest.mark.parametrize("partition", [{}, {"partitionBy": "$n"}, {"partitionBy": "same"}])
@pytest.mark.parametrize("by_pipeline", [False, True])
def test_several_connections_give_what_one_gives(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    partition: Document,
    *,
    by_pipeline: bool,
) -> None:
    cluster[database]["f"].insert_many([{"_id": n, "k": n % 7} for n in range(50)])
    options: Document = {"localField": "k", "foreignField": "k", "as": "r"}
    if by_pipeline:
        options["pipeline"] = [{"$sort": {"_id": -1}}]
    mine = [{"n": n, "k": n % 9} for n in range(300)]
    alone = processed(build(SPEC, {"from": of(database), **options}), mine)
    shared = {"parallelism": 4, **partition}
    together = processed(build(SPEC, {"from": of(database), **options, **shared}), mine)
    assert together.documents == alone.documents


def test_a_partition_that_cannot_be_computed_is_a_failure(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    stage = build(
        SPEC,
        {
            "from": of(database),
            "localField": "k",
            "foreignField": "k",
            "as": "r",
            "parallelism": 2,
            "partitionBy": {"$divide": [1, "$n"]},
        },
    )
    ours = processed(stage, [{"n": 0}, {"n": 1}])
    assert [document["n"] for document in ours.documents] == [1]
    assert "divide by zero" in ours.failures[0].reason


def test_a_result_that_fits_no_document_is_a_failure(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    large = "x" * 6_000_000
    cluster[database]["f"].insert_many(
        [{"_id": n, "k": 0 if n < 3 else 1, "large": large} for n in range(4)]
    )
    stage = build(SPEC, {"from": of(database), "localField": "k", "foreignField": "k", "as": "r"})
    ours = processed(stage, [{"k": 0}, {"k": 1}, {"k": 2}])
    assert [len(document["r"]) for document in ours.documents] == [1, 0]
    assert [failure.index for failure in ours.failures] == [0]
    assert "Size must be between 0 and" in ours.failures[0].reason


def test_more_than_one_query_holds_is_asked_for_in_several(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    collection = cluster[database]["f"]
    collection.create_index("k")
    long = "x" * 990
    collection.insert_many([{"_id": n, "k": f"{long}{n}"} for n in (0, 9_999, 19_999)])
    stage = build(SPEC, {"from": of(database), "localField": "k", "foreignField": "k", "as": "r"})
    ours = processed(stage, [{"n": n, "k": f"{long}{n}"} for n in range(20_000)])
    found = {document["n"]: document["r"][0]["_id"] for document in ours.documents if document["r"]}
    assert found == {0: 0, 9_999: 9_999, 19_999: 19_999}
    assert len(ours.documents) == 20_000


def test_more_than_one_reply_holds_is_fetched_in_several(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_many([{"_id": n, "x": "x" * 3_000_000} for n in range(3)])
    stage = build(SPEC, {"from": of(database), "pipeline": [{"$sort": {"_id": 1}}], "as": "r"})
    ours = processed(stage, [{"n": n} for n in range(5)])
    assert not ours.failures
    assert [document["n"] for document in ours.documents] == [0, 1, 2, 3, 4]
    assert {len(document["r"]) for document in ours.documents} == {3}


def test_a_document_too_large_to_be_sent_is_a_failure_and_nothing_is_written(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_one({"_id": 1})
    stage = build(
        SPEC,
        {
            "from": of(database),
            "let": {"all": "$large"},
            "pipeline": [{"$project": {"n": {"$strLenCP": "$$all"}}}],
            "as": "r",
        },
    )
    ours = processed(stage, [{"large": "x" * 16_770_000}, {"large": "x"}])
    assert [document["r"][0]["n"] for document in ours.documents] == [1]
    assert "too large" in ours.failures[0].reason
    assert cluster[database].list_collection_names() == ["f"]
