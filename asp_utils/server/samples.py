"""Sample cursors: documents on their way from a worker to a client that polls for them."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bson.raw_bson import RawBSONDocument

    from asp_utils.server.limits import Limits


@dataclass(frozen=True)
class Batch:
    """What one getMore gives."""

    documents: list[RawBSONDocument]
    finished: bool
    """Whether the cursor is used up; the client sees cursorId 0."""


class SampleCursor:
    """A bounded buffer with one reader, closed when the reader stays away.

    Args:
        limits: Bounds of buffer and batches, and the patience with the reader.
        on_close: Called once when the cursor is used up or its reader has gone.
        max_count: End after this many documents; None for no such bound.
        max_bytes: End after this many bytes; None for no such bound.
    """

    def __init__(
        self,
        limits: Limits,
        on_close: Callable[[], None],
        *,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._limits = limits
        self._on_close = on_close
        self._left_count = max_count
        self._left_bytes = max_bytes
        self._documents: deque[RawBSONDocument] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._failure: CommandFailure | None = None
        self.ended = False
        """Whether no further document is taken."""
        self._closed = False
        self._expiry = self._arm()

    def offer(self, documents: Sequence[RawBSONDocument]) -> None:
        """Take documents as far as there is room; a sample shows some, not all."""
        for document in documents:
            if self.ended or self._held_bytes >= self._limits.buffer_bytes:
                return
            self._keep(document)

    async def put(self, documents: Sequence[RawBSONDocument]) -> None:
        """Take every document, waiting for room."""
        for document in documents:
            while self._held_bytes >= self._limits.buffer_bytes and not self.ended:
                self._room.clear()
                await self._room.wait()
            if self.ended:
                return
            self._keep(document)

    def end(self, failure: CommandFailure | None = None) -> None:
        """Take nothing more; the reader gets what is held and then the failure, if there is one."""
        if not self.ended:
            self.ended = True
            self._failure = failure
        self._news.set()
        self._room.set()

    def close(self) -> None:
        """Forget everything; the reader has gone or is done."""
        if self._closed:
            return
        self._closed = True
        self._expiry.cancel()
        self._documents.clear()
        self._held_bytes = 0
        self.end()
        self._on_close()

    async def next_batch(self, max_count: int | None = None) -> Batch:
        """The next documents, waiting up to `poll_s` for the first.

        Raises:
            CommandFailure: The processor failed, and all its documents have been read.
        """
        self._expiry.cancel()
        if not self._documents and not self.ended:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._limits.poll_s)
        batch = self._take(max_count)
        if batch.finished or (self._failure and not batch.documents):
            self.close()
        else:
            self._expiry = self._arm()
        if self._failure and not batch.documents:
            raise self._failure
        return batch

    def _keep(self, document: RawBSONDocument) -> None:
        self._documents.append(document)
        self._held_bytes += len(document.raw)
        if self._left_count is not None:
            self._left_count -= 1
        if self._left_bytes is not None:
            self._left_bytes -= len(document.raw)
        if _used_up(self._left_count) or _used_up(self._left_bytes):
            self.end()
        self._news.set()

    def _take(self, max_count: int | None) -> Batch:
        taken: list[RawBSONDocument] = []
        taken_bytes = 0
        while self._documents and (max_count is None or len(taken) < max_count):
            size = len(self._documents[0].raw)
            if taken and taken_bytes + size > self._limits.batch_bytes:
                break
            taken.append(self._documents.popleft())
            taken_bytes += size
        self._held_bytes -= taken_bytes
        self._room.set()
        return Batch(taken, self.ended and not self._documents and self._failure is None)

    def _arm(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(self._limits.client_gone_s, self.close)


class Cursors:
    """Every open cursor by its id and the name of its processor."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cursors: dict[int, tuple[str, SampleCursor]] = {}

    def open(
        self,
        name: str,
        on_close: Callable[[], None],
        *,
        max_count: int | None = None,
        max_bytes: int | None = None,
    ) -> tuple[int, SampleCursor]:
        """A new cursor and its id, a positive int64."""
        cursor_id = secrets.randbits(62) + 1

        def forget() -> None:
            self._cursors.pop(cursor_id, None)
            on_close()

        cursor = SampleCursor(self._limits, forget, max_count=max_count, max_bytes=max_bytes)
        self._cursors[cursor_id] = (name, cursor)
        return cursor_id, cursor

    def get(self, cursor_id: int, name: str) -> SampleCursor:
        """The cursor of that id.

        Raises:
            CommandFailure: CursorNotFound: it is used up, was closed, or is another processor's.
        """
        owner, cursor = self._cursors.get(cursor_id, (None, None))
        if cursor is None or owner != name:
            raise CommandFailure(
                "CursorNotFound", f"cursor id {cursor_id} of stream processor {name!r} not found"
            )
        return cursor


def _used_up(left: int | None) -> bool:
    return left is not None and left <= 0
