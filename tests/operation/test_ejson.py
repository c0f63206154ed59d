"""Extended JSON, compared with bson.json_util value for value."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from bson import json_util
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from asp_utils import ejson

INT64 = st.integers(-(2**63), 2**63 - 1)
NAIVE = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INT64,
    st.floats(allow_nan=False),
    TEXT,
    NAIVE,
    NAIVE.map(lambda moment: moment.replace(tzinfo=timezone(timedelta(hours=2)))),
    INT64.map(bson.Int64),
    st.binary(max_size=8),
    st.builds(bson.Binary, st.binary(max_size=8), st.sampled_from([0, 2, 5, 128])),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.decimals(allow_nan=False, places=3, min_value=-(10**9), max_value=10**9).map(
        bson.Decimal128
    ),
    st.builds(bson.Regex, TEXT, st.sampled_from(["", "i", "im"])),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.just(bson.MinKey()),
    st.just(bson.MaxKey()),
    st.builds(bson.Code, TEXT),
    st.builds(bson.Code, TEXT, st.just({"a": math.inf})),
    st.builds(bson.DBRef, TEXT, INT64),
    st.integers(0, 2**40).map(bson.datetime_ms.DatetimeMS),
)
KEYS = TEXT.filter(lambda key: not key.startswith("$"))
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner)),
    max_size=4,
)


def peer(document: Any) -> Any:
    text = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)
    return json.loads(text)


@given(DOCUMENTS)
def test_writes_what_json_util_writes(document: dict[str, Any]) -> None:
    assert json.loads(ejson.dumps(document)) == peer(document)


@given(DOCUMENTS)
def test_reads_what_json_util_reads(document: dict[str, Any]) -> None:
    text = ejson.dumps(document)
    theirs = json_util.loads(text, json_options=json_util.RELAXED_JSON_OPTIONS)
    assert peer(ejson.loads(text)) == peer(theirs)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [lambda x: x, lambda x: [None, {"a": (x,)}]])
def test_non_finite_numbers_keep_their_value(number: float, shape: Any) -> None:
    assert json.loads(ejson.dumps(shape(number))) == peer(shape(number))


def test_null_beside_finite_numbers_stays_null() -> None:
    assert ejson.dumps({"a": None, "b": 1.5}) == b'{"a":null,"b":1.5}'


def test_key_order_is_kept() -> None:
    text = '{"z":1,"a":{"y":{"$date":"2026-01-20T14:30:15Z"},"b":2}}'
    assert ejson.dumps(ejson.loads(text)).decode() == text


@pytest.mark.parametrize(
    "pipeline",
    [
        [{"$match": {"a": {"$gt": 5}}}, {"$merge": {"into": {"$ref": "x"}}}],
        [{"$match": {"a": {"$regex": "^a", "$options": "i"}}}],
        {"connection_password": {"$env": "PASSWORD"}},
        {"$dateToString": {"date": "$a"}},
    ],
)
def test_stage_names_and_operators_are_untouched(pipeline: Any) -> None:
    assert ejson.loads(json.dumps(pipeline)) == pipeline


def test_typed_values_inside_a_pipeline_become_bson() -> None:
    stage = ejson.loads('{"$match": {"at": {"$gte": {"$date": "2026-01-20T14:30:15.250Z"}}}}')
    moment = datetime(2026, 1, 20, 14, 30, 15, 250_000)  # noqa: DTZ001
    assert stage == {"$match": {"at": {"$gte": moment}}}


@pytest.mark.parametrize(
    "typed",
    ['{"$oid": "short"}', '{"$date": "yesterday"}', '{"$date": {"$numberLong": "1"}, "x": 1}',
     '{"$numberDecimal": "x"}', '{"$timestamp": 5}', '{"$date": []}', '{"$code": 5}'],
)  # fmt: skip
def test_a_bad_typed_value_is_named_by_path(typed: str) -> None:
    with pytest.raises(ejson.BadExtendedJson) as caught:
        ejson.loads(f'{{"pipeline": [1, {{"$match": {{"a": {typed}}}}}]}}')
    assert caught.value.path == "$.pipeline[1].$match.a"


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_any_text_is_read_or_refused_with_value_error(text: str | bytes) -> None:
    with contextlib.suppress(ValueError):
        ejson.loads(text)


def test_raw_documents_and_subclasses_are_written() -> None:
    raw = RawBSONDocument(bson.encode({"a": bson.SON([("b", bson.Int64(5))])}))
    assert isinstance(raw, Mapping)
    assert ejson.dumps([raw, bson.SON([("z", 1), ("a", 2)])]) == b'[{"a":{"b":5}},{"z":1,"a":2}]'


def test_subclasses_of_builtins_are_written_as_the_builtin() -> None:
    class Count(int):
        pass

    class Name(str):
        __slots__ = ()

    class Rows(tuple[int, ...]):
        __slots__ = ()

    assert ejson.dumps([Count(5), Name("a"), Rows((1, 2))]) == b'[5,"a",[1,2]]'


def test_lone_surrogates_and_huge_integers_are_written() -> None:
    assert json.loads(ejson.dumps({"a": "\ud800", "b": 2**70})) == {"a": "\ud800", "b": 2**70}


def test_deep_nesting_is_refused_without_a_crash() -> None:
    with pytest.raises(ValueError, match=r"nested|recursion"):
        ejson.loads('{"$date":' * 900 + "1" + "}" * 900)


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        ejson.dumps({"a": object()})


def test_aware_and_naive_utc_dates_read_alike() -> None:
    aware = datetime(2026, 1, 20, tzinfo=UTC)
    assert ejson.dumps(aware) == ejson.dumps(aware.replace(tzinfo=None))


def test_plain_documents_do_not_load_bson() -> None:
    code = (
        "import sys; from asp_utils import ejson; ejson.dumps(ejson.loads('{\"a\": [1, null]}'));"
        "sys.exit('bson' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
