"""Killed before or behind any step that others see: nothing is lost, nothing comes twice."""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from asp_utils.engine import assemble as assemble_module
from asp_utils.engine import processor as processor_module
from asp_utils.engine.windows.spill import Spill
from asp_utils.units import ms_of
from tests.delivery.lives import Killer, life, run_lives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.clients.mongod import Mongod

    Document = dict[str, Any]

DATABASE = "kill_points"
COUNTED = [{"$set": {"n": {"$add": ["$n", 1]}}}]
"""Written twice, a document says 2."""
NUMBERS = itertools.count(1)
KILLS = st.lists(st.tuples(st.integers(0, 14), st.booleans()), min_size=1, max_size=4)
pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def state(mongod: Mongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](mongod.uri) as client:
        yield client
        client.drop_database(DATABASE)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    killer = Killer()
    killer.install(monkeypatch)
    monkeypatch.setattr(processor_module, "BATCH_DOCUMENTS", 5)
    return killer


def merge(coll: str) -> Document:
    into = {"connectionName": "c", "db": DATABASE, "coll": coll}
    return {"$merge": {"into": into, "whenMatched": COUNTED}}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=KILLS,
    kinds=st.lists(st.sampled_from("ddrrfx"), min_size=30, max_size=60),
    often=st.booleans(),
)
@pytest.mark.slow
def test_documents_and_dead_letters_come_once(
    mongod: Mongod,
    state: MongoClient[Any],
    killer: Killer,
    kills: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
    often: bool,
) -> None:
    """`d` is written, `r` refused by a unique index, `f` fails in a stage, `x` has no target."""
    monkeypatch.setattr(processor_module, "_COMMIT_INTERVAL_MS", 0 if often else 50)
    name = f"p{next(NUMBERS)}"
    out, dead = state[DATABASE][f"out_{name}"], state[DATABASE][f"dead_{name}"]
    out.create_index("u", unique=True)
    out.insert_one({"_id": "there", "u": "taken"})
    documents = [
        {
            "_id": i,
            "n": 1,
            "u": "taken" if kind == "r" else i,
            "by": 0 if kind == "f" else 1,
            "coll": None if kind == "x" else out.name,
        }
        for i, kind in enumerate(kinds)
    ]
    pipeline: list[Document] = [
        {"$source": {"documents": documents}},
        {"$set": {"share": {"$divide": [1, "$by"]}}},
        merge("$coll"),
    ]
    dlq = {"connectionName": "c", "db": DATABASE, "coll": dead.name}
    begin = partial(life, mongod, state, DATABASE, name, pipeline, dlq=dlq)
    processor = run_lives(begin, killer, kills)
    written = {d["_id"]: d["n"] for d in out.find({"_id": {"$ne": "there"}})}
    assert written == {i: 1 for i, kind in enumerate(kinds) if kind == "d"}
    letters = sorted(d["doc"]["_id"] for d in dead.find())
    assert letters == [i for i, kind in enumerate(kinds) if kind != "d"]
    total = processor.parts.stats.total
    assert (total.input_message_count, total.dlq_message_count) == (len(kinds), len(letters))
    assert total.output_message_count == len(written)
    assert state[DATABASE].outbox.count_documents({"processorId": name}) == 0


BODIES: dict[str, list[Document]] = {
    "partial states": [
        {"$group": {"_id": {"$meta": "stream.window.start"}, "ids": {"$push": "$_id"}}}
    ],
    "documents": [
        {"$sort": {"_id": -1}},
        {"$group": {"_id": {"$min": {"$meta": "stream.window.start"}}, "ids": {"$push": "$_id"}}},
    ],
}
WINDOWS: dict[str, Document] = {
    "$tumblingWindow": {"interval": {"size": 10, "unit": "ms"}},
    "$hoppingWindow": {
        "interval": {"size": 10, "unit": "ms"},
        "hopSize": {"size": 4, "unit": "ms"},
    },
    "$sessionWindow": {"gap": {"size": 3, "unit": "ms"}, "partitionBy": None},
}


def reference(kind: str, times: list[int]) -> dict[int, list[int]]:
    """The windows of documents that come in order: by their start, the documents' numbers."""
    found: dict[int, list[int]] = defaultdict(list)
    start = last = -1000
    for number, time in enumerate(times):
        if kind == "$sessionWindow":
            start = start if time - last < 3 else time
            last = time
            found[start].append(number)
            continue
        hop = 10 if kind == "$tumblingWindow" else 4
        for begin in range(time - time % hop, time - 10, -hop):
            found[begin].append(number)
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=KILLS,
    kind=st.sampled_from(sorted(WINDOWS)),
    body=st.sampled_from(sorted(BODIES)),
    steps=st.lists(st.integers(0, 5), min_size=1, max_size=40),
)
@pytest.mark.slow
def test_windows_come_once_and_whole(
    mongod: Mongod,
    state: MongoClient[Any],
    killer: Killer,
    monkeypatch: pytest.MonkeyPatch,
    kills: list[tuple[int, bool]],
    kind: str,
    body: str,
    steps: list[int],
) -> None:
    monkeypatch.setattr(assemble_module, "Spill", partial(Spill, memory_bytes=100))
    monkeypatch.setattr(processor_module, "_COMMIT_INTERVAL_MS", 0)
    monkeypatch.setattr(processor_module, "CHECKPOINT_INTERVAL_MS", 0)
    name = f"w{next(NUMBERS)}"
    out = state[DATABASE][f"out_{name}"]
    times = [1_700_000_000_000 + time for time in itertools.accumulate(steps)]
    documents = [{"_id": i, "at": time} for i, time in enumerate(times)]
    closing = {"_id": -1, "at": times[-1] + 1_000_000}
    source = {
        "documents": [*documents, closing],
        "timeField": {"$toDate": {"$toLong": "$at"}},
    }
    options = {**WINDOWS[kind], "allowedLateness": 0, "pipeline": BODIES[body]}
    pipeline = [{"$source": source}, {kind: options}, {"$set": {"n": 1}}, merge(out.name)]
    last = run_lives(partial(life, mongod, state, DATABASE, name, pipeline), killer, kills)
    found = list(out.find())
    assert all(d["n"] == 1 for d in found)
    starts = [d["_id"] if isinstance(d["_id"], int) else ms_of(d["_id"]) for d in found]
    ids = [sorted(d["ids"]) for d in found]
    assert dict(zip(starts, ids, strict=True)) == dict(reference(kind, times))
    # Only what is still open (of the closing document) has parts left.
    parts = state[DATABASE].window_parts.distinct("number", {"processorId": name})
    assert last.parts.windows is not None
    still_open = last.parts.windows.windows.open.values()
    assert sorted(parts) == sorted(number for window in still_open for number in window.stored)
