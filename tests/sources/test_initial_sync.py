"""Initial sync of a real replica set: existing documents first, then the tail."""

from __future__ import annotations

import contextlib
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import monitoring
from pymongo.errors import DuplicateKeyError

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources import initial_sync
from asp_utils.engine.sources.change_options import COPYING, ChangeStreamOptions
from asp_utils.engine.sources.change_source import ChangeStreamSource
from tests.sources.short_oplog import lose_oplog, short_oplog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo import MongoClient
    from pymongo.synchronous.collection import Collection

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

ON = {"enable": True}
ALL_KINDS: list[Any] = [
    *(MinKey(), None, -1, 0.5, Int64(2**40), Decimal128("7.1"), "", "text", {"a": 1}, {"a": [2]}),
    *(Binary(b"\x00"), ObjectId("6b05acac0822883b18401cc0"), False, True, datetime(2026, 1, 1)),  # noqa: DTZ001
    *(bson.Timestamp(5, 1), bson.Code("x"), MaxKey()),
]


def fill(collection: Collection[Any], count: int) -> None:
    collection.insert_many([{"_id": n, "n": n} for n in range(count)])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initial_sync, "PART_DOCUMENTS", 4)


# What comes, and in which order


@pytest.mark.proves("$source:atlas.initialSync", "$source:atlas.initialSync.enable")
def test_existing_documents_come_first_as_inserts(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 3)
    made = reading(coll="in", initialSync=ON)
    while not made.documents:
        made.step(max_documents=1)
    cluster[database]["in"].insert_one({"_id": 3})
    cluster[database]["in"].delete_one({"_id": 0})
    events = made.until(5)
    while events[-1]["operationType"] != "delete":
        made.step()
    copied = [item for item in made.metadata if "initialSync" in item]
    assert len(copied) in (3, 4)
    assert copied[1] == {
        "operationType": "insert",
        "ns": {"db": database, "coll": "in"},
        "documentKey": {"_id": 1},
        "initialSync": {"phase": COPYING},
    }
    first = events[0]
    assert first["operationType"] == "insert"
    assert first["fullDocument"] == {"_id": 0, "n": 0}
    assert abs((events[-1]["wallTime"] - first["wallTime"]).total_seconds()) < 60
    assert all(event["clusterTime"] > first["clusterTime"] for event in events[len(copied) :])
    assert [e["operationType"] for e in events[len(copied) :]][-2:] == ["insert", "delete"]


@pytest.mark.proves("$source:atlas.initialSync.enable")
def test_it_can_be_switched_off(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 3)
    made = reading(coll="in", initialSync={"enable": False})
    cluster[database]["in"].insert_one({"_id": 3})
    assert [event["documentKey"]["_id"] for event in made.until(1)] == [3]


