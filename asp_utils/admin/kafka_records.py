"""Records of Kafka as JSON, in and out.

A record is `{key, value, headers, partition, timestamp}`. What is read can be written again: text
stays text, JSON objects, arrays, numbers and truth values become JSON, and bytes that are neither
stand as `{"$binary": {"base64": …, "subType": "00"}}`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from asp_utils import ejson
from asp_utils.clients.kafka_positions import moment_ms
from asp_utils.clients.kafka_topics import OutgoingRecord
from asp_utils.errors import Fault
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

Format = Literal["auto", "json", "string", "binData", "int", "long", "double"]
"""How bytes and JSON stand for each other; Atlas's own words, and `auto`."""

_FIELDS: Final = ("key", "value", "headers", "partition", "timestamp")
_PASSED_OVER: Final = ("topic", "offset")
"""What `kafka_consume` shows beside them."""
_BINARY: Final = "$binary"
_LONG_NUMBER: Final = re.compile(rb"\d{16}")
"""Only such numbers may be more than orjson keeps."""
_DEEP: Final = 200
_MAX_PARTITION: Final = 2**31 - 1
_MAX_TIMESTAMP: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_HINT: Final = "for documents that are values themselves give plain: true, or a key_field"


class BadRecord(ValueError):
    """Something that is no record; `faults` have paths below it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


@dataclass(frozen=True)
class RecordForm:
    """How a JSON document stands for a record."""

    plain: bool = False
    """The document is the value itself."""
    key_field: str | None = None
    """Field of a plain document (dots lead into it) that is the key."""
    key_format: Format = "auto"
    value_format: Format = "auto"

    def record(self, item: Any, number: int) -> OutgoingRecord:
        """The record that a document stands for.

        Args:
            item: The document.
            number: Its place in the input, counted from 1.

        Raises:
            BadRecord: It stands for none; all faults are named.
        """
        faults: list[Fault] = []
        taken: dict[str, Any] = {"value": None}
        for name, found in self._fields(item).items():
            if found is None or name in _PASSED_OVER:
                continue
            try:
                taken[name] = self._taken(name, found)
            except ValueError as error:
                faults.append(Fault(f".{name}", str(error)))
        if faults:
            raise BadRecord(faults)
        if "timestamp" in taken:
            taken["timestamp_ms"] = taken.pop("timestamp")
        return OutgoingRecord(number, **taken)

    def _taken(self, name: str, found: Any) -> Any:
        """One field of a record as it is written.

        Raises:
            ValueError: It cannot be.
        """
        if name == "value":
            return encoded(found, self.value_format)
        if name == "key":
            return encoded(found, self.key_format)
        if name == "headers":
            return _headers(found)
        return _partition(found) if name == "partition" else _timestamp_ms(found)

    def _fields(self, item: Any) -> dict[str, Any]:
        """The fields of a record, of which a plain document has value and key."""
        if self.plain or self.key_field is not None:
            return {"value": item, "key": self._key_of(item)}
        if not isinstance(item, dict):
            raise BadRecord([Fault("", "a record is an object {key, value, …}", _PLAIN_HINT)])
        faults = [
            Fault(f".{name}", f"a record has no field {name}", _meant(name))
            for name in item
            if name not in (*_FIELDS, *_PASSED_OVER)
        ]
        if "value" not in item:
            hint = f"null deletes the key of a compacted topic; {_PLAIN_HINT}"
            faults.append(Fault("", "a record needs a value", hint))
        if faults:
            raise BadRecord(faults)
        return item

    def _key_of(self, item: Any) -> Any:
        if self.key_field is None:
            return None
        found = item
        for step in self.key_field.split("."):
            if not isinstance(found, dict) or step not in found:
                hint = "every document needs the field that key_field names"
                raise BadRecord([Fault(f".{self.key_field}", "there is no such field", hint)])
            found = found[step]
        return found


def _meant(name: str) -> str:
    close = nearest(name, _FIELDS)
    return f"did you mean {close}?" if close else _PLAIN_HINT


def encoded(value: Any, form: Format) -> bytes | None:
    """The bytes of a key or value; None for null.

    Raises:
        ValueError: The value does not fit the format.
    """
    if value is None:
        return None
    if isinstance(value, dict) and _BINARY in value and len(value) == 1:
        return _bytes_of(value[_BINARY])
    if form == "json" or (form == "auto" and not isinstance(value, str)):
        return _json_bytes(value)
    if form == "auto":
        return _text_bytes(value)
    if form == "string":
        if not isinstance(value, str):
            raise ValueError("the format string needs text")
        return _text_bytes(value)
    if form == "binData":
        if not isinstance(value, str):
            raise ValueError("the format binData needs base64 text, or $binary")
        return _bytes_of(value)
    from asp_utils.engine.formats.keys import encode_key

    return encode_key(value, form)


def decoded(raw: bytes | None, form: Format) -> Any:
    """What the bytes of a key or value say; `$binary` where they are not of that format."""
    if raw is None:
        return None
    if form == "binData":
        return _binary(raw)
    if form in ("int", "long", "double"):
        from asp_utils.engine.formats.keys import decode_key

        try:
            return decode_key(raw, form)
        except ValueError:
            return _binary(raw)
    if form != "string":
        try:
            value = _exact(raw)
        except ValueError:
            value = None
        if form == "json":
            return _binary(raw) if value is None and raw.strip() != b"null" else value
        # A JSON string, or null, stays the text it is: else it would be written back otherwise.
        if value is not None and not isinstance(value, str):
            return value
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _binary(raw)


def shown(message: Message, key_format: Format, value_format: Format) -> dict[str, Any]:
    """A record that was read, as a document.

    Keys are text unless a format says else: a key `007` is no number.
    """
    time_ms = message.timestamp()[1] if message.timestamp()[0] else None
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": None if time_ms is None else moment(time_ms),
        "key": decoded(message.key(), "string" if key_format == "auto" else key_format),
        "value": decoded(message.value(), value_format),
        "headers": [
            {"k": header[0], "v": decoded(_as_bytes(header[1]), "string")}
            for header in message.headers() or ()
        ],
    }


def moment(time_ms: int) -> str | int:
    """A time as ISO 8601 text; the number itself where the calendar does not reach."""
    try:
        text = (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return time_ms
    return text.replace("+00:00", "Z")


def lines(file: Any) -> Iterator[tuple[int, bytes]]:
    """The lines of an NDJSON file with their numbers; empty ones are passed over."""
    for number, line in enumerate(file, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield number, text


def document_of(line: bytes) -> Any:
    """The document that a line of an NDJSON file holds.

    Raises:
        BadRecord: It is not UTF-8, or not JSON.
    """
    try:
        return _exact(line)
    except ValueError as error:
        try:
            line.decode()
        except UnicodeDecodeError as bad:
            told = Fault("", f"not UTF-8 (byte {bad.start})", "write the file as UTF-8")
        else:
            why = str(error).partition(": line ")[0]
            told = Fault("", f"not JSON: {why}", "each line is one whole JSON document")
        raise BadRecord([told]) from error


def _exact(text: bytes) -> Any:
    """One JSON value with whole numbers of any size.

    Raises:
        ValueError: It is none, or too deep to be shown.
    """
    if text.count(b"[") + text.count(b"{") > _DEEP and _depth(text) > _DEEP:
        raise ValueError("it is nested too deeply")
    value = orjson.loads(text)
    return json.loads(text) if _LONG_NUMBER.search(text) else value


def _depth(text: bytes) -> int:
    """How deep brackets go; those in strings count too, so it may be too much."""
    deepest = depth = 0
    for byte in text:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _json_bytes(value: Any) -> bytes:
    try:
        return ejson.dumps(value)
    except (TypeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"it has no JSON form: {error}") from error


def _text_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a character (a lone surrogate)") from error


def _bytes_of(value: Any) -> bytes:
    text = value.get("base64") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError("$binary needs {base64: text, subType: text}")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"it is not base64: {error}") from error


def _binary(raw: bytes) -> dict[str, Any]:
    return {_BINARY: {"base64": base64.b64encode(raw).decode(), "subType": "00"}}


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _headers(given: Any) -> list[tuple[str, bytes | None]]:
    """Headers of `{name: value}` or `[{k, v}, …]`, the form that allows a name twice."""
    if isinstance(given, dict):
        return [(name, encoded(value, "auto")) for name, value in given.items()]
    if not isinstance(given, list):
        raise ValueError("headers are {name: value}, or a list of {k, v}")
    found = []
    for item in given:
        if not (isinstance(item, dict) and set(item) == {"k", "v"} and isinstance(item["k"], str)):
            raise ValueError("in a list each header is {k: name, v: value}")
        found.append((item["k"], encoded(item["v"], "auto")))
    return found


def _partition(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _MAX_PARTITION:
        raise ValueError("a partition is a number from 0 up")
    return given


def _timestamp_ms(given: Any) -> int:
    """Milliseconds since 1970 of a number of them, or of a time in ISO 8601 or as `$date`."""
    if isinstance(given, dict) and list(given) == ["$date"]:
        given = given["$date"]
    found = moment_ms(given) if isinstance(given, str) else given
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _MAX_TIMESTAMP:
        raise ValueError("a timestamp is ISO 8601, or milliseconds since 1970")
    return found
