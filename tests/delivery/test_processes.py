"""The shipped local instance: worker, daemon and mongod killed in any order, at any moment."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from asp_utils.server import lifecycle
from tests import waiting
from tests.instances import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Document = dict[str, Any]

pytestmark = pytest.mark.server
START_MS = 1_700_000_000_000
PART = 40
"""Documents inserted at a time."""
VICTIMS = ("worker", "mongod", "instance", "worker", "mongod", "instance", "worker")
COUNTED = [{"$set": {"n": {"$add": ["$n", 1]}}}]
"""Written twice, a document says 2."""


def merge(coll: str) -> Document:
    into = {"connectionName": "local_cluster", "db": "shop", "coll": coll}
    return {"$merge": {"into": into, "whenMatched": COUNTED}}


def source(**more: Any) -> Document:
    config = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    place = {"connectionName": "local_cluster", "db": "shop", "coll": "orders"}
    return {"$source": {**place, "config": config, **more}}


def windows(*body: Document) -> list[Document]:
    interval = {"size": 1, "unit": "second"}
    window = {"interval": interval, "allowedLateness": 0, "pipeline": list(body)}
    return [
        source(timeField={"$toDate": {"$toLong": "$at"}}),
        {"$tumblingWindow": window},
        {"$set": {"n": 1}},
    ]


START = {"$min": {"$toLong": {"$meta": "stream.window.start"}}}
PIPELINES: dict[str, list[Document]] = {
    "copied": [source(), {"$set": {"n": 1}}, merge("copied")],
    "states": [
        *windows(
            {
                "$group": {
                    "_id": {"$toLong": {"$meta": "stream.window.start"}},
                    **({"ids": {"$push": "$_id"}}),
                }
            }
        ),
        merge("states"),
    ],
    "documents": [
        *windows({"$sort": {"_id": -1}}, {"$group": {"_id": START, "ids": {"$push": "$_id"}}}),
        merge("documents"),
    ],
    "refused": [
        source(),
        {"$match": {"$expr": {"$eq": [{"$mod": ["$_id", 10]}, 0]}}},
        {"$set": {"u": "taken"}},
        merge("refused"),
    ],
}


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does; mongod may be down at times."""

    def holds() -> bool:
        with suppress(AutoReconnect):
            return condition()
        return False

    waiting.until(holds)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("killed")
    yield path
    discard(path)


def pid_of(folder: Path, victim: str, chance: random.Random) -> int | None:
    """A process of the instance; None where it has no such one at the moment."""
    state = lifecycle.status(folder)
    if state is None:
        return None
    if victim != "worker":
        return state.pids[victim]
    pid = state.supervisor_pid
    with suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        workers = [int(child) for child in children if int(child) != state.pids["mongod"]]
        return chance.choice(workers) if workers else None
    return None


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_nothing_is_lost_and_nothing_comes_twice(folder: Path) -> None:
    chance = random.Random(20260120)
    state = lifecycle.start(folder)
    shop = MongoClient[Any](state.mongod_uri)["shop"]
    shop.refused.create_index("u", unique=True)
    shop.refused.insert_one({"_id": "there", "u": "taken"})
    user, password = state.connection_user, state.connection_password
    url = state.stream_processor_url
    with MongoClient[Any](url, username=user, password=password) as client:
        for name, pipeline in PIPELINES.items():
            dlq = {"connectionName": "local_cluster", "db": "shop", "coll": "dead"}
            options = {"dlq": dlq}
            client.admin.command("createStreamProcessor", name, pipeline=pipeline, options=options)
            client.admin.command("startStreamProcessor", name)
    count = 0

    def insert(documents: list[Document]) -> None:
        def done() -> bool:
            for document in documents:
                shop.orders.update_one(
                    {"_id": document["_id"]}, {"$setOnInsert": document}, upsert=True
                )
            return True

        until(done)

    for victim in VICTIMS:
        for _ in range(chance.randint(1, 3)):
            times = [START_MS + 40 * n for n in range(count, count + PART)]
            insert([{"_id": count + i, "at": time_ms} for i, time_ms in enumerate(times)])
            count += PART
        seen = chance.randint(0, count)
        until(lambda: shop.copied.count_documents({}) >= seen)  # noqa: B023 - called here
        pid = pid_of(folder, victim, chance)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim == "instance":
            lifecycle.start(folder)
    insert([{"_id": count, "at": START_MS + 1_000_000_000}])

    expected: dict[int, list[int]] = {}
    for number in range(count):
        time_ms = START_MS + 40 * number
        expected.setdefault(time_ms - time_ms % 1000, []).append(number)
    until(lambda: shop.copied.count_documents({}) == count + 1)
    assert shop.copied.count_documents({"n": {"$ne": 1}}) == 0
    for name in ("states", "documents"):
        until(lambda: shop[name].count_documents({}) == len(expected))  # noqa: B023 - called here
        found = list(shop[name].find())
        assert {d["_id"]: sorted(d["ids"]) for d in found} == expected
        assert {d["n"] for d in found} == {1}
    tenth = list(range(0, count + 1, 10))
    until(lambda: shop.dead.count_documents({}) >= len(tenth))
    assert sorted(d["doc"]["_id"] for d in shop.dead.find()) == tenth
    shop.client.close()
