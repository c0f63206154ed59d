"""What a Kafka source hands on: documents, times, partitions, metadata, and what is no document."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64, ObjectId

from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from tests.kafka.conftest import OpenSource
    from tests.kafka_broker import Broker


@pytest.mark.proves("$source:kafka", "$source:kafka.connectionName", "$source:kafka.topic")
def test_documents_with_their_times_and_partitions(
    kafka_broker: Broker, open_source: OpenSource
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(
        topic,
        {"value": b'{"n": 1, "f": 1.0}', "partition": 0, "timestamp": 1000},
        {"value": b'{"_id": {"$oid": "0123456789abcdef01234567"}}', "partition": 0, "timestamp": 7},
    )
    (batch,) = open_source(topic).batches(2)
    assert batch.documents == [
        {"n": 1, "f": 1.0},
        {"_id": ObjectId("0123456789abcdef01234567")},
    ]
    assert list(batch.times_ms) == [1000, 7]
    assert batch.partitions == [f"{topic}-0"] * 2
    assert batch.position[topic]["0"] == 2


@pytest.mark.proves("$source:kafka.topic")
def test_several_topics_with_all_their_partitions(
    real_kafka: Broker, open_source: OpenSource
) -> None:
    one, two = real_kafka.topic(2), real_kafka.topic(1)
    real_kafka.send(one, *({"value": b'{"p": %d}' % p, "partition": p} for p in (0, 1)))
    real_kafka.send(two, {"value": b'{"p": 2}', "partition": 0})
    reading = open_source([one, two, one])
    assert reading.source.partitions == [
        f"{t}-{p}" for t, p in sorted([(one, 0), (one, 1), (two, 0)])
    ]
    batches = reading.batches(3)
    assert sorted(d["p"] for b in batches for d in b.documents) == [0, 1, 2]
    assert reading.source.position == {one: {"0": 1, "1": 1}, two: {"0": 1}}
    named = {
        d["p"]: p for b in batches for d, p in zip(b.documents, b.partitions or (), strict=True)
    }
    assert named == {0: f"{one}-0", 1: f"{one}-1", 2: f"{two}-0"}


def test_metadata_tell_where_a_record_was(kafka_broker: Broker, open_source: OpenSource) -> None:
    topic = kafka_broker.topic()
    headers: list[tuple[str, Any]] = [("a", b"1"), ("a", b"\xff"), ("none", None)]
    kafka_broker.send(
        topic,
        {"value": b"{}", "key": b"\x01k", "headers": headers, "partition": 0},
        {"value": b"{}", "partition": 0},
    )
    (batch,) = open_source(topic).batches(2)
    assert batch.metadata(0) == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "key": b"\x01k",
        "headers": [{"k": "a", "v": b"1"}, {"k": "a", "v": b"\xff"}, {"k": "none", "v": None}],
    }
    assert batch.metadata(1) == {"topic": topic, "partition": 0, "offset": 1, "headers": []}
    assert isinstance(batch.metadata(0)["offset"], Int64)


@pytest.mark.proves("$source:kafka.config", "$source:kafka.config.keyFormat")
@pytest.mark.parametrize(
    ("key_format", "raw", "value"),
    [
        ("binData", b"\x00\xff", b"\x00\xff"),
        ("string", "käse".encode(), "käse"),
        ("json", b'{"id": {"$numberLong": "5"}}', {"id": Int64(5)}),
        ("json", b"null", None),
        ("int", struct.pack(">i", -2), -2),
        ("long", struct.pack(">q", 2**40), Int64(2**40)),
    ],
)
def test_keys_in_every_format(
    kafka_broker: Broker, open_source: OpenSource, key_format: str, raw: bytes, value: Any
) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, {"value": b"{}", "key": raw, "partition": 0}, {"value": b"{}"})
    config = {"auto_offset_reset": "earliest", "keyFormat": key_format}
    metadata = [
        batch.metadata(index)
        for batch in open_source(topic, config=config).batches(2)
        for index in range(len(batch.documents))
    ]
    (key,) = [each["key"] for each in metadata if "key" in each]
    assert key == value
    assert type(key) is type(value)


@pytest.mark.proves("$source:kafka.config.keyFormatError")
def test_a_key_of_another_format_goes_to_the_dead_letters_or_stays_as_it_is(
    kafka_broker: Broker, open_source: OpenSource
) -> None:
    topic = kafka_broker.topic()
    records = [(b"\x00\x00\x00\x01", b'{"n": 1}'), (b"xyz", b'{"n": 2}'), (b"xyz", b"nonsense")]
    records.append((b"\x00\x00\x00\x02", b'{"n": 3}'))
    kafka_broker.send(topic, *({"value": v, "key": k, "partition": 0} for k, v in records))
    config = {"auto_offset_reset": "earliest", "keyFormat": "int"}
    (batch,) = open_source(topic, config=config).batches(4)
    assert [d["n"] for d in batch.documents] == [1, 3]
    assert [batch.metadata(i)["key"] for i in (0, 1)] == [1, 2]
    by_key, by_value = batch.unreadable
    assert by_key.document == {"n": 2}
    assert by_key.reason == "the key is no int: a int has 4 bytes, not 3"
    assert by_key.metadata["key"] == b"xyz"
    assert by_value.document == "nonsense"

    passing = config | {"keyFormatError": "passThrough"}
    (batch,) = open_source(topic, config=passing).batches(4)
    assert [d["n"] for d in batch.documents] == [1, 2, 3]
    assert [batch.metadata(i)["key"] for i in range(3)] == [1, b"xyz", 2]


def test_what_is_no_document_is_kept_apart_with_its_metadata(
    kafka_broker: Broker, open_source: OpenSource
) -> None:
    topic = kafka_broker.topic()
    payloads = [b'{"n": 1}', b'{"n":', b"[1]", None, b"\xff", b'{"n": 2}']
    kafka_broker.send(
        topic, *({"value": p, "partition": 0, "timestamp": i} for i, p in enumerate(payloads, 1))
    )
    (batch,) = open_source(topic).batches(6)
    assert batch.documents == [{"n": 1}, {"n": 2}]
    assert list(batch.times_ms) == [1, 6]
    assert batch.partitions == [f"{topic}-0"] * 2
    assert [batch.metadata(i)["offset"] for i in (0, 1)] == [0, 5]
    assert [u.document for u in batch.unreadable] == ['{"n":', "[1]", None, b"\xff"]
    assert [u.metadata["offset"] for u in batch.unreadable] == [1, 2, 3, 4]
    for unreadable, word in zip(
        batch.unreadable, ["not JSON", "an array", "tombstone", "not JSON"], strict=True
    ):
        assert word in unreadable.reason


def test_a_record_larger_than_a_document_fails_the_processor(
    real_kafka: Broker, open_source: OpenSource
) -> None:
    topic = real_kafka.topic(config={"max.message.bytes": "30000000"})
    large = b'{"a": "%s"}' % (b"x" * 3_000_000)
    real_kafka.send(topic, {"value": large, "partition": 0})
    reading = open_source(topic)
    assert len(reading.documents(1)[0]["a"]) == 3_000_000
    too_large = b'{"a": [%s]}' % (b",".join([b"1"] * 2_000_000))
    real_kafka.send(topic, {"value": too_large, "partition": 0})
    with pytest.raises(ProcessorFailed) as caught:
        reading.documents(1)
    assert (caught.value.code, caught.value.retryable) == (423, False)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records(real_kafka: Broker, open_source: OpenSource, compression: str) -> None:
    topic = real_kafka.topic(config={"compression.type": compression})
    real_kafka.send(topic, *({"value": b'{"n": %d}' % n, "partition": 0} for n in range(50)))
    assert [d["n"] for d in open_source(topic).documents(50)] == list(range(50))


@pytest.mark.proves("$source:kafka.partitionIdleTimeout")
def test_partitions_that_are_silent_are_known(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic(2)
    timeout = {"size": 10, "unit": "second"}
    reading = open_source(topic, partitionIdleTimeout=timeout)
    assert reading.source.partition_idle_timeout_ms == 10_000
    reading.clock.advance(9_999)
    real_kafka.send(topic, {"value": b"{}", "partition": 1})
    reading.documents(1)
    reading.clock.advance(1)
    idle = {p["partition"]: p["isIdle"] for p in reading.source.stats()["kafkaPartitions"]}
    assert idle == {0: True, 1: False}


@pytest.mark.proves("$source:kafka.tsFieldName", "$source:kafka.partitionCount")
def test_fields_of_the_past_are_taken(kafka_broker: Broker, open_source: OpenSource) -> None:
    topic = kafka_broker.topic()
    kafka_broker.send(topic, {"value": b'{"n": 1}', "partition": 0})
    assert open_source(topic, tsFieldName="_when", partitionCount=7).documents(1) == [{"n": 1}]
