"""Bodies: what a client sends (size, media type, JSON, fields), and what no reply may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from starlette.requests import ClientDisconnect

from asp_utils.ejson import BadExtendedJson, revive
from asp_utils.errors import Fault
from asp_utils.pipeline.grammar import Options, option_faults
from asp_utils.server.admin.failures import ApiFailure, invalid
from asp_utils.server.admin.media import is_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

MAX_BODY_BYTES: Final = 40_000_000
"""A definition of 16 MB takes up to about this much as JSON."""
READ_ONLY: Final = ("_id", "id", "links", "groupId", "hostnames", "state", "stats")
"""Fields of replies that a client may send back; they change nothing."""
_Shape = TypeVar("_Shape", bound=Options)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body.

    Raises:
        ApiFailure: 413, when it is longer than that.
    """
    chunks, size_bytes = [], 0
    stream = request.stream()
    while (chunk := await _next(stream)) is not None:
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            detail = f"The body is longer than {max_bytes} bytes."
            raise ApiFailure(413, "PAYLOAD_TOO_LARGE", detail, headers={"Connection": "close"})
        chunks.append(chunk)
    return b"".join(chunks)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    """The next chunk; None after the last.

    Raises:
        ApiFailure: 400, the client went away; nobody is left to read it.
    """
    try:
        return await anext(chunks, None)
    except ClientDisconnect as error:
        raise ApiFailure(400, "INCOMPLETE_BODY", "The body ended too early.") from error


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body; a missing body is an empty one. Keys keep their order.

    Raises:
        ApiFailure: 413, 415, or 400: it is no JSON, or no object.
    """
    body = await read_body(request, MAX_BODY_BYTES)
    if not body.strip():
        return {}
    content_type = request.headers.get("content-type", "")
    if not is_json(content_type):
        detail = f"The body must be application/json, not {content_type[:100]!r}."
        raise ApiFailure(415, "UNSUPPORTED_MEDIA_TYPE", detail, parameters=[content_type[:100]])
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiFailure(400, "MALFORMED_JSON", f"The body is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise invalid([Fault("", "must be a JSON object")])
    return document


def without_read_only(document: Mapping[str, Any], *also: str) -> dict[str, Any]:
    """What of a request's object counts."""
    return {key: value for key, value in document.items() if key not in (*READ_ONLY, *also)}


def read_shape(shape: type[_Shape], document: Mapping[str, Any]) -> _Shape:
    """An object of that shape.

    Raises:
        ApiFailure: 400, with every fault.
    """
    faults = option_faults(shape, dict(document), "")
    if faults:
        raise invalid(faults)
    return shape.model_validate(document)


def typed_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """The object with Extended JSON (`$oid`, `$date` …) read as BSON values.

    Raises:
        ApiFailure: 400, one of them cannot be read.
    """
    try:
        revived: dict[str, Any] = revive(dict(document))
    except BadExtendedJson as error:
        raise invalid([Fault(error.path.removeprefix("$"), error.reason)]) from error
    return revived


def without_nothing(value: Any) -> Any:
    """A copy that holds no null: clients of Atlas refuse it, where a field may be missing."""
    if isinstance(value, dict):
        return {key: without_nothing(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nothing(inner) for inner in value if inner is not None]
    return value
