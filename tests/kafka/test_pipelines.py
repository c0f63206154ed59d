"""Whole pipelines that read Kafka: windows over partitions, metadata, dead letters, checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from tests.emit.registry import Registry, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient

    from tests.conftest import Rig
    from tests.kafka_broker import Broker

    MakeRig = Callable[..., Rig]

Document = dict[str, Any]
EARLIEST = {"auto_offset_reset": "earliest"}
MINUTE = {"size": 1, "unit": "minute"}
START_MS = 1_700_000_040_000
"""The beginning of a minute."""


@pytest.fixture
def kafka_rig(rig: MakeRig, kafka_broker: Broker) -> MakeRig:
    """As `rig`, with the broker as connection `k`."""

    def build(pipeline: list[Document], **options: Any) -> Rig:
        connections = {"k": kafka_broker.connection, **options.pop("connections", {})}
        return rig(pipeline, connections=connections, **options)

    return build


def source(topic: str, **options: Any) -> Document:
    return {
        "$source": {"connectionName": "k", "topic": topic, "config": EARLIEST, **options},
    }


def at(second: int, partition: int = 0, **fields: Any) -> Document:
    """A record some seconds after the start."""
    value = b'{"s": %d, "p": %d}' % (second, partition)
    return {
        "value": value, "partition": partition, "timestamp": START_MS + 1000 * second, **fields
    }  # fmt: skip


def stepped(made: Rig, is_done: Callable[[], bool]) -> None:
    """Step until something holds; the suite's timeout bounds it."""
    while not is_done():
        made.processor.step(100)


def inputs(made: Rig) -> int:
    return int(made.stats["inputMessageCount"])


WINDOW: list[Document] = [
    {
        "$tumblingWindow": {
            "interval": MINUTE,
            "allowedLateness": 0,
            "pipeline": [{"$group": {"_id": None, "n": {"$sum": 1}}}],
        }
    }
]


def test_a_partition_without_records_holds_the_windows(
    kafka_rig: MakeRig, real_kafka: Broker
) -> None:
    topic = real_kafka.topic(2)
    real_kafka.send(topic, at(0), at(10), at(70), at(130))
    made = kafka_rig([source(topic), *WINDOW])
    stepped(made, lambda: inputs(made) == 4)
    for _ in range(3):
        made.clock.advance(3_600_000)
        made.processor.step(0)
    assert made.output == []
    assert f"{topic}-1" in made.why
    real_kafka.send(topic, at(61, 1))
    stepped(made, lambda: bool(made.output))
    assert [d["n"] for d in made.output] == [2]


@pytest.mark.proves("$source:kafka.partitionIdleTimeout")
def test_a_silent_partition_no_longer_holds_the_windows_after_its_timeout(
    kafka_rig: MakeRig, real_kafka: Broker
) -> None:
    topic = real_kafka.topic(2)
    real_kafka.send(topic, at(0), at(10), at(70))
    made = kafka_rig([source(topic, partitionIdleTimeout={"size": 5, "unit": "second"}), *WINDOW])
    stepped(made, lambda: inputs(made) == 3)
    assert made.output == []
    made.clock.advance(6_000)
    real_kafka.send(topic, at(71))
    stepped(made, lambda: bool(made.output))
    assert [d["n"] for d in made.output] == [2]
    idle = {p["partition"]: p["isIdle"] for p in made.stats["kafkaPartitions"]}
    assert idle == {0: False, 1: True}


