"""A Kafka source that cannot begin or go on says why, with the code that Atlas has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.mongod import free_port
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.kafka.consumer import METADATA_INTERVAL_MS, SILENCE_LIMIT_MS
from asp_utils.engine.sources.kafka_options import KafkaOptions, kafka_warnings
from asp_utils.pipeline.grammar import option_faults
from tests.kafka.apache import ApacheKafka, is_available
from tests.kafka_broker import WITHOUT_REAL, Broker

if TYPE_CHECKING:
    from tests.kafka.conftest import OpenSource


def test_a_topic_that_is_not_there(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic()
    with pytest.raises(ProcessorFailed) as caught:
        open_source([topic, "nosuch"])
    assert caught.value.message.startswith("no partitions found for topic 'nosuch'")
    assert (caught.value.code, caught.value.retryable) == (419, True)


def test_a_topic_that_goes_away(real_kafka: Broker, open_source: OpenSource) -> None:
    topic = real_kafka.topic()
    reading = open_source(topic)
    real_kafka.admin().delete_topics([topic])[topic].result(20)
    real_kafka.topics.remove(topic)
    with pytest.raises(ProcessorFailed) as caught:
        while True:
            reading.clock.advance(METADATA_INTERVAL_MS)
            reading.source.read(10, 100)
    assert caught.value.code == 419


def test_no_broker_at_the_address(open_source: OpenSource, monkeypatch: Any) -> None:
    monkeypatch.setattr("asp_utils.engine.kafka.consumer._OPENING_ATTEMPTS", 1)
    with pytest.raises(ProcessorFailed) as caught:
        open_source(
            "t", connection={"type": "kafka", "bootstrapServers": f"127.0.0.1:{free_port()}"}
        )
    assert (caught.value.code, caught.value.retryable) == (419, True)
    assert "Connection refused" in caught.value.message


def test_settings_that_the_client_refuses(open_source: OpenSource) -> None:
    connection = {"bootstrapServers": "127.0.0.1:1", "authentication": {"mechanism": "NONSENSE"}}
    with pytest.raises(ProcessorFailed) as caught:
        open_source("t", connection=connection)
    assert (caught.value.code, caught.value.retryable) == (420, False)
    assert "NONSENSE" in caught.value.message


@pytest.mark.slow
def test_a_broker_that_comes_back_is_read_on_and_one_that_stays_away_fails_the_processor(
    open_source: OpenSource, tmp_path: Any
) -> None:
    if not is_available():
        pytest.skip(WITHOUT_REAL)
    server = ApacheKafka.start(tmp_path)
    try:
        broker = Broker(server.bootstrap, is_real=True)
        topic = broker.topic()
        broker.send(topic, {"value": b'{"n": 0}', "partition": 0})
        reading = open_source(topic, connection=broker.connection)
        assert reading.documents(1) == [{"n": 0}]
        server.stop()
        reading.clock.advance(METADATA_INTERVAL_MS)
        reading.silence()
        server = ApacheKafka.resume(tmp_path, server.port)
        broker.send(topic, {"value": b'{"n": 1}', "partition": 0})
        assert reading.documents(1) == [{"n": 1}]
    finally:
        server.stop()
    reading.clock.advance(SILENCE_LIMIT_MS + METADATA_INTERVAL_MS)
    with pytest.raises(ProcessorFailed) as caught:
        reading.source.read(10, 0)
    assert (caught.value.code, caught.value.retryable) == (419, True)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"topic": ""}, ".topic"),
        ({"topic": []}, ".topic"),
        ({"topic": "t", "config": {"auto_offset_reset": "newest"}}, ".config.auto_offset_reset"),
        ({"topic": "t", "config": {"keyFormat": "double"}}, ".config.keyFormat"),
        ({"topic": "t", "config": {"keyFormatError": "ignore"}}, ".config.keyFormatError"),
        ({"topic": "t", "config": {"autoOffsetReset": "earliest"}}, ".config.autoOffsetReset"),
        ({"topic": "t", "config": {"enable_auto_commit": "yes"}}, ".config.enable_auto_commit"),
        ({"topic": "t", "partitionIdleTimeout": 5}, ".partitionIdleTimeout"),
        ({"topic": "t", "schemaRegistry": {}}, ".schemaRegistry.connectionName"),
        ({"topic": "t", "timeField": "$ts"}, ".timeField"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], path: str) -> None:
    faults = option_faults(KafkaOptions, {"connectionName": "k", **options}, "$source")
    assert {fault.path for fault in faults} == {"$source" + path}


def test_fields_without_effect_are_warned_of() -> None:
    found = kafka_warnings({"topic": "t", "tsFieldName": "x", "partitionCount": 3})
    assert [fault.path for fault in found] == [".tsFieldName", ".partitionCount"]
