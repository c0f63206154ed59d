"""The bounded queue between reader threads and the engine."""

from __future__ import annotations

import threading

import pytest

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.handoff import Handoff


def test_items_come_in_their_order_some_at_a_time() -> None:
    handoff: Handoff[int] = Handoff()
    for number in range(5):
        handoff.put(number, 1)
    assert handoff.take(3, 0) == [0, 1, 2]
    assert handoff.take(3, 0) == [3, 4]
    assert handoff.take(3, 0) == []
    assert handoff.is_empty


def test_a_reader_waits_for_room_but_one_item_fits_always() -> None:
    handoff: Handoff[str] = Handoff(max_bytes=10)
    handoff.put("large", 1000)
    put = threading.Event()

    def more() -> None:
        handoff.put("next", 5)
        put.set()

    reader = threading.Thread(target=more, daemon=True)
    reader.start()
    assert not put.wait(0.05)
    assert handoff.take(9, 0) == ["large"]
    assert put.wait(10)
    assert handoff.take(9, 0) == ["next"]


def test_a_failure_comes_behind_what_was_read() -> None:
    handoff: Handoff[int] = Handoff()
    handoff.put(1, 1)
    handoff.fail(ProcessorFailed(421, "first", retryable=True))
    handoff.fail(ProcessorFailed(421, "second", retryable=True))
    assert handoff.take(9, 0) == [1]
    with pytest.raises(ProcessorFailed, match="first"):
        handoff.take(9, 0)


def test_a_failure_wakes_whoever_waits() -> None:
    handoff: Handoff[int] = Handoff()
    failure = ProcessorFailed(421, "lost", retryable=True)
    threading.Timer(0.02, handoff.fail, [failure]).start()
    with pytest.raises(ProcessorFailed, match="lost"):
        handoff.take(9, 60)


def test_closing_lets_readers_go() -> None:
    handoff: Handoff[int] = Handoff(max_bytes=1)
    handoff.put(1, 1)
    reader = threading.Thread(target=handoff.put, args=(2, 1), daemon=True)
    reader.start()
    handoff.close()
    reader.join(10)
    assert not reader.is_alive()
    assert handoff.closed
