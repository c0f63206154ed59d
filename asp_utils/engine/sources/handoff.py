"""Items on their way from reader threads to the engine, a bounded number of bytes at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.engine.failures import ProcessorFailed

Item = TypeVar("Item")

_MAX_BYTES: Final = 32 * 1024 * 1024


class Handoff(Generic[Item]):
    """A queue whose length is counted in bytes; one item fits always, however large."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._failure: ProcessorFailed | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nobody takes items any more."""
        return self._closed

    @property
    def is_empty(self) -> bool:
        """Whether everything put in so far has been taken."""
        return not self._items

    def put(self, item: Item, size_bytes: int) -> None:
        """Put an item in as soon as there is room; once closed, it is dropped."""
        with self._changed:
            while self._items and self._bytes + size_bytes > self._max_bytes and not self._closed:
                self._changed.wait()
            self._items.append((item, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()

    def fail(self, failure: ProcessorFailed) -> None:
        """Say that no more items come, and why; the first failure counts."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def take(self, max_count: int, timeout_s: float) -> list[Item]:
        """The items at hand, in order; waits for the first one only.

        Raises:
            ProcessorFailed: A reader failed, and what it had read before is taken.
        """
        with self._changed:
            self._wait(lambda: bool(self._items or self._failure), timeout_s)
            if self._failure is not None and not self._items:
                raise self._failure
            taken: list[Item] = []
            while self._items and len(taken) < max_count:
                item, size_bytes = self._items.popleft()
                self._bytes -= size_bytes
                taken.append(item)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Let waiting readers go on; what they put in now is not taken."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _wait(self, is_due: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_due():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            self._changed.wait(left_s)
