"""A stream processor at work: source, stages, window, output, checkpoints.

One thread runs it. Several batches are in flight at mongod at a time; their results are taken in
order, so a window closes only when everything that belongs to it has come back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.chain import Chains, InChain
from asp_utils.engine.checkpoint import Checkpoint
from asp_utils.engine.evaluate import documents_bytes
from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    mark_metadata,
)
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.batch import Batch, Source
    from asp_utils.engine.checkpoint import CheckpointStore
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.dead_letters import DeadLetters
    from asp_utils.engine.evaluate import Failure
    from asp_utils.engine.event_time import TimeReader
    from asp_utils.engine.open_windows import OpenWindows
    from asp_utils.engine.output import Output
    from asp_utils.engine.stats import Stats
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.window import Late

    Document = dict[str, Any]

BATCH_DOCUMENTS: Final = 2000
IN_FLIGHT: Final = 3
CHECKPOINT_INTERVAL_MS: Final = 2000
_COMMIT_INTERVAL_MS: Final = 50
"""How long output waits for a transaction at most while documents keep coming."""
_CHECKPOINT_SHARE: Final = 20
"""Checkpoints take a twentieth of the time at most: those of large windows are taken less often."""
_MAX_CHECKPOINT_INTERVAL_MS: Final = 600_000
"""What Atlas promises: never older than ten minutes."""
_LATE: Final = "Input document arrived late."


@dataclass
class Parts:
    """What a processor consists of."""

    source: Source
    steps: Steps
    windows: OpenWindows | None
    output: Output
    time_reader: TimeReader | None
    dead_letters: DeadLetters
    stats: Stats
    checkpoints: CheckpointStore | None
    source_path: str = "[0].$source"


@dataclass
class _Flight:
    """A batch at mongod, with what is needed when it comes back."""

    inside: InChain
    horizon_ms: int
    batch: Batch
    indexes: Sequence[int]
    """The place in the source's batch of each document in it."""
    read_us: int


