"""How many documents a second the engine moves, beside bytewax and mongomock in the same run.

    python benchmarks/stream.py [--documents 200000]

Two workloads over a file of JSON lines, results written as JSON lines:
filter + arithmetic + projection, and a one-minute tumbling `$group`.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from asp_utils.clients.mongod import Mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.clock import SystemClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.memory import settle
from asp_utils.engine.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asp_utils.engine.sinks import Rejected

    Document = dict[str, Any]

STATELESS: list[Document] = [
    {"$match": {"obs.watts": {"$gt": 100}}},
    {"$set": {"load": {"$divide": ["$obs.watts", "$max_watts"]}}},
    {"$project": {"_id": 0, "device_id": 1, "load": 1, "group_id": 1}},
]
WINDOW: list[Document] = [
    {
        "$tumblingWindow": {
            "interval": {"size": 1, "unit": "minute"},
            "pipeline": [
                {
                    "$group": {
                        "_id": "$device_id",
                        "readings": {"$sum": 1},
                        "watts": {"$avg": "$obs.watts"},
                        "hottest": {"$max": "$obs.temp"},
                    }
                }
            ],
        }
    }
]


class LinesSource(Source):
    """A file of JSON lines as a source; the position is the line."""

    operator_name = "LinesSource"
    source_type = "generated"

    def __init__(self, path: Path) -> None:
        self._lines = path.open("rb")
        self.position = 0
        self._at_end = False

    @property
    def drained(self) -> bool:
        """Whether the last line was given."""
        return self._at_end

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The next lines, parsed."""
        lines = [line for _, line in zip(range(max_documents), self._lines, strict=False)]
        if not lines:
            self._at_end = True
            return None
        documents = orjson.loads(b"[" + b",".join(lines) + b"]")
        self.position += len(documents)
        size_bytes = sum(map(len, lines))
        times_ms = [0] * len(documents)
        return Batch(documents, times_ms, self.position, lambda _: {}, size_bytes=size_bytes)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class LinesSink(Sink):
    """JSON lines as a sink."""

    operator_name = "LinesSink"

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Write one line a document."""
        self._out.write(b"\n".join(map(orjson.dumps, documents)) + b"\n")
        return []

    def close(self) -> None:
        """Nothing of its own."""


def write_lines(path: Path, count: int) -> None:
    """Readings of ten panels, ten a second of event time."""
    begin = datetime(2026, 1, 20, tzinfo=UTC)
    with path.open("wb") as out:
        for n in range(count):
            reading = {
                "device_id": f"device_{n % 10}",
                "group_id": n % 7,
                "timestamp": (begin + timedelta(milliseconds=100 * n)).isoformat(),
                "max_watts": 450,
                "obs": {"watts": n * 7919 % 450, "temp": 5 + n % 20},
            }
            out.write(orjson.dumps(reading) + b"\n")


def engine(mongod: Mongod, stages: list[Document], source: Path, target: Path) -> None:
    """The engine, source and sink exchanged for files."""
    surroundings = Surroundings(
        "benchmark",
        {},
        Evaluator(MongodSocket.to(mongod.uri), "benchmark"),
        SystemClock(),
        threading.Event(),
    )
    time_field = {"$toDate": "$timestamp"}
    pipeline = [{"$source": {"documents": [], "timeField": time_field}}, *stages]
    with target.open("wb") as out:
        processor = assemble(
            Definition("b", "benchmark", pipeline),
            surroundings,
            None,
            source=LinesSource(source),
            sink=LinesSink(out),
        )
        if processor.parts.windows is None:
            processor.parts.intake.time_reader = None
        processor.run_until_drained()
        processor.checkpoint()


def bytewax_stateless(source: Path, target: Path) -> None:
    """The same filter, arithmetic and projection in bytewax."""
    import bytewax.operators as op
    from bytewax.connectors.files import FileSink, FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import run_main

    def reading(line: str) -> Document | None:
        document: Document = orjson.loads(line)
        if document["obs"]["watts"] <= 100:
            return None
        return {
            "device_id": document["device_id"],
            "load": document["obs"]["watts"] / document["max_watts"],
            "group_id": document["group_id"],
        }

    flow = Dataflow("stateless")
    lines = op.input("lines", flow, FileSource(source, batch_size=1000))
    kept = op.filter_map("work", lines, reading)
    written = op.map("json", kept, lambda d: ("", orjson.dumps(d).decode()))
    op.output("out", written, FileSink(target))
    run_main(flow)


def bytewax_window(source: Path, target: Path) -> None:
    """The same one-minute groups in bytewax."""
    import bytewax.operators as op
    import bytewax.operators.windowing as w
    from bytewax.connectors.files import FileSink, FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import run_main

    def keyed(line: str) -> tuple[str, Document]:
        document: Document = orjson.loads(line)
        document["at"] = datetime.fromisoformat(document["timestamp"])
        return document["device_id"], document

    def add(state: list[float], document: Document) -> list[float]:
        obs = document["obs"]
        return [state[0] + 1, state[1] + obs["watts"], max(state[2], obs["temp"])]

    def line(item: tuple[str, tuple[int, list[float]]]) -> tuple[str, str]:
        key, (_, (count, watts, hottest)) = item
        result = {"_id": key, "readings": count, "watts": watts / count, "hottest": hottest}
        return "", orjson.dumps(result).decode()

    flow = Dataflow("window")
    lines = op.input("lines", flow, FileSource(source, batch_size=1000))
    documents = op.map("parse", lines, keyed)
    clock = w.EventClock(lambda d: d["at"], wait_for_system_duration=timedelta(seconds=3))
    windower = w.TumblingWindower(
        length=timedelta(minutes=1), align_to=datetime(2026, 1, 1, tzinfo=UTC)
    )
    groups = w.fold_window(
        "group",
        documents,
        clock,
        windower,
        builder=lambda: [0, 0, 0],
        folder=add,
        merger=lambda a, b: [a[0] + b[0], a[1] + b[1], max(a[2], b[2])],
    )
    op.output("out", op.map("json", groups.down, line), FileSink(target))
    run_main(flow)


def mongomock_stateless(source: Path, target: Path) -> None:
    """The same stages in mongomock, batch by batch."""
    import mongomock

    collection: Any = mongomock.MongoClient().db.readings
    with source.open("rb") as lines, target.open("wb") as out:
        while documents := [
            orjson.loads(line) for _, line in zip(range(2000), lines, strict=False)
        ]:
            collection.delete_many({})
            collection.insert_many(documents)
            for document in collection.aggregate(STATELESS):
                out.write(orjson.dumps(document) + b"\n")


def mongomock_window(source: Path, target: Path) -> None:
    """The same one-minute groups in mongomock; it has no windows, so all at once."""
    import mongomock

    collection: Any = mongomock.MongoClient().db.readings
    collection.insert_many(map(orjson.loads, source.read_bytes().splitlines()))
    group = copy.deepcopy(WINDOW[0]["$tumblingWindow"]["pipeline"][0]["$group"])
    group["_id"] = {"device": "$device_id", "minute": {"$substr": ["$timestamp", 0, 16]}}
    with target.open("wb") as out:
        for document in collection.aggregate([{"$group": group}]):
            out.write(orjson.dumps(document) + b"\n")


FILTER = "filter+arithmetic+project"
GROUP = "one-minute $group"
PEERS: list[tuple[str, str, Callable[[Path, Path], None]]] = [
    (FILTER, "bytewax", bytewax_stateless),
    (GROUP, "bytewax", bytewax_window),
    (FILTER, "mongomock", mongomock_stateless),
    (GROUP, "mongomock", mongomock_window),
]


def rate(work: Callable[[], object], count: int, repeats: int) -> float:
    """Documents a second, the median of several runs."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return count / statistics.median(seconds)


