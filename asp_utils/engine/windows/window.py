"""Windows: which ones a document belongs to, what the open ones hold, when they close.

What a window holds are encoded BSON documents: the documents themselves, or partial group states
where the `$group` was divided. Where documents would take too much memory they wait in mongod.

Source: Atlas page "Windows" (asp-reference.md 2.7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

from asp_utils.engine.event_time import NEVER, Watermark
from asp_utils.units import bson_date_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Document = dict[str, Any]


@dataclass(frozen=True)
class WindowShape:
    """The figures of a window, all in milliseconds."""

    interval_ms: int = 0
    """The length; 0 for a session."""
    hop_ms: int = 0
    """From one start to the next; 0 for a session."""
    gap_ms: int = 0
    """How far two documents of a session may lie apart at most (exclusive)."""
    partition_by: Any = None
    """The expression whose value tells sessions apart."""
    offset_ms: int = 0
    allowed_lateness_ms: int = 0
    idle_timeout_ms: int | None = None
    processing_time: bool = False
    """Documents belong to the windows of the clock at their arrival, whatever their own time."""

    @property
    def is_session(self) -> bool:
        """Whether the documents themselves make the window."""
        return self.gap_ms > 0

    def start_of(self, time_ms: int) -> int:
        """The last start at or before `time_ms`.

        Example:
            >>> WindowShape(interval_ms=60_000, hop_ms=60_000).start_of(61_000)
            60000
        """
        return time_ms - (time_ms - self.offset_ms) % self.hop_ms

    def starts_of(self, time_ms: int) -> list[int]:
        """The starts of all windows that hold `time_ms`, earliest first; none in a gap.

        Example:
            >>> WindowShape(interval_ms=60_000, hop_ms=30_000).starts_of(61_000)
            [30000, 60000]
        """
        last = self.start_of(time_ms)
        count = (self.interval_ms - (time_ms - last) - 1) // self.hop_ms + 1
        return [last - n * self.hop_ms for n in range(count - 1, -1, -1)]


@dataclass
class OpenWindow:
    """What is held for a window that has not closed yet."""

    key: int
    """What its documents are marked with: its start, or a session's number."""
    start_ms: int
    end_ms: int
    partition: Any = None
    """A session's `partitionBy` value."""
    held: list[bytes] = field(default_factory=list)
    """Documents or partial group states, encoded."""
    held_bytes: int = 0
    count: int = 0
    """How many documents came into it."""
    compacted_count: int = 0
    """How many partial states were left when they were last combined."""
    stored: list[int] = field(default_factory=list)
    """The parts of it that wait in mongod, earliest first (`engine.windows.spill`)."""
    stored_bytes: int = 0

    def hold(self, document: Document) -> None:
        """Take a document, or a partial group state."""
        encoded = bson.encode(document)
        self.held.append(encoded)
        self.held_bytes += len(encoded)

    def replace(self, documents: Sequence[Document]) -> None:
        """Hold these instead (partial states that were combined)."""
        self.held = [bson.encode(document) for document in documents]
        self.held_bytes = sum(map(len, self.held))
        self.compacted_count = len(self.held)

    def documents(self) -> list[Any]:
        """What is held in memory, in the order of arrival."""
        return [RawBSONDocument(encoded) for encoded in self.held]

    def take_over(self, other: OpenWindow) -> None:
        """Hold what another window held too (sessions that became one)."""
        self.held += other.held
        self.held_bytes += other.held_bytes
        self.stored += other.stored
        self.stored_bytes += other.stored_bytes
        self.count += other.count
        self.compacted_count = max(self.compacted_count, other.compacted_count)


@dataclass
class Late:
    """A document that came too late for windows."""

    document: Document
    missed_starts_ms: list[int]
    index: int
    """Its place among the documents that were marked with it."""


@dataclass
class Windows(ABC):
    """The open windows of one processor and the watermark that closes them."""

    shape: WindowShape
    watermark: Watermark = field(default_factory=Watermark)
    open: dict[int, OpenWindow] = field(default_factory=dict)

    @property
    def horizon_ms(self) -> int:
        """Windows that end at or before this have closed."""
        return self.watermark.value_ms - self.shape.allowed_lateness_ms

    @abstractmethod
    def mark(
        self,
        documents: Sequence[Document],
        times_ms: Sequence[int],
        partitions: Sequence[str] | None,
    ) -> tuple[list[int], list[Late]]:
        """Mark documents (in `WINDOW_FIELD`) with their windows, and move the watermark.

        Document by document, as the source gave them, before any stage has seen them.

        Returns:
            The indexes of the documents that go on, and those that have missed a window, which
            are marked with what they missed.
        """

    def place(self, documents: list[Document]) -> tuple[list[Document], list[Late]]:
        """Mark documents that have come through the stages before the window with its key."""
        return documents, []

    @abstractmethod
    def window(self, key: int) -> OpenWindow:
        """The open window of that key, opened if need be."""

    def take_closed(self, horizon_ms: int) -> list[OpenWindow]:
        """Remove and give the windows that end at or before the horizon, earliest end first."""
        closed = [window for window in self.open.values() if window.end_ms <= horizon_ms]
        closed.sort(key=lambda window: (window.end_ms, window.start_ms))
        for window in closed:
            self._forget(window)
        return closed

    def _forget(self, window: OpenWindow) -> None:
        del self.open[window.key]

    def metadata(self, window: OpenWindow, source_type: str) -> Document:
        """The stream metadata inside and after a window."""
        bounds = {"start": bson_date_of(window.start_ms), "end": bson_date_of(window.end_ms)}
        return {"source": {"type": source_type}, "window": bounds}

    @property
    def silent_from_ms(self) -> int:
        """The event time at which silence finds the stream."""
        watermark = self.watermark
        if watermark.started:
            return watermark.value_ms
        # A partition that never gave anything holds the watermark, but silence is silence.
        return max(watermark.highest.values(), default=NEVER)

    def idle_horizon_ms(self, idle_ms: int, from_ms: int) -> int | None:
        """The horizon that `idle_ms` of silence implies; None when no window closes by it.

        A window closes after max(time left in it, idleTimeout) since the source went idle, when
        the stream stood at `from_ms`.
        """
        timeout = self.shape.idle_timeout_ms
        if timeout is None or idle_ms < timeout or not self.open:
            return None
        reached = from_ms + idle_ms
        ends = [window.end_ms for window in self.open.values()]
        return max((end for end in ends if end <= reached), default=None)

    @property
    def state_bytes(self) -> int:
        """What the open windows hold, in memory and in mongod."""
        return sum(w.held_bytes + w.stored_bytes for w in list(self.open.values()))

    def snapshot(self) -> Iterator[Document]:
        """What a checkpoint keeps: the watermark, then each window and what it holds."""
        yield {"watermark": self.watermark.snapshot()}
        for window in self.open.values():
            yield {"window": {k: v for k, v in vars(window).items() if k != "held"}}
            for encoded in window.held:
                yield {"w": window.key, "d": encoded}

    def restore(self, parts: Iterable[Document]) -> None:
        """Take over what `snapshot` gave."""
        for part in parts:
            if "watermark" in part:
                self.watermark.restore(part["watermark"])
            elif "window" in part:
                self.open[part["window"]["key"]] = OpenWindow(**part["window"])
            elif "d" in part:
                self.open[part["w"]].held.append(part["d"])
