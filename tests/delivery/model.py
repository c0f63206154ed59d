"""Windows as their documentation says them, in plain Python: what the engine is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER = -(2**63)


class Came(NamedTuple):
    """A document."""

    number: int
    time_ms: int
    partition: str
    key: int


class Waited(NamedTuple):
    """Time that passes."""

    ms: int


@dataclass(frozen=True)
class Shape:
    """A window's options; `gap_ms` makes it a session window."""

    interval_ms: int = 0
    hop_ms: int = 0
    gap_ms: int = 0
    offset_ms: int = 0
    lateness_ms: int = 0
    idle_timeout_ms: int | None = None
    partition_idle_ms: int | None = None


@dataclass
class Model:
    """Takes documents and silence one by one; `closed` and `late` are what must come out."""

    shape: Shape
    partitions: list[str]
    now_ms: int = 0
    mark_ms: int = NEVER
    idle_since_ms: int = 0
    open: list[dict[str, Any]] = field(default_factory=list)
    closed: list[dict[str, Any]] = field(default_factory=list)
    late: list[tuple[int, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.highest = dict.fromkeys(self.partitions, NEVER)
        self.restarted()

    def restarted(self) -> None:
        """Silence is counted anew; nothing else is forgotten."""
        self.heard_ms = dict.fromkeys(self.partitions, self.now_ms)
        self.idle_since_ms = self.now_ms
        self.went_silent()

    def came(self, item: Came) -> None:
        (self.session if self.shape.gap_ms else self.fixed)(item)
        self.heard_ms[item.partition] = self.idle_since_ms = self.now_ms
        self.highest[item.partition] = max(self.highest[item.partition], item.time_ms)
        self.settle()
        self.close(self.mark_ms - self.shape.lateness_ms)
        self.went_silent()

    def went_silent(self) -> None:
        """Where the stream stands, should nothing come any more."""
        # A partition that never gave anything holds the watermark, but silence is silence.
        self.base_ms = self.mark_ms if self.mark_ms > NEVER else max(self.highest.values())

    def waited(self, ms: int) -> None:
        self.now_ms += ms
        before_ms = self.mark_ms
        self.settle()
        if self.mark_ms != before_ms:
            self.base_ms = self.mark_ms
        self.close(self.mark_ms - self.shape.lateness_ms)
        timeout, idle_ms = self.shape.idle_timeout_ms, self.now_ms - self.idle_since_ms
        if timeout is not None and idle_ms >= timeout:
            ends = [w["end"] for w in self.open if w["end"] <= self.base_ms + idle_ms]
            if ends:
                moved = max(ends) + self.shape.lateness_ms
                self.highest = {
                    p: max(t, moved) if t > NEVER else t for p, t in self.highest.items()
                }
                self.mark_ms = max(self.mark_ms, moved)
                self.close(max(ends))

    def settle(self) -> None:
        limit, now = self.shape.partition_idle_ms, self.now_ms
        heard = [p for p in self.partitions if limit is None or now - self.heard_ms[p] < limit]
        floor = min((self.highest[p] for p in heard), default=NEVER)
        self.mark_ms = max(self.mark_ms, floor)

    def close(self, horizon_ms: int) -> None:
        done = [w for w in self.open if w["end"] <= horizon_ms]
        self.open = [w for w in self.open if w["end"] > horizon_ms]
        self.closed += sorted(done, key=lambda w: (w["end"], w["start"]))

    def fixed(self, item: Came) -> None:
        shape = self.shape
        last = item.time_ms - (item.time_ms - shape.offset_ms) % shape.hop_ms
        lowest = item.time_ms - shape.interval_ms
        starts = sorted(range(last, lowest, -shape.hop_ms))
        horizon_ms = self.mark_ms - shape.lateness_ms
        missed = [start for start in starts if start + shape.interval_ms <= horizon_ms]
        if missed:
            self.late.append((item.number, missed))
        for start in starts[len(missed) :]:
            self.put(item, start, start + shape.interval_ms, None)

    def session(self, item: Came) -> None:
        gap, horizon_ms = self.shape.gap_ms, self.mark_ms - self.shape.lateness_ms
        near = [
            w
            for w in self.open
            if w["key"] == item.key and w["start"] - gap < item.time_ms < w["end"]
        ]
        if not near and item.time_ms < horizon_ms:
            self.late.append((item.number, [item.time_ms]))
            return
        self.open = [w for w in self.open if w not in near]
        start = min([item.time_ms, *(w["start"] for w in near)])
        end = max([item.time_ms + gap, *(w["end"] for w in near)])
        self.put(item, start, end, item.key, [number for w in near for number in w["numbers"]])

    def put(
        self, item: Came, start: int, end: int, key: int | None, numbers: list[int] | None = None
    ) -> None:
        found = next((w for w in self.open if (w["start"], w["key"]) == (start, key)), None)
        if found is None or key is not None:
            found = {"start": start, "end": end, "key": key, "numbers": numbers or []}
            self.open.append(found)
        found["numbers"] = sorted([*found["numbers"], item.number])
