"""The JSON texts that sinks write: relaxed and canonical Extended JSON, and Basic JSON.

Relaxed and canonical text equal that of `bson.json_util`, value for value. Basic JSON has no
wrappers; where the table of Atlas is silent: NaN is the string "NaN", code is its text, a database
reference is its document, min and max key stay as in Extended JSON.

orjson writes the text and calls back only for values that JSON itself does not have. So a document
of plain values costs no Python code, canonical text aside, which wraps every number.

Source: Atlas page "$emit", "Basic JSON"; asp-reference.md 2.12.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import orjson
from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from asp_utils.units import ms_of

OutputFormat = Literal["relaxedJson", "canonicalJson", "basicJson"]
DateFormat = Literal["default", "ISO8601"]
Formatter = Callable[[Mapping[str, Any]], bytes]
Convert = Callable[[Any], Any]

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_INT32_BOUND: Final = 2**31


def formatter(output_format: OutputFormat, date_format: DateFormat = "default") -> Formatter:
    """What writes one document as UTF-8 JSON on one line.

    Hidden fields are written too: leave them out before (`engine.hidden.visible`). The function
    raises `ValueError` for a document without a JSON form (nested too deeply).
    """
    iso = date_format == "ISO8601"
    if output_format == "canonicalJson":
        return partial(_canonical_text, iso=iso)
    conversions = _RELAXED if output_format == "relaxedJson" else _BASIC
    if iso:
        conversions = {**conversions, datetime: iso_date}
    return partial(_text, convert=_converter(conversions))


def iso_date(moment: datetime) -> str:
    """A date as `2025-01-10T20:17:38.387Z`, milliseconds always there; a naive one is UTC.

    Example:
        >>> iso_date(datetime(2025, 1, 10, 20, 17, 38))
        '2025-01-10T20:17:38.000Z'
    """
    naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return f"{naive.isoformat(timespec='milliseconds')}Z"


def _text(document: Mapping[str, Any], *, convert: Convert) -> bytes:
    try:
        text = orjson.dumps(document, default=convert, option=_OPTIONS)
        # orjson writes NaN and infinity as null, which would change the value.
        if b"null" in text:
            text = orjson.dumps(_finite(document, convert), default=convert, option=_OPTIONS)
    except (TypeError, RecursionError) as error:
        raise _no_json(error) from error
    return text


def _canonical_text(document: Mapping[str, Any], *, iso: bool) -> bytes:
    try:
        return orjson.dumps(_canonical(document, iso))
    except (TypeError, RecursionError) as error:
        raise _no_json(error) from error


def _no_json(error: Exception) -> ValueError:
    return ValueError(f"the document cannot be written as JSON: {error}")


def _finite(value: Any, convert: Convert) -> Any:
    """The value with every NaN and infinity converted."""
    if isinstance(value, float):
        return value if math.isfinite(value) else convert(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner, convert) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner, convert) for inner in value]
    return value


def _converter(conversions: Mapping[type, Convert]) -> Convert:
    """What orjson calls for a value that JSON does not have."""

    def convert(value: Any) -> Any:
        conversion = conversions.get(type(value))
        if conversion is not None:
            return conversion(value)
        if isinstance(value, DBRef):
            return _finite(value.as_doc(), convert)
        if isinstance(value, Code) and value.scope is not None:
            return {"$code": str(value), "$scope": _finite(value.scope, convert)}
        if isinstance(value, Mapping):
            return dict(value)
        return json_util.default(value, json_util.RELAXED_JSON_OPTIONS)

    return convert


def _relaxed_date(moment: datetime) -> Any:
    if moment.tzinfo is not None or moment.year < 1970:
        return json_util.default(moment, json_util.RELAXED_JSON_OPTIONS)
    text = moment.isoformat(timespec="milliseconds")
    return {"$date": f"{text.removesuffix('.000')}Z"}


def _basic_binary(value: Binary) -> str:
    if value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(value.as_uuid())
    return base64.b64encode(value).decode()


def _basic_double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _basic_regex(value: Any) -> Any:
    return json_util.default(value, json_util.RELAXED_JSON_OPTIONS)["$regularExpression"]


_RELAXED: Final[dict[type, Convert]] = {
    Int64: int,
    ObjectId: lambda value: {"$oid": str(value)},
    datetime: _relaxed_date,
}
"""The common ones; json_util knows the others."""

_BASIC: Final[dict[type, Convert]] = {
    Binary: _basic_binary,
    Code: str,
    DatetimeMS: int,
    Decimal128: str,
    Int64: int,
    ObjectId: str,
    Regex: _basic_regex,
    Timestamp: lambda value: value.time * 1000,
    bytes: lambda value: base64.b64encode(value).decode(),
    datetime: ms_of,
    float: _basic_double,
}


def _canonical(value: Any, iso: bool) -> Any:
    """Canonical Extended JSON of any value; `iso` writes dates as strings."""
    convert = _CANONICAL_SCALARS.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, Mapping):
        return {key: _canonical(inner, iso) for key, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner, iso) for inner in value]
    if iso and isinstance(value, datetime):
        return iso_date(value)
    if isinstance(value, DBRef):
        return _canonical(value.as_doc(), iso)
    if isinstance(value, Code) and value.scope is not None:
        return {"$code": str(value), "$scope": _canonical(value.scope, iso)}
    return json_util.default(value, json_util.CANONICAL_JSON_OPTIONS)


def _canonical_int(value: int) -> Any:
    kind = "$numberInt" if -_INT32_BOUND <= value < _INT32_BOUND else "$numberLong"
    return {kind: str(value)}


def _canonical_double(value: float) -> Any:
    return {"$numberDouble": repr(value) if math.isfinite(value) else _basic_double(value)}


_CANONICAL_SCALARS: Final[dict[type, Convert]] = {
    type(None): lambda value: value,
    bool: bool,
    float: _canonical_double,
    int: _canonical_int,
    str: str,
}
