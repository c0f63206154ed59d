"""What holds of windows whatever the documents are; examples are fixtures (tests/fixtures)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.windows.fixed import TumblingWindows
from asp_utils.engine.windows.sessions import Sessions
from asp_utils.engine.windows.window import WindowShape

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


START = {"$set": {"start": {"$meta": "stream.window.start"}}}


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
    "low": {"$minN": {"n": 2, "input": "$v"}},
    "whole": {"$first": "$$ROOT"},
    "until": {"$max": {"$meta": "stream.window.end"}},
}
KEYS: tuple[dict[str, Any], ...] = ({"k": 1}, {"k": 1.0}, {"k": None}, {}, {"k": {"a": None}})


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.tuples(st.integers(0, 150), st.integers(-9, 9)), min_size=1, max_size=60))
def test_divided_groups_give_what_whole_ones_give(
    rig: Callable[..., Any], values: list[tuple[int, int]]
) -> None:
    documents = [
        {"at": (DAY + timedelta(seconds=s)).isoformat(), **KEYS[s % len(KEYS)], "v": v}
        for s, v in values
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


def held(sessions: Sessions) -> list[list[int]]:
    """The times in each open session, ascending."""
    found = [sorted(document["t"] for document in w.documents()) for w in sessions.open.values()]
    return sorted(found)


def feed(sessions: Sessions, times: list[int], key: str = "") -> int:
    """Put a batch of documents into sessions; how many came too late."""
    documents: list[dict[str, Any]] = [{"t": time} for time in times]
    sessions.mark(documents, times, None)
    for document in documents:
        document["__asp_w"]["k"] = key
    placed, late = sessions.place(documents)
    for document in placed:
        sessions.window(document.pop("__asp_w")).hold(document)
    return len(late)


BATCHES = st.lists(st.lists(st.integers(0, 300), max_size=8), max_size=8)


@given(BATCHES)
def test_sessions_are_the_longest_chains_whatever_the_order_of_arrival(
    batches: list[list[int]],
) -> None:
    sessions = Sessions(WindowShape(gap_ms=10, allowed_lateness_ms=10_000))
    for batch in batches:
        assert feed(sessions, batch) == 0
    chains: list[list[int]] = []
    for time in sorted(time for batch in batches for time in batch):
        if chains and time - chains[-1][-1] < 10:
            chains[-1].append(time)
        else:
            chains.append([time])
    assert held(sessions) == chains
    bounds = sorted((w.start_ms, w.end_ms) for w in sessions.open.values())
    assert bounds == [(chain[0], chain[-1] + 10) for chain in chains]


@given(BATCHES, st.integers(0, 20))
def test_every_document_of_a_session_is_held_given_out_or_late(
    batches: list[list[int]], lateness_ms: int
) -> None:
    sessions = Sessions(WindowShape(gap_ms=10, allowed_lateness_ms=lateness_ms))
    late, given_out = 0, 0
    for batch in batches:
        late += feed(sessions, batch)
        for window in sessions.take_closed(sessions.horizon_ms):
            assert window.end_ms <= sessions.horizon_ms
            given_out += len(window.held)
        again = Sessions(sessions.shape)
        again.restore(sessions.snapshot())
        assert again.open == sessions.open
        sessions = again
    assert late + given_out + sum(map(len, held(sessions))) == sum(map(len, batches))
