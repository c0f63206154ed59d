"""How long documents took, as percentiles over counted buckets.

Buckets grow by an eighth each, so a percentile is right within 6 % and a histogram is small.

Source: `latency` in the stats of a stream processor; asp-reference.md 3.2.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.units import datetime_of

if TYPE_CHECKING:
    Document = dict[str, Any]

_GROWTH: Final = math.log(1.125)


@dataclass
class Latency:
    """Durations in microseconds, counted."""

    count: int = 0
    sum_us: int = 0
    start_ms: int | None = None
    """When the first one was counted, ms since the epoch."""
    end_ms: int | None = None
    _buckets: Counter[int] = field(default_factory=Counter)

    def add(self, duration_us: int, count: int, now_ms: int) -> None:
        """Count `count` documents that took `duration_us` each."""
        if count <= 0:
            return
        self.count += count
        self.sum_us += duration_us * count
        self.start_ms = now_ms if self.start_ms is None else self.start_ms
        self.end_ms = now_ms
        self._buckets[_bucket(duration_us)] += count

    def percentile(self, share: float) -> int:
        """The duration in microseconds that `share` (0 to 1) of the documents stayed below."""
        wanted = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return round(math.exp((bucket + 0.5) * _GROWTH))
        return 0

    def to_document(self) -> Document:
        """The shape of `latency` in stats."""
        return {
            "p50": Int64(self.percentile(0.5)),
            "p99": Int64(self.percentile(0.99)),
            "start": None if self.start_ms is None else datetime_of(self.start_ms),
            "end": None if self.end_ms is None else datetime_of(self.end_ms),
            "unit": "microseconds",
            "count": Int64(self.count),
            "sum": Int64(self.sum_us),
        }


def _bucket(duration_us: int) -> int:
    return int(math.log(max(1, duration_us)) / _GROWTH)
