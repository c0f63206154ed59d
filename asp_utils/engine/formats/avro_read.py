"""What fastavro read, as BSON values; the schema is compiled into functions once.

A `long` gives Int64, timestamps and dates give dates (microseconds are cut), decimals Decimal128,
UUIDs binary data, times of day milliseconds since midnight.

Source: https://avro.apache.org/docs/1.12.0/specification/; asp-reference.md 2.3.
"""

from __future__ import annotations

import decimal
from datetime import UTC, date, datetime, time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from asp_utils.engine.formats.avro_types import LOGICAL_TYPES, Convert, Named, kind_of, label_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def from_avro(schema: Any, above: Sequence[Any] = ()) -> Convert | None:
    """What turns what fastavro read into BSON values; None where nothing has to be changed.

    `above` are the schemas whose named types it uses.
    """
    named: Named = {}
    for other in above:
        _reader(other, named)
    return _reader(schema, named)


def _reader(schema: Any, named: Named) -> Convert | None:
    if isinstance(schema, list):
        return _union_reader(schema, named)
    if isinstance(schema, str):
        if schema in _PLAIN:
            return None
        return Int64 if schema == "long" else lambda value: named[schema](value)
    return _composite_reader(schema, named)


def _composite_reader(schema: Mapping[str, Any], named: Named) -> Convert | None:
    match schema["type"]:
        case "record" | "error":
            return _record_reader(schema, named)
        case "array" | "map" as kind:
            item = _reader(schema["items" if kind == "array" else "values"], named)
            if item is None:
                return None
            return partial(_each if kind == "array" else _each_value, item=item)
        case "enum" | "fixed":
            named[schema["name"]] = _from_plain
            return _from_plain
        case _:
            is_logical = kind_of(schema) in LOGICAL_TYPES
            return _from_plain if is_logical else _reader(schema["type"], named)


def _record_reader(schema: Mapping[str, Any], named: Named) -> Convert:
    fields: list[tuple[str, Convert]] = []

    def read(record: Any) -> Any:
        for name, convert in fields:
            record[name] = convert(record[name])
        return record

    named[schema["name"]] = read
    for field in schema["fields"]:
        convert = _reader(field["type"], named)
        if convert is not None:
            fields.append((field["name"], convert))
    return read


def _union_reader(branches: list[Any], named: Named) -> Convert:
    """A union's value tells by its own type which branch it is of; fastavro names records."""
    kinds = {kind_of(branch) for branch in branches}
    readers = {label_of(branch): _reader(branch, named) for branch in branches}
    whole = Int64 if "long" in kinds and "int" not in kinds else None

    def read(value: Any) -> Any:
        if isinstance(value, tuple):
            label, value = value
            convert = readers[label]
        elif isinstance(value, int) and not isinstance(value, bool):
            convert = whole
        else:
            kind = "map" if isinstance(value, dict) else "array"
            convert = readers[kind] if isinstance(value, dict | list) else _from_plain
        return value if convert is None else convert(value)

    return read


def _each(values: list[Any], *, item: Convert) -> list[Any]:
    return [item(value) for value in values]


def _each_value(values: dict[str, Any], *, item: Convert) -> dict[str, Any]:
    return {key: item(value) for key, value in values.items()}


def _from_plain(value: Any) -> Any:
    """The BSON form of a value of one of fastavro's logical types."""
    convert = _FROM_PYTHON.get(type(value))
    return value if convert is None else convert(value)


def _from_datetime(value: datetime) -> datetime:
    moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _from_time(value: time) -> int:
    """Milliseconds since midnight."""
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * 1000 + value.microsecond // 1000


_PLAIN: Final = frozenset(["null", "boolean", "int", "float", "double", "string", "bytes"])
_FROM_PYTHON: Final[dict[type, Convert]] = {
    datetime: _from_datetime,
    date: lambda value: datetime(value.year, value.month, value.day),  # noqa: DTZ001 - BSON's form
    time: _from_time,
    decimal.Decimal: Decimal128,
    UUID: Binary.from_uuid,
}