def test_every_type_of_id_in_its_order(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["in"].insert_many([{"_id": key} for key in reversed(ALL_KINDS)])
    in_order = [d["_id"] for d in cluster[database]["in"].find().sort("_id", 1)]
    made = reading(coll="in", initialSync=ON)
    seen: list[Any] = []
    while len(seen) < len(in_order):
        # One document at a time, and a restart behind each.
        made.step(max_documents=1)
        seen += [event["fullDocument"]["_id"] for event in made.documents]
        position = bson.decode(bson.encode({"p": made.source.position}))["p"]
        made.source.close()
        made = reading(position, coll="in", initialSync=ON)
    assert seen == in_order


@pytest.mark.parametrize("kind", [{"clusteredIndex": {"key": {"_id": 1}, "unique": True}}, {}])
def test_clustered_collections_and_collations(
    reading: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    kind: dict[str, Any],
    small_parts: None,
) -> None:
    kind = kind or {"collation": {"locale": "en", "strength": 2}}
    cluster[database].create_collection("in", **kind)
    keys = [f"{letter}{n}" for n in range(20) for letter in "aBcD"]
    cluster[database]["in"].insert_many([{"_id": key} for key in keys])
    made = reading(coll="in", initialSync={"enable": True, "parallelism": 4})
    made.until(30)
    position = made.source.position
    made.source.close()
    again = reading(position, coll="in", initialSync={"enable": True, "parallelism": 4})
    again.until(len(keys) - len(made.documents))
    copied = [e["fullDocument"]["_id"] for e in made.documents + again.documents]
    assert sorted(copied) == sorted(keys)


@pytest.mark.proves("$source:atlas.initialSync", "$source:atlas.coll", "$source:atlas.db")
def test_several_collections_in_the_order_of_the_list(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    for coll in ("b", "a", "none_of_these"):
        fill(cluster[database][coll], 3)
    cluster[database].create_collection("view", viewOn="a", pipeline=[])
    made = reading(coll=["b", "missing", "a"], initialSync=ON)
    assert [e["ns"]["coll"] for e in made.until(6)] == ["b"] * 3 + ["a"] * 3
    every = reading(initialSync=ON)
    assert {e["ns"]["coll"] for e in every.until(9)} == {"a", "b", "none_of_these"}
    cluster[database]["new"].insert_one({"_id": 1})
    assert every.until(10)[9]["ns"]["coll"] == "new"
    assert "initialSync" not in every.metadata[9]
    with pytest.raises(ProcessorFailed, match="view") as caught:
        reading(coll=["a", "view"], initialSync=ON)
    assert caught.value.code == 448


@pytest.mark.proves("$source:atlas.initialSync.parallelism")
def test_ranges_of_one_collection_are_read_at_a_time(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str, small_parts: None
) -> None:
    fill(cluster[database]["in"], 100)
    one = reading(coll="in", initialSync=ON)
    many = reading(coll="in", initialSync={"enable": True, "parallelism": 4})
    assert [e["fullDocument"]["n"] for e in one.until(100)] == list(range(100))
    assert sorted(e["fullDocument"]["n"] for e in many.until(100)) == list(range(100))
    parts = many.source._sync.targets[0].parts
    assert len(parts) == 4
    assert len(many.source._copy._readers) == 4
    assert [part.bounds.get("until") for part in parts[:-1]] == [
        part.bounds["from"] for part in parts[1:]
    ]


@pytest.mark.proves("$source:atlas.config.pipeline")
def test_what_is_pushed_down_filters_copied_documents_too(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 4)
    stages: list[Document] = [
        {"$match": {"fullDocument.n": {"$gte": 2}}},
        {"$set": {"twice": {"$multiply": ["$fullDocument.n", 2]}}},
    ]
    made = reading(coll="in", initialSync=ON, config={"pipeline": stages})
    assert [event["twice"] for event in made.until(2)] == [4, 6]
    cluster[database]["in"].insert_many([{"n": 1}, {"n": 5}])
    assert made.until(3)[2]["twice"] == 10
    broken = [{"$set": {"x": {"$toInt": "$ns.coll"}}}]
    with pytest.raises(ProcessorFailed, match=r"config\.pipeline") as caught:
        reading(coll="in", initialSync=ON, config={"pipeline": broken}).until(1)
    assert caught.value.code == 420


@pytest.mark.proves("$source:atlas.config.fullDocumentOnly")
def test_only_the_documents(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 2)
    config = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    made = reading(coll="in", initialSync=ON, config=config)
    assert made.until(2) == [{"_id": 0, "n": 0}, {"_id": 1, "n": 1}]


# Restart


def test_finished_collections_are_not_copied_again(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["a"], 3)
    fill(cluster[database]["b"], 3)
    options = {"coll": ["a", "b"], "initialSync": ON}
    made = reading(**options)
    while len(made.documents) < 5:
        made.step(max_documents=5 - len(made.documents))
    stats = made.source.stats()
    assert stats.keys() == {"operator"}
    shown = stats["operator"]
    assert [t["initialSync"]["status"] for t in shown["targetStats"]] == [
        "completed",
        "in_progress",
    ]
    assert shown["initialSync"] == {"estimatedDocs": 6, "copiedDocs": 5}
    again = reading(made.source.position, **options)
    cluster[database]["a"].insert_one({"_id": 9})
    again.until(2)
    assert [e["documentKey"]["_id"] for e in again.documents] == [2, 9]


@pytest.mark.proves("$source:atlas.initialSync")
def test_once_complete_it_does_not_repeat(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 3)
    made = reading(coll="in", initialSync=ON)
    at_first = made.source.stats()["operator"]["targetStats"]
    assert at_first[0]["initialSync"] == {
        "estimatedDocs": 3,
        "copiedDocs": 0,
        "status": "pending",
    }
    made.until(3)
    between = made.source.position
    cluster[database]["in"].insert_one({"_id": 3})
    made.until(4)
    behind = made.source.position
    assert made.source.stats()["changeStreamState"] == behind["token"]
    cluster[database]["in"].insert_one({"_id": 4})
    for position, expected in ((between, [3, 4]), (behind, [4])):
        again = reading(position, coll="in", initialSync=ON)
        again.until(len(expected))
        assert [e["documentKey"]["_id"] for e in again.documents] == expected
        target = again.source.stats()["operator"]["targetStats"][0]
        assert target["initialSync"]["status"] == "completed"


def test_a_time_told_to_start_goes_before_the_sync(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["in"], 2)
    moment = cluster.admin.command("ping")["operationTime"]
    cluster[database]["in"].delete_one({"_id": 0})
    made = reading(start={"startAtOperationTime": moment}, coll="in", initialSync=ON)
    while "delete" not in [event["operationType"] for event in made.documents]:
        made.step()
    assert not any("initialSync" in item for item in made.metadata)


def test_a_cursor_that_dies_is_opened_again(
    reading: Callable[..., Any],
    surroundings: Surroundings,
    cluster: MongoClient[Any],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(cluster[database]["in"], 2000)
    killed: list[int] = []

    class KillsCursors(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            pass

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
            cursor = event.reply.get("cursor", {})
            is_find = event.command_name == "find" and cursor.get("ns", "").endswith(".in")
            if is_find and cursor["id"] and len(killed) < 2:
                killed.append(cursor["id"])
                cluster[database].command({"killCursors": "in", "cursors": [cursor["id"]]})

        def failed(self, event: monitoring.CommandFailedEvent) -> None:
            pass

    listeners = [KillsCursors()]
    watched = partial(surroundings.cluster, event_listeners=listeners)
    monkeypatch.setattr(surroundings, "cluster", watched)
    made = reading(coll="in", initialSync=ON)
    assert [e["fullDocument"]["n"] for e in made.until(2000)] == list(range(2000))
    assert len(killed) == 2


def test_a_collection_that_is_dropped_while_it_is_copied(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    fill(cluster[database]["a"], 3)
    fill(cluster[database]["b"], 3)
    made = reading(coll=["a", "b"], initialSync=ON)
    cluster[database]["b"].drop()
    while "drop" not in [event["operationType"] for event in made.documents]:
        made.step()
    assert [e["documentKey"]["_id"] for e in made.documents[:3]] == [0, 1, 2]


def test_a_cluster_that_forbids_reading_fails_the_processor(
    reading: Callable[..., Any], surroundings: Surroundings, database: str
) -> None:
    nobody = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
    surroundings.connections = {"c": {"type": "atlas", "uri": nobody}}
    with pytest.raises(ProcessorFailed, match="initial sync") as caught:
        reading(coll="in", initialSync=ON)
    assert (caught.value.code, caught.value.retryable) == (421, True)


@pytest.mark.server
@pytest.mark.proves("$source:atlas.initialSync", "$source:atlas")
@pytest.mark.slow
def test_a_place_that_the_oplog_has_forgotten(
    surroundings: Surroundings, tmp_path: Path, cluster: MongoClient[Any]
) -> None:
    with short_oplog(tmp_path) as uri:
        surroundings.connections = {"c": {"type": "atlas", "uri": uri}}
        options = {"connectionName": "c", "db": "d", "coll": "in"}
        plain = ChangeStreamOptions.model_validate(options)
        syncing = ChangeStreamOptions.model_validate({**options, "initialSync": ON})
        client = surroundings.cluster("c")
        fill(client["d"]["in"], 3)
        tail = ChangeStreamSource(plain, surroundings, None)
        position = tail.position
        tail.close()
        source = ChangeStreamSource(syncing, surroundings, None)
        lose_oplog(client)
        with pytest.raises(ProcessorFailed, match="resumeFromCheckpoint: false") as lost:
            ChangeStreamSource(plain, surroundings, position)
        copied = 0
        with pytest.raises(ProcessorFailed, match="resumeFromCheckpoint: false") as too_long:
            while True:
                batch = source.read(10, 100)
                copied += len(batch.documents) if batch else 0
        source.close()
        surroundings.close()
    for caught in (lost, too_long):
        assert (caught.value.code, caught.value.retryable) == (425, False)
    assert copied == 3


# Everything at once

keys = st.one_of(
    st.integers(-5, 40),
    st.text("ab", max_size=2),
    st.none(),
    st.booleans(),
    st.sampled_from(ALL_KINDS),
    st.builds(lambda n: ObjectId(n.to_bytes(12, "big")), st.integers(0, 30)),
)
actions = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.just("insert"), st.sampled_from("abc"), keys),
    st.tuples(st.just("update"), st.sampled_from("abc"), keys),
    st.tuples(st.just("delete"), st.sampled_from("abc"), keys),
    st.just(("checkpoint",)),
    st.just(("restart",)),
    st.just(("checkpoint", "restart")),
)


class Replica:
    """A copy of the collections, kept by replaying events; a restart replays some again."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, bytes], Document] = {}
        self.seen: set[tuple[str, bytes]] = set()

    def apply(self, event: Document) -> None:
        place = (event["ns"]["coll"], bson.encode(event["documentKey"]))
        self.seen.add(place)
        document = event.get("fullDocument")
        if event["operationType"] == "delete":
            self.documents.pop(place, None)
        elif document is not None:
            self.documents[place] = document


def contents(database: Any) -> dict[tuple[str, bytes], Document]:
    return {
        (coll, bson.encode({"_id": document["_id"]})): document
        for coll in "abc"
        for document in database[coll].find()
    }


@pytest.mark.proves("$source:atlas.initialSync", "$source:atlas.initialSync.parallelism")
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    existing=st.lists(st.tuples(st.sampled_from("abc"), keys), min_size=15, max_size=60),
    plan=st.lists(actions, max_size=30),
    parallelism=st.integers(1, 4),
    named=st.booleans(),
)
def test_replaying_gives_the_collections_whatever_happens_meanwhile(
    reading: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    small_parts: None,
    existing: list[tuple[str, Any]],
    plan: list[tuple[Any, ...]],
    parallelism: int,
    named: bool,
) -> None:
    source = cluster[database]
    for coll in "abc":
        source[coll].delete_many({})
        source[coll].insert_one({"_id": "first"})
    for coll, key in existing:
        write(source, "insert", coll, key)
    at_first = contents(source)
    options = {
        "coll": ["b", "a", "c"] if named else None,
        "initialSync": {"enable": True, "parallelism": parallelism},
        "config": {"fullDocument": "updateLookup", "maxAwaitTimeMS": 20},
    }
    made = reading(**options)
    replica, checkpoint = Replica(), made.source.position
    for action, *arguments in plan:
        if action == "read":
            batch = made.source.read(arguments[0], 20)
            for event in batch.documents if batch else ():
                replica.apply(event)
        elif action not in ("checkpoint", "restart"):
            write(source, action, *arguments)
        if action == "checkpoint":
            checkpoint = bson.decode(bson.encode({"p": made.source.position}))["p"]
        if "restart" in (action, *arguments):
            made.source.close()
            made = reading(checkpoint, **options)
    source["a"].insert_one({"_id": "last", "marker": True})
    finish(made, replica)
    assert replica.documents == contents(source)
    assert replica.seen >= set(at_first)
    made.source.close()


def write(database: Any, action: str, coll: str, key: Any) -> None:
    if action == "insert":
        with contextlib.suppress(DuplicateKeyError):
            database[coll].insert_one({"_id": key, "n": 0})
    elif action == "update":
        database[coll].update_one({"_id": key}, {"$inc": {"n": 1}})
    else:
        database[coll].delete_one({"_id": key})


def finish(made: Any, replica: Replica) -> None:
    """Read until the marker has come by the tail, behind everything else."""
    while True:
        batch = made.source.read(2000, 100)
        for index, event in enumerate(batch.documents if batch else ()):
            replica.apply(event)
            copied = "initialSync" in batch.metadata(index)
            if not copied and event["documentKey"] == {"_id": "last"}:
                return
