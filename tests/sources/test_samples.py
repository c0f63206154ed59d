"""Sample streams: which there are, that they can be repeated, and that they come at their pace."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.sample import SampleOptions, SampleSource, known_samples
from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from asp_utils.engine.evaluate import Evaluator

NOW_MS = 1_700_000_000_000
names = st.sampled_from(SAMPLE_NAMES)


def opened(
    evaluator: Evaluator, connection: str, entry: dict[str, Any], position: int | None = None
) -> tuple[SampleSource, ManualClock]:
    clock = ManualClock(NOW_MS)
    connections = {connection: {"type": "inmemory", **entry}}
    surroundings = Surroundings("tested", connections, evaluator, clock, threading.Event())
    options = SampleOptions.model_validate({"connectionName": connection})
    return SampleSource(options, surroundings, position), clock


def test_every_name_has_its_sample() -> None:
    assert set(known_samples()) == set(SAMPLE_NAMES)


@given(names, st.integers(0, 10**11))
def test_a_document_follows_from_its_number(name: str, number: int) -> None:
    sample = known_samples()[name]
    document = sample.document(number)
    assert document == sample.document(number)
    assert bson.decode(bson.encode(document)) == document
    moment = datetime.fromisoformat(document["timestamp"])
    assert ms_of(moment) == number * sample.interval_ms


@pytest.mark.proves("$source:inmemory")
def test_the_solar_sample_has_the_shape_that_atlas_shows() -> None:
    document = known_samples()["sample_stream_solar"].document(17_000_000_000)
    assert {key: type(value) for key, value in document.items()} == {
        "device_id": str,
        "group_id": int,
        "timestamp": str,
        "max_watts": int,
        "event_type": int,
        "obs": dict,
    }
    assert document["timestamp"].endswith("+00:00")
    assert len(document["timestamp"]) == len("2026-01-20T14:30:15.123456+00:00")
    assert set(document["obs"]) == {"watts", "temp"}


@pytest.mark.proves("$source:inmemory.connectionName")
@pytest.mark.parametrize(
    ("connection", "entry", "field"),
    [
        ("samplestock", {}, "symbol"),
        ("anything", {"sample": "samplecommerce"}, "order_id"),
        ("samplestock", {"sample": "sampleiot"}, "device_type"),
        ("sampleweather", {}, "station_id"),
        ("samplelog", {}, "level"),
        ("sample_stream_solar", {}, "max_watts"),
    ],
)
def test_the_connection_selects_the_sample(
    evaluator: Evaluator, connection: str, entry: dict[str, Any], field: str
) -> None:
    source, _ = opened(evaluator, connection, entry)
    batch = source.read(1, 0)
    assert batch is not None
    assert field in batch.documents[0]
    assert source.source_type == "generated"


@pytest.mark.parametrize(("connection", "entry"), [("samplestok", {}), ("x", {"sample": "y"})])
def test_an_unknown_sample(evaluator: Evaluator, connection: str, entry: dict[str, Any]) -> None:
    with pytest.raises(ProcessorFailed, match="samplestock") as caught:
        opened(evaluator, connection, entry)
    assert (caught.value.code, caught.value.retryable) == (420, False)


def test_documents_come_when_they_are_due(evaluator: Evaluator) -> None:
    source, clock = opened(evaluator, "samplestock", {})
    first = source.read(10, 0)
    assert first is not None
    assert first.times_ms == [NOW_MS]
    assert source.read(10, 0) is None
    clock.advance(500)
    due = source.read(6, 0), source.read(6, 0)
    times = [time for batch in due if batch for time in batch.times_ms]
    assert times == [NOW_MS + 50 * step for step in range(1, 11)]


def test_it_waits_for_the_next_document(evaluator: Evaluator) -> None:
    source, clock = opened(evaluator, "samplestock", {})
    source.read(10, 0)
    assert source.read(10, 200) is not None
    assert clock.now_ms() == NOW_MS + 50


def test_what_fell_due_while_it_was_stopped_is_not_made_up_for(evaluator: Evaluator) -> None:
    source, _ = opened(evaluator, "samplestock", {}, position=5)
    assert source.position == NOW_MS // 50
    later, _ = opened(evaluator, "samplestock", {}, position=source.position + 1)
    assert later.position == source.position + 1


@pytest.mark.proves("$source:inmemory.timeField")
def test_event_time_may_be_read_from_the_document(rig: Any) -> None:
    source = {"connectionName": "samplestock", "timeField": {"$toDate": "$timestamp"}}
    ts = {"$project": {"_id": 0, "timestamp": 1, "ts": {"$meta": "stream.source.ts"}}}
    made = rig([{"$source": source}, ts], connections={"samplestock": {"type": "inmemory"}})
    while not made.output:
        made.processor.step(100)
    (document,) = made.output[:1]
    stamp = datetime.fromisoformat(document["timestamp"]).replace(tzinfo=None)
    assert document["ts"] == stamp.replace(microsecond=stamp.microsecond // 1000 * 1000)
