"""Session windows: documents of one key that follow each other closely.

Two documents of a key share a session if their times differ by less than the gap; one between two
sessions makes them one. A session ends `gap` after its last document.

Which session a document belongs to is known only after the stages before the window, as its key
may come from them; the times and the watermark are those of its arrival, which it carries along.

Source: Atlas page "$sessionWindow"; asp-reference.md 2.7.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Decimal128, Int64
from bson.decimal128 import create_decimal128_context

from asp_utils.engine.event_time import NEVER
from asp_utils.engine.windows.window import Late, OpenWindow, Windows
from asp_utils.pipeline.rewrite import WINDOW_FIELD, mark_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.engine.windows.window import WindowShape

    Document = dict[str, Any]

PARTITION: Final = "k"
"""Below `WINDOW_FIELD`, where mongod puts the value of `partitionBy`."""
_INT64: Final = 2**63


class Sessions(Windows):
    """The open sessions; a session's key is a number of its own."""

    def __init__(self, shape: WindowShape) -> None:
        super().__init__(shape)
        self._by_partition: dict[bytes, list[OpenWindow]] = {}
        self._merged: dict[int, int] = {}
        """Sessions that became part of another one within the batch at hand."""
        self._next = 1

    def mark(
        self,
        documents: Sequence[Document],
        times_ms: Sequence[int],
        partitions: Sequence[str] | None,
    ) -> tuple[list[int], list[Late]]:
        """Give every document its time and the horizon at its arrival; all of them go on."""
        lateness = self.shape.allowed_lateness_ms
        horizon = self.horizon_ms
        for index, (document, time) in enumerate(zip(documents, times_ms, strict=True)):
            mark = {"t": time, "h": max(horizon, NEVER), "i": index}
            document[WINDOW_FIELD] = mark_metadata(mark)
            partition = partitions[index] if partitions is not None else None
            horizon = self.watermark.observe(time, partition) - lateness
        return list(range(len(documents))), []

    def place(self, documents: list[Document]) -> tuple[list[Document], list[Late]]:
        """Put documents into sessions one by one; marks them with the session's number."""
        self._merged.clear()
        placed: list[Document] = []
        late: list[Late] = []
        for document in documents:
            mark = document[WINDOW_FIELD]
            session = self._session_of(mark.get(PARTITION), mark["t"], mark["h"])
            if session is None:
                late.append(Late(document, [mark["t"]], mark["i"]))
                continue
            document[WINDOW_FIELD] = session.key
            placed.append(document)
        for document in placed:
            document[WINDOW_FIELD] = self._root(document[WINDOW_FIELD])
        return placed, late

    def window(self, key: int) -> OpenWindow:
        """The open session of that number."""
        return self.open[key]

    def metadata(self, window: OpenWindow, source_type: str) -> Document:
        """Start, end and the value of `partitionBy`."""
        shown = super().metadata(window, source_type)
        shown["window"]["partition"] = window.partition
        return shown

    def restore(self, parts: Any) -> None:
        """Take over what `snapshot` gave."""
        super().restore(parts)
        for window in sorted(self.open.values(), key=lambda each: each.start_ms):
            self._by_partition.setdefault(_canonical(window.partition), []).append(window)
        self._next = max(self.open, default=0) + 1

    def _session_of(self, partition: Any, time_ms: int, horizon_ms: int) -> OpenWindow | None:
        """The session that takes the document; None when it came too late for any."""
        gap, key = self.shape.gap_ms, _canonical(partition)
        # Those that have closed by now take nothing, even if their results are still to come.
        alive = [s for s in self._by_partition.get(key, ()) if s.end_ms > horizon_ms]
        near = [s for s in alive if s.start_ms - gap < time_ms < s.end_ms]
        if not near:
            if time_ms < horizon_ms:
                return None
            session = OpenWindow(self._next, time_ms, time_ms + gap, partition)
            self._next += 1
            self.open[session.key] = session
        else:
            session = near[0]
            for other in near[1:]:
                self._merge(session, other)
            session.start_ms = min(session.start_ms, time_ms)
            session.end_ms = max(session.end_ms, time_ms + gap)
        rest = [s for s in alive if s not in near and s is not session]
        self._by_partition[key] = sorted([*rest, session], key=lambda each: each.start_ms)
        return session

    def _merge(self, session: OpenWindow, other: OpenWindow) -> None:
        session.take_over(other)
        session.start_ms = min(session.start_ms, other.start_ms)
        session.end_ms = max(session.end_ms, other.end_ms)
        self._merged[other.key] = session.key
        del self.open[other.key]

    def _root(self, key: int) -> int:
        while key in self._merged:
            key = self._merged[key]
        return key

    def _forget(self, window: OpenWindow) -> None:
        super()._forget(window)
        key = _canonical(window.partition)
        left = [s for s in self._by_partition.get(key, []) if s is not window]
        if left:
            self._by_partition[key] = left
        else:
            self._by_partition.pop(key, None)


def _canonical(value: Any) -> bytes:
    """A value as a dictionary key; numbers that are equal are one key, as in mongod."""
    return bson.encode({"": _in_one_type(value)})


def _in_one_type(value: Any) -> Any:
    """The value with every number in the first type that holds it: integer, double, decimal."""
    if isinstance(value, dict):
        return {key: _in_one_type(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_one_type(inner) for inner in value]
    if isinstance(value, Decimal128):
        return _of_decimal(value.to_decimal())
    if isinstance(value, float) and value.is_integer() and abs(value) < _INT64:
        return int(value)
    # An integer that mongod keeps as a long stays one with pymongo, however small it is.
    return int(value) if isinstance(value, Int64) else value


def _of_decimal(exact: Decimal) -> Any:
    if exact.is_nan():
        return float("nan")
    if exact.is_finite() and exact == exact.to_integral_value() and abs(exact) < _INT64:
        return int(exact)
    nearest = float(exact)
    if Decimal(nearest) == exact:
        return nearest
    return Decimal128(exact.normalize(create_decimal128_context()))
