"""Record keys and header values of Kafka as bytes, and back.

Numbers are big-endian, as Kafka's own serializers write them: int 4 bytes, long 8, double 8 (IEEE
754). `json` is relaxed Extended JSON of any value.

Source: Atlas pages "$source" (`config.keyFormat`), "$emit" (`config.keyFormat`, `config.headers`);
asp-reference.md 2.3, 2.12.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, Literal

from bson.int64 import Int64

from asp_utils import ejson

if TYPE_CHECKING:
    from collections.abc import Callable

KeyFormat = Literal["binData", "string", "json", "int", "long", "double"]

_INT: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_DOUBLE: Final = struct.Struct(">d")


def decode_key(raw: bytes | None, key_format: KeyFormat) -> Any:
    """The value of a key; None where the record has none. A long is an `Int64`.

    Raises:
        ValueError: The bytes are no such value.
    """
    return None if raw is None else _DECODERS[key_format](raw)


def encode_key(value: Any, key_format: KeyFormat) -> bytes:
    """The bytes of a key.

    Whole numbers of every BSON type fit `int` and `long` when they are in range, and every number
    but a decimal fits `double`. A null is no key in any format but `json`.

    Raises:
        ValueError: The value does not fit the format.
    """
    return _ENCODERS[key_format](value)


def header_bytes(value: Any) -> bytes | None:
    """The bytes of a header value, by its own type; None stays None.

    Raises:
        ValueError: It is of no type that a header may have.
    """
    if value is None:
        return None
    encode = _HEADER_ENCODERS.get(type(value))
    if encode is not None:
        return encode(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise ValueError(
        f"a header is binData, string, object, int, long, double or null, not {_shown(value)}"
    )


def _from_number(layout: struct.Struct, kind: str) -> Callable[[bytes], Any]:
    def decode(raw: bytes) -> Any:
        if len(raw) != layout.size:
            raise ValueError(f"a {kind} has {layout.size} bytes, not {len(raw)}")
        return layout.unpack(raw)[0]

    return decode


def _long_of(raw: bytes) -> Int64:
    return Int64(_from_number(_LONG, "long")(raw))


def _json_of(raw: bytes) -> Any:
    try:
        return ejson.loads(raw)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def _text_of(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error


def _binary(value: Any) -> bytes:
    if isinstance(value, bytes):
        return bytes(value)
    raise ValueError(f"not binData but {_shown(value)}")


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"not a string but {_shown(value)}")


def _json(value: Any) -> bytes:
    try:
        return ejson.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"has no JSON form: {error}") from error


def _whole(value: Any, layout: struct.Struct, kind: str) -> bytes:
    whole = value
    if isinstance(value, float) and value.is_integer():
        whole = int(value)
    if not isinstance(whole, int) or isinstance(whole, bool):
        raise ValueError(f"not a whole number but {_shown(value)}")
    try:
        return layout.pack(whole)
    except struct.error as error:
        raise ValueError(f"{value} is beyond the range of {kind}") from error


def _double(value: Any) -> bytes:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _DOUBLE.pack(value)
    raise ValueError(f"not a number but {_shown(value)}")


def _shown(value: Any) -> str:
    return "null or missing" if value is None else f"{value!r:.60} ({type(value).__name__})"


_DECODERS: Final[dict[KeyFormat, Callable[[bytes], Any]]] = {
    "binData": bytes,
    "string": _text_of,
    "json": _json_of,
    "int": _from_number(_INT, "int"),
    "long": _long_of,
    "double": _from_number(_DOUBLE, "double"),
}

_ENCODERS: Final[dict[KeyFormat, Callable[[Any], bytes]]] = {
    "binData": _binary,
    "string": _string,
    "json": _json,
    "int": lambda value: _whole(value, _INT, "int"),
    "long": lambda value: _whole(value, _LONG, "long"),
    "double": _double,
}


def _integer_header(value: int) -> bytes:
    layout = _INT if -(2**31) <= value < 2**31 else _LONG
    return layout.pack(value)


_HEADER_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    str: str.encode,
    dict: _json,
    int: _integer_header,
    Int64: _LONG.pack,
    float: _DOUBLE.pack,
}
