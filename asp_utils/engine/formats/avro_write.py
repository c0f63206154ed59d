"""BSON values as fastavro writes them for a schema, which is compiled into functions once.

ObjectId and Decimal128 fit `string`, dates fit the date and timestamp types (and a plain `long`, as
milliseconds), whole doubles fit `int` and `long`, UUIDs the logical type `uuid`. Of a union the
branch is taken that is nearest to the BSON type. Fields that a record does not have are left out,
as Confluent's own serializer does.

Source: https://avro.apache.org/docs/1.12.0/specification/; asp-reference.md 2.12.
"""

from __future__ import annotations

import decimal
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from asp_utils.engine.formats.avro_types import Convert, Named, kind_of, label_of
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_MS: Final = 86_400_000
_BINARY: Final = ("bytes", "fixed", "decimal")
"""Kinds whose default is written as text, a character a byte."""
_PER_MS: Final = {"millis": 1, "micros": 1000}
_NEAREST: Final[dict[type, tuple[str, ...]]] = {
    bool: ("boolean",),
    int: ("int", "long", "double", "float"),
    Int64: ("long", "int", "double", "float"),
    float: ("double", "float", "long", "int"),
    str: ("enum", "string"),
    bytes: ("fixed", "bytes"),
    ObjectId: ("string",),
    Decimal128: ("decimal", "string"),
    datetime: ("timestamp-millis", "timestamp-micros", "date", "long"),
}
"""The order in which the branches of a union are tried for a value of a BSON type."""


def to_avro(schema: Any) -> Convert:
    """What turns a BSON value into what fastavro writes for a parsed schema.

    The function raises `ValueError`, with the path of the field, for a value that does not fit.
    """
    return _writer(schema, {})


def _misfit(value: Any, wanted: str) -> ValueError:
    shown = "null" if value is None else f"{value!r:.60} ({type(value).__name__})"
    return ValueError(f"{shown} is no {wanted}")


def _writer(schema: Any, named: Named) -> Convert:
    if isinstance(schema, list):
        return _union_writer(schema, named)
    kind = kind_of(schema)
    if kind in _WRITERS:
        return _WRITERS[kind]
    if isinstance(schema, str):
        return lambda value: named[schema](value)
    return _composite_writer(schema, kind, named)


def _composite_writer(schema: Mapping[str, Any], kind: str, named: Named) -> Convert:
    write: Convert
    match schema["type"]:
        case "record" | "error":
            return _record_writer(schema, named)
        case "array":
            return partial(_to_array, item=_writer(schema["items"], named))
        case "map":
            return partial(_to_map, item=_writer(schema["values"], named))
        case "bytes":
            return _to_decimal
        case "enum":
            write = partial(_to_enum, symbols=frozenset(schema["symbols"]), name=schema["name"])
        case "fixed" if kind == "decimal":
            write = _to_decimal
        case _:
            write = partial(_to_fixed, size=schema["size"])
    named[schema["name"]] = write
    return write


def _union_writer(branches: list[Any], named: Named) -> Convert:
    kinds = [kind_of(branch) for branch in branches]
    writers = [(label_of(branch), _writer(branch, named)) for branch in branches]
    orders: dict[type, list[tuple[str, Convert]]] = {}

    def ordered(kind: type) -> list[tuple[str, Convert]]:
        near = _NEAREST.get(kind) or _NEAREST.get(kind.__base__ or object, ())
        places = sorted(
            range(len(kinds)),
            key=lambda i: near.index(kinds[i]) if kinds[i] in near else len(near),
        )
        return [writers[i] for i in places if kinds[i] != "null"]

    def write(value: Any) -> Any:
        if value is None:
            if "null" in kinds:
                return None
            raise _misfit(value, " or ".join(kinds))
        order = orders.get(type(value))
        if order is None:
            order = orders[type(value)] = ordered(type(value))
        reasons: list[str] = []
        for label, writer in order:
            try:
                return label, writer(value)
            except ValueError as error:
                reasons.append(str(error))
        # One branch besides null: its own words say best what is wrong.
        raise ValueError(reasons[0]) if len(reasons) == 1 else _misfit(value, " or ".join(kinds))

    return write


