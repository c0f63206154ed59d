"""Where a Kafka source begins, how it goes on, and what its consumer group is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.cimpl import NewPartitions

from asp_utils.engine.kafka.consumer import METADATA_INTERVAL_MS

if TYPE_CHECKING:
    from tests.kafka.conftest import OpenSource
    from tests.kafka_broker import Broker


def numbers(count: int, begin: int = 0, partition: int = 0) -> list[dict[str, Any]]:
    return [
        {"value": b'{"n": %d}' % n, "partition": partition} for n in range(begin, begin + count)
    ]


def committed(broker: Broker, group: str) -> dict[tuple[str, int], int]:
    """What a group has committed."""
    asked = [ConsumerGroupTopicPartitions(group)]
    answer = broker.admin().list_consumer_group_offsets(asked)[group].result(20)
    return {(p.topic, p.partition): p.offset for p in answer.topic_partitions}


def until_committed(broker: Broker, group: str, expected: dict[tuple[str, int], int]) -> None:
    """Wait for a commit that nobody waited for; the suite's timeout bounds it."""
    while committed(broker, group) != expected:
        pass


@pytest.mark.proves("$source:kafka.config.auto_offset_reset")
@pytest.mark.parametrize("reset", ["earliest", "beginning", "smallest"])
def test_begins_with_the_oldest(kafka_broker: Broker, open_source: OpenSource, reset: str) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, *numbers(2))
    reading = open_source(topic, config={"auto_offset_reset": reset})
    assert [d["n"] for d in reading.documents(2)] == [0, 1]


@pytest.mark.proves("$source:kafka.config.auto_offset_reset")
@pytest.mark.parametrize(
    "config", [{}, *({"auto_offset_reset": r} for r in ("latest", "end", "largest"))]
)
def test_begins_with_what_comes(
    kafka_broker: Broker, open_source: OpenSource, config: dict[str, str]
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, *numbers(2))
    reading = open_source(topic, config=config)
    assert reading.source.position[topic]["0"] == 2
    kafka_broker.send(topic, *numbers(1, 2))
    assert [d["n"] for d in reading.documents(1)] == [2]


def test_the_connection_may_say_where_to_begin_and_the_pipeline_has_the_last_word(
    kafka_broker: Broker, open_source: OpenSource
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, *numbers(2))
    connection = {**kafka_broker.connection, "config": {"auto.offset.reset": "earliest"}}
    position = open_source(topic, connection=connection, config={}).source.position
    assert position[topic]["0"] == 0
    latest = {"auto_offset_reset": "latest"}
    position = open_source(topic, connection=connection, config=latest).source.position
    assert position[topic]["0"] == 2


