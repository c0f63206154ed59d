"""The bounds of the local instance: how long it waits, how often it tries, how much it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes. Tests shorten them."""

    backoff_first_s: float = 0.1
    """Wait before the first restart of a crashed worker; doubles with each crash in a row."""
    backoff_max_s: float = 5.0
    stable_s: float = 10.0
    """A worker that ran this long has recovered: backoff and retries begin anew."""
    retry_delays_s: tuple[float, ...] = (0.5, 2.0, 5.0)
    """Waits before a processor that failed with a retryable error is tried again; then FAILED."""
    start_wait_s: float = 5.0
    """How long a start command waits for the worker before it answers."""
    stop_s: float = 30.0
    """How long a worker may take for its last checkpoint before it is killed."""
    heartbeat_s: float = 2.0
    """How often a worker is asked for its counters."""
    hung_s: float = 60.0
    """A worker that answers nothing for this long is killed and started again."""
    stats_s: float = 5.0
    """How long a stats command waits for the worker before it answers with the last counters."""
    poll_s: float = 1.0
    """How long getMore waits for documents before it answers with an empty batch."""
    client_gone_s: float = 30.0
    """A cursor that nobody asks for this long is closed."""
    temporary_s: float = 600.0
    """Longest life of a temporary processor."""
    sample_bytes: int = 40_000_000
    """A sample ends after this much (asp-reference.md 3.3)."""
    buffer_bytes: int = 8_000_000
    """Documents held for a cursor; a temporary processor waits when its buffer is full."""
    batch_bytes: int = 8_000_000
    """Documents in one getMore reply."""
    requests_per_minute: int = 1200
    """What one caller may ask of the Admin API: Atlas' own limit, as its replies show it."""


class Patience:
    """How long to wait before the next try after a crash or a failure; knows those in a row."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._crash_count = 0
        self._failure_count = 0

    def ran(self, seconds: float) -> None:
        """Note how long the last try ran: a long one ends the row."""
        if seconds >= self._limits.stable_s:
            self._crash_count = self._failure_count = 0

    def after_crash(self) -> float:
        """Seconds to wait after one more crash; there is always another try."""
        delay_s = self._limits.backoff_first_s * 2.0 ** min(self._crash_count, 30)
        self._crash_count += 1
        return min(delay_s, self._limits.backoff_max_s)

    def after_failure(self) -> float | None:
        """Seconds to wait after one more retryable failure; None when there were enough."""
        delays_s = self._limits.retry_delays_s
        if self._failure_count >= len(delays_s):
            return None
        self._failure_count += 1
        return delays_s[self._failure_count - 1]
