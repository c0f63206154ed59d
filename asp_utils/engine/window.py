"""Windows of fixed length: which window a document belongs to, and what open windows hold.

Window arithmetic is two floor divisions on integers. Bounds are [start, end); starts are multiples
of the interval since the Unix epoch (UTC) plus the offset.

Source: Atlas page "Windows" (asp-reference.md 2.7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asp_utils.engine.event_time import Watermark
from asp_utils.pipeline.rewrite import WINDOW_FIELD
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    Document = dict[str, Any]


@dataclass(frozen=True)
class WindowShape:
    """The figures of a fixed window, all in milliseconds."""

    interval_ms: int
    offset_ms: int = 0
    allowed_lateness_ms: int = 0
    idle_timeout_ms: int | None = None
    processing_time: bool = False
    """Documents belong to the window of the clock at their arrival, whatever their own time."""

    def start_of(self, time_ms: int) -> int:
        """The start of the window that `time_ms` lies in.

        Example:
            >>> WindowShape(interval_ms=60_000).start_of(61_000)
            60000
        """
        return time_ms - (time_ms - self.offset_ms) % self.interval_ms


@dataclass
class OpenWindow:
    """What is held for a window that has not closed yet."""

    start_ms: int
    documents: list[Document] = field(default_factory=list)
    """The window's documents, or partial group states where the `$group` was divided."""
    size_bytes: int = 0
    compacted_count: int = 0
    """How many partial states were left when they were last combined."""


@dataclass
class Windows:
    """The open windows of one processor and the watermark that closes them."""

    shape: WindowShape
    watermark: Watermark = field(default_factory=Watermark)
    open: dict[int, OpenWindow] = field(default_factory=dict)

    @property
    def horizon_ms(self) -> int:
        """Windows that end at or before this have closed."""
        return self.watermark.value_ms - self.shape.allowed_lateness_ms

    def assign(
        self,
        documents: Sequence[Document],
        times_ms: Sequence[int],
        partitions: Sequence[Hashable] | None,
    ) -> tuple[list[int], list[int]]:
        """Mark every document with its window and move the watermark, document by document.

        Returns:
            The indexes of documents in time, and of those whose window has closed.
        """
        interval, start_of = self.shape.interval_ms, self.shape.start_of
        lateness, watermark = self.shape.allowed_lateness_ms, self.watermark
        horizon, highest = self.horizon_ms, watermark.value_ms
        in_time: list[int] = []
        late: list[int] = []
        for index, (document, time) in enumerate(zip(documents, times_ms, strict=True)):
            start = start_of(time)
            document[WINDOW_FIELD] = start
            (late if start + interval <= horizon else in_time).append(index)
            if partitions is not None:
                horizon = watermark.observe(time, partitions[index]) - lateness
            elif time > highest:
                highest = time
                horizon = time - lateness
        if partitions is None and documents:
            watermark.observe(highest)
        return in_time, late

    def add(self, start_ms: int, document: Document) -> OpenWindow:
        """Put a document, or a partial group state, into its window."""
        window = self.open.get(start_ms)
        if window is None:
            window = self.open[start_ms] = OpenWindow(start_ms)
        window.documents.append(document)
        return window

    def take_closed(self, horizon_ms: int) -> list[OpenWindow]:
        """Remove and give the windows that end at or before the horizon, earliest first."""
        closed = [s for s in self.open if s + self.shape.interval_ms <= horizon_ms]
        return [self.open.pop(start) for start in sorted(closed)]

    def metadata(self, window: OpenWindow, source_type: str) -> Document:
        """The stream metadata inside and after a window."""
        end_ms = window.start_ms + self.shape.interval_ms
        return {
            "source": {"type": source_type},
            "window": {"start": datetime_of(window.start_ms), "end": datetime_of(end_ms)},
        }

    def idle_horizon_ms(self, idle_ms: int) -> int | None:
        """The horizon that `idle_ms` of silence implies; None when no window closes by it.

        A window closes after max(time left in it, idleTimeout) since the source went idle.
        """
        timeout = self.shape.idle_timeout_ms
        if timeout is None or idle_ms < timeout or not self.open:
            return None
        reached = self.watermark.value_ms + idle_ms
        ends = [s + self.shape.interval_ms for s in self.open]
        closable = [end for end in ends if end <= reached]
        return max(closable, default=None)

    @property
    def state_bytes(self) -> int:
        """What the open windows hold."""
        return sum(window.size_bytes for window in self.open.values())

    def snapshot(self) -> Iterable[Document]:
        """What a checkpoint keeps: one document for the watermark, then one per held document."""
        yield {"watermark": [list(item) for item in self.watermark.snapshot()]}
        for window in self.open.values():
            yield {"w": window.start_ms, "bytes": window.size_bytes}
            for document in window.documents:
                yield {"w": window.start_ms, "d": document}

    def restore(self, parts: Iterable[Document]) -> None:
        """Take over what `snapshot` gave."""
        for part in parts:
            if "watermark" in part:
                self.watermark = Watermark([(key, value) for key, value in part["watermark"]])
            elif "d" in part:
                self.add(part["w"], part["d"])
            else:
                self.open[part["w"]] = OpenWindow(part["w"], size_bytes=part["bytes"])
