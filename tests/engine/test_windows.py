"""Tumbling windows, as a user sees them: documents in, windows out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.fixed_windows import TumblingWindows
from asp_utils.engine.window import WindowShape
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = datetime(2026, 1, 20)  # noqa: DTZ001 - BSON dates are naive UTC


def at(clock: str) -> str:
    return f"2026-01-20T{clock}Z"


def tumbling(size: int, unit: str, pipeline: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "$tumblingWindow": {"interval": {"size": size, "unit": unit}, "pipeline": pipeline, **more}
    }


def source(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {"$source": {"documents": documents, "timeField": {"$toDate": "$at"}}}


COUNT = [{"$group": {"_id": None, "count": {"$sum": 1}}}]
START = {"$set": {"start": {"$meta": "stream.window.start"}}}


def test_the_official_example(rig: Callable[..., Any]) -> None:
    """Thirty minutes, one minute of lateness (asp-reference.md 2.7).

    arrivals   20:00 20:25 20:10 20:30:30 20:29 20:10 20:35
    20:00-30   [ x     x     x              x     x   ]     closes when 20:35 arrives
    20:30-21                      x                    x    stays open
    """
    times = ["20:00:00", "20:25:00", "20:10:00", "20:30:30", "20:29:00", "20:10:00", "20:35:00"]
    window = tumbling(30, "minute", COUNT, allowedLateness={"size": 1, "unit": "minute"})
    made = rig([source([{"at": at(t)} for t in times]), window, START]).drain()
    assert made.output == [{"_id": None, "count": 5, "start": DAY + timedelta(hours=20)}]
    assert [(datetime_of(w.start_ms), w.count) for w in made.open] == [
        (DAY + timedelta(hours=20, minutes=30), 2)
    ]
    assert made.dead == []


def test_a_late_document_goes_to_the_dead_letters_with_what_it_missed(
    rig: Callable[..., Any],
) -> None:
    """Its window (00:00) closed with the document before it."""
    documents: list[dict[str, Any]] = [
        {"at": at("00:00:10"), "n": 1},
        {"at": at("00:02:00")},
        {"at": at("00:00:20"), "n": 3},
    ]
    window = tumbling(1, "minute", COUNT, allowedLateness={"size": 0, "unit": "second"})
    made = rig([source(documents), {"$set": {"seen": True}}, window]).drain()
    assert made.output == [{"_id": None, "count": 1}]
    letter = made.dead[0]
    assert letter["errInfo"]["reason"] == "Input document arrived late."
    assert letter["missedWindowStartTimes"] == [DAY]
    assert letter["doc"] == {"at": at("00:00:20"), "n": 3, "seen": True}


def test_a_filtered_document_is_not_late_but_still_moves_the_watermark(
    rig: Callable[..., Any],
) -> None:
    documents = [
        {"at": at("00:00:10"), "n": 1},
        {"at": at("00:02:00"), "n": 0},
        {"at": at("00:00:20"), "n": 0},
    ]
    window = tumbling(1, "minute", COUNT, allowedLateness=0)
    made = rig([source(documents), {"$match": {"n": 1}}, window]).drain()
    assert made.output == [{"_id": None, "count": 1}]
    assert made.dead == []


def test_three_seconds_of_lateness_unless_told_otherwise(rig: Callable[..., Any]) -> None:
    documents = [
        {"at": at(t)} for t in ("00:00:10", "00:01:02.999", "00:00:59", "00:01:03", "00:00:58")
    ]
    made = rig([source(documents), tumbling(1, "minute", COUNT)]).drain()
    assert made.output == [{"_id": None, "count": 2}]
    assert len(made.dead) == 1


def test_an_offset_moves_the_boundaries(rig: Callable[..., Any]) -> None:
    documents = [{"at": at("00:00:20")}, {"at": at("00:00:40")}, {"at": at("00:05:00")}]
    window = tumbling(1, "minute", COUNT, offset={"offsetFromUtc": 30, "unit": "second"})
    made = rig([source(documents), window, START]).drain()
    assert [d["start"] for d in made.output] == [
        DAY - timedelta(seconds=30),
        DAY + timedelta(seconds=30),
    ]


def test_silence_closes_windows_after_the_idle_timeout(rig: Callable[..., Any]) -> None:
    window = tumbling(10, "second", COUNT, idleTimeout={"size": 30, "unit": "second"})
    made = rig([source([{"at": at("00:00:01")}]), window])
    made.processor.step(0)
    made.processor.step(0)
    made.clock.advance(29_999)
    made.processor.step(0)
    assert made.output == []
    made.clock.advance(1)
    made.processor.step(0)
    assert made.output == [{"_id": None, "count": 1}]


def test_processing_time_follows_the_clock_and_ignores_event_times(rig: Callable[..., Any]) -> None:
    documents = [{"at": at("00:00:01")}, {"at": "1999-01-01T00:00:00Z"}]
    window = tumbling(10, "second", COUNT, boundary="processingTime")
    made = rig([source(documents), window])
    made.processor.step(0)
    made.processor.step(0)
    assert made.output == []
    made.clock.advance(10_000)
    made.processor.step(0)
    assert made.output == [{"_id": None, "count": 2}]


def test_windows_close_in_order_and_run_what_follows(rig: Callable[..., Any]) -> None:
    documents = [{"at": at(f"00:{m:02d}:00"), "m": m} for m in (3, 1, 2, 30)]
    window = tumbling(
        1,
        "minute",
        [{"$sort": {"m": 1}}, {"$limit": 1}],
        allowedLateness={"size": 10, "unit": "minute"},
    )
    made = rig([source(documents), window, {"$project": {"m": 1}}]).drain()
    assert made.output == [{"m": 1}, {"m": 2}, {"m": 3}]


def test_documents_that_fail_inside_a_window_do_not_spoil_it(rig: Callable[..., Any]) -> None:
    documents = [{"at": at(f"00:00:0{n}"), "n": n} for n in (2, 0, 4)] + [{"at": at("01:00:00")}]
    group = {"$group": {"_id": None, "sum": {"$sum": {"$divide": [8, "$n"]}}}}
    made = rig([source(documents), tumbling(1, "minute", [{"$sort": {"n": 1}}, group])]).drain()
    assert made.output == [{"_id": None, "sum": 6.0}]
    assert [letter["doc"]["n"] for letter in made.dead] == [0]


ACCUMULATORS: dict[str, Any] = {
    "sum": {"$sum": "$v"},
    "avg": {"$avg": "$v"},
    "min": {"$min": "$v"},
    "max": {"$max": "$v"},
    "first": {"$first": "$v"},
    "last": {"$last": "$v"},
    "all": {"$push": "$v"},
    "deviation": {"$stdDevPop": "$v"},
    "count": {"$count": {}},
    "top": {"$topN": {"n": 2, "sortBy": {"v": -1}, "output": "$v"}},
    "low": {"$minN": {"n": 2, "input": "$v"}},
    "bottom": {"$bottom": {"sortBy": {"v": -1}, "output": ["$v"]}},
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.tuples(st.integers(0, 150), st.integers(-9, 9)), min_size=1, max_size=60))
def test_divided_groups_give_what_whole_ones_give(
    rig: Callable[..., Any], values: list[tuple[int, int]]
) -> None:
    documents = [
        {"at": (DAY + timedelta(seconds=s)).isoformat(), "k": s % 3, "v": v} for s, v in values
    ]
    documents.append({"at": at("10:00:00"), "k": 0, "v": 0})
    group = {"$group": {"_id": "$k", **ACCUMULATORS}}
    window = tumbling(
        1, "minute", [group, {"$sort": {"_id": 1}}], allowedLateness={"size": 1, "unit": "hour"}
    )
    pipeline = [source(documents), window, START]
    outputs = []
    for divided in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Evaluator, "supports_partial_groups", lambda _, on=divided: on)
            made = rig(pipeline)
        assert (made.processor.parts.steps.compact is not None) == divided
        outputs.append(made.drain().output)
    assert outputs[0] == outputs[1]
    assert outputs[0]


def test_many_partial_states_are_combined_before_the_window_closes(rig: Callable[..., Any]) -> None:
    documents = [{"at": at("00:00:01"), "k": n % 4000, "v": 1} for n in range(16_000)]
    documents.append({"at": at("10:00:00"), "k": 0, "v": 0})
    group = {"$group": {"_id": "$k", "sum": {"$sum": "$v"}, "avg": {"$avg": "$v"}}}
    made = rig([source(documents), tumbling(1, "minute", [group])])
    made.drain()
    assert len(made.output) == 4000
    assert {(d["sum"], d["avg"]) for d in made.output} == {(4, 1.0)}


@given(
    time_ms=st.integers(-(2**40), 2**45),
    interval_ms=st.integers(1, 10**9),
    hop_ms=st.integers(10**6, 10**9),
    offset_ms=st.integers(-(10**9), 10**9),
)
def test_every_time_lies_in_the_windows_that_are_said_to_hold_it(
    time_ms: int, interval_ms: int, hop_ms: int, offset_ms: int
) -> None:
    shape = WindowShape(interval_ms, hop_ms, offset_ms=offset_ms)
    starts = shape.starts_of(time_ms)
    assert all(s <= time_ms < s + interval_ms and (s - offset_ms) % hop_ms == 0 for s in starts)
    assert starts == sorted(starts)
    # No other window holds it: neither the one before the first nor the one after the last.
    before = (starts[0] if starts else shape.start_of(time_ms) + hop_ms) - hop_ms
    assert before + interval_ms <= time_ms or (not starts and before + interval_ms <= time_ms)
    assert shape.start_of(time_ms) + hop_ms > time_ms


@given(st.lists(st.integers(0, 500), max_size=50))
def test_a_restored_snapshot_is_the_same_state(times: list[int]) -> None:
    windows = TumblingWindows(WindowShape(10, 10, allowed_lateness_ms=50))
    documents: list[dict[str, Any]] = [{"n": n} for n in range(len(times))]
    in_time, _ = windows.mark(documents, times, None)
    for index in in_time:
        windows.window(documents[index]["__asp_w"]).hold(documents[index])
    again = TumblingWindows(windows.shape)
    again.restore(windows.snapshot())
    assert again.open == windows.open
    assert again.watermark.value_ms == windows.watermark.value_ms