@pytest.mark.proves("$source:kafka.timeField")
def test_event_time_is_the_record_s_own_or_a_field_of_it(
    kafka_rig: MakeRig, kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(
        topic,
        {"value": b'{"t": "2026-01-20T14:30:15Z"}', "partition": 0, "timestamp": START_MS},
        {"value": b'{"t": "nonsense"}', "partition": 0, "timestamp": START_MS},
    )
    show = {"$set": {"at": {"$meta": "stream.source.ts"}}}
    by_record = kafka_rig([source(topic), show], name="record")
    stepped(by_record, lambda: len(by_record.output) == 2)
    assert by_record.output[0]["at"] == datetime(2023, 11, 14, 22, 14)  # noqa: DTZ001 - as decoded
    by_field = kafka_rig([source(topic, timeField={"$toDate": "$t"}), show], name="field")
    stepped(by_field, lambda: len(by_field.shown) == 2)
    assert [d["at"] for d in by_field.output] == [
        datetime(2026, 1, 20, 14, 30, 15)  # noqa: DTZ001 - as decoded
    ]
    assert by_field.dead[0]["doc"] == {"t": "nonsense"}


def test_metadata_in_expressions_and_in_dead_letters(
    kafka_rig: MakeRig, kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    headers: list[tuple[str, Any]] = [("h", b"v")]
    kafka_broker.send(topic, at(0, key=b'{"id": 7}', headers=headers), at(1, key=b"nonsense"))
    kafka_broker.send(topic, {"value": b"[]", "partition": 0, "timestamp": START_MS})
    meta = {"$project": {"_id": 0, "m": {"$meta": "stream.source"}}}
    config = {**EARLIEST, "keyFormat": "json"}
    made = kafka_rig([source(topic, config=config), meta])
    stepped(made, lambda: len(made.shown) == 3)
    (document,) = made.output
    assert document["m"] == {
        "type": "kafka",
        "ts": datetime(2023, 11, 14, 22, 14),  # noqa: DTZ001 - as decoded
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "key": {"id": 7},
        "headers": [{"k": "h", "v": b"v"}],
    }
    by_key, by_value = made.dead
    assert by_key["doc"] == {"s": 1, "p": 0}
    assert by_key["operatorName"] == "KafkaConsumerOperator"
    assert by_key["_stream_meta"]["source"]["key"] == b"nonsense"
    assert by_value["doc"] == "[]"
    assert by_value["_stream_meta"]["source"]["offset"] == 2
    assert "not an object" in by_value["errInfo"]["reason"]


def test_goes_on_where_the_checkpoint_stands(
    kafka_rig: MakeRig, real_kafka: Broker, database: str, cluster: MongoClient[Document]
) -> None:
    topic = real_kafka.topic(2)
    real_kafka.send(topic, at(0), at(1, 1))
    into = {"connectionName": "c", "db": database, "coll": "out"}
    pipeline = [source(topic), {"$merge": {"into": into}}]
    first = kafka_rig(pipeline, checkpointed=True)
    stepped(first, lambda: len(first.output) == 2)
    first.processor.checkpoint()
    first.processor.close()
    real_kafka.send(topic, at(2), at(3, 1))
    second = kafka_rig(pipeline, checkpointed=True)
    stepped(second, lambda: len(second.output) == 2)
    second.processor.checkpoint()
    assert sorted(d["s"] for d in cluster[database]["out"].find()) == [0, 1, 2, 3]
    stats = {p["partition"]: p for p in second.stats["kafkaPartitions"]}
    assert {n: p["checkpointOffset"] for n, p in stats.items()} == {0: 2, 1: 2}
    assert second.stats["kafkaTotalOffsetLag"] == 0


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A schema registry."""
    found = Registry()
    server = Server(found)
    yield found
    server.stop()


@pytest.mark.proves("$source:kafka.schemaRegistry", "$source:kafka.schemaRegistry.connectionName")
def test_avro_records_are_decoded_by_the_registry_s_schemas(
    kafka_rig: MakeRig, kafka_broker: Broker, registry: Registry
) -> None:
    topic = kafka_broker.topic()
    fields = [{"name": "n", "type": "long"}, {"name": "name", "type": "string"}]
    schema = {"type": "record", "name": "R", "fields": fields}
    number = registry.add(f"{topic}-value", schema)
    header = b"\0" + number.to_bytes(4, "big")
    kafka_broker.send(
        topic,
        {"value": header + b"\x02\x04ab", "partition": 0},
        {"value": header + b"\x02", "partition": 0},
        {"value": b'{"n": 1}', "partition": 0},
        {"value": None, "partition": 0},
        {"value": header + b"\x04\x00", "partition": 0},
    )
    made = kafka_rig(
        [source(topic, schemaRegistry={"connectionName": "r"})],
        connections={"r": registry.connection},
    )
    stepped(made, lambda: len(made.shown) == 5)
    assert [(d["n"], d["name"]) for d in made.output] == [(1, "ab"), (2, "")]
    reasons = [d["errInfo"]["reason"] for d in made.dead]
    assert [word in reason for word, reason in zip(
        (f"schema {number}", "zero byte", "tombstone"), reasons, strict=True
    )] == [True] * 3  # fmt: skip


def test_a_record_that_came_from_mongodb_comes_back_as_it_was(
    kafka_rig: MakeRig, kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    payload = (
        b'{"_id": {"$oid": "0123456789abcdef01234567"}, "at": {"$date": "2026-01-20T14:30:15Z"}}'
    )
    kafka_broker.send(topic, {"value": payload, "partition": 0})
    made = kafka_rig([source(topic), {"$set": {"next": {"$add": ["$at", 1000]}}}])
    stepped(made, lambda: bool(made.output))
    assert made.output[0]["_id"] == ObjectId("0123456789abcdef01234567")
    assert made.output[0]["next"] == datetime(2026, 1, 20, 14, 30, 16)  # noqa: DTZ001 - as decoded