@dataclass
class Processor:
    """Runs one pipeline until it is told to stop."""

    parts: Parts
    surroundings: Surroundings
    chains: Chains
    pipeline: list[Document] = field(default_factory=list)
    """As it was given, for explanations."""
    added_parallelism: int = 0
    _pending: deque[_Flight | InChain] = field(default_factory=deque, init=False)
    """Batches and closed windows at mongod, in the order in which their results count."""
    _batch_count: int = field(default=0, init=False)
    """How many of them are batches."""
    _idle_since_ms: int | None = field(default=None, init=False)
    _checkpoint_ms: int = field(default=0, init=False)
    """When the last checkpoint was taken."""
    _checkpoint_cost_ms: int = field(default=0, init=False)
    _position: Any = field(default=None, init=False)
    """Behind the last batch that came back (with windows: that was read)."""

    def __post_init__(self) -> None:
        self._position = self.parts.source.position
        self._checkpoint_ms = self.surroundings.clock.now_ms()

    @property
    def idle_for_ms(self) -> int:
        """How long the source has given nothing."""
        since_ms = self._idle_since_ms
        return 0 if since_ms is None else self.surroundings.clock.now_ms() - since_ms

    def run(self, max_wait_ms: int = 200) -> None:
        """Process until `surroundings.stopping` is set, then leave a checkpoint."""
        while not self.surroundings.stopping.is_set():
            self.step(max_wait_ms)
        self.checkpoint()

    def run_until_drained(self, max_wait_ms: int = 200) -> None:
        """Process until the source has nothing more to give and no window can still close."""
        while not self.surroundings.stopping.is_set():
            if not self.step(max_wait_ms) and self.parts.source.drained and not self._can_close():
                return

    def step(self, max_wait_ms: int) -> bool:
        """Take one batch, or note that there was none; whether there was one."""
        wait_ms = 0 if self._pending or self.parts.output.waits else max_wait_ms
        batch = self.parts.source.read(BATCH_DOCUMENTS, wait_ms)
        if batch is None:
            self._idle()
        else:
            self._idle_since_ms = None
            self._feed(batch)
        self.parts.output.poll()
        if self._checkpoint_due(idle=batch is None):
            self.checkpoint()
        return batch is not None

    def checkpoint(self) -> None:
        """Save where the processor stands, with everything before it handed over."""
        parts, clock = self.parts, self.surroundings.clock
        if parts.windows is not None or self.surroundings.stopping.is_set():
            self._drain()
        begun_ms = clock.now_ms()
        position = parts.source.position if self._position is None else self._position
        parts.output.checkpoint(parts.checkpoints, lambda: self._checkpoint(position))
        if parts.windows is not None:
            parts.windows.checkpointed()
        if parts.checkpoints is not None:
            parts.source.committed(position)
        self._checkpoint_ms = clock.now_ms()
        self._checkpoint_cost_ms = self._checkpoint_ms - begun_ms

    def close(self) -> None:
        """Release source, stages and sink."""
        self.parts.source.close()
        for stage in self.parts.steps.own_stages:
            stage.close()
        if self.parts.output.sink is not None:
            self.parts.output.sink.close()

    def _checkpoint(self, position: Any) -> Checkpoint:
        parts = self.parts
        windows = parts.windows.windows.snapshot() if parts.windows else ()
        sink = parts.output.sink.snapshot() if parts.output.sink else ()
        return Checkpoint(position, parts.stats.snapshot(), windows, sink)

    def _checkpoint_due(self, *, idle: bool) -> bool:
        """By the clock, or because output waits for one; costly ones are taken less often."""
        since_ms = self.surroundings.clock.now_ms() - self._checkpoint_ms
        enough_ms = min(_CHECKPOINT_SHARE * self._checkpoint_cost_ms, _MAX_CHECKPOINT_INTERVAL_MS)
        output = self.parts.output
        if output.waits:
            due_ms = 0 if idle or output.is_full else _COMMIT_INTERVAL_MS
        else:
            due_ms = CHECKPOINT_INTERVAL_MS
        return since_ms >= max(due_ms, enough_ms)

    def _feed(self, batch: Batch) -> None:
        """Send a batch to mongod; take back the oldest when enough are in flight."""
        parts, source = self.parts, self.parts.source
        read_us = self.surroundings.clock.now_us()
        self._count(batch, read_us // 1000)
        for bad in batch.unreadable:
            metadata = {"source": {"type": source.source_type, **bad.metadata}}
            self._letter(bad.document, bad.reason, source.operator_name, metadata)
        documents, times_ms, indexes = self._timed(batch)
        if parts.steps.carries_metadata:
            for document, index in zip(documents, indexes, strict=True):
                document[METADATA_FIELD] = mark_metadata(self._metadata(batch, index))
        horizon_ms = 0
        if parts.windows is not None:
            documents, indexes = self._marked(batch, documents, times_ms, indexes)
            horizon_ms = parts.windows.windows.horizon_ms
        inside = self.chains.begin(parts.steps.per_batch, documents)
        self._batch_count += 1
        self._pending.append(_Flight(inside, horizon_ms, batch, indexes, read_us))
        if parts.windows is not None:
            self._position = batch.position
        while self._batch_count >= IN_FLIGHT:
            self._take_back()

    def _marked(
        self,
        batch: Batch,
        documents: list[Document],
        times_ms: Sequence[int],
        indexes: Sequence[int],
    ) -> tuple[list[Document], Sequence[int]]:
        """Documents marked with their windows; those that are late go their own way."""
        assert self.parts.windows is not None  # noqa: S101 - narrows the type
        partitions = None
        if batch.partitions is not None:
            partitions = [batch.partitions[index] for index in indexes]
        now_ms = self.surroundings.clock.now_ms()
        in_time, late = self.parts.windows.mark(
            self.parts.source, documents, times_ms, partitions, now_ms
        )
        if late:
            self._dead_letter_late(late)
        if len(in_time) == len(documents):
            return documents, indexes
        return [documents[i] for i in in_time], [indexes[i] for i in in_time]

    def _count(self, batch: Batch, now_ms: int) -> None:
        """Count a batch as it came, before it carries hidden fields."""
        size_bytes = documents_bytes(batch.documents)
        count = len(batch.documents) + len(batch.unreadable)
        source = self.parts.source
        path = self.parts.source_path
        self.parts.stats.count_input(source.operator_name, path, count, size_bytes, now_ms)

    def _timed(self, batch: Batch) -> tuple[list[Document], Sequence[int], Sequence[int]]:
        """The documents with their event times; those without one go to the dead letters."""
        parts = self.parts
        everything = range(len(batch.documents))
        if parts.windows is not None and parts.windows.shape.processing_time:
            now_ms = self.surroundings.clock.now_ms()
            return batch.documents, [now_ms] * len(everything), everything
        if parts.time_reader is None:
            return batch.documents, batch.times_ms, everything
        times_ms, failures = parts.time_reader.read(batch.documents)
        for failure in failures:
            metadata = self._metadata(batch, failure.index)
            self._letter(failure.document, failure.reason, failure.operator_name, metadata)
        kept = [index for index in everything if times_ms[index] is not None]
        times = [time for time in times_ms if time is not None]
        if not failures:
            batch.times_ms = times
            return batch.documents, times, everything
        batch.times_ms = [0 if time is None else time for time in times_ms]
        return [batch.documents[index] for index in kept], times, kept

    def _take_back(self) -> None:
        """Collect what has been at mongod longest and pass its results on."""
        first = self._pending.popleft()
        if isinstance(first, InChain):
            self._take_closed(first)
        else:
            self._batch_count -= 1
            self._take_batch(first)
        if self.parts.output.committer is None:
            self.parts.dead_letters.flush()

    def _take_batch(self, flight: _Flight) -> None:
        outcome = self.chains.finish(flight.inside)
        for failure in outcome.failures:
            self._fail(failure, flight)
        if self.parts.windows is None:
            self.parts.output.take(outcome.documents, None, flight.read_us)
            self._position = flight.batch.position
            return
        late, failures = self.parts.windows.keep(outcome.documents)
        for failure in failures:
            self._fail(failure, None)
        for item in late:
            self._late_letter(item.document, item.missed_starts_ms)
        self._close_windows(flight.horizon_ms)

    def _take_closed(self, inside: InChain) -> None:
        outcome = self.chains.finish(inside)
        for failure in outcome.failures:
            metadata = metadata_of(failure.document, inside.variables)
            self._letter(
                failure.document, failure.reason, failure.operator_name, metadata, failure.path
            )
        self.parts.output.take(outcome.documents, inside.variables)

    def _drain(self) -> None:
        while self._pending:
            self._take_back()

    def _idle(self) -> None:
        """Nothing came: finish what is in flight, and let time close windows."""
        self._drain()
        self._position = self.parts.source.position
        windows, now_ms = self.parts.windows, self.surroundings.clock.now_ms()
        if windows is None:
            return
        if self._idle_since_ms is None:
            self._idle_since_ms = now_ms
        horizon_ms = windows.horizon_of_silence(
            self.parts.source, now_ms, now_ms - self._idle_since_ms
        )
        if horizon_ms is not None:
            self._close_windows(horizon_ms)
            self._drain()

    def _can_close(self) -> bool:
        """Whether time alone would still close a window."""
        return self.parts.windows is not None and self.parts.windows.can_close

    def _close_windows(self, horizon_ms: int) -> None:
        """Send the windows that have closed through their stages; their results come later."""
        windows = self.parts.windows
        assert windows is not None  # noqa: S101 - narrows the type
        for window in windows.windows.take_closed(horizon_ms):
            metadata = windows.windows.metadata(window, self.parts.source.source_type)
            variables = {METADATA_VARIABLE: metadata}
            self._pending.append(windows.begin_closing(window, variables))

    def _dead_letter_late(self, late: Sequence[Late]) -> None:
        """Send late documents through the stages before the window; what is left was late."""
        late_documents = [item.document for item in late]
        outcome = self.chains.aside(self.parts.steps.before, late_documents)
        for failure in outcome.failures:
            self._fail(failure, None)
        for document in outcome.documents:
            missed = document[WINDOW_FIELD]
            self._late_letter(document, missed if isinstance(missed, list) else [missed])

    def _late_letter(self, document: Document, missed_starts_ms: list[int]) -> None:
        windows = self.parts.windows
        assert windows is not None  # noqa: S101 - narrows the type
        windows.late_count += 1
        metadata = metadata_of(document, None) or self._constant()
        self._letter(document, _LATE, "WindowOperator", metadata, windows.path, missed_starts_ms)

    def _fail(self, failure: Failure, flight: _Flight | None) -> None:
        """A dead letter for a document that failed before or in the window's early stages."""
        if METADATA_FIELD in failure.document:
            metadata = metadata_of(failure.document, None)
        elif flight is not None and failure.index >= 0:
            metadata = self._metadata(flight.batch, flight.indexes[failure.index])
        else:
            metadata = self._constant()
        reason, name = failure.reason, failure.operator_name
        self._letter(failure.document, reason, name, metadata, failure.path)

    def _letter(
        self,
        document: Any,
        reason: str,
        operator_name: str,
        metadata: Mapping[str, Any],
        path: str = "",
        missed_starts_ms: Sequence[int] = (),
    ) -> None:
        shown = visible(document) if isinstance(document, dict) else document
        letters = self.parts.dead_letters
        letters.add(shown, reason, operator_name, dict(metadata), missed_starts_ms, path)

    def _constant(self) -> Document:
        return {"source": {"type": self.parts.source.source_type}}

    def _metadata(self, batch: Batch, index: int) -> Document:
        """The stream metadata of one document of a batch."""
        from_source = batch.metadata(index)
        base = {"type": self.parts.source.source_type, "ts": datetime_of(batch.times_ms[index])}
        return {"source": base | from_source}
