"""A worker that follows a script instead of an engine, and speaks the worker protocol.

The script is in the pipeline: `[{"$source": {"script": [step, ...]}}, ...]`. Steps, in order:

    {"note": path}       append one JSON line about the specification to a file
    {"checkpoint": 1}    write a checkpoint document
    {"print": text}      print to standard error
    {"started": 1}       say that documents may come
    {"emit": n}          give n documents (process mode)
    {"pad": n}           bytes of padding in every document from here on
    {"finish": 1}        say that the source is drained
    {"exit": code}       end without a word
    {"crashes": [path, n]}  end without a word, the first n times
    {"fail": {...}}      end with a failed event
    {"garbage": 1}       write something that is no event
    {"deaf": 1}          ignore commands from here on
    {"wait": 1}          go on answering commands until stopped

A worker that is asked for a sample gives `onSample` documents at once (default 2). `stats` in the
source are further counters, and `explanation` is what it answers when it is asked to explain.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import bson
from pymongo import MongoClient

_TOLD = ("mode", "resumeFromCheckpoint", "stateDb", "workspace")


class ScriptedWorker:
    def __init__(self) -> None:
        self.pad = ""
        self.count = 0
        self.deaf = False
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.spec = self.read()
        assert self.spec is not None
        self.source = self.spec["pipeline"][0]["$source"]

    def read(self) -> dict[str, Any] | None:
        prefix = sys.stdin.buffer.read(4)
        if len(prefix) < 4:
            return None
        size = int.from_bytes(prefix, "little")
        return bson.decode(prefix + sys.stdin.buffer.read(size - 4))

    def send(self, **event: Any) -> None:
        with self.lock:
            sys.stdout.buffer.write(bson.encode(event))
            sys.stdout.buffer.flush()

    def documents(self, count: int) -> list[dict[str, Any]]:
        first, self.count = self.count, self.count + count
        return [{"n": n, "pad": self.pad} for n in range(first, first + count)]

    def stats(self) -> dict[str, Any]:
        return {
            "outputMessageCount": bson.Int64(self.count),
            "outputMessageSize": bson.Int64(self.count * 2048),
            "stateSize": bson.Int64(4096),
            "operatorStats": [{"name": "Op", "maxMemoryUsage": 1024, "inputMessageCount": 1024}],
            **self.source.get("stats", {}),
        }

    def listen(self) -> None:
        while (command := self.read()) is not None:
            if self.deaf:
                continue
            if command["cmd"] == "stats":
                self.send(event="stats", id=command["id"], stats=self.stats())
            elif command["cmd"] == "explain":
                explanation = self.source.get("explanation", {})
                self.send(event="explain", id=command["id"], explanation=explanation)
            elif command["cmd"] == "sample":
                documents = self.documents(self.source.get("onSample", 2))
                self.send(event="sample", id=command["id"], docs=documents)
            elif command["cmd"] == "stop":
                self.stopped.set()
        os._exit(9)

    def run(self) -> int:
        threading.Thread(target=self.listen, daemon=True).start()
        for step in self.source["script"]:
            ((name, value),) = step.items()
            code = getattr(self, f"do_{name}")(value)
            if code is not None:
                return int(code)
        return 0

    def do_note(self, path: str) -> None:
        assert self.spec is not None
        told = {key: self.spec[key] for key in _TOLD}
        told |= {"pid": os.getpid(), "startAt": str(self.spec.get("startAtOperationTime", ""))}
        told["connections"] = self.spec["connections"]
        with Path(path).open("a") as file:
            file.write(json.dumps(told) + "\n")

    def do_checkpoint(self, _value: object) -> None:
        assert self.spec is not None
        client: MongoClient[dict[str, Any]] = MongoClient(self.spec["stateUri"])
        with client:
            checkpoint = {"processorId": self.spec["processorId"]}
            client[self.spec["stateDb"]]["checkpoints"].insert_one(checkpoint)

    def do_print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def do_started(self, _value: object) -> None:
        self.send(event="started")

    def do_emit(self, count: int) -> None:
        for first in range(0, count, 100):
            self.send(event="output", docs=self.documents(min(100, count - first)))

    def do_pad(self, count: int) -> None:
        self.pad = "x" * count

    def do_finish(self, _value: object) -> None:
        self.send(event="finished")

    def do_exit(self, code: int) -> int:
        return code

    def do_crashes(self, value: list[Any]) -> int | None:
        path, count = Path(value[0]), value[1]
        with path.open("a") as file:
            file.write("x")
        return 3 if path.stat().st_size <= count else None

    def do_fail(self, value: dict[str, Any]) -> int:
        self.send(event="failed", **value)
        return 1

    def do_garbage(self, _value: object) -> None:
        sys.stdout.buffer.write(b"Traceback (most recent call last):\n")
        sys.stdout.buffer.flush()

    def do_deaf(self, _value: object) -> None:
        self.deaf = True

    def do_wait(self, _value: object) -> int:
        self.stopped.wait()
        self.send(event="stopped", stats=self.stats())
        return 0


if __name__ == "__main__":
    worker = ScriptedWorker()
    code = worker.run()
    os._exit(code)
