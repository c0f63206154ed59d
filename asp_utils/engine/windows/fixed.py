"""Windows of fixed length, tumbling and hopping: integer arithmetic on event times.

Bounds are [start, end); starts are multiples of the hop since the Unix epoch (UTC) plus the offset.

Source: Atlas pages "$tumblingWindow", "$hoppingWindow"; asp-reference.md 2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.windows.window import Late, OpenWindow, Windows
from asp_utils.pipeline.rewrite import WINDOW_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]


class TumblingWindows(Windows):
    """Windows that touch: every document has exactly one, its start in `WINDOW_FIELD`."""

    def mark(
        self,
        documents: Sequence[Document],
        times_ms: Sequence[int],
        partitions: Sequence[str] | None,
    ) -> tuple[list[int], list[Late]]:
        """See `Windows.mark`; a late document has missed its one window and does not go on."""
        if self.watermark.observe_in_order(times_ms, partitions):
            offset, hop = self.shape.offset_ms, self.shape.hop_ms
            for document, time in zip(documents, times_ms, strict=True):
                document[WINDOW_FIELD] = time - (time - offset) % hop
            return list(range(len(documents))), []
        interval, start_of = self.shape.interval_ms, self.shape.start_of
        lateness, watermark = self.shape.allowed_lateness_ms, self.watermark
        horizon, highest = self.horizon_ms, watermark.value_ms
        in_time: list[int] = []
        late: list[Late] = []
        for index, (document, time) in enumerate(zip(documents, times_ms, strict=True)):
            start = start_of(time)
            document[WINDOW_FIELD] = start
            if start + interval <= horizon:
                late.append(Late(document, [start], index))
            else:
                in_time.append(index)
            if partitions is not None:
                horizon = watermark.observe(time, partitions[index]) - lateness
            elif time > highest:
                highest = time
                horizon = time - lateness
        if partitions is None and documents:
            watermark.observe(highest)
        return in_time, late

    def window(self, key: int) -> OpenWindow:
        """The open window that starts at `key`."""
        found = self.open.get(key)
        if found is None:
            found = self.open[key] = OpenWindow(key, key, key + self.shape.interval_ms)
        return found


class HoppingWindows(TumblingWindows):
    """Windows that overlap, or leave gaps: `WINDOW_FIELD` holds the starts of all of a document's.

    Documents in a gap are dropped. One that is late for some of its windows goes on into the
    others, and a dead letter names the missed ones.
    """

    def mark(
        self,
        documents: Sequence[Document],
        times_ms: Sequence[int],
        partitions: Sequence[str] | None,
    ) -> tuple[list[int], list[Late]]:
        """See `Windows.mark`."""
        interval, lateness = self.shape.interval_ms, self.shape.allowed_lateness_ms
        horizon = self.horizon_ms
        in_time: list[int] = []
        late: list[Late] = []
        for index, (document, time) in enumerate(zip(documents, times_ms, strict=True)):
            starts = self.shape.starts_of(time)
            missed = [start for start in starts if start + interval <= horizon]
            if missed:
                late.append(Late({**document, WINDOW_FIELD: missed}, missed, index))
            if len(missed) < len(starts):
                document[WINDOW_FIELD] = starts[len(missed) :]
                in_time.append(index)
            partition = partitions[index] if partitions is not None else None
            horizon = self.watermark.observe(time, partition) - lateness
        return in_time, late
