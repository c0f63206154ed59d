"""Consumer groups: who reads, how far behind, and moved elsewhere when nobody does."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, Conflict, NotFound
from asp_utils.operations.kafka import (
    kafka_cluster_info,
    kafka_group_describe,
    kafka_group_list,
    kafka_group_reset,
    kafka_lag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.context import Context
    from tests.kafka_broker import Broker
    from tests.kafka_operations.confluent_fake import ConfluentFake

    Cluster = dict[str, Any] | str


@contextlib.contextmanager
def reading(broker: Broker, topic: str, group: str) -> Iterator[None]:
    """A consumer of a group that has committed two records of partition 0, and runs."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": broker.bootstrap, "group.id": group, "client.id": "reader"}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    for _ in range(200):
        consumer.poll(0.1)
        if consumer.assignment():
            break
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    yield
    consumer.close()


def stopped_group(broker: Broker, topic: str) -> str:
    """A group that has committed two records of partition 0 and has no consumers."""
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    group = f"g-{uuid.uuid4().hex[:8]}"
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 2)])]
    broker.admin().alter_consumer_group_offsets(asked)[group].result(20)
    return group


def topic_with_five(broker: Broker) -> str:
    topic = broker.topic(2)
    broker.send(topic, *({"value": b"x", "partition": 0, "timestamp": 1000 + n} for n in range(5)))
    return topic


def test_a_running_group(ctx: Context, real_kafka: Broker) -> None:
    topic, group = topic_with_five(real_kafka), f"g-{uuid.uuid4().hex[:8]}"
    with reading(real_kafka, topic, group):
        seen = kafka_group_describe(ctx, real_kafka.bootstrap, group)
        assert (seen["state"], seen["is_simple"]) == ("STABLE", False)
        (member,) = seen["members"]
        assert (member["client"], member["partitions"]) == ("reader", {topic: [0, 1]})
        lag = kafka_lag(ctx, real_kafka.bootstrap, group)
        assert lag["lag"] == 3
        assert lag["groups"][0]["partitions"] == [
            {
                "topic": topic,
                "partition": 0,
                "committed_offset": 2,
                "end_offset": 5,
                "lag": 3,
                "client": "reader",
            },
            {
                "topic": topic,
                "partition": 1,
                "committed_offset": None,
                "end_offset": 0,
                "lag": None,
                "client": "reader",
            },
        ]
        with pytest.raises(Conflict, match="reader reads in it"):
            kafka_group_reset(ctx, real_kafka.bootstrap, group, topic, "earliest")
    after = kafka_lag(ctx, real_kafka.bootstrap, group)
    assert [it["committed_offset"] for it in after["groups"][0]["partitions"]][:1] == [2]


def test_a_stopped_group_over_both_transports(
    ctx: Context, cluster: Cluster, real_kafka: Broker
) -> None:
    topic = topic_with_five(real_kafka)
    group = stopped_group(real_kafka, topic)
    listed = {item["group"]: item for item in kafka_group_list(ctx, cluster)["groups"]}
    assert listed[group]["state"] == "EMPTY"
    assert kafka_group_describe(ctx, cluster, group)["members"] == []
    found = kafka_lag(ctx, cluster, topic=topic)
    assert [(it["group"], it["lag"]) for it in found["groups"]] == [(group, 3)]
    assert kafka_lag(ctx, cluster, group, "elsewhere")["groups"][0]["partitions"] == []
    for call in (kafka_group_describe, kafka_lag):
        with pytest.raises(NotFound) as caught:
            call(ctx, cluster, "no-such-group")
        assert int(caught.value.exit_code) == 66


def test_the_lag_of_a_topic_that_is_gone_is_not_known(ctx: Context, real_kafka: Broker) -> None:
    topic = topic_with_five(real_kafka)
    group = stopped_group(real_kafka, topic)
    real_kafka.topics.remove(topic)
    real_kafka.admin().delete_topics([topic])[topic].result(20)
    (found,) = kafka_lag(ctx, real_kafka.bootstrap, group)["groups"]
    assert all(part["end_offset"] is None and part["lag"] is None for part in found["partitions"])


@pytest.mark.parametrize(
    ("to", "offsets"),
    [
        ("earliest", {0: 0, 1: 0}),
        ("latest", {0: 5, 1: 0}),
        (4, {0: 4, 1: 0}),
        ({"0": 99}, {0: 5}),
        ("1970-01-01T00:00:01.003Z", {0: 3, 1: 0}),
    ],
)
def test_a_stopped_group_is_moved(
    ctx: Context, real_kafka: Broker, to: Any, offsets: dict[int, int]
) -> None:
    topic = topic_with_five(real_kafka)
    group = stopped_group(real_kafka, topic)
    plan = kafka_group_reset(ctx, real_kafka.bootstrap, group, topic, to, plan_only=True)
    assert not plan["changed"]
    assert {it["partition"]: it["after"] for it in plan["offsets"]} == offsets
    assert plan["offsets"][0]["before"] == 2
    assert kafka_lag(ctx, real_kafka.bootstrap, group)["lag"] == 3
    done = kafka_group_reset(ctx, real_kafka.bootstrap, group, topic, to)
    assert (done["changed"], done["offsets"]) == (True, plan["offsets"])
    assert kafka_lag(ctx, real_kafka.bootstrap, group)["lag"] == 5 - offsets[0]
    again = kafka_group_reset(ctx, real_kafka.bootstrap, group, topic, to)
    assert not again["changed"]


def test_a_group_is_not_moved_to_nowhere(
    ctx: Context, real_kafka: Broker, confluent: ConfluentFake
) -> None:
    topic = topic_with_five(real_kafka)
    group = stopped_group(real_kafka, topic)
    for kafka, place, to, path in (
        (real_kafka.bootstrap, topic, {"7": 0}, "$.to.7"),
        (real_kafka.bootstrap, topic, "soon", "$.to"),
        (confluent.parameter, topic, "latest", "$.kafka"),
    ):
        with pytest.raises(ConfigInvalid) as caught:
            kafka_group_reset(ctx, kafka, group, place, to)
        assert caught.value.path == path
    with pytest.raises(NotFound, match="no topic 'nowhere'"):
        kafka_group_reset(ctx, real_kafka.bootstrap, group, "nowhere", "latest")
    assert kafka_lag(ctx, real_kafka.bootstrap, group)["lag"] == 3


def test_the_cluster_itself(ctx: Context, real_kafka: Broker, confluent: ConfluentFake) -> None:
    seen = kafka_cluster_info(ctx, real_kafka.bootstrap)
    assert seen["brokers"] is not None
    assert [f"{it['host']}:{it['port']}" for it in seen["brokers"]] == [real_kafka.bootstrap]
    assert seen["controller"] == 1
    assert "CREATE" in (seen["authorized_operations"] or [])
    rest = kafka_cluster_info(ctx, confluent.parameter)
    assert (rest["controller"], len(rest["brokers"] or [])) == (1, 1)
