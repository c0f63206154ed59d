"""A stream processor at work: source, stages, window, sink, dead letters, checkpoints.

One thread runs it. Several batches are in flight at mongod at a time; their results are taken in
order, so a window closes only when everything that belongs to it has come back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.checkpoint import Checkpoint
from asp_utils.engine.evaluate import documents_bytes
from asp_utils.engine.steps import Closing, begin_closing, finish_closing
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    mark_metadata,
    unmark_metadata,
)
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asp_utils.engine.batch import Batch, Source
    from asp_utils.engine.checkpoint import CheckpointStore
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.dead_letters import DeadLetters
    from asp_utils.engine.evaluate import Failure, Outcome, Ticket
    from asp_utils.engine.event_time import TimeReader
    from asp_utils.engine.sinks import Sink
    from asp_utils.engine.stats import Stats
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.window import OpenWindow, Windows

    Document = dict[str, Any]

BATCH_DOCUMENTS: Final = 2000
IN_FLIGHT: Final = 3
CHECKPOINT_INTERVAL_MS: Final = 2000
_CHECKPOINT_SHARE: Final = 20
"""Checkpoints take a twentieth of the time at most: those of large windows are taken less often."""
_MAX_CHECKPOINT_INTERVAL_MS: Final = 600_000
"""What Atlas promises: never older than ten minutes."""
_COMPACT_FROM: Final = 5000
"""Partial group states of one window before they are combined."""


@dataclass
class Parts:
    """What a processor consists of."""

    source: Source
    steps: Steps
    windows: Windows | None
    sink: Sink | None
    time_reader: TimeReader | None
    dead_letters: DeadLetters
    stats: Stats
    checkpoints: CheckpointStore | None
    carries_metadata: bool = False
    metadata_field: str | None = None
    """`streamMetaFieldName`: the output field that shows the stream metadata."""


@dataclass
class _InFlight:
    """A batch at mongod, with what is needed when it comes back."""

    ticket: Ticket
    horizon_ms: int
    metadata: Callable[[int], Document]
    indexes: Sequence[int]
    """The place in the source's batch of each document in the ticket."""


