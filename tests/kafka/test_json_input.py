"""Payloads as documents: the same as `bson.json_util` reads, one by one and all at once."""

from __future__ import annotations

import math
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp, json_util
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.formats.json_input import decode_json
from asp_utils.units import datetime_of

# Keys with a dollar are chosen: hypothesis finds those of typed values, which mean something else.
NAMES = st.text(st.characters(exclude_characters="\0$", exclude_categories=["Cs"]), max_size=6)
KEYS = NAMES | st.sampled_from(["$a", "a.b", "$price", "$", "_id"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES
    | st.sampled_from(["$x", "1234567890123456789012", '"$', "\\u0024", "\u2028"])
)
TYPED = (
    st.builds(ObjectId, st.binary(min_size=12, max_size=12))
    | st.integers(-2_000_000_000_000, 200_000_000_000_000).map(datetime_of)
    | st.builds(Int64, st.integers(-(2**63), 2**63 - 1))
    | st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    | st.builds(Binary, st.binary(max_size=9), st.sampled_from([0, 5, 128]))
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-9, max_value=9).map(
        Decimal128
    )
    | st.builds(Regex, st.sampled_from(["a", "^b$"]), st.sampled_from(["", "i"]))
    | st.just(MaxKey())
    | st.sampled_from([math.inf, -math.inf])
)


def documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3)
    )
    return st.dictionaries(NAMES, values, max_size=4)


PLAIN_DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(PLAIN, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3)),
    max_size=4,
)
OPTIONS = [json_util.RELAXED_JSON_OPTIONS, json_util.CANONICAL_JSON_OPTIONS]


@given(st.lists(PLAIN_DOCUMENTS | documents(PLAIN | TYPED), max_size=5), st.sampled_from(OPTIONS))
def test_documents_are_read_as_json_util_reads_them(
    given_documents: list[dict[str, Any]], options: json_util.JSONOptions
) -> None:
    payloads = [json_util.dumps(d, json_options=options).encode() for d in given_documents]
    expected = [json_util.loads(p, json_options=json_util.RELAXED_JSON_OPTIONS) for p in payloads]
    found, faults = decode_json(payloads)
    assert faults == {}
    assert [bson.encode(d) for d in found] == [bson.encode(d) for d in expected]


GOOD = [b'{"a":1}', b"{}", b" {} ", b"\0\0\0\0\1{}"]
BROKEN = [
    *(b'{"a":1', b'"b":2}', b"{},{}", b"[1", b"2]", b'{"a":"', b'"}', b"", b"null", b"7"),
    *(b'{"a":"\\', b'{"a":[1', b"2]}", b"nonsense", b"\xff", b'{"a":NaN}'),
]


@given(st.lists(st.sampled_from(GOOD + BROKEN), max_size=8))
def test_broken_payloads_do_not_touch_their_neighbours(payloads: list[bytes]) -> None:
    found, faults = decode_json(payloads)
    for index, payload in enumerate(payloads):
        alone, fault = decode_json([payload])
        assert found[index] == alone[0]
        assert faults.get(index) == fault.get(0)
    assert [p for i, p in enumerate(payloads) if i not in faults] == [
        p for p in payloads if p in GOOD
    ]


def test_numbers_get_the_types_that_mongodb_gives_them() -> None:
    payload = b'{"i": 1, "l": 2147483648, "d": 1.0, "big": 9223372036854775808, "bigger": [1%s]}'
    ((found,), faults) = decode_json([payload % (b"0" * 40)])
    assert faults == {}
    assert found == {"i": 1, "l": 2**31, "d": 1.0, "big": 2.0**63, "bigger": [1e40]}
    assert [type(found[name]) for name in ("i", "l", "d", "big")] == [int, int, float, float]
    assert bson.decode(bson.encode(found)) == found


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a":', "not JSON"),
        (b"[{}]", "not an object but an array"),
        (b"null", "not an object but null"),
        (b"12", "not an object but 12"),
        (b'{"$oid": "0123456789abcdef01234567"}', "not an object but ObjectId"),
        (b'{"a": {"$oid": "nonsense"}}', "$.a: not a valid Extended JSON value"),
        (b'{"a": {"$date": {}}}', "$.a: not a valid Extended JSON value"),
        (None, "tombstone"),
    ],
)
def test_what_is_no_document_gives_a_reason(payload: bytes | None, reason: str) -> None:
    found, faults = decode_json([b'{"x": 1}', payload, b'{"x": 2}'])
    assert found == [{"x": 1}, {}, {"x": 2}]
    assert list(faults) == [1]
    assert reason in faults[1]


def test_deep_nesting_is_a_fault_of_that_payload_alone() -> None:
    deep = b'{"a":' * 1000 + b'{"$oid":"0123456789abcdef01234567"}' + b"}" * 1000
    large = b'{"a":' * 1000 + b"9" * 19 + b"}" * 1000
    found, faults = decode_json([b'{"x": 1}', deep, large])
    assert found[0] == {"x": 1}
    assert list(faults) == [1, 2]
    assert all("nested too deeply" in reason for reason in faults.values())


def test_a_confluent_header_in_front_of_json_is_tolerated() -> None:
    assert decode_json([b'\0\0\0\0\7{"a": 1}', b'{"a": 2}']) == ([{"a": 1}, {"a": 2}], {})


def test_a_legacy_regular_expression_is_one() -> None:
    ((found,), _) = decode_json([b'{"r": {"$regex": "^a", "$options": "i"}}'])
    assert found == {"r": Regex("^a", "i")}


def test_escaped_typed_values_are_typed_too() -> None:
    ((found,), _) = decode_json([rb'{"n": {"\u0024numberLong": "5"}}'])
    assert found["n"] == 5
    assert isinstance(found["n"], Int64)
