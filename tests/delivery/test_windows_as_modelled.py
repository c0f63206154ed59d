"""Random times, partitions, silences, batches and restarts give the windows of the model."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine import assemble as assemble_module
from asp_utils.engine import processor as processor_module
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.delivery.checkpoint import CheckpointStore
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.fixtures.document import Event
from asp_utils.engine.fixtures.source import FixtureSource
from asp_utils.engine.windows.spill import MEMORY_BYTES, Spill
from asp_utils.units import datetime_of, ms_of
from tests.delivery.model import Came, Model, Shape, Waited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asp_utils.clients.mongod import Mongod

    Document = dict[str, Any]

T0 = 1_700_000_000_000
BOUNDS = {
    "start": {"$min": {"$meta": "stream.window.start"}},
    "end": {"$min": {"$meta": "stream.window.end"}},
}
BODIES: dict[str, list[Document]] = {
    "partial states": [{"$group": {"_id": None, **BOUNDS, "numbers": {"$push": "$n"}}}],
    "documents": [
        {"$sort": {"n": 1}},
        {"$group": {"_id": None, **BOUNDS, "numbers": {"$push": "$n"}}},
    ],
}


def ms(size: int) -> Document:
    return {"size": size, "unit": "ms"}


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    lateness = draw(st.sampled_from([0, 0, 3, 20]))
    timeouts = st.sampled_from([None, 5, 30])
    if draw(st.booleans()):
        gap = draw(st.integers(1, 12))
        return Shape(gap_ms=gap, lateness_ms=lateness, partition_idle_ms=draw(timeouts))
    interval = draw(st.integers(2, 20))
    hop = draw(st.one_of(st.just(interval), st.integers(1, 30)))
    offset = draw(st.integers(0, hop - 1))
    idle = draw(timeouts)
    return Shape(interval, hop, 0, offset, lateness, idle, draw(timeouts))


@st.composite
def timelines(draw: st.DrawFn) -> list[Came | Waited]:
    """Times drift upwards and scatter; now and then nothing comes for a while."""
    count = draw(st.integers(1, 40))
    partitions = draw(st.integers(1, 3))
    spread = draw(st.sampled_from([0, 5, 60]))
    items: list[Came | Waited] = []
    for number in range(count):
        if draw(st.integers(0, 9)) == 0:
            items.append(Waited(draw(st.integers(1, 40))))
        time_ms = T0 + 3 * number + draw(st.integers(-spread, spread))
        partition = f"p-{draw(st.integers(0, partitions - 1))}"
        items.append(Came(number, time_ms, partition, draw(st.integers(0, 1))))
    return [*items, Waited(draw(st.integers(1, 100)))]


def stage(shape: Shape, body: str) -> Document:
    more: Document = {"allowedLateness": ms(shape.lateness_ms), "pipeline": BODIES[body]}
    if shape.idle_timeout_ms is not None:
        more["idleTimeout"] = ms(shape.idle_timeout_ms)
    if shape.gap_ms:
        return {"$sessionWindow": {"gap": ms(shape.gap_ms), "partitionBy": "$k", **more}}
    more["offset"] = {"offsetFromUtc": shape.offset_ms, "unit": "ms"}
    if shape.hop_ms == shape.interval_ms:
        return {"$tumblingWindow": {"interval": ms(shape.interval_ms), **more}}
    sizes = {"interval": ms(shape.interval_ms), "hopSize": ms(shape.hop_ms)}
    return {"$hoppingWindow": {**sizes, **more}}


def event(item: Came | Waited) -> Event:
    if isinstance(item, Waited):
        return Event.model_validate({"advance": ms(item.ms)})
    return Event(
        document={"n": item.number, "k": item.key},
        partition=item.partition,
        timestamp=datetime_of(item.time_ms),
    )


class Engine:
    """The engine on the same items, killed (without a word) and restored at given places."""

    def __init__(self, mongod: Mongod, state: MongoClient[Any], shape: Shape, body: str) -> None:
        self.mongod, self.state, self.shape = mongod, state, shape
        self.clock = ManualClock(T0)
        self.pipeline = [{"$source": {"documents": [{}]}}, stage(shape, body)]
        self.store = CheckpointStore(state["modelled"], "p")
        self.store.forget()
        self.shown: list[Document] = []

    def run(self, items: Sequence[Came | Waited], restarts: set[int]) -> None:
        ends = [at for at in sorted(restarts) if 0 < at < len(items)]
        for end in [*ends, len(items)]:
            self._until(items, end)

    def _until(self, items: Sequence[Came | Waited], end: int) -> None:
        events = [event(item) for item in items]
        with closing(MongodSocket.to(self.mongod.uri)) as link:
            source = FixtureSource(events, self.clock, None, None, self.shape.partition_idle_ms)
            saved = self.store.load()
            source.position = saved.position if saved else 0
            source._events = events[:end]
            surroundings = Surroundings(
                "modelled",
                {},
                Evaluator(link, "modelled", "p", self.clock),
                self.clock,
                threading.Event(),
                state=self.state["modelled"],
            )
            processor = assemble(
                Definition("p", "p", self.pipeline),
                surroundings,
                self.store,
                source=source,
                show=self.shown.extend,
            )
            while not source.drained:
                processor.step(0)
            processor.step(0)
            processor.checkpoint()

    @property
    def closed(self) -> list[tuple[int, int, list[int]]]:
        return [
            (ms_of(d["start"]), ms_of(d["end"]), sorted(d["numbers"]))
            for d in self.shown
            if "_dlqMessage" not in d
        ]

    @property
    def late(self) -> list[tuple[int, list[int]]]:
        letters = [d["_dlqMessage"] for d in self.shown if "_dlqMessage" in d]
        return [(m["doc"]["n"], [ms_of(t) for t in m["missedWindowStartTimes"]]) for m in letters]


@pytest.fixture(scope="module")
def state(mongod: Mongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](mongod.uri) as client:
        yield client
        client.drop_database("modelled")


@pytest.mark.server
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes(),
    items=timelines(),
    body=st.sampled_from(sorted(BODIES)),
    batch=st.sampled_from([1, 2, 7, 2000]),
    restarts=st.sets(st.integers(1, 40), max_size=2),
    memory_bytes=st.sampled_from([50, MEMORY_BYTES]),
)
def test_the_engine_gives_the_windows_of_the_model(
    mongod: Mongod,
    state: MongoClient[Any],
    monkeypatch: pytest.MonkeyPatch,
    shape: Shape,
    items: list[Came | Waited],
    body: str,
    batch: int,
    restarts: set[int],
    memory_bytes: int,
) -> None:
    monkeypatch.setattr(assemble_module, "Spill", partial(Spill, memory_bytes=memory_bytes))
    monkeypatch.setattr(processor_module, "BATCH_DOCUMENTS", batch)
    partitions = sorted({item.partition for item in items if isinstance(item, Came)})
    model = Model(shape, partitions, now_ms=T0)
    for at, item in enumerate(items):
        if at in restarts:
            model.restarted()
        if isinstance(item, Came):
            model.came(item)
        else:
            model.waited(item.ms)
    engine = Engine(mongod, state, shape, body)
    engine.run(items, restarts)
    # Sessions of several keys may begin and end alike: which comes first is not said.
    assert [c[:2] for c in engine.closed] == [(w["start"], w["end"]) for w in model.closed]
    assert sorted(engine.closed) == sorted(
        (w["start"], w["end"], w["numbers"]) for w in model.closed
    )
    assert engine.late == model.late
