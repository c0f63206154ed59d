"""The tail of a change stream: a thread reads it, and opens it again after every invalidation.

When a watched collection is dropped or renamed, or a watched database dropped, the server ends the
change stream with an `invalidate` event. A stream processor runs on: the event is passed on and a
new stream begins behind it, so a collection that is created anew is followed from its first
document.

Source: manual page "Change streams", "Resume a change stream"; asp-reference.md 1.10, 2.4.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import (
    ConnectionFailure,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.change_events import Change, decoded
from asp_utils.engine.sources.handoff import Handoff
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bson.raw_bson import RawBSONDocument
    from pymongo.synchronous.change_stream import ChangeStream

    Document = dict[str, Any]

JOIN_S: Final = 2.0
"""How long closing waits for a reader; one that hangs in a dead network ends with the process."""
FIRST_LOCATION: Final = 15_000
"""From here on codes mark single places in mongod where it refuses an expression or a value."""

_INVALID = "StreamProcessorInvalidOptions"
_NO_RESUME = "StreamProcessorCannotResumeFromSource"
_DENIED = "StreamProcessorAtlasUnauthorizedError"
_NAMESPACE = "StreamProcessorInvalidNamespace"
_FRESH: Final = (
    "the oplog no longer holds that point: start with resumeFromCheckpoint: false, and give the "
    "cluster a longer oplog window"
)
_IMAGES: Final = (
    "enable changeStreamPreAndPostImages on the collection before writing, or use whenAvailable"
)
_KEEP_IDS: Final = "config.pipeline must keep _id, clusterTime and wallTime as they are"
_VERDICTS: Final[dict[int, tuple[str, str]]] = {
    286: (_NO_RESUME, _FRESH),
    136: (_NO_RESUME, _FRESH),
    260: (_NO_RESUME, "start with resumeFromCheckpoint: false, or with another startAfter"),
    280: (_INVALID, _KEEP_IDS),
    47: (_INVALID, _IMAGES),
    10334: (
        "StreamProcessorSourceDocTooLarge",
        "an event may have 16 MB: ask for fewer images, or project fields away in config.pipeline",
    ),
    13: (_DENIED, ""),
    18: (_DENIED, ""),
    73: (_NAMESPACE, ""),
    166: (_NAMESPACE, "views and time series collections have no change stream"),
    2: (_INVALID, ""),
    9: (_INVALID, ""),
    14: (_INVALID, ""),
    15: (_INVALID, ""),
    20: (_INVALID, ""),
    241: (_INVALID, ""),
}
"""The server's error code to the processor's, and what to do."""


def cluster_failure(error: PyMongoError, doing: str) -> ProcessorFailed:
    """What an error of the source cluster means for the processor (asp-reference.md 1.10)."""
    code = error.code if isinstance(error, OperationFailure) else None
    name, hint = _VERDICTS.get(code or 0, ("StreamProcessorAtlasConnectionError", ""))
    if isinstance(error, InvalidOperation):  # pymongo found no _id in an event
        name, hint = _INVALID, _KEEP_IDS
    elif isinstance(error, ConnectionFailure | NetworkTimeout):
        name, hint = "StreamProcessorAtlasConnectionError", ""
    elif name.endswith("ConnectionError") and (code or 0) >= FIRST_LOCATION:
        name = _INVALID
    details = getattr(error, "details", None) or {}
    message = f"{doing} failed: {details.get('errmsg', error)}"
    retryable = name in ("StreamProcessorAtlasConnectionError", _DENIED)
    return ProcessorFailed(
        CODES[name], f"{message}; {hint}" if hint else message, retryable=retryable
    )


class Tail:
    """Reads a change stream ahead of the engine.

    Args:
        opened: Opens it; takes pymongo's `start_after` or `start_at_operation_time`.
        start: Where it begins; empty for now.

    Raises:
        ProcessorFailed: It cannot be opened.
    """

    def __init__(
        self, opened: Callable[[Document], ChangeStream[RawBSONDocument]], start: Document
    ) -> None:
        self._opened = opened
        self._handoff: Handoff[Change] = Handoff()
        try:
            self._stream = opened(start)
        except PyMongoError as error:
            raise cluster_failure(error, "opening the change stream") from error
        self.token: Document = _token_of(self._stream)
        """The resume token that the stream begins at."""
        self._reader = threading.Thread(target=self._run, name="change-stream", daemon=True)
        self._reader.start()

    def take(self, max_count: int, timeout_s: float) -> list[Change]:
        """The changes that have come; waits for the first one only.

        Raises:
            ProcessorFailed: The stream cannot go on.
        """
        return self._handoff.take(max_count, timeout_s)

    def close(self) -> None:
        """Close the stream and end its thread."""
        self._handoff.close()
        self._reader.join(JOIN_S)

    def _run(self) -> None:
        try:
            while not self._handoff.closed:
                with self._stream as stream:
                    self._pump(stream)
                    token = _token_of(stream)
                if not self._handoff.closed:
                    self._stream = self._opened({"start_after": token})
        except PyMongoError as error:
            self._handoff.fail(cluster_failure(error, "reading the change stream"))

    def _pump(self, stream: ChangeStream[RawBSONDocument]) -> None:
        """Read until the stream ends, which only an invalidation or closing makes it do."""
        while stream.alive and not self._handoff.closed:
            raw = stream.try_next()
            if raw is not None:
                event, fault = decoded(raw.raw)
                size_bytes = len(raw.raw)
                self._handoff.put(Change(event, event["_id"], size_bytes, fault), size_bytes)
            elif self._handoff.is_empty:
                # A silent stream's token moves on too: a checkpoint of it survives the oplog.
                self._handoff.put(Change(None, _token_of(stream)), 0)


def _token_of(stream: ChangeStream[RawBSONDocument]) -> Document:
    """Where the stream stands; dear, as pymongo copies it deeply: an event's own `_id` is not."""
    return dict(stream.resume_token or {})
