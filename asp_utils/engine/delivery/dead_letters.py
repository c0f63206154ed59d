"""The dead letter queue: documents that one stage could not process, and why.

Source: Atlas page "Dead letter queue" (asp-reference.md 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bson
from pymongo.errors import PyMongoError

from asp_utils.clients.op_msg import NOT_BSON
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sizes import MAX_BATCH_BYTES
from asp_utils.units import bson_date_of, datetime_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.synchronous.client_session import ClientSession
    from pymongo.synchronous.collection import Collection

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.reporting.stats import Stats

    Document = dict[str, Any]

_EXCERPT: Final = 100_000
"""Characters kept of a document that cannot be stored."""


class DeadLetters:
    """Collects dead letters and writes them batch by batch.

    Without a collection they vanish, but are counted and shown to whoever samples.
    """

    def __init__(
        self,
        processor_name: str,
        workspace: str,
        collection: Collection[Document] | None,
        stats: Stats,
        clock: Clock,
        show: Callable[[list[Document]], None],
    ) -> None:
        self._names = {"processorName": processor_name, "instanceName": workspace}
        self._workspace = workspace
        self._collection = collection
        self._stats = stats
        self._clock = clock
        self._show = show
        self._waiting: list[Document] = []
        self._is_safe = False
        """Whether what waits is written already, outside of the transaction being tried."""

    @property
    def waits(self) -> bool:
        """Whether letters wait to be written."""
        return bool(self._waiting)

    def add(
        self,
        document: Any,
        reason: str,
        operator_name: str,
        metadata: Document,
        missed_window_starts_ms: Sequence[int] = (),
        path: str = "",
    ) -> None:
        """Take a document that `operator_name` (at `path` in the pipeline) could not process."""
        letter: Document = {
            **self._names,
            "dlqTime": datetime_of(self._clock.now_ms()),
            "operatorName": operator_name,
            "errInfo": {"reason": reason},
            "doc": document,
            "_stream_meta": metadata,
        }
        if missed_window_starts_ms:
            letter["missedWindowStartTimes"] = [bson_date_of(ms) for ms in missed_window_starts_ms]
        letter, size_bytes = _storable(letter)
        self._stats.count_dead_letter(operator_name, path, size_bytes)
        self._waiting.append(letter)

    def flush(self) -> None:
        """Write what was collected.

        Raises:
            ProcessorFailed: The collection cannot be written.
        """
        self.write(None)
        self.written()

    def write(self, session: ClientSession | None) -> None:
        """Write what was collected, in a transaction where its collection can be part of one.

        Raises:
            ProcessorFailed: The collection cannot be written.
        """
        if self._collection is None or not self._waiting or self._is_safe:
            return
        if session is not None and session.client is self._collection.database.client:
            self._collection.insert_many(self._waiting, session=session)
            return
        try:
            self._collection.insert_many(self._waiting, ordered=False)
            self._is_safe = True
        except PyMongoError as error:
            message = f"the dead letter queue cannot be written: {error}"
            raise ProcessorFailed(421, message, retryable=True) from error

    def written(self) -> None:
        """Hear that what was collected is safe: show it, and begin anew."""
        letters, self._waiting = self._waiting, []
        self._is_safe = False
        if letters:
            self._show([{"_dlqMessage": self._shown(letter)} for letter in letters])

    def _shown(self, letter: Document) -> Document:
        """A dead letter as samples show it, with the workspace under its newer name."""
        shown = {key: v for key, v in letter.items() if key not in ("instanceName", "_id")}
        return {**shown, "workspaceName": self._workspace}


def _storable(letter: Document) -> tuple[Document, int]:
    """The letter in a form that BSON takes, and its size in bytes."""
    try:
        size_bytes = len(bson.encode(letter))
        if size_bytes <= MAX_BATCH_BYTES:
            return letter, size_bytes
    except NOT_BSON:
        pass
    letter = {**letter, "doc": repr(letter["doc"])[:_EXCERPT]}
    return letter, len(bson.encode(letter))
