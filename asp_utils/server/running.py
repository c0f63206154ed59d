"""Keeps one started processor running: its worker is restarted until somebody ends the run."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from asp_utils.errors import AspError
from asp_utils.model.error_codes import CODES, FINAL
from asp_utils.model.processor_states import FAILED, STARTED, STOPPED
from asp_utils.model.tiers import memory_warning
from asp_utils.server.limits import Patience
from asp_utils.server.outcome import Crashed, Failed, Outcome, Stopped, failure_of_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from bson.raw_bson import RawBSONDocument

    from asp_utils.server.launcher import Launcher
    from asp_utils.server.limits import Limits
    from asp_utils.server.processor_store import ProcessorStore
    from asp_utils.server.processors import Processor
    from asp_utils.server.replies import CommandFailure
    from asp_utils.server.samples import SampleCursor
    from asp_utils.server.worker import Worker

_log = logging.getLogger(__name__)


class Ending(Enum):
    """Why a run is ended."""

    STOP = auto()
    """Somebody stopped the processor: checkpoint, then STOPPED."""
    SUSPEND = auto()
    """The machine stops: checkpoint, the state stays, so that the next start resumes it."""
    DISCARD = auto()
    """The processor is dropped: no checkpoint, nothing is kept."""


class ProcessorRun:
    """One started processor, from start to stop or FAILED, across restarts of its worker.

    While it exists, its `processor` is the authority: nobody else changes the stored one.

    Args:
        processor: What to run.
        launcher: Starts the workers.
        store: Where state changes are kept.
        limits: Backoff, retries and patience.
        on_end: Called once when the run is over.
    """

    def __init__(
        self,
        processor: Processor,
        launcher: Launcher,
        store: ProcessorStore,
        limits: Limits,
        on_end: Callable[[], None],
    ) -> None:
        self.processor = processor
        self.worker: Worker | None = None
        self.started = asyncio.Event()
        """Set when the worker runs for the first time."""
        self.trouble = ""
        """Why the last worker ended, when that was not meant."""
        self._launcher = launcher
        self._store = store
        self._limits = limits
        self._samples: dict[int, SampleCursor] = {}
        self._asked_for: set[int] = set()
        self._ending: Ending | None = None
        self._end_asked = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(lambda _task: on_end())

    async def wait_started(self, timeout_s: float) -> CommandFailure | None:
        """Wait until the worker runs or the time is over; the failure, if it never ran."""
        started = asyncio.get_running_loop().create_task(self.started.wait())
        await asyncio.wait(
            {self.task, started}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        started.cancel()
        if self.started.is_set() or not self.task.done():
            return None
        return failure_of_outcome(self.task.result())

    async def end(self, ending: Ending) -> Outcome:
        """End the run and wait until the worker is gone and the state is kept."""
        self._ending = ending
        self._end_asked.set()
        return await asyncio.shield(self.task)

    async def stats(self, *, verbose: bool) -> dict[str, Any]:
        """The counters now, or the last known ones while there is no worker that answers."""
        worker = self.worker
        if worker is not None:
            fresh = await worker.stats(self._limits.stats_s, verbose=verbose)
            self._note(worker, fresh or worker.last_stats)
        return self.processor.last_stats

    async def explain(self) -> dict[str, Any] | None:
        """What the worker says about its output; None while there is none that answers."""
        return await self.worker.explain(self._limits.stats_s) if self.worker else None

    @property
    def _label(self) -> str:
        """Which processor a line of the log is about: names come again, ids do not."""
        return f"{self._launcher.workspace}/{self.processor.name} ({self.processor.id})"

    @property
    def active(self) -> bool:
        """Whether a worker runs at this moment."""
        return self.worker is not None and self.worker.started.is_set()

    @property
    def has_failed(self) -> bool:
        """Whether the run is as good as over: the processor is FAILED, which is being kept."""
        return self.processor.state == FAILED

    def sample(self, number: int, cursor: SampleCursor) -> None:
        """Send output documents to `cursor`, across restarts, until `unsample`."""
        self._samples[number] = cursor
        if self.active:
            self._ask_for_sample(number)

    def unsample(self, number: int) -> None:
        """Send no more documents to that cursor."""
        self._samples.pop(number, None)
        if self.worker is not None and number in self._asked_for:
            self._asked_for.discard(number)
            self.worker.post({"cmd": "unsample", "id": number})

    async def _run(self) -> Outcome:
        outcome = await self._keep_running()
        failure = None
        if self._ending is not Ending.DISCARD:
            failure = await self._settle(outcome)
        for cursor in list(self._samples.values()):
            cursor.end(failure)
        return outcome

    async def _keep_running(self) -> Outcome:
        """Run workers one after another; the outcome of the last."""
        loop, patience = asyncio.get_running_loop(), Patience(self._limits)
        while True:
            began_s = loop.time()
            outcome = await self._run_worker()
            patience.ran(loop.time() - began_s)
            if self._ending is not None:
                return outcome
            delay_s = self._delay_after(outcome, patience)
            if delay_s is None:
                return outcome
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end_asked.wait(), delay_s)
            if self._ending is not None:
                return Stopped(self.processor.last_stats)

    def _delay_after(self, outcome: Outcome, patience: Patience) -> float | None:
        """Seconds until the next worker; None when there is to be none.

        Source: asp-reference.md 3.5: internal errors are retried without end, others a few times.
        """
        match outcome:
            case Crashed(reason):
                self.processor.restart_count += 1
                self.trouble = reason
                delay_s = patience.after_crash()
                _log.warning("%s: %s; again in %.1f s", self._label, reason, delay_s)
                return delay_s
            case Failed(retryable=True) if outcome.code not in FINAL:
                self.trouble = outcome.message
                _log.warning("%s: failed, retryable: %s", self._label, outcome.message)
                if outcome.code == CODES["InternalError"]:
                    return patience.after_crash()
                return patience.after_failure()
            case _:
                return None

    async def _run_worker(self) -> Outcome:
        """Run one worker until it ends, or is ended because the run is."""
        handlers = {"started": self._on_started, "sample": self._on_sample}
        try:
            resume = await self._store.has_checkpoint(self.processor.id)
            worker = await self._launcher.launch(
                self.processor, handlers, mode="run", resume=resume
            )
        except (OSError, AspError) as error:
            return Crashed(f"no worker could be started: {error}")
        self.worker = worker
        self._asked_for.clear()
        watching = asyncio.get_running_loop().create_task(self._watch(worker))
        asked = asyncio.get_running_loop().create_task(self._end_asked.wait())
        try:
            await asyncio.wait({worker.ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if self._ending is Ending.DISCARD:
                return await worker.kill()
            if self._ending is not None:
                return await worker.stop(self._limits.stop_s)
            return await worker.ended
        finally:
            watching.cancel()
            asked.cancel()
            self._note(worker, worker.last_stats)
            self.worker = None

    async def _watch(self, worker: Worker) -> None:
        """Ask a started worker for samples, and for counters ever again; kill one that hangs."""
        await worker.started.wait()
        warned = False
        for number in self._samples:
            self._ask_for_sample(number)
        while True:
            if await worker.stats(self._limits.hung_s) is None and not worker.ended.done():
                _log.warning("%s: the worker hangs; killed", self._label)
                await worker.kill()
            self._note(worker, worker.last_stats)
            warning = memory_warning(worker.memory_bytes, self.processor.running_tier)
            if warning is not None and not warned:
                _log.warning("%s: %s", self._label, warning.message)
            warned = warned or warning is not None
            await asyncio.sleep(self._limits.heartbeat_s)

    async def _on_started(self, _event: RawBSONDocument) -> None:
        if self.processor.state != STARTED:
            self.processor.enter(STARTED)
            with suppress(AspError):
                await self._store.save(self.processor)
        self.started.set()

    def _ask_for_sample(self, number: int) -> None:
        """Ask the worker for one sample, once."""
        if self.worker is not None and number not in self._asked_for:
            self._asked_for.add(number)
            self.worker.post({"cmd": "sample", "id": number})

    async def _on_sample(self, event: RawBSONDocument) -> None:
        cursor = self._samples.get(event["id"])
        if cursor is not None:
            cursor.offer(event["docs"])

    async def _settle(self, outcome: Outcome) -> CommandFailure | None:
        """Keep the state that the end of the run leaves behind; the failure, if it failed."""
        failure = None
        if isinstance(outcome, Failed) and not self._is_passing(outcome):
            retryable = outcome.retryable and outcome.code not in FINAL
            self.processor.fail(outcome.message, outcome.code, retryable=retryable)
            failure = failure_of_outcome(outcome)
        elif self._ending is Ending.STOP:
            self.processor.enter(STOPPED)
        try:
            await self._store.save(self.processor)
        except AspError as error:
            _log.error("%s: its state could not be kept: %s", self._label, error)
        return failure

    def _is_passing(self, outcome: Failed) -> bool:
        """Whether a failure came with the end of the machine: the next start tries again."""
        may_pass = outcome.retryable and outcome.code not in FINAL
        return self._ending is Ending.SUSPEND and may_pass

    def _note(self, worker: Worker, stats: dict[str, Any]) -> None:
        """Keep what the worker has counted, and how much memory it took when it did."""
        if stats:
            memory_bytes = worker.memory_bytes or self.processor.last_stats.get("memoryUsageBytes")
            self.processor.last_stats = {"memoryUsageBytes": memory_bytes or 0, **stats}
            self.processor.last_heartbeat = worker.heard_at or self.processor.last_heartbeat
