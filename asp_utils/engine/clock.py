"""Time as the engine sees it: injected, so that tests and fixtures move it themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


class Clock(Protocol):
    """What the engine asks of time."""

    def now_ms(self) -> int:
        """Wall-clock time, ms since the Unix epoch."""
        ...

    def now_us(self) -> int:
        """The same in microseconds, for latencies."""
        ...

    def wait(self, event: threading.Event, timeout_ms: int) -> bool:
        """Wait until `event` is set or the time has passed; whether it is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall-clock time, ms since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def now_us(self) -> int:
        """Wall-clock time, microseconds since the Unix epoch."""
        return time.time_ns() // 1_000

    def wait(self, event: threading.Event, timeout_ms: int) -> bool:
        """Wait until `event` is set or the time has passed; whether it is set."""
        return event.wait(timeout_ms / 1000)


class ManualClock:
    """A clock that stands still until it is moved; waiting moves it.

    Shipped, not a test's own: fixtures run pipelines under it.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time it was last moved to."""
        return self._now_ms

    def now_us(self) -> int:
        """The same in microseconds."""
        return self._now_ms * 1000

    def advance(self, span_ms: int) -> None:
        """Move the time forward."""
        self._now_ms += span_ms

    def wait(self, event: threading.Event, timeout_ms: int) -> bool:
        """Move the time by the whole timeout, unless the event is set already."""
        if not event.is_set():
            self._now_ms += timeout_ms
        return event.is_set()
