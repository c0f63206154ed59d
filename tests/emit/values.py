"""Hypothesis strategies: every BSON value, as mongod's answers are decoded."""

from __future__ import annotations

import math
from datetime import datetime

import bson
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)
DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
KEYS = TEXT.filter(lambda key: not key.startswith("$"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INT64,
    INT64.map(bson.Int64),
    st.floats(),
    TEXT,
    DATES,
    st.binary(max_size=8),
    st.builds(bson.Binary, st.binary(max_size=8), st.sampled_from([1, 5, 128])),
    st.uuids().map(lambda value: bson.Binary.from_uuid(value)),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.decimals(allow_nan=False, places=3, min_value=-(10**9), max_value=10**9).map(
        bson.Decimal128
    ),
    st.builds(bson.Regex, TEXT, st.sampled_from(["", "i", "im"])),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.just(bson.MinKey()),
    st.just(bson.MaxKey()),
    st.builds(bson.Code, TEXT),
    st.builds(bson.Code, TEXT, st.just({"a": math.inf, "n": 1})),
    st.builds(bson.DBRef, TEXT, st.just(math.nan) | INT64),
    st.integers(2**50, 2**52).map(bson.datetime_ms.DatetimeMS),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)
