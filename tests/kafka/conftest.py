"""Kafka sources on their own: built from options, read until everything has come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.sources.kafka_options import KafkaOptions
from asp_utils.engine.sources.kafka_source import KafkaSource, open_kafka

if TYPE_CHECKING:
    from asp_utils.engine.batch import Batch
    from tests.kafka_broker import Broker

Document = dict[str, Any]
ATTEMPTS = 100
WAIT_MS = 200


@dataclass
class Reading:
    """A source under test."""

    source: KafkaSource
    clock: ManualClock

    def batches(self, count: int) -> list[Batch]:
        """Read until that many records came, readable or not."""
        found: list[Batch] = []
        for _ in range(ATTEMPTS):
            if sum(len(b.documents) + len(b.unreadable) for b in found) >= count:
                return found
            batch = self.source.read(2000, WAIT_MS)
            if batch is not None:
                found.append(batch)
        raise AssertionError(f"fewer than {count} records came: {found}")

    def documents(self, count: int) -> list[Document]:
        """The next documents."""
        return [document for batch in self.batches(count) for document in batch.documents]

    def silence(self) -> None:
        """Make sure that nothing comes."""
        assert self.source.read(2000, WAIT_MS) is None


OpenSource = Callable[..., Reading]


@pytest.fixture
def open_source(kafka_broker: Broker) -> Iterator[OpenSource]:
    """Builds sources from the options of `$source`; from the beginning unless told otherwise."""
    made: list[Reading] = []

    def build(
        topic: str | list[str],
        *,
        position: Document | None = None,
        connection: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        connections: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Reading:
        clock = ManualClock(1_700_000_000_000)
        known = {"k": connection or kafka_broker.connection, **(connections or {})}
        surroundings = Surroundings(
            "tested", known, cast("Any", None), clock, threading.Event(), start or {}
        )
        given = {"auto_offset_reset": "earliest"} if config is None else config
        parsed = KafkaOptions.model_validate(
            {"connectionName": "k", "topic": topic, "config": given, **options}
        )
        made.append(Reading(open_kafka(parsed, surroundings, position), clock))
        return made[-1]

    yield build
    for reading in made:
        reading.source.close()