def main() -> None:
    """Run everything that is installed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    settle()  # as the worker's process does; the peers gain from it too
    count, repeats = arguments.documents, arguments.repeats
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.ndjson", Path(folder) / "out.ndjson"
        small = Path(folder) / "small.ndjson"
        write_lines(source, count)
        write_lines(small, count // 20)
        mongod = Mongod.start(Path(folder) / "mongod")
        try:
            rows = [
                (
                    work,
                    "engine",
                    rate(partial(engine, mongod, stages, source, target), count, repeats),
                )
                for work, stages in ((FILTER, STATELESS), (GROUP, WINDOW))
            ]
        finally:
            mongod.stop()
        for work, peer, run in PEERS:
            if importlib.util.find_spec(peer) is None:
                continue
            if peer == "mongomock":  # a twentieth of the documents, once: it takes its time
                rows.append((work, peer, rate(partial(run, small, target), count // 20, 1)))
            else:
                rows.append((work, peer, rate(partial(run, source, target), count, repeats)))
    own = {work: value for work, name, value in rows if name == "engine"}
    print(f"{'workload':28}{'engine':12}{'documents/s':>14}{'ours is':>12}")
    for work, name, value in sorted(rows):
        print(f"{work:28}{name:12}{value:14,.0f}{own[work] / value:11.2f}x")


if __name__ == "__main__":
    main()
