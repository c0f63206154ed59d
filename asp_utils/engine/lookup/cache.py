"""What was looked up, kept for a while: entries expire, and make room when memory is full.

Expired entries make room first, then any others: no entry is known to be worth more than another.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

ENTRY_BYTES: Final = 340
"""What an entry takes besides its key and its value (measured on CPython 3.11)."""


@dataclass
class _Entry:
    value: bytes
    expires_ms: int
    place: int
    """Where its key stands in the list of all keys."""


class LookupCache:
    """Values by key, each for `ttl_ms` after it was put in; `max_bytes` in all."""

    def __init__(self, ttl_ms: int, max_bytes: int) -> None:
        self._ttl_ms = ttl_ms
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        """Oldest first: all live equally long, so the first is the next to expire."""
        self._keys: list[bytes] = []
        """For taking one at random."""
        self._random = random.Random()  # noqa: S311 - no secret depends on it
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now_ms: int) -> bytes | None:
        """The value of a key, unless there is none or it has expired."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and now_ms < entry.expires_ms else None

    def put(self, key: bytes, value: bytes, now_ms: int) -> None:
        """Keep a value; one that would not fit even alone is not kept."""
        if key in self._entries:
            self._remove(key)
        size_bytes = _size_bytes(key, value)
        if size_bytes > self._max_bytes:
            return
        while self.size_bytes + size_bytes > self._max_bytes:
            self._remove(self._least_wanted(now_ms))
        self._entries[key] = _Entry(value, now_ms + self._ttl_ms, len(self._keys))
        self._keys.append(key)
        self.size_bytes += size_bytes

    def _least_wanted(self, now_ms: int) -> bytes:
        oldest = next(iter(self._entries))
        if self._entries[oldest].expires_ms <= now_ms:
            return oldest
        return self._keys[self._random.randrange(len(self._keys))]

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        last = self._keys.pop()
        if last != key:
            self._keys[entry.place] = last
            self._entries[last].place = entry.place
        self.size_bytes -= _size_bytes(key, entry.value)


def _size_bytes(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES
