"""One worker process and the pipes to it.

Both pipes carry BSON documents one after another. Into the worker go its specification and then
commands; out of it come events. The end of its standard input tells a worker that the supervisor
has died.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from asp_utils.clients.mongod import die_with_parent
from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.server.outcome import Crashed, Failed, Outcome, Stopped
from asp_utils.server.processors import now

if TYPE_CHECKING:
    from datetime import datetime

_PIPE_BYTES: Final = 1024 * 1024
_MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
_EXIT_S: Final = 5.0
"""How long a worker may live on after its last event."""
_MAX_LOG_BYTES: Final = 5_000_000
_SIZE: Final = struct.Struct("<i")
_FIRST: Final = asyncio.FIRST_COMPLETED
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_ANSWERS: Final = {"stats": "stats", "explain": "explanation"}
"""Events that answer a command, and the field that holds the answer."""

Handlers = Mapping[str, Callable[[RawBSONDocument], Awaitable[None]]]
"""What to do with an event, by its name, while the worker waits."""


@dataclass
class Worker:
    """A running worker process."""

    process: Process
    handlers: Handlers
    last_stats: dict[str, Any] = field(default_factory=dict)
    """The counters when they were last heard of."""
    heard_at: datetime | None = None
    """When it last answered with counters."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the source is connected and documents may come."""
    ended: asyncio.Task[Outcome] = field(init=False)
    _asked: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        """Begin to read events."""
        self.ended = asyncio.get_running_loop().create_task(self._read_to_end())

    @classmethod
    async def spawn(
        cls, command: Sequence[str], spec: Mapping[str, Any], log_path: Path, handlers: Handlers
    ) -> Worker:
        """Start a worker and give it its specification; what it prints goes to `log_path`.

        Raises:
            OSError: The process cannot be started.
        """
        mode = "wb" if log_path.exists() and log_path.stat().st_size > _MAX_LOG_BYTES else "ab"
        with log_path.open(mode) as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                limit=_PIPE_BYTES,
                preexec_fn=die_with_parent,
            )
        worker = cls(process, handlers)
        worker.post(spec)
        return worker

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self.process.pid

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory; 0 when it has ended."""
        try:
            _, resident_pages, *_ = Path(f"/proc/{self.pid}/statm").read_text().split()
        except (OSError, ValueError):
            return 0
        return int(resident_pages) * _PAGE_BYTES

    def post(self, document: Mapping[str, Any]) -> None:
        """Send a command; one that has ended hears nothing, which `ended` tells."""
        assert self.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        if not self.ended.done():
            self.process.stdin.write(bson.encode(document))

    async def wait_started(self, timeout_s: float) -> None:
        """Wait until it has started or ended, or the time is over."""
        started = asyncio.get_running_loop().create_task(self.started.wait())
        await asyncio.wait({started, self.ended}, timeout=timeout_s, return_when=_FIRST)
        started.cancel()

    async def stats(self, timeout_s: float, *, verbose: bool = False) -> dict[str, Any] | None:
        """The worker's counters now; None when it does not answer in time."""
        return await self._ask("stats", timeout_s, verbose=verbose)

    async def explain(self, timeout_s: float) -> dict[str, Any] | None:
        """What holds the processor's output now; None when it does not answer in time."""
        return await self._ask("explain", timeout_s)

    async def stop(self, timeout_s: float) -> Outcome:
        """Ask for a last checkpoint and wait for the end; kill what does not end in time."""
        self.post({"cmd": "stop"})
        await asyncio.wait({self.ended}, timeout=timeout_s)
        return await self.kill()

    async def kill(self) -> Outcome:
        """End the process at once, if it has not ended already."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                self.process.kill()
        return await self.ended

    async def _ask(self, command: str, timeout_s: float, **fields: Any) -> dict[str, Any] | None:
        """Send a command and wait for the event that answers it."""
        number = next(self._ids)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.post({"cmd": command, "id": number, **fields})
            await asyncio.wait({answer, self.ended}, timeout=timeout_s, return_when=_FIRST)
        finally:
            del self._asked[number]
        return answer.result() if answer.done() else None

    async def _read_to_end(self) -> Outcome:
        ending: Outcome | None = None
        try:
            while ending is None and (event := await self._next_event()) is not None:
                ending = await self._take(event)
        except (BSONError, ValueError, KeyError) as error:
            ending = Crashed(f"the worker sent something else than an event: {error!r}")
            self._kill_quietly()
        code = await self._reap()
        return ending or Crashed(f"the worker ended with code {code}")

    async def _take(self, event: RawBSONDocument) -> Outcome | None:
        """Act on one event; the outcome, when it is the last one."""
        kind = event["event"]
        if kind == "started":
            self.started.set()
        elif kind in _ANSWERS:
            self._answer(event["id"], kind, _plain(event[_ANSWERS[kind]]))
        elif kind == "stopped":
            self.last_stats = _plain(event["stats"])
            return Stopped(self.last_stats)
        elif kind == "failed":
            name, message = str(event["codeName"]), str(event["message"])
            return Failed(int(event["code"]), name, message, bool(event["retryable"]))
        elif kind == "finished" and "stats" in event:
            self.last_stats = _plain(event["stats"])
        if kind in self.handlers:
            await self.handlers[kind](event)
        return None

    def _answer(self, number: int, kind: str, content: dict[str, Any]) -> None:
        if kind == "stats":
            self.last_stats, self.heard_at = content, now()
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            answer.set_result(content)

    async def _next_event(self) -> RawBSONDocument | None:
        """The next event; None when the worker has closed its end, in the middle of one too."""
        stream = self.process.stdout
        assert stream is not None  # noqa: S101 - it was opened as a pipe
        try:
            prefix = await stream.readexactly(_SIZE.size)
            (size,) = _SIZE.unpack(prefix)
            if not _SIZE.size < size <= _MAX_EVENT_BYTES:
                raise ValueError(f"{size} bytes")
            return RawBSONDocument(prefix + await stream.readexactly(size - _SIZE.size))
        except asyncio.IncompleteReadError:
            return None

    async def _reap(self) -> int:
        """Wait for the process to end, killing it when it lingers; its exit code."""
        assert self.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        self.process.stdin.close()
        try:
            return await asyncio.wait_for(self.process.wait(), _EXIT_S)
        except TimeoutError:
            self._kill_quietly()
            return await self.process.wait()

    def _kill_quietly(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


def _plain(document: RawBSONDocument) -> dict[str, Any]:
    return bson.decode(document.raw, DOCUMENTS)