def _record_writer(schema: Mapping[str, Any], named: Named) -> Convert:
    fields: list[tuple[str, Convert, Any]] = []

    def write(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit(value, f"record {schema['name']}")
        record = {}
        for name, convert, default in fields:
            try:
                record[name] = convert(value.get(name, default))
            except ValueError as error:
                raise _below(name, value, error) from error
        return record

    named[schema["name"]] = write
    for field in schema["fields"]:
        default = field.get("default")
        if isinstance(default, str) and kind_of(_first(field["type"])) in _BINARY:
            default = default.encode("iso-8859-1")
        fields.append((field["name"], _writer(field["type"], named), default))
    return write


def _first(schema: Any) -> Any:
    """The type that a field's default is of."""
    return schema[0] if isinstance(schema, list) else schema


def _below(name: str, value: Mapping[str, Any], error: ValueError) -> ValueError:
    """The same fault, seen from the record."""
    path, colon, reason = str(error).partition(": ")
    if colon and path.startswith("."):
        return ValueError(f".{name}{path}: {reason}")
    return ValueError(f".{name}: {error if name in value else 'the field is missing'}")


def _to_array(value: Any, *, item: Convert) -> list[Any]:
    if not isinstance(value, list):
        raise _misfit(value, "array")
    return [item(inner) for inner in value]


def _to_map(value: Any, *, item: Convert) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _misfit(value, "map")
    return {key: item(inner) for key, inner in value.items()}


def _to_enum(value: Any, *, symbols: frozenset[str], name: str) -> str:
    if isinstance(value, str) and value in symbols:
        return value
    raise _misfit(value, f"symbol of {name}")


def _to_fixed(value: Any, *, size: int) -> bytes:
    raw = value.binary if isinstance(value, ObjectId) else value
    if isinstance(raw, bytes) and len(raw) == size:
        return bytes(raw)
    raise _misfit(value, f"binary data of {size} bytes")


def _to_null(value: Any) -> None:
    if value is not None:
        raise _misfit(value, "null")


def _to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _misfit(value, "boolean")


def _to_whole(value: Any, *, bits: int, kind: str) -> int:
    if isinstance(value, datetime) and kind == "long":
        return ms_of(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise _misfit(value, kind)
    whole = int(value)
    if -(1 << bits - 1) <= whole < 1 << bits - 1:
        return whole
    raise _misfit(value, kind)


def _to_double(value: Any, *, kind: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _misfit(value, kind)


def _to_string(value: Any) -> str:
    if isinstance(value, str | ObjectId | Decimal128):
        return str(value)
    raise _misfit(value, "string")


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return bytes(value)
    raise _misfit(value, "binary data")


def _to_uuid(value: Any) -> str:
    if isinstance(value, str):
        return str(UUID(value))
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE:
        return str(value.as_uuid())
    raise _misfit(value, "UUID")


def _to_decimal(value: Any) -> decimal.Decimal | bytes:
    if isinstance(value, bytes):  # the unscaled number, as in a default
        return bytes(value)
    if isinstance(value, Decimal128):
        number = value.to_decimal()
    elif isinstance(value, int) and not isinstance(value, bool):
        number = decimal.Decimal(value)
    else:
        raise _misfit(value, "decimal")
    if not number.is_finite():
        raise _misfit(value, "decimal")
    return number


def _to_instant(value: Any, *, per_ms: int) -> int:
    return ms_of(value) * per_ms if isinstance(value, datetime) else _to_long(value)


def _to_day(value: Any) -> int:
    return ms_of(value) // _DAY_MS if isinstance(value, datetime) else _to_int(value)


_to_int = partial(_to_whole, bits=32, kind="int")
_to_long = partial(_to_whole, bits=64, kind="long")

_WRITERS: Final[dict[str, Convert]] = {
    "null": _to_null,
    "boolean": _to_boolean,
    "int": _to_int,
    "long": _to_long,
    "float": partial(_to_double, kind="float"),
    "double": partial(_to_double, kind="double"),
    "string": _to_string,
    "bytes": _to_bytes,
    "uuid": _to_uuid,
    "date": _to_day,
    "time-millis": _to_int,
    "time-micros": _to_long,
    **{
        f"{where}timestamp-{unit}": partial(_to_instant, per_ms=per_ms)
        for where in ("", "local-")
        for unit, per_ms in _PER_MS.items()
    },
}
