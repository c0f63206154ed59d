"""A stream processor at work: source, stages, window, output, checkpoints.

One thread runs it. Several batches are in flight at mongod at a time; their results are taken in
order, so a window closes only when everything that belongs to it has come back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.chain import Chains, InChain
from asp_utils.engine.delivery.checkpoint import Checkpoint
from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.pipeline.rewrite import METADATA_VARIABLE

if TYPE_CHECKING:
    from asp_utils.engine.batch import Batch, Source
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.delivery.checkpoint import CheckpointStore
    from asp_utils.engine.delivery.dead_letters import DeadLetters
    from asp_utils.engine.delivery.output import Output
    from asp_utils.engine.evaluate import Failure
    from asp_utils.engine.intake import Arrival, Intake
    from asp_utils.engine.reporting.stats import Stats
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.windows.open_windows import OpenWindows

    Document = dict[str, Any]

BATCH_DOCUMENTS: Final = 2000
IN_FLIGHT: Final = 3
CHECKPOINT_INTERVAL_MS: Final = 2000
_COMMIT_INTERVAL_MS: Final = 50
"""How long output waits for a transaction at most while documents keep coming."""
_CHECKPOINT_SHARE: Final = 20
"""Checkpoints take a twentieth of the time at most: those of large windows are taken less often."""
_COMMIT_SHARE: Final = 4
"""With output waiting a checkpoint of windows may take a fifth."""
_MAX_CHECKPOINT_INTERVAL_MS: Final = 600_000
"""What Atlas promises: never older than ten minutes."""


@dataclass
class Parts:
    """What a processor consists of."""

    source: Source
    steps: Steps
    windows: OpenWindows | None
    output: Output
    intake: Intake
    dead_letters: DeadLetters
    stats: Stats
    checkpoints: CheckpointStore | None


@dataclass
class _Flight:
    """A batch at mongod, with what is needed when it comes back."""

    inside: InChain
    horizon_ms: int
    arrival: Arrival


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
        batch = self.parts.source.read(self._batch_documents(), self._wait_ms(max_wait_ms))
        if batch is None:
            self._idle()
        else:
            self._idle_since_ms = None
            self._feed(batch)
        self.parts.output.poll()
        if self._ms_to_checkpoint(idle=batch is None) <= 0:
            self.checkpoint()
        return batch is not None

    def _wait_ms(self, max_wait_ms: int) -> int:
        """How long to wait for documents: not while others are under way."""
        if self._pending:
            return 0
        if self.parts.output.waits:
            return max(0, min(max_wait_ms, self._ms_to_checkpoint(idle=True)))
        return max_wait_ms

    def _batch_documents(self) -> int:
        """How many documents to read at once: no more than the slowest stage takes in a while."""
        wanted = (stage.batch_documents for stage in self.parts.steps.own_stages)
        return min((BATCH_DOCUMENTS, *(count for count in wanted if count is not None)))

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

    def _ms_to_checkpoint(self, *, idle: bool) -> int:
        """By the clock, or because output waits for one; costly ones are taken less often."""
        since_ms = self.surroundings.clock.now_ms() - self._checkpoint_ms
        output, has_state = self.parts.output, self.parts.windows is not None
        if output.is_full:
            return 0
        if output.waits:
            due_ms = 0 if idle else _COMMIT_INTERVAL_MS
            enough_ms = _COMMIT_SHARE * self._checkpoint_cost_ms if has_state else 0
        else:
            due_ms = CHECKPOINT_INTERVAL_MS
            enough_ms = _CHECKPOINT_SHARE * self._checkpoint_cost_ms
        return max(due_ms, min(enough_ms, _MAX_CHECKPOINT_INTERVAL_MS)) - since_ms

    def _feed(self, batch: Batch) -> None:
        """Send a batch to mongod; take back the oldest when enough are in flight."""
        parts = self.parts
        arrival = parts.intake.take(batch)
        horizon_ms = parts.windows.windows.horizon_ms if parts.windows else 0
        inside = self.chains.begin(
            parts.steps.per_batch, arrival.documents, size_bytes=arrival.size_bytes
        )
        self._batch_count += 1
        self._pending.append(_Flight(inside, horizon_ms, arrival))
        if parts.windows is not None:
            self._position = batch.position
        while self._batch_count >= IN_FLIGHT:
            self._take_back()

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
        arrival = flight.arrival
        self._count(arrival)
        for letter in arrival.letters:
            self.parts.dead_letters.add(*letter)
        for outcome in self.chains.parts(flight.inside):
            for failure in outcome.failures:
                self._fail(failure, arrival)
            if self.parts.windows is None:
                size_bytes = outcome.size_bytes
                self.parts.output.take(outcome.documents, None, arrival.read_us, size_bytes)
            else:
                self._keep(self.parts.windows, outcome.documents, arrival)
        if self.parts.windows is None:
            self._position = arrival.batch.position
        else:
            self._close_windows(flight.horizon_ms)

    def _count(self, arrival: Arrival) -> None:
        name, path = self.parts.intake.source.operator_name, self.parts.intake.source_path
        stats, documents = self.parts.stats, len(arrival.batch.documents)
        stats.count_input(name, path, arrival.count, documents, arrival.size_bytes)
        stats.last_message_ms = arrival.read_us // 1000

    def _keep(self, windows: OpenWindows, documents: list[Document], arrival: Arrival) -> None:
        """Put documents into their windows; those that came too late go to the dead letters."""
        late, failures = windows.keep(documents)
        for failure in failures:
            self._fail(failure, None)
        for item in late:
            intake, index = self.parts.intake, arrival.indexes[item.index]
            metadata = intake.metadata(arrival.batch, index)
            letter = intake.late(item.document, item.missed_starts_ms, metadata)
            self.parts.dead_letters.add(*letter)

    def _take_closed(self, inside: InChain) -> None:
        for outcome in self.chains.parts(inside):
            for failure in outcome.failures:
                self._letter(failure, metadata_of(failure.document, inside.variables))
            self.parts.output.take(
                outcome.documents, inside.variables, size_bytes=outcome.size_bytes
            )

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

    def _fail(self, failure: Failure, arrival: Arrival | None) -> None:
        """A dead letter for a document that failed before or in the window's early stages."""
        metadata = self.parts.intake.metadata_of_failure(failure, arrival)
        self._letter(failure, metadata)

    def _letter(self, failure: Failure, metadata: Document) -> None:
        shown, name = visible(failure.document), failure.operator_name
        self.parts.dead_letters.add(shown, failure.reason, name, metadata, path=failure.path)
