"""The worker process over its own pipes, killed at bad moments."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import bson
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod


class WorkerProcess:
    """One worker, with its events read as they come."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asp_utils.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.send(spec)
        assert self.process.stdout is not None
        self.events: Iterator[dict[str, Any]] = bson.decode_file_iter(self.process.stdout)

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(bson.encode(message))
        self.process.stdin.flush()

    def wait_for(self, event: str) -> dict[str, Any]:
        return next(item for item in self.events if item["event"] == event)

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()


@contextmanager
def worker(
    mongod: Mongod, database: str, pipeline: list[Any], **more: Any
) -> Iterator[WorkerProcess]:
    spec = {
        "processorId": "p1",
        "name": "tested",
        "workspace": "local",
        "pipeline": pipeline,
        "options": {},
        "connections": {"c": {"type": "atlas", "uri": mongod.uri}},
        "stateUri": mongod.uri,
        "stateDb": database,
        "mode": "run",
        **more,
    }
    running = WorkerProcess(spec)
    try:
        yield running
    finally:
        running.kill()


def merge(database: str) -> dict[str, Any]:
    return {"$merge": {"into": {"connectionName": "c", "db": database, "coll": "out"}}}


def test_processes_to_the_end(mongod: Mongod, database: str) -> None:
    pipeline = [
        {"$source": {"documents": [{"a": 1}, {"a": 0}]}},
        {"$set": {"b": {"$divide": [1, "$a"]}}},
    ]
    with worker(mongod, database, pipeline, mode="process") as running:
        running.wait_for("started")
        assert running.wait_for("output")["docs"] == [{"a": 1, "b": 1.0}]
        letter = running.wait_for("output")["docs"][0]["_dlqMessage"]
        assert letter["doc"] == {"a": 0}
        assert running.wait_for("finished")["stats"]["dlqMessageCount"] == 1
        assert running.process.wait() == 0


def test_answers_stats_and_samples_and_stops(
    mongod: Mongod, cluster: MongoClient[Any], database: str
) -> None:
    pipeline = [{"$source": {"connectionName": "c", "db": database, "coll": "in"}}, merge(database)]
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        running.send({"cmd": "sample", "id": 5})
        running.send({"cmd": "stats", "id": 6, "verbose": True})
        assert running.wait_for("stats")["id"] == 6
        cluster[database]["in"].insert_one({"_id": 1})
        sample = running.wait_for("sample")
        assert (sample["id"], sample["docs"][0]["documentKey"]) == (5, {"_id": 1})
        running.send({"cmd": "stop"})
        assert running.wait_for("stopped")["stats"]["outputMessageCount"] == 1
        assert running.process.wait() == 0


def test_ends_when_its_supervisor_is_gone(mongod: Mongod, database: str) -> None:
    pipeline = [{"$source": {"connectionName": "c", "db": database, "coll": "in"}}, merge(database)]
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.process.wait() == 1


def test_says_why_it_failed(mongod: Mongod, database: str) -> None:
    sink = merge(database)
    sink["$merge"]["on"] = ["k"]
    with worker(mongod, database, [{"$source": {"documents": [{"k": 1}]}}, sink]) as running:
        failed = running.wait_for("failed")
        assert (failed["code"], failed["codeName"]) == (420, "StreamProcessorInvalidOptions")
        assert "no unique index" in failed["message"]
        assert failed["retryable"] is False
        assert running.process.wait() == 1


@pytest.mark.server
@pytest.mark.slow
def test_killed_in_the_middle_of_100_000_documents_loses_none(
    mongod: Mongod, cluster: MongoClient[Any], database: str
) -> None:
    count = 100_000
    config = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    source = {"connectionName": "c", "db": database, "coll": "in", "config": config}
    pipeline = [{"$source": source}, {"$set": {"seen": True}}, merge(database)]
    out = cluster[database].out
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        for start in range(0, count, 10_000):
            cluster[database]["in"].insert_many({"_id": n} for n in range(start, start + 10_000))
        running.send({"cmd": "sample", "id": 1})
        running.wait_for("sample")
        os.kill(running.process.pid, 9)
        running.process.wait()
    assert 0 < out.estimated_document_count() < count
    for _ in range(2):  # a second kill, right after the restart
        with worker(mongod, database, pipeline) as running:
            running.wait_for("started")
            running.send({"cmd": "sample", "id": 1})
            running.wait_for("sample")
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        running.send({"cmd": "sample", "id": 1})
        while out.estimated_document_count() < count:
            running.wait_for("sample")
    assert out.count_documents({"seen": True}) == count


def test_windows_survive_a_kill(mongod: Mongod, cluster: MongoClient[Any], database: str) -> None:
    source = {
        "connectionName": "c",
        "db": database,
        "coll": "in",
        "timeField": {"$toDate": "$fullDocument.at"},
    }
    group = {"$group": {"_id": {"$mod": ["$fullDocument._id", 2]}, "n": {"$sum": 1}}}
    window = {"interval": {"size": 1, "unit": "minute"}, "pipeline": [group]}
    pipeline = [{"$source": source}, {"$tumblingWindow": window}, merge(database)]
    readings = cluster[database]["in"]
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        readings.insert_many({"_id": n, "at": "2026-01-20T00:00:01Z"} for n in range(10))
        while not seen(running, 10):
            pass
        running.send({"cmd": "stop"})
        running.wait_for("stopped")
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        readings.insert_one({"_id": 10, "at": "2026-01-20T00:00:02Z"})
        while not seen(running, 11):
            pass
    with worker(mongod, database, pipeline) as running:
        running.wait_for("started")
        running.send({"cmd": "sample", "id": 1})
        readings.insert_one({"_id": 99, "at": "2026-01-20T01:00:00Z"})
        running.wait_for("sample")
    assert sorted((d["_id"], d["n"]) for d in cluster[database].out.find()) == [(0, 6), (1, 5)]


def seen(running: WorkerProcess, count: int) -> bool:
    running.send({"cmd": "stats", "id": 1})
    stats: dict[str, Any] = running.wait_for("stats")["stats"]
    return bool(stats["inputMessageCount"] >= count)
