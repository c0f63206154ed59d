"""The broker fixture itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kafka_broker import Broker


def test_what_is_sent_is_received(kafka_broker: Broker) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, {"value": b"1", "key": b"k", "partition": 0, "timestamp": 7})
    kafka_broker.send(topic, {"value": None, "headers": [("h", b"v")], "partition": 0})
    first, second = kafka_broker.received(topic, 2)
    assert (first.value(), first.key(), first.timestamp()[1]) == (b"1", b"k", 7)
    assert (second.value(), second.headers()) == (None, [("h", b"v")])


def test_a_real_broker_gives_as_many_partitions_as_asked(real_kafka: Broker) -> None:
    topic = real_kafka.topic(3)
    assert len(real_kafka.admin().list_topics(topic, timeout=5).topics[topic].partitions) == 3
