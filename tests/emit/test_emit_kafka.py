"""`$emit` into a Kafka broker: the real one where there is one, else librdkafka's mock cluster."""

from __future__ import annotations

import json
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.kafka import producer as kafka_producer
from asp_utils.engine.sinks.emit_kafka_options import KafkaEmitOptions, kafka_emit_probes
from asp_utils.pipeline.check import check_pipeline
from asp_utils.pipeline.rewrite import METADATA_FIELD, METADATA_VARIABLE, WINDOW_FIELD
from tests.kafka_broker import mock_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Message

    from asp_utils.engine.sinks import Rejected
    from asp_utils.engine.sinks.emit_kafka_sink import KafkaEmitSink
    from tests.emit.registry import Registry
    from tests.kafka_broker import Broker

    Document = dict[str, Any]

FLIGHT = datetime(2025, 1, 10, 20, 17, 38, 387_000)  # noqa: DTZ001
NUMBER = bson.ObjectId("671a8ce1497407eff0e17cba")


def sent(
    sink: KafkaEmitSink, documents: Sequence[Document], variables: Document | None = None
) -> list[Rejected]:
    """Write a batch and wait for its delivery."""
    return sink.write(documents, variables) + sink.flush()


def values(messages: list[Message]) -> list[Any]:
    return [None if m.value() is None else json.loads(m.value() or b"") for m in messages]


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    return message.headers() or []  # type: ignore[return-value]  # what was received is bytes


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait half a second for what does not exist."""
    monkeypatch.setattr(kafka_producer, "_ANSWER_S", 0.5)
    monkeypatch.setitem(kafka_producer._DEFAULTS, "topic.metadata.propagation.max.ms", 500)


@pytest.mark.proves("$emit:kafka", "$emit:kafka.connectionName", "$emit:kafka.topic")
def test_documents_become_records_in_their_order(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"key": "same", "keyFormat": "string"})
    assert sent(sink, [{"_id": i, "name": f"é{i}"} for i in range(50)]) == []
    assert sent(sink, [{"_id": i} for i in range(50, 60)]) == []
    found = values(kafka_broker.received(topic, 60))
    assert [document["_id"] for document in found] == list(range(60))
    assert found[3] == {"_id": 3, "name": "é3"}


@pytest.mark.proves("$emit:kafka.topic")
def test_an_expression_chooses_the_topic(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    vip, other = kafka_broker.topic(), kafka_broker.topic()
    sink = to_kafka({"$cond": [{"$eq": ["$status", "VIP"]}, vip, other]})
    assert sent(sink, [{"n": 1, "status": "VIP"}, {"n": 2}, {"n": 3, "status": "VIP"}]) == []
    assert sorted(d["n"] for d in values(kafka_broker.received(vip, 2))) == [1, 3]
    assert values(kafka_broker.received(other, 1)) == [{"n": 2}]
    targets = sink.stats()["targetStats"]
    assert [(t["topic"], t["outputMessageCount"]) for t in targets] == [(vip, 2), (other, 1)]
    assert targets[1]["outputMessageSize"] == len(b'{"n":2}')


def test_documents_without_a_topic_are_refused(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka("$where")
    wrong: list[Any] = [5, None, "", "two words", "..", "x" * 250]
    documents = [{"where": name} for name in wrong] + [{}, {"where": topic}]
    rejected = sink.write(documents, None)
    assert [item.index for item in rejected] == list(range(7))
    assert {item.reason[:40] for item in rejected} == {"$emit: topic gave no name of a topic but"}
    assert sink.flush() == []
    assert values(kafka_broker.received(topic, 1)) == [{"where": topic}]


def test_an_expression_that_fails_refuses_its_document(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka({"$concat": [topic, {"$toString": {"$divide": [1, "$n"]}}]})
    (rejected,) = sink.write([{"n": 0}], None)
    assert rejected.index == 0
    assert "divide by zero" in rejected.reason


@pytest.mark.proves("$emit:kafka.config", "$emit:kafka.config.key", "$emit:kafka.config.keyFormat")
@pytest.mark.parametrize(
    ("key", "key_format", "raw"),
    [
        ("constant", "string", b"constant"),
        ("$name", "string", "né".encode()),
        ("$data", "binData", b"\x01\x02"),
        ("$n", "int", struct.pack(">i", 7)),
        ("$n", "long", struct.pack(">q", 7)),
        ("$n", "double", struct.pack(">d", 7)),
        ({"$add": ["$n", 1]}, "int", struct.pack(">i", 8)),
        ({"n": "$n", "one": 1}, "json", b'{"n":7,"one":1}'),
        ("$at", "json", b'{"$date":"2025-01-10T20:17:38.387Z"}'),
    ],
)
def test_keys(
    to_kafka: Callable[..., KafkaEmitSink],
    kafka_broker: Broker,
    key: Any,
    key_format: str,
    raw: bytes,
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"key": key, "keyFormat": key_format})
    document = {"n": 7, "name": "né", "data": b"\x01\x02", "at": FLIGHT, "one": "mine"}
    assert sent(sink, [document]) == []
    assert kafka_broker.received(topic, 1)[0].key() == raw


@pytest.mark.proves("$emit:kafka.config.keyFormat")
def test_a_key_of_another_type_refuses_its_document(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"key": "$k", "keyFormat": "int"})
    rejected = sent(sink, [{"k": "x"}, {"k": 1}, {}, {"k": 2**40}])
    assert [(item.index, item.document) for item in rejected] == [
        (0, {"k": "x"}),
        (2, {}),
        (3, {"k": 2**40}),
    ]
    assert "the key cannot be written as int: not a whole number but 'x'" in rejected[0].reason
    assert [m.key() for m in kafka_broker.received(topic, 1)] == [struct.pack(">i", 1)]


@pytest.mark.proves("$emit:kafka.config.headers")
@pytest.mark.parametrize(
    "expression",
    [
        {"s": "$s", "n": {"$literal": None}, "i": 1, "o": {"a": "$s"}},
        [
            {"k": "s", "v": "$s"},
            {"k": "n", "v": None},
            {"k": "i", "v": {"$literal": 1}},
            {"k": "o", "v": {"a": "$s"}},
        ],
        "$all",
    ],
    ids=["object", "array", "field"],
)
def test_headers(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, expression: Any
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"headers": expression})
    every = {"s": "text", "n": None, "i": 1, "o": {"a": "text"}}
    assert sent(sink, [{"s": "text", "all": every}]) == []
    assert headers(kafka_broker.received(topic, 1)[0]) == [
        ("s", b"text"),
        ("n", None),
        ("i", struct.pack(">i", 1)),
        ("o", b'{"a":"text"}'),
    ]


@pytest.mark.proves("$emit:kafka.config.headers")
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (5, "neither an object nor an array"),
        ([{"v": 1}], "neither an object nor an array"),
        ({"a": True}, "header 'a': a header is binData"),
        (None, "neither an object nor an array"),
    ],
)
def test_headers_that_are_none_refuse_their_document(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, given: Any, reason: str
) -> None:
    sink = to_kafka(kafka_broker.topic(), {"headers": "$h"})
    (rejected,) = sent(sink, [{"h": given}])
    assert reason in rejected.reason


@pytest.mark.proves("$emit:kafka.config.outputFormat", "$emit:kafka.config.dateFormat")
@pytest.mark.parametrize(
    ("output_format", "date_format", "text"),
    [
        (None, None, b'{"_id":{"$oid":"671a8ce1497407eff0e17cba"},"n":1,"at":{"$date":"%s"}}'),
        ("relaxedJson", "ISO8601", b'{"_id":{"$oid":"671a8ce1497407eff0e17cba"},"n":1,"at":"%s"}'),
        (
            "canonicalJson",
            "default",
            b'{"_id":{"$oid":"671a8ce1497407eff0e17cba"},"n":{"$numberInt":"1"},'
            b'"at":{"$date":{"$numberLong":"1736540258387"}}}',
        ),
        ("basicJson", None, b'{"_id":"671a8ce1497407eff0e17cba","n":1,"at":1736540258387}'),
        ("basicJson", "ISO8601", b'{"_id":"671a8ce1497407eff0e17cba","n":1,"at":"%s"}'),
    ],
)
def test_output_formats(
    to_kafka: Callable[..., KafkaEmitSink],
    kafka_broker: Broker,
    output_format: str | None,
    date_format: str | None,
    text: bytes,
) -> None:
    topic = kafka_broker.topic()
    config = {"outputFormat": output_format, "dateFormat": date_format}
    sink = to_kafka(topic, {name: value for name, value in config.items() if value})
    assert sent(sink, [{"_id": NUMBER, "n": 1, "at": FLIGHT}]) == []
    expected = text.replace(b"%s", b"2025-01-10T20:17:38.387Z")
    assert kafka_broker.received(topic, 1)[0].value() == expected


@pytest.mark.proves("$emit:kafka.config.tombstoneWhen")
@pytest.mark.parametrize("expression", ["$gone", {"$eq": ["$gone", True]}], ids=["field", "object"])
def test_tombstones(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, expression: Any
) -> None:
    topic = kafka_broker.topic()
    config = {"tombstoneWhen": expression, "key": "$k", "keyFormat": "string"}
    sink = to_kafka(topic, config)
    assert sent(sink, [{"k": "a", "gone": True}, {"k": "b", "gone": False}]) == []
    found = {m.key(): m.value() for m in kafka_broker.received(topic, 2)}
    assert found == {b"a": None, b"b": b'{"k":"b","gone":false}'}


@pytest.mark.proves("$emit:kafka.config.tombstoneWhen")
def test_a_tombstone_expression_must_give_a_boolean(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    sink = to_kafka(kafka_broker.topic(), {"tombstoneWhen": "$gone"})
    rejected = sent(sink, [{"gone": 1}, {}])
    assert [item.index for item in rejected] == [0, 1]
    assert "tombstoneWhen gave neither true nor false but 1" in rejected[0].reason


@pytest.mark.proves("$emit:kafka.config.tombstoneWhen")
def test_a_constant_may_make_everything_a_tombstone(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    assert sent(to_kafka(topic, {"tombstoneWhen": True}), [{"tombstoneWhen": 5}]) == []
    assert values(kafka_broker.received(topic, 1)) == [None]


@pytest.mark.proves("$emit:kafka.config.compression_type")
@pytest.mark.parametrize("kind", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_arrive(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, kind: str
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"compression_type": kind, "key": "k", "keyFormat": "string"})
    documents = [{"n": n, "text": "again and " * 20} for n in range(100)]
    assert sent(sink, documents) == []
    assert values(kafka_broker.received(topic, 100)) == documents


@pytest.mark.proves("$emit:kafka.config.compression_type")
def test_compression_makes_the_log_smaller(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker
) -> None:
    documents = [{"n": n, "text": "again and " * 20} for n in range(500)]
    sizes = {}
    for kind in ("none", "zstd"):
        topic = real_kafka.topic()
        sent(to_kafka(topic, {"compression_type": kind}), documents)
        sizes[kind] = log_bytes(real_kafka, topic)
    assert sizes["zstd"] < sizes["none"] / 5


def log_bytes(broker: Broker, topic: str) -> int:
    """How many bytes a consumer receives to read 500 records of a topic."""
    import confluent_kafka

    sizes: list[int] = []
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "sizes",
            "statistics.interval.ms": 50,
            "stats_cb": lambda text: sizes.append(json.loads(text)["rx_bytes"]),
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    count = 0
    while count < 500:
        count += len(consumer.consume(500, 1))
    before = len(sizes)
    while len(sizes) < before + 2:
        consumer.poll(0.1)
    consumer.close()
    return sizes[-1]


@pytest.mark.proves("$emit:kafka.config.acks")
@pytest.mark.parametrize("acks", ["all", "-1", "0", "1"])
def test_acknowledgements(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, acks: str
) -> None:
    topic = kafka_broker.topic()
    assert sent(to_kafka(topic, {"acks": acks}), [{"n": 1}]) == []
    assert values(kafka_broker.received(topic, 1)) == [{"n": 1}]


@pytest.mark.proves("$emit:kafka.config.acks")
@pytest.mark.parametrize(("acks", "noticed"), [("0", 0), ("1", 1), ("all", 1)])
def test_without_acknowledgement_nobody_hears_of_a_refusal(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker, acks: str, noticed: int
) -> None:
    topic = real_kafka.topic(config={"max.message.bytes": "500"})
    assert len(sent(to_kafka(topic, {"acks": acks}), [{"text": "x" * 1000}])) == noticed


def test_a_document_that_is_too_large_is_refused(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic)
    rejected = sent(sink, [{"n": 1}, {"text": "x" * 2_000_000}, {"n": 2}])
    assert [item.index for item in rejected] == [1]
    assert "MSG_SIZE_TOO_LARGE" in rejected[0].reason
    assert len(kafka_broker.received(topic, 2)) == 2
    assert sink.stats()["targetStats"][0]["outputMessageCount"] == 2


def test_what_the_broker_refuses_is_found_in_its_batch(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker
) -> None:
    topic = real_kafka.topic(config={"max.message.bytes": "2000"})
    sink = to_kafka(topic)
    documents = [{"n": n, "text": "x" * (3000 if n == 17 else 10)} for n in range(200)]
    assert sink.write(documents, None) == []
    (rejected,) = sink.flush()
    assert (rejected.document["n"], rejected.index) == (17, -1)
    assert "MSG_SIZE_TOO_LARGE" in rejected.reason
    found = values(real_kafka.received(topic, 199))
    assert sorted(document["n"] for document in found) == [n for n in range(200) if n != 17]
    assert sink.stats()["targetStats"][0]["outputMessageCount"] == 199


def test_a_compacted_topic_refuses_records_without_key(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker
) -> None:
    topic = real_kafka.topic(config={"cleanup.policy": "compact"})
    rejected = sent(to_kafka(topic), [{"n": 1}, {"n": 2}])
    assert sorted(item.document["n"] for item in rejected) == [1, 2]
    assert "INVALID_RECORD" in rejected[0].reason


def test_a_topic_that_does_not_exist_fails_the_processor(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker, impatient: None
) -> None:
    sink = to_kafka("nowhere")
    with pytest.raises(ProcessorFailed, match="'nowhere' does not exist") as caught:
        sent(sink, [{"n": 1}])
    assert (caught.value.code, caught.value.retryable) == (419, True)


def test_a_computed_topic_that_does_not_exist_refuses_its_documents(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker, impatient: None
) -> None:
    topic = real_kafka.topic()
    rejected = sent(to_kafka("$t"), [{"t": "nowhere"}, {"t": topic}])
    assert [item.document for item in rejected] == [{"t": "nowhere"}]
    assert values(real_kafka.received(topic, 1)) == [{"t": topic}]


def test_a_broker_that_does_not_answer_fails_the_processor(
    to_kafka: Callable[..., KafkaEmitSink], impatient: None
) -> None:
    with pytest.raises(ProcessorFailed, match=r"127\.0\.0\.1:9") as caught:
        to_kafka("t", connection={"bootstrapServers": "127.0.0.1:9"})
    assert (caught.value.code, caught.value.retryable) == (419, True)


def test_a_broker_that_goes_away_fails_the_processor(
    to_kafka: Callable[..., KafkaEmitSink],
) -> None:
    with mock_cluster() as bootstrap:
        short = {"delivery.timeout.ms": "700", "request.timeout.ms": "300"}
        sink = to_kafka("t", connection={"bootstrapServers": bootstrap, "config": short})
        assert sent(sink, [{"n": 1}]) == []
    sink.write([{"n": 2}], None)
    with pytest.raises(
        ProcessorFailed, match=r"topic 't': .*_MSG_TIMED_OUT.*before that"
    ) as caught:
        sink.flush()
    assert (caught.value.code, caught.value.retryable) == (419, True)


def test_settings_that_contradict_each_other_are_told(
    to_kafka: Callable[..., KafkaEmitSink],
) -> None:
    with pytest.raises(ProcessorFailed, match="acks") as caught:
        to_kafka("t", {"acks": "1"}, connection={"config": {"enable.idempotence": "true"}})
    assert (caught.value.code, caught.value.retryable) == (420, False)


def test_settings_of_the_connection_count(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    config = {"message.max.bytes": "1000", "retries": "0", "transactional.id": "t"}
    sink = to_kafka(kafka_broker.topic(), connection={"config": config})
    (rejected,) = sent(sink, [{"text": "x" * 1500}])
    assert "MSG_SIZE_TOO_LARGE" in rejected.reason


def test_more_records_than_the_queue_holds_are_all_sent(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    config = {"queue.buffering.max.messages": "50"}
    sink = to_kafka(topic, connection={"config": config})
    assert sent(sink, [{"n": n} for n in range(1000)]) == []
    assert len(kafka_broker.received(topic, 1000)) == 1000


def test_too_many_topics_fail_the_processor(
    to_kafka: Callable[..., KafkaEmitSink],
    kafka_broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asp_utils.engine.sinks.emit_kafka_sink.MAX_TARGETS", 1)
    sink = to_kafka("$t")
    with pytest.raises(ProcessorFailed, match="more than 1 different topics") as caught:
        sink.write([{"t": kafka_broker.topic()}, {"t": "another"}], None)
    assert (caught.value.code, caught.value.retryable) == (424, False)


def test_hidden_fields_stay_here_and_metadata_can_be_used(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    config = {
        "key": {"$meta": "stream.source.topic"},
        "keyFormat": "string",
        "headers": {"all": "$$ROOT"},
    }
    sink = to_kafka(topic, config)
    hidden = {METADATA_FIELD: {"source": {"topic": "from"}}, WINDOW_FIELD: 5}
    assert sent(sink, [{"n": 1, **hidden}]) == []
    variables = {METADATA_VARIABLE: {"source": {"topic": "window"}}}
    assert sent(sink, [{"n": 2}], variables) == []
    found = sorted(kafka_broker.received(topic, 2), key=lambda message: message.value() or b"")
    assert [m.value() for m in found] == [b'{"n":1}', b'{"n":2}']
    assert [m.key() for m in found] == [b"from", b"window"]
    assert headers(found[0]) == [("all", b'{"n":1}')]


def test_a_late_refusal_still_has_the_metadata_of_its_document(
    to_kafka: Callable[..., KafkaEmitSink], real_kafka: Broker
) -> None:
    sink = to_kafka(real_kafka.topic(config={"max.message.bytes": "500"}))
    document = {"text": "x" * 1000, METADATA_FIELD: {"source": {"type": "kafka"}}}
    assert sink.write([document], None) == []
    del document[METADATA_FIELD]
    (rejected,) = sink.flush()
    assert rejected.document[METADATA_FIELD] == {"source": {"type": "kafka"}}


ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "n", "type": "long"}, {"name": "id", "type": ["null", "string"]}],
}


@pytest.mark.proves(
    "$emit:kafka.schemaRegistry",
    "$emit:kafka.schemaRegistry.connectionName",
    "$emit:kafka.schemaRegistry.valueSchema",
    "$emit:kafka.schemaRegistry.valueSchema.type",
    "$emit:kafka.schemaRegistry.valueSchema.schema",
)
def test_avro_records(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, registry: Registry
) -> None:
    topic = kafka_broker.topic()
    schemas = {"connectionName": "r", "valueSchema": {"type": "avro", "schema": ORDER}}
    sink = to_kafka(topic, registry=registry.connection, schemaRegistry=schemas)
    rejected = sent(sink, [{"n": 3, "id": NUMBER}, {"n": "three"}])
    assert [(item.index, item.reason) for item in rejected] == [
        (1, "$emit: .n: 'three' (str) is no long")
    ]
    raw = b"\0\0\0\0\x01" + b"\x06\x02" + bytes([48]) + str(NUMBER).encode()
    assert kafka_broker.received(topic, 1)[0].value() == raw
    assert list(registry.subjects) == [f"{topic}-value"]


@pytest.mark.proves(
    "$emit:kafka.schemaRegistry.valueSchema.options",
    "$emit:kafka.schemaRegistry.valueSchema.options.subjectNameStrategy",
    "$emit:kafka.schemaRegistry.valueSchema.options.autoRegisterSchemas",
)
def test_avro_options(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, registry: Registry
) -> None:
    def emit(**options: Any) -> list[Rejected]:
        value = {"type": "avro", "schema": ORDER, "options": options}
        schemas = {"connectionName": "r", "valueSchema": value}
        sink = to_kafka(topic, registry=registry.connection, schemaRegistry=schemas)
        return sent(sink, [{"n": 3}])

    topic = kafka_broker.topic()
    (rejected,) = emit(autoRegisterSchemas=False)
    assert f"does not take the schema as '{topic}-value'" in rejected.reason
    assert emit(subjectNameStrategy="RecordNameStrategy") == []
    assert emit(subjectNameStrategy="TopicRecordNameStrategy") == []
    assert list(registry.subjects) == ["Order", f"{topic}-Order"]


@pytest.mark.proves("$emit:kafka.schemaRegistry.valueSchema")
def test_documents_may_bring_their_schema(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, registry: Registry
) -> None:
    topic = kafka_broker.topic()
    schemas = {"connectionName": "r", "valueSchema": "$schema"}
    sink = to_kafka(topic, registry=registry.connection, schemaRegistry=schemas)
    documents: list[Document] = [
        {"n": 1, "schema": {"type": "avro", "schema": ORDER}},
        {"n": 2, "schema": {"type": "avro", "schema": {"type": "record"}}},
        {"n": 3},
        {"n": 4, "schema": {"type": "avro", "schema": ORDER}},
    ]
    rejected = sent(sink, documents)
    assert [item.index for item in rejected] == [1, 2]
    assert "valueSchema.schema: no Avro schema" in rejected[0].reason
    assert len(kafka_broker.received(topic, 2)) == 2
    assert len(registry.requests) == 1


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9)), max_size=30))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everything_arrives_once(
    to_kafka: Callable[..., KafkaEmitSink], kafka_broker: Broker, documents: list[Document]
) -> None:
    topic = kafka_broker.topic()
    sink = to_kafka(topic, {"key": "k", "keyFormat": "string"})
    assert sent(sink, documents) == []
    sink.close()
    last = {"last": 1}
    assert sent(to_kafka(topic, {"key": "k", "keyFormat": "string"}), [last]) == []
    assert values(kafka_broker.received(topic, len(documents) + 1)) == [*documents, last]


KAFKA = {"k": {"type": "kafka"}, "r": {"type": "schemaregistry"}}


def faults(**options: Any) -> list[tuple[str, str]]:
    stage = {"$emit": {"connectionName": "k", **options}}
    pipeline = [{"$source": {"documents": []}}, stage]
    found = check_pipeline(pipeline, catalogue(), KAFKA)
    return [(f.path.removeprefix("[1].$emit"), f"{f.message} {f.hint}") for f in found]


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({}, ".topic", "is missing"),
        ({"topic": "two words"}, ".topic", "a topic is named by"),
        ({"topic": "t", "config": {"key": "$a"}}, ".config.keyFormat", "must be given with key"),
        ({"topic": "t", "config": {"keyFormat": "text"}}, ".config.keyFormat", "binData"),
        ({"topic": "t", "config": {"acks": "2"}}, ".config.acks", "all"),
        ({"topic": "t", "config": {"acks": 1}}, ".config.acks", 'as a string: "1"'),
        ({"topic": "t", "config": {"compression_type": "brotli"}}, ".config.compression_type", ""),
        ({"topic": "t", "config": {"compressionType": "gzip"}}, ".config.compressionType", ""),
        ({"topic": "t", "config": {"outputFormat": "xml"}}, ".config.outputFormat", "basicJson"),
        ({"topic": "t", "config": {"dateFormat": "iso8601"}}, ".config.dateFormat", "ISO8601"),
        ({"topic": "t", "config": {"tombstoneWhen": "x"}}, ".config.tombstoneWhen", "expression"),
        ({"topic": "t", "config": {"headers": "x"}}, ".config.headers", "expression"),
        (
            {"topic": "t", "config": {"key": {"field": "a", "format": "int"}}},
            ".config.key",
            "keyFormat",
        ),
        (
            {"topic": "t", "schemaRegistry": {"connectionName": "x", "valueSchema": "$s"}},
            ".schemaRegistry.connectionName",
            "there is no connection 'x'",
        ),
        (
            {"topic": "t", "schemaRegistry": {"connectionName": "k", "valueSchema": "$s"}},
            ".schemaRegistry.connectionName",
            "schemaregistry",
        ),
    ],
)
def test_faults_are_found_before_the_start(options: Any, path: str, words: str) -> None:
    found = faults(**options)
    assert [where for where, _ in found if where == path], found
    assert words in " ".join(text for where, text in found if where == path)


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"type": "AVRO", "schema": ORDER}, ".type", 'write "avro"'),
        ({"type": "avro"}, ".schema", "is missing"),
        ({"type": "avro", "schema": {"type": "record"}}, ".schema", "no Avro schema"),
        (
            {
                "type": "avro",
                "schema": ORDER,
                "options": {
                    "autoRegisterSchemas": False,
                    "subjectNameStrategy": "RecordNameStrategy",
                },
            },
            ".options.subjectNameStrategy",
            "needs autoRegisterSchemas",
        ),
    ],
)
def test_faults_of_value_schemas(schema: Any, path: str, words: str) -> None:
    found = faults(topic="t", schemaRegistry={"connectionName": "r", "valueSchema": schema})
    where = f".schemaRegistry.valueSchema{path}"
    assert words in " ".join(text for at, text in found if at == where), found


def test_expressions_are_put_before_mongod() -> None:
    options = {
        "connectionName": "k",
        "topic": "$t",
        "schemaRegistry": {"connectionName": "r", "valueSchema": "$s"},
        "config": {"key": "c", "headers": {"a": 1}, "tombstoneWhen": True},
    }
    assert [probe.path for probe in kafka_emit_probes(options)] == [
        ".topic",
        ".config.headers",
        ".config.tombstoneWhen",
        ".schemaRegistry.valueSchema",
    ]
    declared = {"connectionName": "k", "topic": "t"}
    value = {"type": "avro", "schema": ORDER}
    with_schema = {**declared, "schemaRegistry": {"connectionName": "r", "valueSchema": value}}
    assert list(kafka_emit_probes(declared)) == list(kafka_emit_probes(with_schema)) == []
    with pytest.raises(ValidationError):
        KafkaEmitOptions.model_validate({"connectionName": "k"})
