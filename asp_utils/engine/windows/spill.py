"""Documents of open windows that wait in mongod, so that memory stays bounded.

A window whose pipeline does not begin with a divisible `$group` holds its documents. When all that
windows hold exceeds a bound, the largest are written away, in numbered parts that are never changed
again: a checkpoint names the parts, and a part that no checkpoint needs any more is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson.raw_bson import RawBSONDocument

from asp_utils.engine.delivery.checkpoint import chunked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.synchronous.collection import Collection
    from pymongo.synchronous.database import Database

    from asp_utils.engine.windows.window import OpenWindow

    Document = dict[str, Any]

WINDOW_PARTS: Final = "window_parts"
"""The collection; by the field `processorId`, as checkpoints are."""
MEMORY_BYTES: Final = 64 * 1024 * 1024
"""What open windows may hold in memory."""


class Spill:
    """Moves what windows hold into mongod and back.

    Args:
        database: Where state is kept; None: everything stays in memory.
        processor_id: Whose state it is.
        memory_bytes: What windows may hold in memory before the largest are written away.
    """

    def __init__(
        self,
        database: Database[Document] | None,
        processor_id: str,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._database = database
        self._id = processor_id
        self._memory_bytes = memory_bytes
        self._next = 0
        self._unneeded: list[int] = []

    def relieve(self, windows: Iterable[OpenWindow]) -> None:
        """Write the largest windows away until half of the bound is free, if it is exceeded."""
        by_size = sorted(windows, key=lambda window: window.held_bytes, reverse=True)
        total = sum(window.held_bytes for window in by_size)
        if total <= self._memory_bytes or self._database is None:
            return
        for window in by_size:
            if total <= self._memory_bytes // 2:
                return
            total -= window.held_bytes
            self._store(window)

    def documents(self, window: OpenWindow) -> Iterator[Any]:
        """Everything that a window holds, in the order of arrival, a part at a time."""
        for number in window.stored:
            part = self._parts.find_one({"processorId": self._id, "number": number})
            assert part is not None, f"part {number} is gone"  # noqa: S101 - nobody removes them
            yield from map(RawBSONDocument, part["items"])
        yield from window.documents()

    def release(self, window: OpenWindow) -> None:
        """Let go of a closed window's parts; the last checkpoint may still need them."""
        self._unneeded += window.stored

    def checkpointed(self) -> None:
        """Remove what no checkpoint needs any more."""
        if self._unneeded:
            needless = {"processorId": self._id, "number": {"$in": self._unneeded}}
            self._parts.delete_many(needless)
            self._unneeded = []

    def restore(self, windows: Iterable[OpenWindow]) -> None:
        """Remove every part that these windows (of the checkpoint) do not name."""
        named = sorted({number for window in windows for number in window.stored})
        if self._database is not None:
            self._parts.delete_many({"processorId": self._id, "number": {"$nin": named}})
        self._next = max(named, default=-1) + 1

    @property
    def _parts(self) -> Collection[Document]:
        assert self._database is not None  # noqa: S101 - nothing was written away without one
        return self._database[WINDOW_PARTS]

    def _store(self, window: OpenWindow) -> None:
        for items in chunked(window.held):
            part = {"processorId": self._id, "number": self._next, "items": items}
            self._parts.insert_one(part)
            window.stored.append(self._next)
            self._next += 1
        window.stored_bytes += window.held_bytes
        window.held, window.held_bytes = [], 0
