"""Change events as data: decoded, dated, described by metadata; resume tokens and their times.

Source: manual pages "Change events" and "Change streams" (resume tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import bson
from bson import Timestamp
from bson.errors import BSONError

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.model.error_codes import CODES
from asp_utils.units import ms_of

if TYPE_CHECKING:
    Document = dict[str, Any]

_LENIENT: Final = DOCUMENTS.with_options(unicode_decode_error_handler="replace")
_TOKEN_TIME: Final = slice(2, 18)
"""Where a resume token, in hexadecimal, holds its cluster time: behind the byte for its type."""
_UNCHANGED: Final = frozenset({"insert", "update", "replace"})
"""Operations after which there is a document."""


class Change(NamedTuple):
    """An event, and where the stream stands behind it."""

    event: Document | None
    """None: only time has passed."""
    token: Document
    size_bytes: int = 0
    fault: str = ""
    """Why the event cannot be passed on as it is."""


def decoded(raw: bytes | memoryview) -> tuple[Document, str]:
    """A document of the cluster's, and why it is not quite the one that was stored ("" else)."""
    try:
        return bson.decode(raw, DOCUMENTS), ""
    except BSONError as error:
        return bson.decode(raw, _LENIENT), f"the document holds text that is no UTF-8: {error}"


def event_ms(event: Document) -> int:
    """The event's own time, ms since the epoch: `wallTime`, which servers have since 6.0.

    Raises:
        ProcessorFailed: `config.pipeline` has removed the times.
    """
    moment = event.get("wallTime")
    try:
        if moment is not None:
            return ms_of(moment)
        cluster_time: Timestamp = event["clusterTime"]
        return cluster_time.time * 1000
    except (KeyError, AttributeError, TypeError) as error:
        message = (
            "an event came without clusterTime and wallTime as the cluster set them: "
            "$source.config.pipeline must keep both (and _id) unchanged"
        )
        code = CODES["StreamProcessorInvalidOptions"]
        raise ProcessorFailed(code, message, retryable=False) from error


def namespace(event: Document) -> tuple[str, str]:
    """Database and collection of an event; "" where it has none."""
    found = event.get("ns")
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("db", "")), str(found.get("coll", ""))


def event_metadata(event: Document) -> Document:
    """The `stream.source` fields of an event (asp-reference.md 2.13)."""
    return {name: event[name] for name in ("operationType", "ns", "documentKey") if name in event}


def lacks_document(event: Document, full_document: str) -> str:
    """Why the document that an event should have is missing; "" where none is to be expected.

    A delete or a drop has none; with `updateLookup` it has been deleted since, and that event
    follows. With `whenAvailable` the collection did not keep it, so a change would be lost.
    """
    if full_document == "whenAvailable" and event.get("operationType") in _UNCHANGED:
        return (
            "the event has no fullDocument, as the collection did not keep it: enable "
            "changeStreamPreAndPostImages on it"
        )
    return ""


def token_time(token: Document) -> Timestamp | None:
    """The cluster time that a resume token stands for; None where it cannot be read."""
    data = token.get("_data")
    text = data.hex() if isinstance(data, bytes) else str(data)
    try:
        moment = int(text[_TOKEN_TIME], 16)
    except ValueError:
        return None
    return Timestamp(moment >> 32, moment & 0xFFFFFFFF)


def copied_event(
    document: Document, db: str, coll: str, started_at: Timestamp, wall_time: Any
) -> Document:
    """The insert event that an initial sync makes of an existing document.

    Its `_id` is the same whenever the same document is copied, so that a sink which writes events
    by their `_id` writes it once. No change stream can begin there.
    """
    key = {"_id": document.get("_id")}
    token = bson.encode({"initialSync": f"{db}.{coll}", **key}).hex().upper()
    return {
        "_id": {"_data": token},
        "operationType": "insert",
        "clusterTime": started_at,
        "wallTime": wall_time,
        "fullDocument": document,
        "ns": {"db": db, "coll": coll},
        "documentKey": key,
    }
