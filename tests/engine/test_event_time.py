from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.engine.evaluate import Evaluator, Run
from asp_utils.engine.event_time import TimeReader, Watermark, iso_ms
from asp_utils.units import ms_of

TO_DATE = {"$toDate": "$at"}

iso_like = st.from_regex(
    r"\d{4}-?\d\d-?\d\d[Tt ]\d\d:\d\d:\d\d([.,]\d{1,9})?(Z|z|[+-]\d\d(:?\d\d(:?\d\d)?)?)?",
    fullmatch=True,
)
real_times = st.builds(
    lambda moment, zone, digits: moment.isoformat(timespec=digits) + zone,
    st.datetimes(min_value=datetime(1000, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["", "Z", "+00:00", "-07:30", "+14:00"]),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)

mangled = st.builds(
    lambda text, at, char: text[:at] + char + text[at + 1 :],
    real_times,
    st.integers(0, 31),
    st.sampled_from("0123456789 -+:.,TZWtz") | st.characters(),
)
"""A time with one character exchanged."""


def in_mongod(evaluator: Evaluator, text: str) -> int | None:
    run = Run(({"$project": {"_id": 0, "t": TO_DATE}},), ("T",))
    outcome = evaluator.evaluate(run, [{"at": text}])
    moment = outcome.documents[0].get("t") if outcome.documents else None
    return (
        None
        if moment is None
        else int(moment)
        if not isinstance(moment, datetime)
        else ms_of(moment)
    )


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(real_times, iso_like, mangled))
def test_what_is_read_here_is_what_mongod_reads(evaluator: Evaluator, text: str) -> None:
    here = iso_ms(text)
    assert here is None or here == in_mongod(evaluator, text)


@pytest.mark.parametrize("text", ["2026-01-20T14:30:15Z", "2026-01-20T14:30:15.123456+00:00"])
def test_the_common_forms_need_no_mongod(text: str) -> None:
    assert iso_ms(text) is not None


def test_other_forms_are_left_to_mongod_and_failures_named(evaluator: Evaluator) -> None:
    documents: list[dict[str, Any]] = [
        {"at": "2026-01-20T00:00:00Z"},
        {"at": "yesterday"},
        {"at": "2026-01-20"},
        {},
        {"at": datetime(2026, 1, 20)},  # noqa: DTZ001
    ]
    times, failures = TimeReader(TO_DATE, evaluator).read(documents)
    midnight = 1_768_867_200_000
    assert times == [midnight, None, midnight, None, midnight]
    assert sorted(failure.index for failure in failures) == [1, 3]


def test_a_nested_path_and_a_computed_time_agree(evaluator: Evaluator) -> None:
    documents = [{"a": {"at": "2026-01-20T00:00:01Z"}}]
    plain, _ = TimeReader({"$toDate": "$a.at"}, evaluator).read(documents)
    computed, _ = TimeReader({"$dateFromString": {"dateString": "$a.at"}}, evaluator).read(
        documents
    )
    assert plain == computed == [1_768_867_201_000]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**40))))
def test_the_watermark_never_falls_and_is_the_slowest_partition(
    seen: list[tuple[str, int]],
) -> None:
    watermark, before, highest = Watermark(), -(2**63), dict[Any, int]()
    for partition, time_ms in seen:
        value = watermark.observe(time_ms, partition)
        highest[partition] = max(time_ms, highest.get(partition, 0))
        assert value >= before
        if set(highest) == set("abc"):
            assert value >= min(highest.values())
        before = value
    again = Watermark()
    again.restore(watermark.snapshot())
    assert (again.value_ms, again.highest) == (watermark.value_ms, watermark.highest)


def test_a_partition_without_data_holds_the_watermark_until_it_is_silent_for_too_long() -> None:
    watermark = Watermark()
    watermark.expect(["a", "b"], now_ms=0)
    watermark.observe(1000, "a")
    assert not watermark.started
    watermark.leave_out_silent(4_999, 5_000)
    assert not watermark.started
    watermark.hear(["a"], 4_999)
    watermark.leave_out_silent(5_000, 5_000)
    assert watermark.is_idle("b")
    assert watermark.value_ms == 1000
    watermark.observe(2000, "a")
    watermark.hear(["b"], 5_001)
    assert watermark.observe(1500, "b") == 2000
    watermark.observe(3000, "a")
    assert watermark.observe(2500, "b") == 2500
