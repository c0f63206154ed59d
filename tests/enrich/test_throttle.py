"""`$throttle`: no more than the budget over any span of time, by a virtual clock."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.stages.throttle import ThrottleOptions, ThrottleStage, open_throttle
from asp_utils.pipeline.check import check_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.engine.evaluate import Evaluator
    from asp_utils.errors import Fault

    Document = dict[str, Any]

NO_EVALUATOR: Evaluator = None  # type: ignore[assignment] # it evaluates nothing


def opened(clock: ManualClock, **limits: int) -> ThrottleStage:
    surroundings = Surroundings("tested", {}, NO_EVALUATOR, clock, threading.Event())
    return open_throttle(ThrottleOptions.model_validate(limits), surroundings)


def sized(size_bytes: int) -> Document:
    """A document of exactly that BSON size."""
    empty = len(bson.encode({"d": b""}))
    return {"d": b"x" * (size_bytes - empty)}


def passings(
    stage: ThrottleStage, clock: ManualClock, documents: Sequence[Document]
) -> list[tuple[int, Document]]:
    """When each document passed, ms; the stage is given what passes together."""
    passed = []
    left = list(documents)
    while left:
        count = stage.portion(left)
        outcome = stage.process(left[:count], None)
        passed += [(clock.now_ms(), document) for document in outcome.documents]
        left = left[count:]
    return passed


@pytest.mark.proves("$throttle", "$throttle.messagesPerSec")
def test_messages_pass_at_their_rate_in_their_order() -> None:
    clock = ManualClock()
    stage = opened(clock, messagesPerSec=50)
    passed = passings(stage, clock, [{"n": n} for n in range(200)])
    assert [document["n"] for _, document in passed] == list(range(200))
    assert [time for time, _ in passed[::50]] == [0, 1000, 2000, 3000]
    assert stage.stats() == {"throttle": {"throttledTimeMs": 3000, "throttleEvents": 3}}


@pytest.mark.proves("$throttle.bytesPerSec")
def test_bytes_pass_at_their_rate() -> None:
    clock = ManualClock()
    passed = passings(opened(clock, bytesPerSec=1000), clock, [sized(400)] * 5)
    # Two at once, 200 bytes are left; two more need 600, and the last 400.
    assert [time for time, _ in passed] == [0, 0, 600, 600, 1000]


def test_a_batch_is_let_through_whole_however_large() -> None:
    clock = ManualClock()
    stage = opened(clock, messagesPerSec=10)
    documents = [{"n": n} for n in range(35)]
    assert stage.process(documents, None).documents == documents
    # Ten are there at once, and 25 more take 2.5 s.
    assert clock.now_ms() == 2500
    assert stage.process([], None).documents == []
    assert stage.portion([]) == 0


@pytest.mark.proves("$throttle.bytesPerSec", "$throttle.messagesPerSec")
def test_the_most_exhausted_limit_sets_the_wait() -> None:
    """The example of the Atlas page: 20 documents of 2 MiB wait 200 ms, not 100."""
    clock = ManualClock()
    stage = opened(clock, bytesPerSec=5_242_880, messagesPerSec=50)
    stage.process([sized(4_194_304 // 35)] * 34 + [sized(4_194_304 - 34 * (4_194_304 // 35))], None)
    assert clock.now_ms() == 0
    stage.process([sized(2_097_152 // 20)] * 19 + [sized(2_097_152 - 19 * (2_097_152 // 20))], None)
    assert clock.now_ms() == 200
    assert stage.stats()["throttle"]["throttleEvents"] == 1


@pytest.mark.proves("$throttle.bytesPerSec")
def test_a_document_larger_than_the_budget_passes_and_the_stage_waits_behind_it() -> None:
    clock = ManualClock()
    documents = [sized(500), sized(5000), sized(6000), sized(10), sized(900)]
    passed = passings(opened(clock, bytesPerSec=1000), clock, documents)
    assert [time for time, _ in passed] == [0, 0, 1000, 2000, 2000]


def test_hidden_fields_count_nothing() -> None:
    clock = ManualClock()
    stage = opened(clock, bytesPerSec=100)
    stage.process([{**sized(100), "__asp_m": {"source": "x" * 500}}], None)
    stage.process([sized(100)], None)
    assert clock.now_ms() == 1000


def test_capacity_comes_back_while_nothing_comes_but_never_more_than_a_second_of_it() -> None:
    clock = ManualClock()
    stage = opened(clock, messagesPerSec=2)
    stage.process([{}, {}], None)
    clock.advance(3_600_000)
    stage.process([{}, {}], None)
    assert stage.stats()["throttle"]["throttleEvents"] == 0
    stage.process([{}], None)
    assert stage.stats()["throttle"] == {"throttledTimeMs": 500, "throttleEvents": 1}


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    clock = ManualClock(10_000_000)
    stage = opened(clock, bytesPerSec=100)
    stage.process([sized(200)], None)
    clock.advance(-5_000_000)
    stage.process([sized(50)], None)
    assert clock.now_ms() == 5_001_000


def test_a_stop_ends_the_waiting_and_loses_nothing() -> None:
    clock, stopping = ManualClock(), threading.Event()
    surroundings = Surroundings("tested", {}, NO_EVALUATOR, clock, stopping)
    stage = open_throttle(ThrottleOptions.model_validate({"messagesPerSec": 1}), surroundings)
    stopping.set()
    documents = [{"n": n} for n in range(100)]
    assert stage.process(documents, None).documents == documents
    assert clock.now_ms() == 0


def test_stages_in_a_row_limit_each_for_itself() -> None:
    clock = ManualClock()
    first, second = opened(clock, messagesPerSec=100), opened(clock, messagesPerSec=10)
    for _ in range(5):
        second.process(first.process([{}] * 10, None).documents, None)
    assert clock.now_ms() == 4000
    assert first.stats()["throttle"]["throttleEvents"] == 0


def faults_of(options: Any, *, in_window: bool = False) -> list[Fault]:
    stage: Document = {"$throttle": options}
    interval = {"size": 1, "unit": "second"}
    window: Document = {"$tumblingWindow": {"interval": interval, "pipeline": [stage]}}
    pipeline = [{"$source": {"documents": []}}, window if in_window else stage]
    return check_pipeline(pipeline, catalogue(), {}, persistent=False)


@pytest.mark.proves("$throttle")
def test_at_least_one_limit_is_needed() -> None:
    message = faults_of({})[0].message
    assert "$throttle requires at least one of 'bytesPerSec' or 'messagesPerSec'" in message


@pytest.mark.proves("$throttle.bytesPerSec", "$throttle.messagesPerSec")
@pytest.mark.parametrize("field", ["bytesPerSec", "messagesPerSec"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "10"])
def test_limits_are_positive_whole_numbers(field: str, value: Any) -> None:
    assert [fault.path for fault in faults_of({field: value})] == [f"[1].$throttle.{field}"]
    assert faults_of({field: 1}) == []


@pytest.mark.proves("$throttle")
def test_it_stands_in_the_main_pipeline_only() -> None:
    assert (
        "not allowed inside a window" in faults_of({"messagesPerSec": 1}, in_window=True)[0].message
    )


arrivals = st.lists(
    st.tuples(st.integers(0, 3000), st.lists(st.integers(16, 1500), max_size=20)), max_size=8
)


@given(arrivals=arrivals, per_second=st.integers(16, 1000), messages=st.integers(1, 30))
@example(arrivals=[(0, [1000] * 3)], per_second=1000, messages=30)
def test_over_any_span_no_more_than_the_budget_and_one_burst_passes(
    arrivals: list[tuple[int, list[int]]], per_second: int, messages: int
) -> None:
    clock = ManualClock()
    stage = opened(clock, bytesPerSec=per_second, messagesPerSec=messages)
    passed: list[tuple[int, int]] = []
    for pause_ms, sizes in arrivals:
        clock.advance(pause_ms)
        documents = [sized(size) for size in sizes]
        passed += [(t, len(bson.encode(d))) for t, d in passings(stage, clock, documents)]
    assert [size for _, size in passed] == [size for _, sizes in arrivals for size in sizes]
    for first, last in itertools.combinations(range(len(passed) + 1), 2):
        within = passed[first:last]
        span_ms = within[-1][0] - within[0][0]
        assert len(within) * 1000 <= messages * (span_ms + 1000)
        fitting = sum(size for _, size in within if size <= per_second)
        assert fitting * 1000 <= per_second * (span_ms + 1000)
        # Larger ones pass once a second.
        assert sum(size > per_second for _, size in within) <= span_ms // 1000 + 1


@given(st.lists(st.integers(16, 400), min_size=1, max_size=40), st.integers(400, 1000))
def test_nothing_waits_longer_than_its_budget_asks(sizes: list[int], per_second: int) -> None:
    clock = ManualClock()
    passings(opened(clock, bytesPerSec=per_second), clock, [sized(size) for size in sizes])
    needed_ms = max(0, sum(sizes) - per_second) * 1000 / per_second
    assert needed_ms <= clock.now_ms() < needed_ms + len(sizes) + 1
