"""What the errors of a MongoDB deployment mean for the user, without any password.

Source: MongoDB manual, page "Error Codes"; each class of refusal was provoked on a real mongod.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import (
    ConfigurationError,
    InvalidName,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    Fault,
    NotFound,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BAD_CREDENTIALS: Final = frozenset({18, 8000})
UNAUTHORIZED: Final = 13
EXCEEDED: Final = frozenset({50, 202, 262})
UNKNOWN_COLLECTION: Final = 26
EXISTS: Final = 48
DUPLICATE: Final = 11000
NO_REPLICA_SET: Final = 40573
BAD_TOKEN: Final = 260
NO_IMAGE: Final = frozenset({47, 51770})

_TEMPORARY: Final = frozenset({6, 7, 89, 91, 112, 189, 10107, 11600, 11602, 13435, 13436})
_WRONG_STATE: Final = frozenset({20, 85, 86, 115, 166, 286, 280, 31002, 246})
_INPUT: Final = frozenset({2, 9, 14, 16, 28, 52, 54, 59, 66, 67, 72, 73, 197, 260})
_LOCATIONS_FROM: Final = 10_000
"""Codes from here on name a place in the server's source; nearly all are about the command."""
_HINTS: Final[dict[int, str]] = {
    20: "change streams need a replica set or a sharded cluster",
    85: "look at the indexes there are: cli_mongodb_list_indexes.py",
    86: "choose another name, or drop the index that has this one: cli_mongodb_list_indexes.py",
    115: "a view or time series collection cannot do this",
    166: "a view has no indexes, images or change stream of its own: name its collection",
    286: "the oplog no longer holds that moment: start later, or without a token",
    280: "the event has no such image: cli_mongodb_enable_pre_post_images.py keeps them",
}
_LOOK: Final = "look at what there is: cli_mongodb_list_collections.py"
_NEXT_STEPS: Final[dict[type[AspError], str]] = {
    Temporary: "try again a little later",
    Unreachable: "is it still up? look at the state before you ask again",
}
"""Where the code has no advice of its own."""
_DENIED: Final = re.compile(r"not authorized on (\S+) to execute command \{ ?(\w+):")
_RESOLVING: Final = re.compile(r"DNS|resol|nameserver")
_OPERATOR: Final = re.compile(r"\$[A-Za-z]\w*")


def connection_fault(error: Exception) -> AspError:
    """The error for a connection string that is none; the string itself is not shown.

    A name that DNS does not know is no fault of the string's form.
    """
    text = str(error)
    if isinstance(error, ConfigurationError) and _RESOLVING.search(text):
        return Unreachable(
            f"the deployment cannot be found: {text}",
            hint="check the host name in mongodb_uri, and this machine's DNS",
            path="$.mongodb_uri",
        )
    fault = Fault("$.mongodb_uri", f"this is no connection string: {text}")
    hint = "mongodb://host:27017/ or mongodb+srv://cluster.example.mongodb.net/, or `local`"
    return ConfigInvalid("config", [fault], hint=hint)


def translated(
    error: PyMongoError | ValueError | OverflowError,
    *,
    place: str,
    reasons: list[str],
    given: Mapping[str, Any],
) -> AspError:
    """What went wrong, as one of the toolkit's errors.

    Args:
        error: pymongo's error, or one of `bson.encode`.
        place: Hosts of the deployment.
        reasons: Why each server cannot be reached, when none could be selected.
        given: The parameters that the server was sent, by name: one may be to blame.
    """
    if isinstance(error, OperationFailure):
        return _refusal(error, place, given)
    if isinstance(error, ServerSelectionTimeoutError):
        return _unreachable(error, place, reasons)
    if isinstance(error, InvalidName):
        name = "collection" if "collection" in str(error) else "database"
        return ConfigInvalid("config", [Fault(f"$.{name}", str(error))])
    if not isinstance(error, PyMongoError):
        where = f"$.{next(iter(given), 'mongodb_uri')}"
        return ConfigInvalid("config", [Fault(where, f"this cannot be sent as BSON: {error}")])
    if error.timeout:
        return _too_slow(place)
    if isinstance(error, ConfigurationError):
        return connection_fault(error)
    lost = f"lost the connection to {place}: {_first_line(error)}"
    return Unreachable(lost, hint="is it still up? look at the state before you ask again")


