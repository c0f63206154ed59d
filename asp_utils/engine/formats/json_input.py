"""Payloads that are JSON or Extended JSON, as documents.

A batch is parsed in one go: its payloads become the elements of one array, with a random number
between any two, so that a payload that is no JSON value of its own is noticed. Only then, and for
what plain JSON cannot say (typed values such as `{"$date": …}`, integers beyond 64 bits), single
payloads are looked at. Integers become int or long by their size, as in MongoDB; beyond 64 bits
they become doubles.

Source: Atlas page "$source", section "Kafka"; asp-reference.md 2.3.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from bson import json_util
from bson.errors import BSONError

from asp_utils.ejson import revive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, Any]

Payload = TypeVar("Payload")

_MARK: Final = secrets.randbelow(10**17)
_SEPARATOR: Final = b",%d," % _MARK
_HEADER_BYTES: Final = 5
"""A zero byte and a schema id of four: what Confluent's serializers write first."""
_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS: Final = b"0" * 19
"""Fewer digits always fit 64 bits."""
_MAX_INT64: Final = 2**63 - 1
_LEGACY_REGEX: Final = b'$regex"'
"""`{"$regex": …}` is a value in data; in pipelines, which `ejson` reads, it is an operator."""


def decode_json(payloads: Sequence[bytes | None]) -> tuple[list[Document], dict[int, str]]:
    """The documents of payloads, and for each payload that is none (by its index) the reason.

    A payload that is no document has an empty one in its place.
    """
    if None in payloads:
        return decode_each(payloads, _document)
    joined = _SEPARATOR.join(payloads)  # type: ignore[arg-type]  # no None among them
    documents = _parsed(joined, len(payloads))
    if documents is None:
        return decode_each(payloads, _document)
    if _is_plain(joined):
        return documents, {}
    pairs = [(payload or b"", parsed) for payload, parsed in zip(payloads, documents, strict=True)]
    return decode_each(pairs, lambda pair: _typed(*pair))


def decode_each(
    payloads: Sequence[Payload | None], decode: Callable[[Payload], Document]
) -> tuple[list[Document], dict[int, str]]:
    """As `decode_json`, with any decoder; it raises ValueError with the reason."""
    documents: list[Document] = []
    faults: dict[int, str] = {}
    for index, payload in enumerate(payloads):
        try:
            if payload is None:
                raise ValueError("the record has no value (a tombstone)")
            documents.append(decode(payload))
        except ValueError as error:
            documents.append({})
            faults[index] = str(error)
    return documents, faults


def _parsed(joined: bytes, count: int) -> list[Document] | None:
    """The documents of joined payloads; None unless every payload is an object."""
    try:
        elements = orjson.loads(b"[%b]" % joined)
    except orjson.JSONDecodeError:
        return None
    documents: list[Document] = elements[::2]
    if len(elements) != 2 * count - 1 or elements[1::2].count(_MARK) != count - 1:
        return None
    return documents if set(map(type, documents)) == {dict} else None


def _is_plain(text: bytes) -> bool:
    """Whether JSON text says no more than JSON itself, whole numbers of 64 bits included."""
    return not (_may_be_typed(text) or _has_many_digits(text))


def _may_be_typed(text: bytes) -> bool:
    # One byte is searched for ten times faster than two.
    return (b"$" in text and b'"$' in text) or (b"\\" in text and rb"\u0024" in text)


def _has_many_digits(text: bytes) -> bool:
    return _MANY_DIGITS in text.translate(_TO_ZEROS)


def _document(payload: bytes) -> Document:
    """The document of one payload.

    Raises:
        ValueError: It is none; the message says why.
    """
    text = payload[_HEADER_BYTES:] if payload[:1] == b"\0" else payload
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the payload is not JSON: {error}") from error
    return _typed(text, value)


def _typed(text: bytes, value: Any) -> Document:
    """Parsed JSON with its typed values and large numbers in their BSON types.

    Raises:
        ValueError: A typed value cannot be read, or the whole is no object.
    """
    try:
        if _LEGACY_REGEX in text:
            value = json_util.loads(text, json_options=json_util.RELAXED_JSON_OPTIONS)
        elif _may_be_typed(text):
            value = revive(value)
        if _has_many_digits(text):
            value = _bounded(value)
    except RecursionError as error:
        raise ValueError("the payload is nested too deeply") from error
    except (BSONError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"the payload is not Extended JSON: {error}") from error
    if type(value) is not dict:
        raise ValueError(f"the payload is not an object but {_kind(value)}")
    return value


def _bounded(value: Any) -> Any:
    """A value whose integers fit 64 bits; those that do not are doubles."""
    kind = type(value)
    if kind is int:
        return value if -_MAX_INT64 - 1 <= value <= _MAX_INT64 else float(value)
    if kind is dict:
        return {key: _bounded(child) for key, child in value.items()}
    if kind is list:
        return [_bounded(child) for child in value]
    return value


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else f"{value!r:.60}"
