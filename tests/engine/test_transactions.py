"""Exactly once: output, dead letters and checkpoint are committed together."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.delivery.checkpoint import Checkpoint, CheckpointStore
from asp_utils.engine.delivery.transactions import same_server
from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    Document = dict[str, Any]

COUNTED = [{"$set": {"n": {"$add": ["$n", 1]}}}]


def merge(database: str, coll: Any = "out", **more: Any) -> Document:
    return {"$merge": {"into": {"connectionName": "c", "db": database, "coll": coll}, **more}}


def dlq(database: str) -> Document:
    return {"connectionName": "c", "db": database, "coll": "dead"}


def source(documents: list[Document]) -> Document:
    return {"$source": {"documents": documents}}


def test_stats_tell_the_guarantee(rig: Callable[..., Any], database: str) -> None:
    pipeline = [source([{"_id": 1}]), merge(database)]
    assert rig(pipeline, checkpointed=True).stats["deliveryGuarantee"] == "exactlyOnce"
    off = rig(pipeline, checkpointed=True, exactlyOnce=False)
    assert off.stats["deliveryGuarantee"] == "atLeastOnce"
    assert rig(pipeline).stats["deliveryGuarantee"] == "atLeastOnce"


def test_another_server_is_not_taken_for_the_same() -> None:
    one = "mongodb://u:p@127.0.0.1:1/?directConnection=true"
    assert same_server(one, "mongodb://u:p@127.0.0.1:1/")
    assert not same_server(one, "mongodb://u:p@127.0.0.1:2/")
    assert not same_server(one, "mongodb://other:p@127.0.0.1:1/")


def test_nothing_is_written_before_the_commit(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = rig([source([{"_id": 1}, {"_id": 2}]), merge(database)], checkpointed=True)
    made.processor.step(0)
    assert cluster[database].out.count_documents({}) == 0
    made.drain()
    assert cluster[database].out.count_documents({}) == 2
    head = cluster[database].checkpoints.find_one()
    assert head is not None
    assert head["position"] == 2


@pytest.mark.slow
def test_a_thousand_refused_documents_cost_no_thousand_batches(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    out = cluster[database].out
    out.create_index("u", unique=True)
    out.insert_one({"_id": "there", "u": "taken"})
    documents = [{"_id": i, "n": 1, "u": "taken" if i % 2 else i} for i in range(2000)]
    pipeline = [source(documents), merge(database, whenMatched=COUNTED)]
    begun_s = time.monotonic()
    made = rig(pipeline, checkpointed=True, dlq=dlq(database)).drain()
    # A second or two; tried again as a whole for each one, it took over a minute.
    assert time.monotonic() - begun_s < 30
    assert out.count_documents({"n": 1}) == 1000
    assert out.count_documents({"n": {"$gt": 1}}) == 0
    letters = list(cluster[database].dead.find())
    assert sorted(letter["doc"]["_id"] for letter in letters) == list(range(1, 2000, 2))
    assert {letter["operatorName"] for letter in letters} == {"MergeOperator"}
    stats = made.stats
    assert (stats["outputMessageCount"], stats["dlqMessageCount"]) == (1000, 1000)
    assert len(made.output) == 1000
    assert cluster[database].outbox.count_documents({}) == 0


def test_of_a_key_that_comes_twice_the_first_document_wins(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].out.create_index("u", unique=True)
    documents = [{"_id": i, "u": i // 3} for i in range(60)]
    rig([source(documents), merge(database)], checkpointed=True, dlq=dlq(database)).drain()
    written = [d["_id"] for d in cluster[database].out.find().sort("_id")]
    assert written == list(range(0, 60, 3))
    assert cluster[database].dead.count_documents({}) == 40


def test_targets_that_do_not_exist_yet(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    documents = [{"_id": i, "coll": f"c{i % 20}"} for i in range(200)]
    made = rig([source(documents), merge(database, "$coll")], checkpointed=True).drain()
    assert all(cluster[database][f"c{i}"].count_documents({}) == 10 for i in range(20))
    assert made.dead == []


def test_somebody_else_writes_to_the_same_documents(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    out = cluster[database].out
    out.insert_many({"_id": i, "n": 0, "others": 0} for i in range(20))
    documents = [{"_id": i % 20, "n": 1} for i in range(2000)]
    done = threading.Event()
    rounds = 0

    def meddle() -> None:
        nonlocal rounds
        while not done.is_set():
            out.update_many({}, {"$inc": {"others": 1}})
            rounds += 1

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        rig([source(documents), merge(database, whenMatched=COUNTED)], checkpointed=True).drain()
    finally:
        done.set()
        meddler.join()
    assert {(d["n"], d["others"]) for d in out.find()} == {(100, rounds)}


def test_a_document_as_large_as_they_come(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    text = "x" * (16 * 1024 * 1024 - 1024)
    pipeline = [
        source([{"_id": 1, "size": len(text)}, {"_id": 2, "size": 1}]),
        {"$set": {"text": {"$substrBytes": [text, 0, "$size"]}}},
        merge(database, whenMatched="replace"),
    ]
    made = rig(pipeline, checkpointed=True, dlq=dlq(database)).drain()
    lengths = {d["_id"]: len(d["text"]) for d in cluster[database].out.find()}
    assert lengths == {1: len(text), 2: 1}, made.dead


def test_a_transaction_that_a_killed_worker_left_open_holds_nobody_up(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    out = cluster[database].out
    out.insert_one({"_id": 0, "n": 0})
    pipeline = [source([{"_id": 0, "n": 1}]), merge(database, whenMatched=COUNTED)]
    killed = cluster.start_session()
    CheckpointStore(cluster[database], "tested").claim(dict(killed.session_id))
    killed.start_transaction()
    out.update_one({"_id": 0}, {"$set": {"n": 5}}, session=killed)
    begun_s = time.monotonic()
    rig(pipeline, checkpointed=True).drain()
    # mongod would end it after a minute.
    assert time.monotonic() - begun_s < 20
    assert list(out.find()) == [{"_id": 0, "n": 1}]
    killed.end_session()


def test_a_worker_that_was_replaced_commits_nothing_more(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    documents = [{"_id": i, "n": 1} for i in range(3)]
    pipeline = [source(documents), merge(database, whenMatched=COUNTED)]
    old, new = (rig(pipeline, checkpointed=True) for _ in range(2))
    old.processor.checkpoint()
    old.processor.step(0)
    for _ in range(2):
        new.processor.checkpoint()
    new.drain()
    with pytest.raises(ProcessorFailed, match="no longer in force") as failure:
        old.drain()
    assert failure.value.retryable
    assert [d["n"] for d in cluster[database].out.find()] == [1, 1, 1]


def test_the_same_holds_without_a_transaction(cluster: MongoClient[Any], database: str) -> None:
    old, new = (CheckpointStore(cluster[database], "p") for _ in range(2))
    old.save(Checkpoint(1, {}))
    for position in (2, 3):
        new.save(Checkpoint(position, {}))
    with pytest.raises(ProcessorFailed, match="no longer in force"):
        old.save(Checkpoint(1, {}))
