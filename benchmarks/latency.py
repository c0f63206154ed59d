"""How long one document takes through a running processor, and what state costs in memory.

    python benchmarks/latency.py [--documents 300] [--groups 100000] [--stream 5000000]

Latency: a document is inserted into a watched collection; it counts when the target's change
stream shows it. Memory: resident bytes of this process while documents flow through a window.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from asp_utils.clients.mongod import Mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.clock import SystemClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.delivery.checkpoint import CheckpointStore
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.memory import settle
from asp_utils.engine.reporting.report import resident_bytes

if TYPE_CHECKING:
    from asp_utils.engine.processor import Processor

    Document = dict[str, Any]

_MB = 1024 * 1024


def surroundings_of(mongod: Mongod) -> Surroundings:
    """A processor's surroundings with one cluster, `c`."""
    return Surroundings(
        "latency",
        {"c": {"type": "atlas", "uri": mongod.uri}},
        Evaluator(MongodSocket.to(mongod.uri, timeout_s=None), "latency"),
        SystemClock(),
        threading.Event(),
    )


def latencies_ms(mongod: Mongod, count: int, *, exactly_once: bool) -> list[float]:
    """From insert to seen in the target, document by document."""
    client: MongoClient[Document] = MongoClient(mongod.uri)
    name = "once" if exactly_once else "at_least_once"
    database = client[name]
    database.create_collection("out")
    pipeline: list[Document] = [
        {"$source": {"connectionName": "c", "db": name, "coll": "in"}},
        {"$replaceRoot": {"newRoot": "$fullDocument"}},
        {"$set": {"twice": {"$multiply": ["$n", 2]}}},
        {"$merge": {"into": {"connectionName": "c", "db": name, "coll": "out"}}},
    ]
    surroundings = surroundings_of(mongod)
    store = CheckpointStore(client["state"], name, mongod.uri)
    definition = Definition(name, name, pipeline, options={"exactlyOnce": exactly_once})
    found: list[float] = []
    with closing(assemble(definition, surroundings, store)) as processor:
        running = threading.Thread(target=processor.run)
        running.start()
        with database["out"].watch(max_await_time_ms=1000) as seen:
            for n in range(count):
                begin = time.perf_counter()
                database["in"].insert_one({"n": n})
                seen.next()
                found.append((time.perf_counter() - begin) * 1000)
        surroundings.stopping.set()
        running.join()
    client.close()
    return found


class Readings(Source):
    """Readings made on the fly: `per_ms` of them a millisecond of event time."""

    operator_name = "Readings"
    source_type = "generated"

    def __init__(self, count: int, devices: int, per_ms: int) -> None:
        self.position = 0
        self._count = count
        self._devices = devices
        self._per_ms = per_ms

    @property
    def drained(self) -> bool:
        """Whether all were given."""
        return bool(self.position >= self._count)

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The next ones."""
        end = min(self.position + max_documents, self._count)
        if end == self.position:
            return None
        numbers = range(self.position, end)
        self.position = end
        documents = [{"device": n % self._devices, "watts": n % 450} for n in numbers]
        times = [n // self._per_ms for n in numbers]
        return Batch(documents, times, end, lambda _: {}, size_bytes=40 * len(times))

    def close(self) -> None:
        """Nothing to release."""


def window(minutes: int) -> list[Document]:
    """Groups by device."""
    group = {"_id": "$device", "n": {"$sum": 1}, "watts": {"$avg": "$watts"}}
    interval = {"size": minutes, "unit": "minute"}
    inner = [{"$group": group}]
    return [
        {"$source": {"documents": []}},
        {"$tumblingWindow": {"interval": interval, "pipeline": inner}},
    ]


def processor_of(mongod: Mongod, pipeline: list[Document], source: Source) -> Processor:
    """A temporary processor over a source."""
    definition = Definition("memory", "memory", pipeline)
    return assemble(definition, surroundings_of(mongod), None, source=source)


def memory_mb(mongod: Mongod, pipeline: list[Document], source: Source) -> list[float]:
    """Resident memory at every tenth of the way."""
    found: list[float] = []
    with closing(processor_of(mongod, pipeline, source)) as processor:
        total = processor.parts.stats.total
        while not source.drained:
            aim = total.input_message_count + 1
            while total.input_message_count < aim and not source.drained:
                processor.step(0)
            found.append(resident_bytes() / _MB)
        windows = processor.parts.windows
        held = windows.windows.state_bytes / _MB if windows else 0.0
        groups = sum(len(w.held) for w in windows.windows.open.values()) if windows else 0
        print(f"  open at the end: {groups:,} partial states, {held:.1f} MB of state")
    step = max(1, len(found) // 10)
    return found[::step]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--stream", type=int, default=5_000_000)
    arguments = parser.parse_args()
    settle()
    with tempfile.TemporaryDirectory() as folder:
        mongod = Mongod.start(Path(folder))
        try:
            for exactly_once in (True, False):
                times = latencies_ms(mongod, arguments.documents, exactly_once=exactly_once)
                p99 = statistics.quantiles(times, n=100)[98]
                label = "exactly once" if exactly_once else "at least once"
                print(f"{label}: p50 {statistics.median(times):.1f} ms, p99 {p99:.1f} ms")
            print(f"{arguments.stream:,} documents through one-minute windows, resident MB:")
            found = memory_mb(mongod, window(1), Readings(arguments.stream, 10, 10))
            print("  " + " ".join(f"{mb:.0f}" for mb in found))
            print(f"{arguments.groups:,} open groups, resident MB:")
            source = Readings(5 * arguments.groups, arguments.groups, 1000)
            found = memory_mb(mongod, window(60), source)
            print("  " + " ".join(f"{mb:.0f}" for mb in found))
        finally:
            mongod.stop()


if __name__ == "__main__":
    main()
