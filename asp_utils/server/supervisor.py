"""Every started processor of the local instance, and the changes of state that clients ask for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from asp_utils.model.processor_states import (
    CREATED,
    FAILED,
    PROVISIONING,
    RUNNING_STATES,
    STOPPED,
    STOPPING,
)
from asp_utils.server.explanation import without_worker
from asp_utils.server.outcome import failure_of_outcome
from asp_utils.server.replies import already_running, not_running
from asp_utils.server.running import Ending, ProcessorRun
from asp_utils.server.statistics import accumulated, no_stats, totals

if TYPE_CHECKING:
    from asp_utils.server.launcher import Launcher
    from asp_utils.server.limits import Limits
    from asp_utils.server.processor_store import ProcessorStore
    from asp_utils.server.processors import Processor
    from asp_utils.server.samples import Cursors

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs processors, one OS process each.

    Args:
        launcher: Starts the workers.
        store: The processors.
        cursors: Where sample cursors are opened.
        limits: Bounds.
    """

    def __init__(
        self, launcher: Launcher, store: ProcessorStore, cursors: Cursors, limits: Limits
    ) -> None:
        self._launcher = launcher
        self._store = store
        self._cursors = cursors
        self._limits = limits
        self._runs: dict[str, ProcessorRun] = {}
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def changing(self, name: str) -> asyncio.Lock:
        """The lock under which a processor of that name is changed, one change at a time."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def get(self, name: str) -> Processor:
        """The processor of that name, as it is at this moment.

        Raises:
            CommandFailure: StreamProcessorDoesNotExist.
        """
        processor = await self._store.get(name)
        run = self._runs.get(processor.id)
        return run.processor if run else processor

    async def all(self) -> list[Processor]:
        """Every processor, as it is at this moment."""
        processors = await self._store.all()
        return [
            self._runs[each.id].processor if each.id in self._runs else each for each in processors
        ]

    async def settled(self, name: str) -> Processor:
        """The processor of that name; one that has just failed, when that has been kept.

        Raises:
            CommandFailure: StreamProcessorDoesNotExist.
        """
        processor = await self.get(name)
        run = self._runs.get(processor.id)
        if run is not None and run.has_failed:
            await asyncio.wait({run.task})
            processor = await self._store.get(name)
        return processor

    def running(self) -> list[Processor]:
        """Every processor that runs, or is meant to."""
        return [run.processor for run in self._runs.values() if not run.has_failed]

    async def start(
        self,
        processor: Processor,
        *,
        start_point: dict[str, Any],
        fresh: bool,
        tier: str | None = None,
        autoscaling: dict[str, Any] | None = None,
    ) -> None:
        """Start a processor; return when it runs, or is taking long.

        Args:
            processor: CREATED, STOPPED or FAILED, and settled.
            start_point: `startAtOperationTime` or `startAfter`, or nothing.
            fresh: Discard its checkpoint even if it fits; the summary counters go on.
            tier: The tier of this one run.
            autoscaling: The autoscaling of this one run, which is only shown here.

        Raises:
            CommandFailure: It runs already, or it failed at once.
        """
        if processor.id in self._runs:
            raise already_running(processor.name)
        if fresh or processor.fresh_start:
            await self._discard_state(processor)
        processor.start_options = start_point
        processor.effective_tier = tier or ""
        processor.effective_autoscaling = autoscaling or {}
        processor.enter(PROVISIONING)
        await self._store.save(processor)
        run = self._run(processor)
        failure = await run.wait_started(self._limits.start_wait_s)
        if failure is not None:
            raise failure

    async def stop(self, processor: Processor) -> None:
        """Stop a running processor after a last checkpoint.

        Raises:
            CommandFailure: It does not run, or it failed while it was stopped.
        """
        run = self._running(processor)
        run.processor.enter(STOPPING)
        await self._store.save(run.processor)
        failure = failure_of_outcome(await run.end(Ending.STOP))
        if failure is not None and run.processor.state != STOPPED:
            raise failure

    async def drop(self, processor: Processor) -> None:
        """End a processor if it runs, and forget it with all its state."""
        run = self._runs.get(processor.id)
        if run is not None:
            await run.end(Ending.DISCARD)
        await self._store.delete(processor)

    async def stats(self, processor: Processor, *, verbose: bool) -> dict[str, Any]:
        """The counters of a processor; the last known ones when it does not run."""
        run = self._runs.get(processor.id)
        current = dict(await run.stats(verbose=verbose) if run else processor.last_stats)
        if not verbose:
            current.pop("operatorStats", None)
        return accumulated({**no_stats(), **current}, processor.stats_base)

    async def explain(self, processor: Processor) -> dict[str, Any]:
        """What holds a processor's output, as its worker says it, or why there is no worker."""
        run = self._runs.get(processor.id)
        found = await run.explain() if run else None
        return found or without_worker(processor, run.trouble if run else "")

    def has_active_worker(self, processor: Processor) -> bool:
        """Whether a worker runs for it now: a STARTED processor may be between two workers."""
        run = self._runs.get(processor.id)
        return run is not None and run.active

    def sample(self, processor: Processor, max_count: int | None) -> int:
        """Open a sample of a running processor's output; the cursor's id.

        Raises:
            CommandFailure: It does not run.
        """
        run = self._running(processor)
        number = -1

        def on_close() -> None:
            run.unsample(number)

        number, cursor = self._cursors.open(
            processor.name, on_close, max_count=max_count, max_bytes=self._limits.sample_bytes
        )
        run.sample(number, cursor)
        return number

    async def resume_all(self) -> None:
        """Start what was meant to run when the machine stopped."""
        for processor in await self._store.all():
            if processor.state in RUNNING_STATES:
                self._run(processor)
            elif processor.state == STOPPING:
                processor.enter(STOPPED)
                await self._store.save(processor)

    async def suspend_all(self) -> None:
        """End every worker after a last checkpoint; `resume_all` continues from there."""
        runs = list(self._runs.values())
        outcomes = await asyncio.gather(
            *(run.end(Ending.SUSPEND) for run in runs), return_exceptions=True
        )
        _log.info("suspended %d processors: %s", len(runs), outcomes)

    def _run(self, processor: Processor) -> ProcessorRun:
        def on_end() -> None:
            self._runs.pop(processor.id, None)

        run = ProcessorRun(processor, self._launcher, self._store, self._limits, on_end)
        self._runs[processor.id] = run
        return run

    async def _discard_state(self, processor: Processor) -> None:
        """Delete the checkpoints of a processor that does not run; its counters go on."""
        processor.stats_base = totals(accumulated(processor.last_stats, processor.stats_base))
        processor.last_stats = {}
        processor.fresh_start = False
        await self._store.discard_state(processor.id)

    def _running(self, processor: Processor) -> ProcessorRun:
        run = self._runs.get(processor.id)
        if run is None or run.has_failed:
            raise not_running(processor.name, processor.state)
        return run


def is_at_rest(processor: Processor) -> bool:
    """Whether a processor may be modified: it was never started, was stopped, or failed."""
    return processor.state in (CREATED, STOPPED, FAILED)
