"""`$cachedLookup`: mongod's own equality, asked for once in a while."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.lookup.cache import ENTRY_BYTES, LookupCache
from asp_utils.engine.stages.cached_lookup import SPEC
from asp_utils.engine.stages.cached_lookup_options import default_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from asp_utils.engine.clock import ManualClock

    Document = dict[str, Any]

MINUTE_MS = 60_000


def options(database: str, **changed: Any) -> Document:
    return {
        "ttl": {"size": 1, "unit": "minute"},
        "from": {"connectionName": "c", "db": database, "coll": "f"},
        "localField": "k",
        "foreignField": "k",
        "as": "found",
        **changed,
    }


def found(stage: Any, *documents: Document) -> list[Any]:
    """The ids that were found for each document."""
    outcome = stage.process(copy.deepcopy(list(documents)), None)
    assert not outcome.failures
    return [[item["_id"] for item in document["found"]] for document in outcome.documents]


values = st.sampled_from([None, 0, 1, 1.0, "x", True, [1, "x"], {"k": 1}, []])
records = st.fixed_dictionaries({}, optional={"k": values, "a": values | st.lists(values)})
paths = st.sampled_from(["k", "a", "a.k", "a.0", "k.k"])


@pytest.mark.proves(
    "$cachedLookup", "$cachedLookup.from.connectionName", "$cachedLookup.from.db",
    "$cachedLookup.from.coll", "$cachedLookup.localField", "$cachedLookup.foreignField",
    "$cachedLookup.as",
)  # fmt: skip
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(records, max_size=6), max_size=3),
    foreign=st.lists(records, min_size=1, max_size=8),
    local_field=paths,
    foreign_field=paths,
    where=st.sampled_from(["found", "a", "a.k"]),
    tight=st.booleans(),
)
def test_it_finds_what_mongods_lookup_finds(
    build: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    batches: list[list[Document]],
    foreign: list[Document],
    local_field: str,
    foreign_field: str,
    where: str,
    *,
    tight: bool,
) -> None:
    cluster[database]["f"].drop()
    cluster[database]["f"].insert_many([{"_id": n, **d} for n, d in enumerate(foreign)])
    fields = {"localField": local_field, "foreignField": foreign_field, "as": where}
    memory = {"maxMemUsageBytes": 1000} if tight else {}
    stage = build(SPEC, options(database, **fields, **memory))
    for batch in batches:
        command = {
            "aggregate": 1,
            "pipeline": [{"$documents": "$$batch"}, {"$lookup": {"from": "f", **fields}}],
            "let": {"batch": {"$literal": batch}},
            "cursor": {},
        }
        theirs = cluster[database].command(command, codec_options=DOCUMENTS)
        ours = stage.process(copy.deepcopy(batch), None)
        assert [bson.encode(document) for document in ours.documents] == [
            bson.encode(document) for document in theirs["cursor"]["firstBatch"]
        ]
        assert not ours.failures


@pytest.mark.proves("$cachedLookup.ttl")
def test_what_was_found_is_kept_for_its_time(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str, clock: ManualClock
) -> None:
    collection = cluster[database]["f"]
    collection.insert_one({"_id": "old", "k": 1})
    stage = build(SPEC, options(database))
    assert found(stage, {"k": 1}, {"k": 2}, {"k": 1}) == [["old"], [], ["old"]]
    collection.insert_many([{"_id": "new", "k": 1}, {"_id": "late", "k": 2}])
    clock.advance(MINUTE_MS - 1)
    # That there was nothing is remembered too.
    assert found(stage, {"k": 1}, {"k": 2}) == [["old"], []]
    clock.advance(1)
    assert found(stage, {"k": 1}, {"k": 2}) == [["old", "new"], ["late"]]
    cache = stage.stats()["cache"]
    assert (cache["hits"], cache["misses"], cache["entries"]) == (3, 4, 2)
    assert cache["bytes"] > 2 * ENTRY_BYTES


@pytest.mark.proves("$cachedLookup.maxMemUsageBytes")
def test_memory_is_bounded(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_many(
        [{"_id": n, "k": n, "filling": "x" * 1000} for n in range(100)]
    )
    stage = build(SPEC, options(database, maxMemUsageBytes=20_000))
    batch = [{"k": n} for n in range(100)]
    assert found(stage, *batch) == [[n] for n in range(100)]
    cache = stage.stats()["cache"]
    assert 0 < cache["entries"] < 20
    assert cache["bytes"] <= 20_000
    assert found(stage, *batch) == [[n] for n in range(100)]
    assert stage.stats()["cache"]["hits"] > 0


def test_two_documents_do_not_share_what_was_found(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_one({"_id": 1, "k": 1})
    stage = build(SPEC, options(database))
    first, second = stage.process([{"k": 1}, {"k": 1}], None).documents
    first["found"][0]["_id"] = "changed"
    assert second["found"] == [{"_id": 1, "k": 1}]
    assert found(stage, {"k": 1}) == [[1]]


def test_a_lookup_that_fails_is_not_remembered(
    build: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    collection = cluster[database]["f"]
    collection.insert_many([{"_id": n, "k": 1, "x": "x" * 6_000_000} for n in range(3)])
    stage = build(SPEC, options(database))
    failed = stage.process([{"k": 1}, {"k": 2}], None)
    assert [failure.index for failure in failed.failures] == [0]
    assert failed.failures[0].operator_name == "CachedLookupOperator"
    collection.delete_one({"_id": 0})
    assert found(stage, {"k": 1}) == [[1, 2]]


def test_the_usual_size_and_the_warning_of_more() -> None:
    assert default_bytes() == 214_748_364
    assert SPEC.warnings is not None
    assert not list(SPEC.warnings({"maxMemUsageBytes": 268_435_456}))
    [warning] = SPEC.warnings({"maxMemUsageBytes": 268_435_457})
    assert warning.path == ".maxMemUsageBytes"
    assert "SP10" in warning.message


keys = st.integers(0, 9).map(lambda n: b"k%d" % n)
steps = st.lists(
    st.tuples(st.just("put"), keys, st.integers(0, 300))
    | st.tuples(st.just("wait"), keys, st.integers(1, 70)),
    max_size=60,
)


@given(steps=steps)
def test_the_cache_never_lies_and_never_overflows(steps: list[tuple[str, bytes, int]]) -> None:
    limit = 3 * (ENTRY_BYTES + 150)
    cache = LookupCache(ttl_ms=100, max_bytes=limit)
    put: dict[bytes, tuple[bytes, int]] = {}
    now_ms = 0
    for action, key, size in steps:
        if action == "wait":
            now_ms += size
        else:
            before = {k for k in put if cache.get(k, now_ms) is not None}
            expired = {k for k, (_, at_ms) in put.items() if at_ms + 100 <= now_ms}
            cache.put(key, b"v" * size, now_ms)
            put[key] = (b"v" * size, now_ms)
            after = {k for k in put if cache.get(k, now_ms) is not None}
            assert key in after
            if not (before - after - {key}):
                continue
            # Something that was still good was given up: nothing expired can be left.
            assert not any(entry in expired for entry in list(cache._entries) if entry != key)
        assert cache.size_bytes <= limit
        assert cache.size_bytes == sum(
            len(k) + len(entry.value) + ENTRY_BYTES for k, entry in cache._entries.items()
        )
        for known, (value, at_ms) in put.items():
            kept = cache.get(known, now_ms)
            assert kept in (None, value)
            assert kept is None or now_ms < at_ms + 100


def test_what_would_fill_the_cache_alone_is_not_kept() -> None:
    cache = LookupCache(ttl_ms=100, max_bytes=1000)
    cache.put(b"a", b"small", 0)
    cache.put(b"b", b"x" * 1000, 0)
    assert cache.get(b"a", 0) == b"small"
    assert cache.get(b"b", 0) is None
    cache.put(b"a", b"x" * 1000, 0)
    assert cache.get(b"a", 0) is None
    assert len(cache) == cache.size_bytes == 0