def test_goes_on_where_a_position_says(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic(3)
    for partition in range(3):
        real_kafka.send(topic, *numbers(4, 10 * partition, partition))
    first = open_source(topic)
    first.documents(12)
    assert first.source.position == {topic: {"0": 4, "1": 4, "2": 4}}
    stored = bson.decode(bson.encode({"p": {topic: {"0": 3, "1": 1}}}))["p"]
    later = open_source(topic, position=stored, config={"auto_offset_reset": "latest"})
    assert later.source.position == {topic: {"0": 3, "1": 1, "2": 4}}
    assert sorted(d["n"] for d in later.documents(4)) == [3, 11, 12, 13]


def test_a_source_at_the_end_goes_on_there_though_nothing_came(
    kafka_broker: Broker, open_source: OpenSource
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, *numbers(2))
    first = open_source(topic, config={})
    kafka_broker.send(topic, *numbers(1, 2))  # comes while it is away
    later = open_source(topic, position=first.source.position, config={})
    assert [d["n"] for d in later.documents(1)] == [2]


def test_records_that_are_gone_are_passed_over(real_kafka: Broker, open_source: OpenSource) -> None:
    from confluent_kafka import TopicPartition

    topic = real_kafka.topic()
    real_kafka.send(topic, *numbers(5))
    done = real_kafka.admin().delete_records([TopicPartition(topic, 0, 3)])
    for future in done.values():
        future.result(20)
    reading = open_source(topic, position={topic: {"0": 1}})
    assert [d["n"] for d in reading.documents(2)] == [3, 4]


def test_new_partitions_are_read_while_it_runs(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic()
    reading = open_source(topic)
    late = open_source(topic, config={"auto_offset_reset": "latest"})
    (done,) = real_kafka.admin().create_partitions([NewPartitions(topic, 2)]).values()
    done.result(20)
    real_kafka.send(topic, *numbers(2, 0, 1))
    reading.silence()
    assert reading.source.partitions == [f"{topic}-0"]
    for each in (reading, late):
        each.clock.advance(METADATA_INTERVAL_MS)
    assert [d["n"] for d in reading.documents(2)] == [0, 1]
    assert reading.source.partitions == [f"{topic}-0", f"{topic}-1"]
    assert reading.source.position == {topic: {"0": 0, "1": 2}}
    late.silence()
    assert late.source.position == {topic: {"0": 0, "1": 2}}
    real_kafka.send(topic, *numbers(1, 2, 1), *numbers(1, 7, 0))
    assert sorted(d["n"] for d in late.documents(2)) == [2, 7]


@pytest.mark.proves("$source:kafka.config.group_id", "$source:kafka.config.enable_auto_commit")
def test_a_group_hears_of_checkpoints(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic(2)
    group = f"g-{topic}"
    real_kafka.send(topic, *numbers(3))
    config = {"auto_offset_reset": "earliest", "group_id": group, "enable_auto_commit": False}
    reading = open_source(topic, config=config)
    reading.documents(3)
    assert committed(real_kafka, group) == {}
    reading.source.committed({topic: {"0": 2, "1": 0}})
    until_committed(real_kafka, group, {(topic, 0): 2, (topic, 1): 0})
    reading.source.committed(reading.source.position)
    until_committed(real_kafka, group, {(topic, 0): 3, (topic, 1): 0})


@pytest.mark.proves("$source:kafka.config.enable_auto_commit")
def test_a_group_hears_of_what_was_handed_on(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic()
    group = f"g-{topic}"
    real_kafka.send(topic, *numbers(3))
    reading = open_source(topic, config={"auto_offset_reset": "earliest", "group_id": group})
    reading.documents(3)
    reading.source.committed({topic: {"0": 1}})
    reading.source.close()  # librdkafka commits every few seconds, and when it ends
    assert committed(real_kafka, group) == {(topic, 0): 3}


@pytest.mark.proves("$source:kafka.config.group_id")
def test_a_lasting_processor_has_a_group_of_its_own_and_a_passing_one_has_none(
    real_kafka: Broker, open_source: OpenSource
) -> None:
    topic = real_kafka.topic()
    real_kafka.send(topic, *numbers(3))
    ids = {"processorId": topic}
    for start in ({}, {**ids, "mode": "process"}, {**ids, "mode": "run"}):
        reading = open_source(topic, start=start)
        reading.documents(3)
        reading.source.close()
        own = committed(real_kafka, f"asp-{topic}-consumer")
        assert own == ({(topic, 0): 3} if start.get("mode") == "run" else {})


@pytest.mark.proves("$source:kafka.config.group_id")
def test_without_a_checkpoint_a_named_group_says_where_to_begin(
    real_kafka: Broker, open_source: OpenSource
) -> None:
    topic = real_kafka.topic(2)
    group = f"g-{topic}"
    real_kafka.send(topic, *numbers(3), *numbers(2, 10, 1))
    config = {"auto_offset_reset": "earliest", "group_id": group, "enable_auto_commit": False}
    first = open_source(topic, config=config)
    first.source.committed({topic: {"0": 2}})
    until_committed(real_kafka, group, {(topic, 0): 2})
    assert open_source(topic, config=config).source.position == {topic: {"0": 2, "1": 0}}
    checkpoint = {topic: {"0": 1, "1": 1}}
    assert open_source(topic, config=config, position=checkpoint).source.position == checkpoint


def test_transactions_that_were_aborted_are_not_seen(
    real_kafka: Broker, open_source: OpenSource
) -> None:
    from confluent_kafka import Producer

    topic = real_kafka.topic()
    settings = {"bootstrap.servers": real_kafka.bootstrap, "transactional.id": topic}
    producer = Producer(settings)
    producer.init_transactions(20)
    for number, ends in enumerate((producer.abort_transaction, producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, b'{"n": %d}' % number, partition=0)
        producer.flush(20)
        ends(20)
    assert [d["n"] for d in open_source(topic).documents(1)] == [1]


def test_stats_show_offsets_and_lag(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic(2)
    real_kafka.send(topic, *numbers(5))
    reading = open_source(topic)
    (batch,) = [reading.source.read(2, 5000)]
    assert batch is not None
    assert len(batch.documents) == 2
    reading.source.committed({topic: {"0": 1, "1": 0}})
    stats = reading.source.stats()
    assert stats["kafkaTotalOffsetLag"] == 3
    assert stats["kafkaPartitions"] == [
        {
            "topic": topic,
            "partition": 0,
            "currentOffset": 2,
            "checkpointOffset": 1,
            "isIdle": False,
            "partitionOffsetLag": 3,
        },
        {
            "topic": topic,
            "partition": 1,
            "currentOffset": 0,
            "checkpointOffset": 0,
            "isIdle": False,
            "partitionOffsetLag": 0,
        },
    ]
    reading.source.close()
    assert reading.source.stats()["kafkaPartitions"][0]["currentOffset"] == 2