def _refusal(error: OperationFailure, place: str, given: Mapping[str, Any]) -> AspError:
    """What a reply with `ok: 0` means."""
    details = error.details or {}
    message = str(details.get("errmsg", error))
    code = error.code or 0
    facts = {"code": code, "codeName": details.get("codeName")}
    if code in BAD_CREDENTIALS:
        return PermissionDenied(
            f"{place} does not accept the credentials of mongodb_uri",
            hint="check user, password and authSource in the connection string",
            path="$.mongodb_uri",
            details=facts,
        )
    if code == UNAUTHORIZED:
        return _denied(message, place, facts)
    if code in EXCEEDED or error.timeout:
        return _too_slow(place)
    if code == DUPLICATE:
        return _duplicate(details, facts)
    if code == NO_REPLICA_SET:
        hint = "start the mongod with --replSet and rs.initiate() it, or use `local`"
        return Conflict(f"{place} is no replica set: it has no change streams", hint=hint)
    if code in NO_IMAGE:
        return Conflict(f"{place}: {message}", hint=_HINTS[280], details=facts)
    kind = _kind(code)
    if kind is not ConfigInvalid:
        hint = _HINTS.get(code) or _NEXT_STEPS.get(kind, _LOOK)
        return kind(f"{place}: {message}", hint=hint, details=facts)
    if not given:
        return UnexpectedReply(f"{place}: {message}", hint=_LOOK, details=facts)
    about_token = code == BAD_TOKEN or "resume token" in message.lower()
    path = "$.start_after" if about_token else _path_of(message, given)
    return ConfigInvalid("config", [Fault(path, message, code=code)])


def _kind(code: int) -> type[AspError]:
    if code in (UNKNOWN_COLLECTION, 27):
        return NotFound
    if code == EXISTS or code in _WRONG_STATE:
        return Conflict
    if code in _TEMPORARY:
        return Temporary
    is_about_input = code in _INPUT or code >= _LOCATIONS_FROM
    return ConfigInvalid if is_about_input else UnexpectedReply


def _denied(message: str, place: str, facts: dict[str, Any]) -> PermissionDenied:
    """Names the action; the command that the server repeats may hold anything, so it is cut."""
    found = _DENIED.search(message)
    if found:
        database, action = found.groups()
        said = f"these credentials may not run {action} on {database!r}"
        facts = {**facts, "action": action, "database": database}
    else:
        said = message.partition("{")[0].strip() or "these credentials may not do this"
    if "requires authentication" in message:
        said = "it wants credentials, and mongodb_uri has none"
    hint = "give the user a role with that action (read, readWrite, dbAdmin, clusterMonitor)"
    return PermissionDenied(f"{place}: {said}", hint=hint, path="$.mongodb_uri", details=facts)


def _duplicate(details: Mapping[str, Any], facts: dict[str, Any]) -> Conflict:
    """Documents share a value that should be unique; the value itself is the user's own."""
    fields = ", ".join(details.get("keyPattern") or {}) or "the indexed fields"
    hint = f"find them: cli_mongodb_infer_schema.py shows how distinct {fields} is"
    return Conflict(
        f"several documents have the same value in {fields}",
        hint=hint,
        details={**facts, "keyPattern": dict(details.get("keyPattern") or {})},
    )


def _unreachable(error: PyMongoError, place: str, reasons: list[str]) -> AspError:
    reason = "; ".join(dict.fromkeys(reasons)) or _first_line(error)
    hint = "check host and port, the network, and the IP access list of an Atlas cluster"
    lowered = reason.lower()
    if (
        "ssl" in lowered
        or "tls" in lowered
        or "certificate" in lowered
        or "connection closed" in lowered
    ):
        hint = (
            "does the deployment speak TLS? Set tls=true or false, tlsCAFile for an own authority"
        )
    if "no replica set members match" in lowered or "primary" in lowered:
        hint = "no member may be written to now: wait for an election, or add directConnection=true"
    return Unreachable(f"no MongoDB answers at {place}: {reason}", hint=hint, path="$.mongodb_uri")


def _too_slow(place: str) -> TimedOut:
    hint = "raise timeout_s, ask for less, or give the filter an index"
    return TimedOut(f"{place} was told to stop: the time was up", hint=hint)


def _first_line(error: Exception) -> str:
    return re.split(r" \(configured timeouts|, Timeout: |, full error", str(error))[0]


def _path_of(message: str, given: Mapping[str, Any]) -> str:
    """The JSON path of the operator that the server complains about; else of the parameter."""
    words = _OPERATOR.findall(message)
    for word in words:
        for path in _places(dict(given), word, "$"):
            return path
    return f"$.{next(iter(given))}"


def _places(value: Any, word: str, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            below = f"{path}.{key}"
            if key == word:
                yield below
            yield from _places(inner, word, below)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, word, f"{path}[{index}]")
