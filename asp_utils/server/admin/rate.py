"""How many requests a caller may make: a bucket of tokens that fills again steadily."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asp_utils.server.admin.failures import ApiFailure

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE_S: Final = 60.0


@dataclass
class _Bucket:
    tokens: float
    filled_at_s: float


class RateLimiter:
    """A limit for each caller; a caller that was idle for a minute has all of it again.

    Args:
        per_minute: Requests in a minute, and at once.
        clock_s: Seconds that only go forward.
    """

    def __init__(self, per_minute: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock_s = clock_s
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str) -> dict[str, str]:
        """Count one request.

        Returns:
            The headers that tell the caller where it stands.

        Raises:
            ApiFailure: RATE_LIMITED.
        """
        now_s = self._clock_s()
        bucket = self._buckets.setdefault(caller, _Bucket(self._per_minute, now_s))
        gained = (now_s - bucket.filled_at_s) * self._per_minute / _MINUTE_S
        bucket.tokens = min(self._per_minute, bucket.tokens + gained)
        bucket.filled_at_s = now_s
        if bucket.tokens < 1:
            wait_s = math.ceil((1 - bucket.tokens) * _MINUTE_S / self._per_minute)
            raise ApiFailure(
                429,
                "RATE_LIMITED",
                f"More than {self._per_minute} requests in a minute: wait {wait_s} s.",
                headers={**self._headers(0), "Retry-After": str(wait_s)},
            )
        bucket.tokens -= 1
        return self._headers(int(bucket.tokens))

    def _headers(self, left: int) -> dict[str, str]:
        return {"Ratelimit-Limit": str(self._per_minute), "Ratelimit-Remaining": str(left)}
