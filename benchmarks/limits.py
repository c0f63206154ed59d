"""What bounds the engine: a pure Python loop over the same lines, and mongod alone.

    python -m benchmarks.limits [--documents 200000]

The loop reads and writes JSON lines and does nothing else. mongod alone is fed with messages that
were encoded before, three in flight, and its replies are not decoded.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import orjson

from asp_utils.clients.mongod import Mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.memory import settle
from asp_utils.engine.processor import BATCH_DOCUMENTS, IN_FLIGHT
from asp_utils.pipeline.rewrite import WINDOW_FIELD
from asp_utils.pipeline.split_group import split_group
from asp_utils.units import ms_of
from benchmarks.stream import STATELESS, WINDOW, write_lines

if TYPE_CHECKING:
    Document = dict[str, Any]

_MINUTE_MS = 60_000


def loop(source: Path, target: Path) -> None:
    """Read every line, write every line."""
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            out.write(orjson.dumps(orjson.loads(line)) + b"\n")


def messages(source: Path, stages: list[Document], flags: Document) -> list[bytes]:
    """The commands of all batches, encoded."""
    documents = [orjson.loads(line) for line in source.read_bytes().splitlines()]
    for document in documents:
        time_ms = ms_of(datetime.fromisoformat(document["timestamp"]))
        document[WINDOW_FIELD] = time_ms - time_ms % _MINUTE_MS
    batches = range(0, len(documents), BATCH_DOCUMENTS)
    return [
        bson.encode(
            {
                "aggregate": 1,
                "pipeline": [{"$documents": "$$batch"}, *stages],
                "let": {"batch": {"$literal": documents[start : start + BATCH_DOCUMENTS]}},
                "cursor": {"batchSize": 2**31 - 1},
                **flags,
                "$db": "limits",
            }
        )
        for start in batches
    ]


def mongod_alone(link: MongodSocket, commands: list[bytes]) -> None:
    """Send everything, three in flight."""
    waiting = 0
    for command in commands:
        link.send(command)
        waiting += 1
        if waiting >= IN_FLIGHT:
            link.receive()
            waiting -= 1
    for _ in range(waiting):
        link.receive()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=200_000)
    count = parser.parse_args().documents
    settle()
    group = WINDOW[0]["$tumblingWindow"]["pipeline"][0]["$group"]
    split = split_group(group)
    assert split is not None
    partial = {"needsMerge": True, "fromMongos": True}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.ndjson", Path(folder) / "out.ndjson"
        write_lines(source, count)
        mongod = Mongod.start(Path(folder) / "mongod")
        try:
            link = MongodSocket.to(mongod.uri)
            for name, stages, flags in (
                ("mongod alone, filter+arithmetic+project", STATELESS, {}),
                ("mongod alone, partial $group", [split.partial], partial),
            ):
                commands = messages(source, stages, flags)
                mongod_alone(link, commands)
                begin = time.perf_counter()
                mongod_alone(link, commands)
                print(f"{name:44}{count / (time.perf_counter() - begin):14,.0f}")
        finally:
            mongod.stop()
        begin = time.perf_counter()
        loop(source, target)
        print(f"{'pure Python loop with orjson':44}{count / (time.perf_counter() - begin):14,.0f}")


if __name__ == "__main__":
    main()
