"""Temporary processors: what processStreamProcessor runs, kept nowhere and bounded in time."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError
from asp_utils.model.processor_states import STARTED
from asp_utils.server.explanation import without_worker
from asp_utils.server.outcome import failure_of_outcome
from asp_utils.server.processors import Processor
from asp_utils.server.replies import CommandFailure
from asp_utils.server.statistics import no_stats

if TYPE_CHECKING:
    from bson.raw_bson import RawBSONDocument

    from asp_utils.server.launcher import Launcher
    from asp_utils.server.limits import Limits
    from asp_utils.server.processor_store import ProcessorStore
    from asp_utils.server.samples import Cursors, SampleCursor
    from asp_utils.server.worker import Worker

_STOP_S: Final = 2.0
_REMEMBERED_COUNT: Final = 10_000


class TemporaryProcessor:
    """One temporary processor and its only reader.

    Its worker waits while the reader's buffer is full. It ends when the source is drained, when
    it is dropped, when the reader has gone, and at the end of its time; a crash is a failure,
    as there is no checkpoint to go on from.
    """

    def __init__(
        self, processor: Processor, cursor: SampleCursor, store: ProcessorStore, limits: Limits
    ) -> None:
        self.processor = processor
        self.cursor = cursor
        self._store = store
        self._limits = limits
        self._enough = asyncio.Event()
        self._worker: Worker | None = None
        self._watching: asyncio.Task[None] | None = None

    async def begin(self, launcher: Launcher) -> None:
        """Start the worker; return when it runs, or is taking long.

        Raises:
            CommandFailure: It failed at once.
        """
        handlers = {"output": self._on_output, "finished": self._on_finished}
        try:
            worker = await launcher.launch(self.processor, handlers, mode="process", resume=False)
        except OSError as error:
            raise CommandFailure("InternalError", f"no worker could be started: {error}") from error
        self._worker = worker
        self._watching = asyncio.get_running_loop().create_task(self._watch(worker))
        await worker.wait_started(self._limits.start_wait_s)
        if worker.ended.done() and not worker.started.is_set():
            failure = failure_of_outcome(worker.ended.result())
            if failure is not None:
                raise failure

    def finish(self) -> None:
        """End soon; what the reader has not read yet stays readable."""
        self._enough.set()

    async def kill(self) -> None:
        """End at once."""
        if self._worker is not None:
            await self._worker.kill()

    async def stats(self, *, verbose: bool) -> dict[str, Any]:
        """The counters now, or the last known ones while the worker waits for its reader."""
        if self._worker is None:
            return no_stats()
        fresh = await self._worker.stats(self._limits.stats_s, verbose=verbose)
        return {**no_stats(), **(fresh or self._worker.last_stats)}

    async def explain(self) -> dict[str, Any]:
        """What holds its output; its worker may be waiting for its reader."""
        found = await self._worker.explain(self._limits.stats_s) if self._worker else None
        return found or without_worker(self.processor, "")

    async def _watch(self, worker: Worker) -> None:
        enough = asyncio.get_running_loop().create_task(self._enough.wait())
        await asyncio.wait(
            {worker.ended, enough},
            timeout=self._limits.temporary_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        enough.cancel()
        if worker.ended.done() and not self._enough.is_set():
            self.cursor.end(failure_of_outcome(worker.ended.result()))
        else:
            # Before the worker is stopped, as it may be waiting for room in the cursor.
            self.cursor.end()
            await worker.stop(_STOP_S)
        with suppress(AspError):
            # What its windows had no room for in memory.
            await self._store.discard_state(self.processor.id)

    async def _on_output(self, event: RawBSONDocument) -> None:
        await self.cursor.put(event["docs"])

    async def _on_finished(self, _event: RawBSONDocument) -> None:
        self.finish()


class TemporaryProcessors:
    """Every temporary processor by name."""

    def __init__(
        self, launcher: Launcher, store: ProcessorStore, cursors: Cursors, limits: Limits
    ) -> None:
        self._launcher = launcher
        self._store = store
        self._cursors = cursors
        self._limits = limits
        self._running: dict[str, TemporaryProcessor] = {}
        self._ended: deque[str] = deque(maxlen=_REMEMBERED_COUNT)

    async def process(
        self, pipeline: list[Any], options: dict[str, Any], user: str, tier: str
    ) -> tuple[str, int]:
        """Run a pipeline for one reader; the processor's name and the cursor's id.

        Raises:
            CommandFailure: It failed at once.
        """
        name = f"process-{secrets.token_hex(8)}"
        processor = Processor(
            name, pipeline, options, user, tier=tier, state=STARTED, has_started=True
        )
        cursor_id, cursor = self._cursors.open(name, lambda: self._forget(name))
        temporary = TemporaryProcessor(processor, cursor, self._store, self._limits)
        self._running[name] = temporary
        with ExitStack() as undo:
            undo.callback(cursor.close)
            await temporary.begin(self._launcher)
            undo.pop_all()
        return name, cursor_id

    def running(self) -> list[Processor]:
        """Every temporary processor that is still there."""
        return [temporary.processor for temporary in self._running.values()]

    def get(self, name: str) -> TemporaryProcessor | None:
        """The temporary processor of that name, if it still is there."""
        return self._running.get(name)

    async def drop(self, name: str) -> bool:
        """End a temporary processor; False when there never was one of that name.

        One that has ended already is dropped without complaint: clients drop in any case.
        """
        temporary = self._running.get(name)
        if temporary is None:
            return name in self._ended
        temporary.cursor.close()
        await temporary.kill()
        return True

    async def drop_all(self) -> None:
        """End every temporary processor."""
        await asyncio.gather(*(self.drop(name) for name in list(self._running)))

    def _forget(self, name: str) -> None:
        """The cursor is closed: end the processor and remember its name."""
        temporary = self._running.pop(name, None)
        if temporary is not None:
            self._ended.append(name)
            temporary.finish()
