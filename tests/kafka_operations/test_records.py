"""Records as JSON and back: no byte is lost, nothing that is no record gets through."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asp_utils import ejson
from asp_utils.admin.kafka_records import (
    BadRecord,
    RecordForm,
    decoded,
    document_of,
    encoded,
    lines,
    moment,
)
from asp_utils.clients.kafka_positions import Position, moment_ms, position_of
from asp_utils.errors import ConfigInvalid

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RAW = st.binary() | st.text().map(str.encode) | JSON.map(lambda v: json.dumps(v).encode())


@given(RAW)
@example(b"")
@example(b"null")
@example(b'"quoted"')
@example(b"007")
@example(b'{"$binary": {"base64": "AA==", "subType": "00"}}')
@example(b"123456789012345678901234567890")
@example(b"[" * 400 + b"]" * 400)
def test_what_was_read_can_be_written_again(raw: bytes) -> None:
    """Text and bytes come back as they were, JSON as the same JSON."""
    shown = json.loads(ejson.dumps(decoded(raw, "auto")))
    again = encoded(shown, "auto")
    if isinstance(shown, str) or again == raw:
        assert again == raw
    elif "$binary" in str(shown):
        # A value that looks like our bytes is taken for them.
        assert decoded(again, "auto") == shown or raw.startswith(b"{")
    else:
        assert again is not None
        assert json.loads(again) == json.loads(raw)


@given(st.binary())
def test_keys_come_back_byte_for_byte(raw: bytes) -> None:
    assert encoded(json.loads(ejson.dumps(decoded(raw, "string"))), "auto") == raw
    assert encoded(json.loads(ejson.dumps(decoded(raw, "binData"))), "binData") == raw


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.floats())
def test_numbers_have_their_bytes(small: int, large: int, real: float) -> None:
    assert decoded(encoded(small, "int"), "int") == small
    assert decoded(encoded(large, "long"), "long") == large
    back = decoded(encoded(real, "double"), "double")
    assert back == real or real != real
    assert decoded(b"abc", "int") == {"$binary": {"base64": "YWJj", "subType": "00"}}


@given(st.integers(0, 2**63 - 1))
@example(0)
@example(253_402_300_799_999)
@example(253_402_300_800_000)
def test_times_come_back(time_ms: int) -> None:
    shown = moment(time_ms)
    record = RecordForm().record({"value": "x", "timestamp": shown}, 1)
    assert record.timestamp_ms == time_ms
    assert isinstance(shown, int) or shown.endswith("Z")


@given(
    st.lists(st.tuples(st.text(), st.none() | st.text() | st.binary()), max_size=4),
    st.none() | st.text(),
)
def test_headers_keep_order_and_repetition(pairs: list[tuple[str, Any]], key: str | None) -> None:
    raw = [(name, v.encode() if isinstance(v, str) else v) for name, v in pairs]
    given_headers = [{"k": name, "v": decoded(value, "string")} for name, value in raw]
    document = {"value": 1, "key": key, "headers": json.loads(ejson.dumps(given_headers))}
    record = RecordForm().record(document, 1)
    assert record.headers == raw
    assert record.key == (None if key is None else key.encode())


def test_formats_say_how_a_value_becomes_bytes() -> None:
    assert encoded("a", "auto") == b"a"
    assert encoded("a", "json") == b'"a"'
    assert encoded(None, "json") is None
    assert encoded(None, "string") is None
    assert encoded({"a": [1, 2.5, None]}, "auto") == b'{"a":[1,2.5,null]}'
    assert encoded(2**70, "auto") == str(2**70).encode()
    assert encoded("AAE=", "binData") == b"\x00\x01"
    assert encoded({"$binary": {"base64": "AAE=", "subType": "00"}}, "json") == b"\x00\x01"
    assert decoded(b"null", "auto") == "null"
    assert decoded(b'"a"', "json") == "a"
    assert decoded(b"nope", "json") == {"$binary": {"base64": "bm9wZQ==", "subType": "00"}}
    for value, form in (("x", "int"), (5, "string"), ("?", "binData"), ("\ud800", "auto")):
        with pytest.raises(ValueError):
            encoded(value, form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ([1], [""]),
        ({"watts": 5}, [".watts", ""]),
        ({"key": "a"}, [""]),
        ({"value": 1, "partition": -1, "timestamp": "soon"}, [".partition", ".timestamp"]),
        ({"value": 1, "partition": True, "headers": 5}, [".partition", ".headers"]),
        ({"value": 1, "headers": [{"k": "a"}]}, [".headers"]),
        ({"value": {"$binary": "?"}, "key": {"$binary": {}}}, [".value", ".key"]),
        ({"value": 1, "timestamp": 2**63}, [".timestamp"]),
    ],
)
def test_every_fault_of_a_record_is_named(document: Any, paths: list[str]) -> None:
    with pytest.raises(BadRecord) as caught:
        RecordForm().record(document, 1)
    assert [fault.path for fault in caught.value.faults] == paths


def test_plain_documents_are_values() -> None:
    document = {"sensor": {"id": 7}, "value": 3}
    record = RecordForm(key_field="sensor.id").record(document, 1)
    assert (record.key, orjson.loads(record.value or b"")) == (b"7", document)
    assert RecordForm(plain=True).record("text", 1).value == b"text"
    with pytest.raises(BadRecord, match="no such field"):
        RecordForm(key_field="sensor.name").record(document, 1)


@given(st.lists(JSON, max_size=5))
def test_lines_of_a_file_are_its_documents(documents: list[Any]) -> None:
    text = "\n\n".join(json.dumps(document) for document in documents)
    found = list(lines(io.BytesIO(b"\xef\xbb\xbf" + text.encode())))
    assert [document_of(line) for _, line in found] == documents
    assert [number for number, _ in found] == [2 * i + 1 for i in range(len(documents))]


@pytest.mark.parametrize("text", [b"{", b"{}{}", b"\xff", b"NaN", b"'a'", b"[" * 300])
def test_a_line_that_is_no_json_says_so(text: bytes) -> None:
    with pytest.raises(BadRecord) as caught:
        document_of(text + b"\n")
    (fault,) = caught.value.faults
    assert fault.message.startswith("not UTF-8 (byte 0)" if text == b"\xff" else "not JSON: ")
    assert fault.hint


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists) | JSON)
@example({"0": 5, "1": 0})
@example("2026-01-20T14:30:00+02:00")
def test_a_position_is_one_or_is_refused(value: Any) -> None:
    try:
        found = position_of(value, "$.start")
    except ConfigInvalid as error:
        assert all(fault.path.startswith("$.start") for fault in error.faults)
    else:
        assert isinstance(found, Position)


def test_times_without_a_zone_are_utc() -> None:
    assert moment_ms("1970-01-01") == 0
    assert moment_ms("1970-01-01T00:00:01.5") == 1500
    assert moment_ms("1970-01-01T02:00:00+02:00") == 0
    assert moment_ms("today") is None
