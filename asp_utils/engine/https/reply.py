"""What a reply of an HTTP endpoint means to `$https`: success, one document's fault, or trouble.

Source: Atlas page "$https"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import bson
import orjson

from asp_utils.clients.op_msg import NOT_BSON
from asp_utils.ejson import BadExtendedJson, loads

if TYPE_CHECKING:
    from asp_utils.clients.http import HttpReply

Verdict = Literal["success", "document", "trouble", "processor"]
"""Whose matter a status is: the document's (`onError`), for another try, or the processor's."""

_DOCUMENT_STATUSES: Final = (400, 404, 410, 413, 414, 431)
_TOO_MANY_REQUESTS: Final = 429
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_SHOWN_CHARACTERS: Final = 200
_INT64: Final = range(-(2**63), 2**63)


class Unusable(ValueError):
    """A reply of a good status whose body cannot become a value."""


def verdict_on(status: int) -> Verdict:
    """Whose matter a status is."""
    if 200 <= status < 300:
        return "success"
    if status in _DOCUMENT_STATUSES:
        return "document"
    return "trouble" if status == _TOO_MANY_REQUESTS or status >= 500 else "processor"


def value_of(reply: HttpReply, *, parse_json_strings: bool) -> Any:
    """The value in a body that is not empty.

    Args:
        reply: What the endpoint answered.
        parse_json_strings: Whether strings that hold a JSON object or array become one, at any
            depth (Atlas does not say what becomes of `"5"`; here it stays a string).

    Raises:
        Unusable: The body is of another type, is no JSON, or cannot be stored as BSON.
    """
    if reply.fault:
        raise Unusable(f"the body is of no use: {reply.fault}")
    match reply.media_type:
        case "" | "application/json":
            value = _json_value(reply.body)
        case "text/plain":
            value = _text(reply)
        case other:
            raise Unusable(f"the Content-Type is {other}; it must be {_JSON} or {_TEXT}")
    return _with_parsed_strings(value) if parse_json_strings else value


def shown(reply: HttpReply) -> str:
    """The status and the beginning of the body, for a reason."""
    status = f"{reply.status} {reply.phrase}".strip()
    text = " ".join(reply.body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}…"
    return f"{status}: {text}" if text else status


def _json_value(body: bytes) -> Any:
    """JSON, Extended JSON included; what only looks like Extended JSON stays as it is."""
    try:
        return _storable(loads(body))
    except BadExtendedJson:
        return _storable(orjson.loads(body))
    except ValueError as error:
        raise Unusable(f"the body is no JSON: {error}") from error


def _text(reply: HttpReply) -> str:
    try:
        return reply.body.decode(reply.charset)
    except (UnicodeDecodeError, LookupError) as error:
        raise Unusable(f"the body is no text in {reply.charset}: {error}") from error


def _storable(value: Any) -> Any:
    """A value that BSON can hold; integers beyond 64 bits become doubles."""
    try:
        try:
            bson.encode({"": value})
        except OverflowError:
            value = _with_doubles(value)
            bson.encode({"": value})
    except NOT_BSON as error:
        raise Unusable(f"the body cannot be stored as BSON: {error}") from error
    return value


def _with_doubles(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_doubles(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_doubles(inner) for inner in value]
    return float(value) if type(value) is int and value not in _INT64 else value


def _with_parsed_strings(value: Any) -> Any:
    try:
        return _parsed(value)
    except RecursionError as error:
        raise Unusable("the body is nested too deeply") from error


def _parsed(value: Any) -> Any:
    if type(value) is dict:
        return {key: _parsed(inner) for key, inner in value.items()}
    if type(value) is list:
        return [_parsed(inner) for inner in value]
    if type(value) is str and value.lstrip()[:1] in ("{", "["):
        try:
            return _parsed(_json_value(value.encode()))
        except ValueError:
            return value
    return value
