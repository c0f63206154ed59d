"""`parallelism` and `partitionBy`: work on documents in several threads, equal keys in order.

Source: asp-reference.md 2.9 and 2.14 (without `partitionBy` round robin; documents of one key stay
in their order).
"""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import bson

from asp_utils.clients.op_msg import NOT_BSON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


class Lanes:
    """A fixed number of lanes; work in one lane is done one piece after another.

    Args:
        count: `parallelism`.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._next = 0
        self._pool = ThreadPoolExecutor(count, "lane") if count > 1 else None

    def assign(self, keys: Sequence[Any] | None, item_count: int) -> list[int]:
        """The lane of each item: by its key, or in turn where there are no keys."""
        if keys is not None:
            return [_lane_of(key, self.count) for key in keys]
        begin = self._next
        self._next = (begin + item_count) % self.count
        return [(begin + index) % self.count for index in range(item_count)]

    def run(self, work: Callable[[T], R], items: Sequence[T], lanes: Sequence[int]) -> list[R]:
        """Do `work` on every item, lanes side by side; results in the order of the items.

        When a piece of work raises, nothing further is begun, and what it raised is raised here
        once all threads are through.
        """
        if self._pool is None or len(items) < 2:
            return [work(item) for item in items]
        by_lane: dict[int, list[int]] = {}
        for index, lane in enumerate(lanes):
            by_lane.setdefault(lane, []).append(index)
        results: dict[int, R] = {}
        broken = False

        def one_lane(indexes: list[int]) -> None:
            nonlocal broken
            finished = False
            try:
                for index in indexes:
                    if broken:
                        break
                    results[index] = work(items[index])
                finished = True
            finally:
                broken = broken or not finished

        futures = [self._pool.submit(one_lane, indexes) for indexes in by_lane.values()]
        errors = [error for error in (future.exception() for future in futures) if error]
        if errors:
            raise errors[0]
        return [results[index] for index in range(len(items))]

    def close(self) -> None:
        """Let the threads end; one that waits for an answer is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _lane_of(key: Any, count: int) -> int:
    """The same lane for equal keys, in every process; 1 and 1.0 are equal."""
    if isinstance(key, int | float):
        return hash(key) % count
    try:
        return zlib.crc32(bson.encode({"": key})) % count
    except NOT_BSON:
        return 0
