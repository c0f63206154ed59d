"""What a refusal of the Admin API means: the error of the toolkit for a status and its body.

A body that is none (a proxy's HTML page, nothing at all) is a refusal all the same.

Source: asp-reference.md 4.1, 4.6; Atlas page "Atlas Administration API Error Codes".
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING, Any, Final

import orjson

from asp_utils.clients.atlas.messages import PROXY, UNKNOWN
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    Fault,
    FaultyInput,
    NotFound,
    PermissionDenied,
    PipelineInvalid,
    Temporary,
    UnexpectedReply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.clients.atlas.messages import Asked, Reply

_NOT_FOUND: Final = re.compile(r"NOT_FOUND|DOES_NOT_EXIST|NO_SUCH")
_CONFLICT: Final = re.compile(
    r"IN_USE|ALREADY|DUPLICATE|HAS_STREAM_PROCESSORS|IS_DEPLOYING|CONFLICT|MUST_BE_STOPPED"
)
_PIPELINE: Final = re.compile(r"STREAM_PROCESSOR|PIPELINE")
_OTHER_STATE: Final = re.compile(r"already (been )?(started|running)|must be stopped|not running: ")
_GONE: Final = re.compile(r"problem occur: stream processor doesn't exist")
"""As `_OTHER_STATE`: what a generic 400 says where a processor is in another state, or is gone."""
_GENERIC: Final = "STREAM_PROCESSOR_GENERIC_ERROR"
_SHOWN: Final = 200
_HINTS: Final = {
    "IP_ADDRESS_NOT_ON_ACCESS_LIST": "add this machine's address to the API access list of the "
    "service account or API key (organisation settings), or ask from one that is on it",
    "STREAM_TENANT_HAS_STREAM_PROCESSORS": "delete its stream processors first",
    "STREAM_CONNECTION_HAS_STREAM_PROCESSORS": "stop the stream processors that use it first",
    "STREAM_TENANT_NAME_ALREADY_EXISTS": "workspace_ensure takes the one that exists, and "
    "workspace_update changes it",
    "STREAM_CONNECTION_NAME_ALREADY_EXISTS": "connection_ensure takes the one that exists, and "
    "connection_update changes it",
    "STREAM_PRIVATE_LINK_IN_USE": "delete the connections that use it first",
    "STREAM_KAFKA_CONNECTION_IS_DEPLOYING": "wait until it is READY",
}


def refusal(asked: Asked, reply: Reply, who: str) -> AspError:
    """The error that a reply outside 200 to 299 means.

    Args:
        asked: What was asked for.
        reply: What came back.
        who: The credentials in words, for a hint.
    """
    body = _document(reply)
    code = str(body.get("errorCode") or "")
    said = _sentence(body, reply)
    message = f"{asked.name}: {reply.status} {code or reply.phrase}: {said}"
    error = _error(asked, reply, body, code, message, who)
    error.hint = error.hint or _next_step(error, code)
    error.details |= _facts(asked, reply, body)
    return error


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """How many seconds the server wants its client to wait; None where it does not say.

    Args:
        headers: Of the reply, by lower-case name.
        now: Seconds since 1970.
    """
    wanted = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", wanted):
        return float(wanted)
    try:
        return max(0.0, parsedate_to_datetime(wanted).timestamp() - now())
    except (ValueError, OverflowError):
        return None


def _error(
    asked: Asked, reply: Reply, body: Mapping[str, Any], code: str, message: str, who: str
) -> AspError:
    hint = _HINTS.get(code, "")
    match reply.status:
        case status if 300 <= status < 400:
            place = reply.headers.get("location", "nowhere")
            wrong = "the Admin API never redirects: is this its base URL?"
            return UnexpectedReply(f"{message}, to {place[:_SHOWN]}", hint=wrong)
        case 401:
            return PermissionDenied(message, hint=hint or f"is it expired or revoked: {who}?")
        case 402:
            paid = "the organisation needs a payment method before it may create this"
            return PermissionDenied(message, hint=hint or paid)
        case 403 if _CONFLICT.search(code):
            return Conflict(message, hint=hint)
        case 403:
            role = "give it a role that may do this, such as Project Stream Processing Owner"
            return PermissionDenied(message, hint=hint or f"{who}: {role}")
        case 404:
            return NotFound(message, hint=hint)
        case 409:
            return Conflict(message, hint=hint)
        case 400 | 413 | 422:
            return _unfit(body, code, message, hint)
        case 408 | 425 | 429:
            return Temporary(message, hint=hint or "wait a minute and ask again")
        case status if status >= 500:
            return _down(asked, message)
        case _:
            return UnexpectedReply(message, hint=hint)


def _unfit(body: Mapping[str, Any], code: str, message: str, hint: str) -> AspError:
    """The error for a request whose content does not fit: each wrong field is a fault."""
    if _NOT_FOUND.search(code):
        return NotFound(message, hint=hint)
    if _CONFLICT.search(code):
        return Conflict(message, hint=hint)
    detail = str(body.get("detail") or "")
    if code == _GENERIC and _GONE.search(detail):
        return NotFound(message, hint=hint)
    if code == _GENERIC and _OTHER_STATE.search(detail):
        return Conflict(message, hint=hint)
    fields = body.get("badRequestDetail")
    listed = fields.get("fields") if isinstance(fields, dict) else None
    faults = [
        Fault(_path(item.get("field")), str(item.get("description") or message))
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    if _PIPELINE.search(code):
        return PipelineInvalid("Atlas", faults or [Fault("$.pipeline", message)], hint=hint)
    return ConfigInvalid("Atlas", faults or [Fault("$", message)], hint=hint)


def _next_step(error: AspError, code: str) -> str:
    """What to do where the code has no advice of its own."""
    if isinstance(error, NotFound):
        return "look at what there is, and whether the project is the right one" if code else PROXY
    if isinstance(error, Conflict):
        return "it exists already, is in use or is in another state: look at it first"
    if isinstance(error, FaultyInput):
        return "correct what is named and ask again"
    return PROXY


def _path(field: Any) -> str:
    name = str(field or "").removeprefix("$").removeprefix(".")
    return "$" + ("" if not name or name.startswith("[") else ".") + name


def _down(asked: Asked, message: str) -> AspError:
    if asked.safe:
        return Temporary(message, hint="Atlas has a fault of its own: ask again later")
    return Temporary(
        message,
        hint=UNKNOWN,
        retryable=False,
    )


def _document(reply: Reply) -> dict[str, Any]:
    """The error body; empty when it is none."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _sentence(body: Mapping[str, Any], reply: Reply) -> str:
    """What the reply says in words."""
    for key in ("detail", "error_description", "reason", "message"):
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    if not reply.body:
        return "the reply has no body"
    if body:
        return str(body)[:_SHOWN]
    text = reply.body[: 16 * _SHOWN].decode(errors="replace")
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    shown = " ".join(unescape(title[1] if title else text).split())[:_SHOWN]
    return f"the reply is {reply.media_type or 'untyped'}, not Atlas's JSON: {shown!r}"


def _facts(asked: Asked, reply: Reply, body: Mapping[str, Any]) -> dict[str, Any]:
    facts = {"status": reply.status, "method": asked.method, "path": asked.path}
    keys = ("errorCode", "reason", "detail", "parameters")
    return facts | {key: body.get(key) for key in keys}
