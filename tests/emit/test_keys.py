"""Record keys and header values as bytes, and back."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.formats.keys import decode_key, encode_key, header_bytes
from tests.emit.values import INT64, TEXT

INT32 = st.integers(-(2**31), 2**31 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
).filter(lambda value: "$" not in str(value))
PAIRS = st.one_of(
    st.tuples(st.just("binData"), st.binary()),
    st.tuples(st.just("string"), TEXT),
    st.tuples(st.just("int"), INT32),
    st.tuples(st.just("long"), INT64),
    st.tuples(st.just("double"), st.floats(allow_nan=False)),
    st.tuples(st.just("json"), JSON),
)


@given(PAIRS)
def test_keys_come_back_as_they_went(pair: Any) -> None:
    key_format, value = pair
    again = decode_key(encode_key(value, key_format), key_format)
    assert again == value
    assert type(again) is (bson.Int64 if key_format == "long" else type(value))


@given(st.sampled_from(["binData", "string", "json", "int", "long", "double"]), st.binary())
def test_any_bytes_decode_or_are_refused(key_format: Any, raw: bytes) -> None:
    try:
        value = decode_key(raw, key_format)
    except ValueError:
        return
    if key_format != "json":
        assert encode_key(value, key_format) == raw or value != value


def test_numbers_are_big_endian() -> None:
    assert encode_key(1, "int") == b"\0\0\0\x01"
    assert encode_key(bson.Int64(-2), "long") == b"\xff" * 7 + b"\xfe"
    assert encode_key(1.5, "double") == struct.pack(">d", 1.5)
    assert encode_key(7.0, "int") == encode_key(bson.Int64(7), "int") == encode_key(7, "int")


def test_a_record_without_key_has_none() -> None:
    assert decode_key(None, "int") is None


@pytest.mark.parametrize(
    ("value", "key_format", "reason"),
    [
        (2**31, "int", "beyond the range of int"),
        (1.5, "long", "not a whole number"),
        (True, "int", "not a whole number"),
        (True, "double", "not a number"),
        (bson.Decimal128("1"), "double", "not a number"),
        ("x", "double", "not a number"),
        (5, "string", r"not a string but 5 \(int\)"),
        (None, "string", "null or missing"),
        ("x", "binData", "not binData"),
    ],
)
def test_a_value_of_another_type_is_refused(value: Any, key_format: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode_key(value, key_format)


@pytest.mark.parametrize(
    ("raw", "key_format", "reason"),
    [
        (b"\0\0\0", "int", "4 bytes, not 3"),
        (b"", "long", "8 bytes, not 0"),
        (b"\xff", "string", "not UTF-8"),
        (b"{", "json", "not JSON"),
        (b'{"$oid": 5}', "json", "not JSON"),
    ],
)
def test_bytes_of_another_form_are_refused(raw: bytes, key_format: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_key(raw, key_format)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (None, None),
        (b"\x01", b"\x01"),
        (bson.Binary(b"\x02", 4), b"\x02"),
        ("é", "é".encode()),
        ({"a": bson.Int64(1)}, b'{"a":1}'),
        (1, b"\0\0\0\x01"),
        (bson.Int64(1), b"\0" * 7 + b"\x01"),
        (1.5, struct.pack(">d", 1.5)),
    ],
)
def test_header_values(value: Any, raw: bytes | None) -> None:
    assert header_bytes(value) == raw


@pytest.mark.parametrize("value", [True, [1], bson.ObjectId(), bson.Decimal128("1")])
def test_other_header_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a header is binData"):
        header_bytes(value)
