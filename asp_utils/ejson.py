"""Extended JSON: BSON values to relaxed JSON text and back.

The text equals that of `bson.json_util` in RELAXED mode, value for value; orjson writes and reads
it. `bson` is loaded only when a document holds something that JSON itself does not have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

_WRAPPER_KEYS: Final = frozenset(
    (
        "$binary", "$code", "$date", "$dbPointer", "$maxKey", "$minKey", "$numberDecimal",
        "$numberDouble", "$numberInt", "$numberLong", "$oid", "$ref", "$regularExpression",
        "$symbol", "$timestamp", "$undefined", "$uuid",
    )
)  # fmt: skip
"""Keys that mark a typed value. `$regex` is not among them: in a pipeline it is an operator."""


class BadExtendedJson(ValueError):
    """A typed value such as `{"$date": ...}` that cannot be read.

    `path` is the JSON path of that value, `reason` what is wrong with it.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"${path}: {reason}")
        self.reason = reason
        self.path = f"${path}"
        self._below_root = path

    def below(self, step: str) -> BadExtendedJson:
        """The same fault, seen from the container that holds the value at `step`."""
        return BadExtendedJson(self.reason, step + self._below_root)


def dumps(document: Any, *, pretty: bool = False) -> bytes:
    """Write one value as relaxed Extended JSON in UTF-8, on one line unless `pretty`.

    Raises:
        TypeError: A value has no JSON form.
    """
    options = _OPTIONS | orjson.OPT_INDENT_2 if pretty else _OPTIONS
    try:
        text = orjson.dumps(document, default=_to_json, option=options)
    except orjson.JSONEncodeError:
        # Lone surrogates, integers beyond 64 bits, deep nesting: the standard library writes them.
        return _dumps_slowly(document, pretty=pretty)
    # orjson writes NaN and infinity as null, which would change the value.
    if b"null" in text and _holds_non_finite(document):
        return _dumps_slowly(document, pretty=pretty)
    return text


def loads(text: str | bytes) -> Any:
    """Read one JSON value; typed values (`$oid`, `$date` ...) become BSON types.

    Dates become naive UTC datetimes. Every other key that starts with `$` stays as it is, so
    pipelines read unchanged. Integers beyond 64 bits become doubles.

    Raises:
        ValueError: The text is not JSON, or a typed value cannot be read (`BadExtendedJson`).
    """
    value = orjson.loads(text)
    marked = b'"$' in text if isinstance(text, bytes) else '"$' in text
    return revive(value) if marked else value


def revive(value: Any) -> Any:
    """Turn the typed values of already parsed JSON into BSON types; the rest is copied.

    Raises:
        BadExtendedJson: A typed value cannot be read, or the value is nested too deeply.
    """
    try:
        return _revive(value)
    except RecursionError as exc:
        raise BadExtendedJson("nested too deeply") from exc


def _revive(value: Any) -> Any:
    if type(value) is dict:
        return _revive_object(value)
    if type(value) is list:
        return _revive_array(value)
    return value


def _revive_object(value: dict[str, Any]) -> Any:
    revived: dict[str, Any] = {}
    typed = False
    key = ""
    try:
        for key, child in value.items():
            typed = typed or key in _WRAPPER_KEYS
            revived[key] = _revive(child)
    except BadExtendedJson as exc:
        raise exc.below(f".{key}") from exc
    return _typed_value(revived) if typed else revived


def _revive_array(value: list[Any]) -> list[Any]:
    revived: list[Any] = []
    try:
        for child in value:
            revived.append(_revive(child))
    except BadExtendedJson as exc:
        raise exc.below(f"[{len(revived)}]") from exc
    return revived


def _typed_value(value: dict[str, Any]) -> Any:
    date = value.get("$date")
    if type(date) is str and len(value) == 1:
        moment = _utc_datetime(date)
        if moment is not None:
            return moment
    from bson.errors import BSONError
    from bson.json_util import RELAXED_JSON_OPTIONS, object_hook

    try:
        return object_hook(value, RELAXED_JSON_OPTIONS)
    except (
        BSONError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError
    ) as exc:  # fmt: skip
        raise BadExtendedJson(f"not a valid Extended JSON value: {exc}") from exc


def _utc_datetime(text: str) -> datetime | None:
    """The instant of `2026-01-20T14:30:15Z` or `...15.123Z`; None for every other form."""
    if len(text) not in (20, 24) or text[10] != "T" or text[-1] != "Z":
        return None
    try:
        return datetime.fromisoformat(text[:-1])
    except ValueError:
        return None


def _to_json(value: Any) -> Any:
    """What orjson calls for each value that it does not know."""
    if isinstance(value, datetime) and value.tzinfo is None and value.year >= 1970:
        text = value.isoformat(timespec="milliseconds")
        return {"$date": f"{text.removesuffix('.000')}Z"}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    from bson.json_util import RELAXED_JSON_OPTIONS, default

    converted = default(value, RELAXED_JSON_OPTIONS)
    if converted is value:  # a subclass of a builtin, such as an int with a class of its own
        return next(plain(value) for plain in (str, int, float) if isinstance(value, plain))
    return converted


def _holds_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_holds_non_finite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_non_finite, value))
    # A scope or a reference may hold a document of its own: let json_util decide.
    return hasattr(value, "scope") or hasattr(value, "as_doc")


def _dumps_slowly(document: Any, *, pretty: bool) -> bytes:
    from bson import json_util

    text: str = json_util.dumps(
        document,
        json_options=json_util.RELAXED_JSON_OPTIONS,
        indent=2 if pretty else None,
        separators=None if pretty else (",", ":"),
    )
    return text.encode()
