"""The dead letter queue: documents that one stage could not process, and why.

Source: Atlas page "Dead letter queue" (asp-reference.md 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bson
from pymongo.errors import PyMongoError

from asp_utils.clients.op_msg import NOT_BSON
from asp_utils.engine.evaluate import MAX_BATCH_BYTES
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.synchronous.collection import Collection

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.stats import Stats

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

    def add(
        self,
        document: Any,
        reason: str,
        operator_name: str,
        metadata: Document,
        missed_window_starts_ms: Sequence[int] = (),
    ) -> None:
        """Take a document that `operator_name` could not process."""
        letter: Document = {
            **self._names,
            "dlqTime": datetime_of(self._clock.now_ms()),
            "operatorName": operator_name,
            "errInfo": {"reason": reason},
            "doc": document,
            "_stream_meta": metadata,
        }
        if missed_window_starts_ms:
            letter["missedWindowStartTimes"] = [datetime_of(ms) for ms in missed_window_starts_ms]
        letter, size_bytes = _storable(letter)
        self._stats.count_dead_letter(operator_name, size_bytes)
        self._waiting.append(letter)

    def flush(self) -> None:
        """Write what was collected.

        Raises:
            ProcessorFailed: The collection cannot be written.
        """
        letters, self._waiting = self._waiting, []
        if not letters:
            return
        self._show([{"_dlqMessage": self._shown(letter)} for letter in letters])
        if self._collection is not None:
            try:
                self._collection.insert_many(letters, ordered=False)
            except PyMongoError as error:
                message = f"the dead letter queue cannot be written: {error}"
                raise ProcessorFailed(421, message, retryable=True) from error

    def _shown(self, letter: Document) -> Document:
        """A dead letter as samples show it, with the workspace under its newer name."""
        shown = {key: value for key, value in letter.items() if key != "instanceName"}
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
