"""Access tokens of the service account: made on request, good for an hour, kept in memory only.

Source: asp-reference.md 4.7; RFC 6749 (4.4, 5.1), RFC 7009.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME_S: Final = 3600
_MOST: Final = 10_000
_TOKEN_BYTES: Final = 32


class Tokens:
    """The tokens that are valid now; what is kept of each is a digest.

    Args:
        clock_s: Seconds that only go forward.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._ends_s: OrderedDict[bytes, float] = OrderedDict()

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._ends_s[_digest(token)] = self._clock_s() + LIFETIME_S
        self._forget_old()
        return token

    def is_valid(self, token: str) -> bool:
        """Whether it was issued here, less than an hour ago, and not revoked since."""
        return self._ends_s.get(_digest(token), 0.0) > self._clock_s()

    def revoke(self, token: str) -> None:
        """Make a token invalid; an unknown one is nothing to be told about (RFC 7009, 2.2)."""
        self._ends_s.pop(_digest(token), None)

    def _forget_old(self) -> None:
        """Drop the tokens whose time is over, and the oldest when there are very many."""
        now_s = self._clock_s()
        while self._ends_s:
            oldest, end_s = next(iter(self._ends_s.items()))
            if end_s > now_s and len(self._ends_s) <= _MOST:
                return
            del self._ends_s[oldest]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