@dataclass
class Processor:
    """Runs one pipeline until it is told to stop."""

    parts: Parts
    surroundings: Surroundings
    show: Callable[[list[Document]], None] = lambda _: None
    """Is given every batch of output documents (for samples)."""
    _pending: deque[_InFlight | Closing] = field(default_factory=deque)
    """Batches and closed windows at mongod, in the order in which their results count."""
    _batch_count: int = 0
    """How many of them are batches."""
    _idle_since_ms: int | None = None
    _next_checkpoint_ms: int = 0
    _position: Any = None

    def __post_init__(self) -> None:
        self._position = self.parts.source.position
        self._next_checkpoint_ms = self.surroundings.clock.now_ms() + CHECKPOINT_INTERVAL_MS

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
        batch = self.parts.source.read(BATCH_DOCUMENTS, max_wait_ms if not self._pending else 0)
        if batch is None:
            self._idle()
        else:
            self._idle_since_ms = None
            self._feed(batch)
        if self.surroundings.clock.now_ms() >= self._next_checkpoint_ms:
            self.checkpoint()
        return batch is not None

    def checkpoint(self) -> None:
        """Bring every batch to its end and save where the processor stands."""
        self._drain()
        begun_ms = self.surroundings.clock.now_ms()
        parts = self.parts
        if parts.checkpoints is not None:
            windows = parts.windows.snapshot() if parts.windows else ()
            position = parts.source.position if self._position is None else self._position
            parts.checkpoints.save(Checkpoint(position, parts.stats.snapshot(), windows))
        now_ms = self.surroundings.clock.now_ms()
        wait_ms = max(CHECKPOINT_INTERVAL_MS, _CHECKPOINT_SHARE * (now_ms - begun_ms))
        self._next_checkpoint_ms = now_ms + min(wait_ms, _MAX_CHECKPOINT_INTERVAL_MS)

    def _feed(self, batch: Batch) -> None:
        """Send a batch to mongod; take back the oldest when enough are in flight."""
        parts, source = self.parts, self.parts.source
        self._count(batch)
        for bad in batch.unreadable:
            parts.dead_letters.add(bad.document, bad.reason, source.operator_name, self._constant())
        documents, times_ms, indexes = self._timed(batch)
        partitions = None
        if batch.partitions is not None:
            partitions = [batch.partitions[index] for index in indexes]
        if parts.carries_metadata:
            for document, index in zip(documents, indexes, strict=True):
                document[METADATA_FIELD] = mark_metadata(self._metadata(batch, index))
        horizon_ms = 0
        if parts.windows is not None:
            in_time, late = parts.windows.assign(documents, times_ms, partitions)
            horizon_ms = parts.windows.horizon_ms
            if late:
                self._dead_letter_late([documents[i] for i in late])
                documents = [documents[i] for i in in_time]
                indexes = [indexes[i] for i in in_time]
        ticket = self.surroundings.evaluator.submit(parts.steps.per_batch, documents)
        self._batch_count += 1
        self._pending.append(
            _InFlight(ticket, horizon_ms, lambda i: self._metadata(batch, i), indexes)
        )
        self._position = batch.position
        while self._batch_count >= IN_FLIGHT:
            self._take_back()

    def _count(self, batch: Batch) -> None:
        """Count a batch as it came, before it carries hidden fields."""
        size_bytes = documents_bytes(batch.documents)
        count = len(batch.documents) + len(batch.unreadable)
        now_ms = self.surroundings.clock.now_ms()
        self.parts.stats.count_input(self.parts.source.operator_name, count, size_bytes, now_ms)

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
            self._dead_letter(failure, self._metadata(batch, failure.index))
        if not failures:
            batch.times_ms = [time for time in times_ms if time is not None]
            return batch.documents, batch.times_ms, everything
        kept = [index for index in everything if times_ms[index] is not None]
        times = [time for time in times_ms if time is not None]
        batch.times_ms = [0 if time is None else time for time in times_ms]
        return [batch.documents[index] for index in kept], times, kept

    def _take_back(self) -> None:
        """Collect what has been at mongod longest and pass its results on."""
        first = self._pending.popleft()
        if isinstance(first, Closing):
            self._take_closed(first)
        else:
            self._batch_count -= 1
            self._take_batch(first)
        self.parts.dead_letters.flush()

    def _take_batch(self, batch: _InFlight) -> None:
        outcome = self.surroundings.evaluator.collect(batch.ticket)
        for failure in outcome.failures:
            self._dead_letter(failure, batch.metadata(batch.indexes[failure.index]))
        if self.parts.windows is None:
            self._emit(outcome.documents, None)
        else:
            self._keep(outcome)
            self._close_windows(batch.horizon_ms)

    def _take_closed(self, begun: Closing) -> None:
        closing = self.parts.steps.closing
        outcome = finish_closing(self.surroundings.evaluator, closing, begun)
        for failure in outcome.failures:
            self._dead_letter(failure, begun.variables[METADATA_VARIABLE])
        self._emit(outcome.documents, begun.variables)

    def _drain(self) -> None:
        while self._pending:
            self._take_back()
        self.parts.dead_letters.flush()

    def _idle(self) -> None:
        """Nothing came: finish what is in flight, and let time close windows."""
        self._drain()
        self._position = self.parts.source.position
        windows, now_ms = self.parts.windows, self.surroundings.clock.now_ms()
        if windows is None:
            return
        if self._idle_since_ms is None:
            self._idle_since_ms = now_ms
        if windows.shape.processing_time:
            windows.watermark.observe(now_ms)
            self._close_windows(now_ms)
        else:
            horizon_ms = windows.idle_horizon_ms(now_ms - self._idle_since_ms)
            if horizon_ms is not None:
                windows.watermark.advance(horizon_ms + windows.shape.allowed_lateness_ms)
                self._close_windows(horizon_ms)
        self._drain()

    def _can_close(self) -> bool:
        """Whether time alone would still close a window."""
        windows = self.parts.windows
        if windows is None or not windows.open:
            return False
        return windows.shape.processing_time or windows.shape.idle_timeout_ms is not None

    def _keep(self, outcome: Outcome) -> None:
        """Put results of a batch into their windows."""
        windows, partial = self.parts.windows, self.parts.steps.compact is not None
        assert windows is not None  # noqa: S101 - narrows the type
        touched: dict[int, OpenWindow] = {}
        for document in outcome.documents:
            if partial:
                key = document["_id"]
                start_ms: int = key["w"]
                document["_id"] = key.get("k")
            else:
                start_ms = document.pop(WINDOW_FIELD)
                document.pop(METADATA_FIELD, None)
            touched[start_ms] = window = windows.add(start_ms, document)
            window.size_bytes += documents_bytes([document])
        for window in touched.values():
            if partial and len(window.documents) > _COMPACT_FROM + 2 * window.compacted_count:
                self._compact(window)

    def _compact(self, window: OpenWindow) -> None:
        """Combine the partial group states of an open window."""
        assert self.parts.steps.compact is not None  # noqa: S101 - narrows the type
        window.documents = self.surroundings.evaluator.evaluate_whole(
            self.parts.steps.compact, window.documents
        )
        window.compacted_count = len(window.documents)
        window.size_bytes = documents_bytes(window.documents)

    def _close_windows(self, horizon_ms: int) -> None:
        """Send the windows that have closed through their stages; their results come later."""
        windows = self.parts.windows
        assert windows is not None  # noqa: S101 - narrows the type
        for window in windows.take_closed(horizon_ms):
            metadata = windows.metadata(window, self.parts.source.source_type)
            begun = begin_closing(
                self.surroundings.evaluator,
                self.parts.steps.closing,
                window.documents,
                {METADATA_VARIABLE: metadata},
            )
            self._pending.append(begun)

    def _emit(self, documents: list[Document], variables: Mapping[str, Any] | None) -> None:
        """Hand documents to the sink, and to whoever samples."""
        if not documents:
            return
        parts = self.parts
        name = parts.sink.operator_name if parts.sink else "SinkOperator"
        if parts.metadata_field:
            for document in documents:
                found = variables[METADATA_VARIABLE] if variables else document[METADATA_FIELD]
                document[parts.metadata_field] = unmark_metadata(dict(found))
        if parts.sink is not None:
            rejected = parts.sink.write(documents, variables)
            for item in rejected:
                parts.dead_letters.add(item.document, item.reason, name, self._constant())
            refused = {item.index for item in rejected}
            documents = [d for index, d in enumerate(documents) if index not in refused]
        if parts.carries_metadata and variables is None:
            for document in documents:
                document.pop(METADATA_FIELD, None)
        parts.stats.count_output(name, documents)
        self.show(documents)

    def _dead_letter_late(self, documents: list[Document]) -> None:
        """Send late documents through the stages before the window; what is left was late."""
        outcome = self.surroundings.evaluator.evaluate(self.parts.steps.before, documents)
        for failure in outcome.failures:
            self._dead_letter(failure, self._constant())
        for document in outcome.documents:
            start_ms = document.pop(WINDOW_FIELD)
            document.pop(METADATA_FIELD, None)
            reason = "Input document arrived late."
            self.parts.dead_letters.add(
                document, reason, "WindowOperator", self._constant(), [start_ms]
            )

    def _dead_letter(self, failure: Failure, metadata: Document) -> None:
        document = failure.document
        for hidden in (WINDOW_FIELD, METADATA_FIELD):
            document.pop(hidden, None)
        self.parts.dead_letters.add(document, failure.reason, failure.operator_name, metadata)

    def _constant(self) -> Document:
        return {"source": {"type": self.parts.source.source_type}}

    def _metadata(self, batch: Batch, index: int) -> Document:
        """The stream metadata of one document of a batch."""
        from_source = batch.metadata(index)
        base = {"type": self.parts.source.source_type, "ts": datetime_of(batch.times_ms[index])}
        return {"source": base | from_source}
