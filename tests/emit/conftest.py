"""Fixtures for sinks: a schema registry, and sinks built without a pipeline around them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.sinks.emit_kafka_options import KafkaEmitOptions
from asp_utils.engine.sinks.emit_kafka_sink import open_kafka_emit
from tests.emit.registry import Registry, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.evaluate import Evaluator
    from asp_utils.engine.sinks.emit_kafka_sink import KafkaEmitSink
    from tests.kafka_broker import Broker

    Document = dict[str, Any]


@pytest.fixture
def registry() -> Iterator[Registry]:
    """An empty schema registry that asks for no credentials."""
    content = Registry()
    server = Server(content)
    yield content
    server.stop()


@pytest.fixture
def surroundings(mongod: Mongod, evaluator: Evaluator) -> Iterator[Surroundings]:
    """Surroundings with one connection, `c`: the test run's mongod."""
    made = Surroundings(
        "tested",
        {"c": {"type": "atlas", "uri": mongod.uri}},
        evaluator,
        ManualClock(1_700_000_000_000),
        threading.Event(),
    )
    yield made
    made.close()


@pytest.fixture
def to_kafka(surroundings: Surroundings, kafka_broker: Broker) -> Iterator[Callable[..., Any]]:
    """Makes sinks of connection `k`: `to_kafka(topic, config, connection=…, **options)`."""
    opened: list[KafkaEmitSink] = []

    def make(
        topic: Any,
        config: Document | None = None,
        *,
        connection: Document | None = None,
        registry: Document | None = None,
        **options: Any,
    ) -> KafkaEmitSink:
        connections = dict(surroundings.connections)
        connections["k"] = {**kafka_broker.connection, **(connection or {})}
        if registry is not None:
            connections["r"] = registry
        surroundings.connections = connections
        given = {"connectionName": "k", "topic": topic, "config": config or {}, **options}
        opened.append(open_kafka_emit(KafkaEmitOptions.model_validate(given), surroundings))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()
