"""Topics over both transports: what is asked for is what there is afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import AspError, ConfigInvalid, Conflict, NotFound, TimedOut
from asp_utils.operations.topics import (
    topic_alter,
    topic_create,
    topic_delete,
    topic_describe,
    topic_ensure,
    topic_list,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.context import Context
    from tests.kafka_broker import Broker
    from tests.operations.conftest import Project

    Cluster = dict[str, Any] | str
    NewName = Callable[[], str]


def test_a_topic_from_its_creation_to_its_end(
    ctx: Context, cluster: Cluster, topic_name: NewName
) -> None:
    name = topic_name()
    made = topic_create(ctx, cluster, name, 2, 1, {"retention.ms": 86_400_000})
    assert (made["changed"], made["differences"]) == (True, [])
    assert made["changes"] == [{"path": "topic", "before": None, "after": "2 partitions"}]
    assert made["topic"] is not None
    assert made["topic"]["config"] == {"retention.ms": "86400000"}
    listed = {topic["name"]: topic for topic in topic_list(ctx, cluster)["topics"]}
    assert listed[name] == {
        "name": name,
        "partition_count": 2,
        "replication_factor": 1,
        "is_internal": False,
    }
    with pytest.raises(Conflict, match="already exists"):
        topic_create(ctx, cluster, name)
    gone = topic_delete(ctx, cluster, name)
    assert gone["changes"] == [{"path": "topic", "before": "2 partitions", "after": None}]
    assert (gone["changed"], gone["topic"]) == (True, None)
    for call in (topic_describe, topic_delete, topic_alter):
        with pytest.raises(NotFound) as caught:
            call(ctx, cluster, name)
        assert (caught.value.path, int(caught.value.exit_code)) == ("$.topic", 66)


def test_altering_sets_takes_back_and_grows(
    ctx: Context, cluster: Cluster, topic_name: NewName
) -> None:
    name = topic_name()
    topic_create(ctx, cluster, name, 1, 1, {"retention.ms": "5000", "cleanup.policy": "compact"})
    config: dict[str, str | int | float | bool] = {"retention.ms": 6000, "preallocate": True}
    done = topic_alter(ctx, cluster, name, config, ["cleanup.policy"], 3)
    assert done["changes"] == [
        {"path": "partitions", "before": 1, "after": 3},
        {"path": "config.cleanup.policy", "before": "compact", "after": None},
        {"path": "config.preallocate", "before": None, "after": "true"},
        {"path": "config.retention.ms", "before": "5000", "after": "6000"},
    ]
    again = topic_alter(ctx, cluster, name, config, ["cleanup.policy"], 3)
    assert (again["changed"], again["changes"]) == (False, [])
    with pytest.raises(ConfigInvalid, match="has 3 partitions, and none can be taken away"):
        topic_alter(ctx, cluster, name, partitions=2)
    with pytest.raises(ConfigInvalid) as caught:
        topic_alter(ctx, cluster, name, {"retention.ms": "long"}, partitions=4)
    assert caught.value.path == "$.config"
    assert topic_describe(ctx, cluster, name)["partition_count"] == 3


def test_ensuring_shows_differences_and_applies_them_when_asked(
    ctx: Context, cluster: Cluster, topic_name: NewName
) -> None:
    name = topic_name()
    wanted: dict[str, Any] = {"partitions": 2, "config": {"retention.ms": 7000}}
    assert topic_ensure(ctx, cluster, name, **wanted)["changed"]
    again = topic_ensure(ctx, cluster, name, **wanted)
    assert (again["changed"], again["differences"]) == (False, [])
    wanted = {"partitions": 3, "config": {"retention.ms": 8000, "cleanup.policy": "delete"}}
    shown = topic_ensure(ctx, cluster, name, **wanted)
    assert not shown["changed"]
    assert [(it["path"], it["wanted"], it["found"]) for it in shown["differences"]] == [
        ("partitions", 3, 2),
        ("config.retention.ms", "8000", "7000"),
    ]
    done = topic_ensure(ctx, cluster, name, **wanted, apply_differences=True)
    assert (done["changed"], done["differences"]) == (True, [])
    assert {it["path"] for it in done["changes"]} == {"partitions", "config.retention.ms"}
    with pytest.raises(Conflict) as caught:
        topic_ensure(ctx, cluster, name, 1, 2, {"retention.ms": 9000}, apply_differences=True)
    assert "partitions is 3, not 1; replication_factor is 1, not 2" in caught.value.message
    seen = topic_describe(ctx, cluster, name)
    assert (seen["partition_count"], seen["config"]) == (3, {"retention.ms": "8000"})


def test_what_the_cluster_does_not_take_leaves_nothing(
    ctx: Context, cluster: Cluster, topic_name: NewName
) -> None:
    name = topic_name()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"replication_factor": 5}, "replica"),
        ({"config": {"no.such.setting": 1}}, "no.such.setting"),
        ({"config": {"retention.ms": "soon"}}, "retention.ms"),
    ]
    for given, text in cases:
        with pytest.raises(ConfigInvalid) as caught:
            topic_create(ctx, cluster, name, **given)
        assert text in caught.value.message
    with pytest.raises(ConfigInvalid, match="invalid"):
        topic_create(ctx, cluster, f"{name} / ü")
    assert name not in {topic["name"] for topic in topic_list(ctx, cluster)["topics"]}


def test_internal_topics_are_hidden_and_stay(
    ctx: Context, real_kafka: Broker, cluster: Cluster
) -> None:
    commit(real_kafka, "makes-the-offsets-topic", real_kafka.topic())
    names = {topic["name"] for topic in topic_list(ctx, cluster)["topics"]}
    everything = topic_list(ctx, cluster, include_internal=True)["topics"]
    internal = {topic["name"] for topic in everything} - names
    assert "__consumer_offsets" in internal
    with pytest.raises(ConfigInvalid, match="keeps its own state in '__consumer_offsets'"):
        topic_delete(ctx, cluster, "__consumer_offsets")
    assert topic_describe(ctx, cluster, "__consumer_offsets")["is_internal"]


def commit(broker: Broker, group: str, topic: str) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])]
    broker.admin().alter_consumer_group_offsets(asked)[group].result(20)


def test_a_description_has_leaders_replicas_offsets_and_settings(
    ctx: Context, real_kafka: Broker
) -> None:
    name = real_kafka.topic(2, {"retention.ms": "123456"})
    real_kafka.send(name, *({"value": b"x", "partition": 1} for _ in range(5)))
    seen = topic_describe(ctx, real_kafka.bootstrap, name)
    assert seen["partitions"] == [
        {
            "partition": number,
            "leader": 1,
            "replicas": [1],
            "in_sync_replicas": [1],
            "low_offset": 0,
            "high_offset": high,
        }
        for number, high in ((0, 0), (1, 5))
    ]
    assert seen["estimated_message_count"] == 5
    assert seen["config"] == {"retention.ms": "123456"}
    assert seen["default_config"]["cleanup.policy"] == "delete"
    assert seen["topic_id"]


def test_the_time_is_up_before_a_topic_is_gone(
    ctx: Context, real_kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asp_utils.clients.kafka_admin import KafkaAdmin

    name = real_kafka.topic()
    monkeypatch.setattr(KafkaAdmin, "delete_topic", lambda *_: None)
    with pytest.raises(TimedOut) as caught:
        topic_delete(ctx, real_kafka.bootstrap, name, timeout_s=0.3)
    assert caught.value.details["topic"]["name"] == name
    assert int(caught.value.exit_code) == 124


def test_a_failure_after_the_first_step_says_what_was_done(
    ctx: Context, real_kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asp_utils.clients.kafka_admin import KafkaAdmin
    from asp_utils.errors import Temporary

    def fail(*_: Any) -> None:
        raise Temporary("no")

    name = real_kafka.topic()
    monkeypatch.setattr(KafkaAdmin, "grow_topic", fail)
    with pytest.raises(AspError) as caught:
        topic_alter(ctx, real_kafka.bootstrap, name, {"retention.ms": 77000}, None, 2)
    assert caught.value.details["done"] == "the settings retention.ms were changed before that"
    assert topic_describe(ctx, real_kafka.bootstrap, name)["config"] == {"retention.ms": "77000"}


def test_wrappers_create_describe_and_delete(
    kafka_project: Project, real_kafka: Broker, topic_name: NewName
) -> None:
    config = {"kafka": real_kafka.bootstrap, "topic": topic_name()}
    made = kafka_project.run("topic_create", {**config, "partitions": 3})
    assert (made.code, made.result["topic"]["partition_count"]) == (0, 3)
    again = kafka_project.run("topic_create", config)
    assert (again.code, again.result["code"]) == (73, "CONFLICT")
    gone = kafka_project.run("topic_delete", config)
    assert (gone.code, gone.result["changed"]) == (0, True)
    missing = kafka_project.run("topic_describe", config)
    assert (missing.code, missing.result["path"]) == (66, "$.topic")
    assert "cli_topic_list.py" in missing.err
