"""Source connectors: what each property becomes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from bson import Timestamp

from tests.connectors.conftest import SOURCE_CLASS, converted, missed, source

Document = dict[str, Any]
TIMESTAMP = '{"$timestamp": {"t": 9, "i": 2}}'


def options(found: Any) -> Document:
    stage: Document = found["pipeline"][0]["$source"]
    return stage


def emit(found: Any) -> Document:
    stage: Document = found["pipeline"][-1]["$emit"]
    return stage


def test_the_smallest_source() -> None:
    found = source()
    assert found["pipeline"] == [
        {"$source": {"connectionName": "mongodb", "db": "shop", "coll": "orders"}},
        {
            "$emit": {
                "connectionName": "kafka",
                "topic": "shop.orders",
                "config": {
                    "key": {"_id": {"$meta": "stream.source.documentKey._id"}},
                    "keyFormat": "json",
                    "outputFormat": "relaxedJson",
                },
            }
        },
    ]
    assert found["connections"][0]["uri"] == "mongodb://127.0.0.1/"
    assert found["unmapped"] == []
    assert found["options"] == {}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"poll_await_time_ms": "700"}, {"maxAwaitTimeMS": 700}),
        ({"change_stream_full_document": "updateLookup"}, {"fullDocument": "updateLookup"}),
        ({"change_stream_full_document": ""}, None),
        (
            {"change_stream_full_document_before_change": "required"},
            {"fullDocumentBeforeChange": "required"},
        ),
        (
            {"publish_full_document_only": True},
            {"fullDocument": "updateLookup", "fullDocumentOnly": True},
        ),
        (
            {"pipeline": '[{"$match": {"ns.coll": {"$in": ["a"]}}}, {"$set": {"extra": 1}}]'},
            {"pipeline": [{"$match": {"ns.coll": {"$in": ["a"]}}}, {"$set": {"extra": 1}}]},
        ),
        (
            {"startup_mode": "timestamp", "startup_mode_timestamp_start_at_operation_time": "90"},
            {"startAtOperationTime": Timestamp(90, 0)},
        ),
        (
            {
                "startup_mode": "timestamp",
                "startup_mode_timestamp_start_at_operation_time": "2024-05-06T07:08:09+02:00",
            },
            {"startAtOperationTime": datetime(2024, 5, 6, 5, 8, 9)},  # noqa: DTZ001
        ),
        (
            {
                "startup_mode": "timestamp",
                "startup_mode_timestamp_start_at_operation_time": TIMESTAMP,
            },
            {"startAtOperationTime": Timestamp(9, 2)},
        ),
    ],
)
def test_the_source_is_configured(properties: Document, expected: Document | None) -> None:
    found = source(**properties)
    assert options(found).get("config") == expected
    assert found["faults"] == []
    assert missed(found) == {}


@pytest.mark.parametrize(
    "properties", [{"startup_mode": "copy_existing"}, {"copy_existing": "true"}]
)
def test_existing_documents_are_synchronised(properties: Document) -> None:
    found = source(**properties, copy_existing_max_threads="3", copy_existing_pipeline="[]")
    assert options(found)["initialSync"] == {"enable": True, "parallelism": 3}
    assert set(missed(found)) == {"copy.existing.pipeline"}
    whole = converted(
        {"connector.class": SOURCE_CLASS, "startup.mode": "copy_existing"},
    )
    assert "initialSync" not in options(whole)
    assert "startup.mode" in missed(whole)


@pytest.mark.parametrize(
    ("properties", "topic"),
    [
        ({"topic_prefix": "p", "topic_suffix": "s"}, "p.shop.orders.s"),
        ({"topic_separator": "-", "topic_prefix": "p"}, "p-shop-orders"),
        ({"topic_namespace_map": '{"shop.orders": "o", "*": "x"}'}, "o"),
        ({"topic_namespace_map": '{"shop": "s"}', "topic_separator": "_"}, "s_orders"),
        ({"topic_namespace_map": '{"/shop\\\\..*": "r{sep_coll}"}'}, "r.orders"),
        ({"topic_namespace_map": '{"*": "x"}', "topic_prefix": "p"}, "p.x"),
        ({"topic_namespace_map": '{"other": "x"}'}, "shop.orders"),
    ],
)
def test_topics_are_named_as_before(properties: Document, topic: str) -> None:
    found = source(**properties)
    assert emit(found)["topic"] == topic
    assert found["topics"][0]["topic"] == topic
    assert found["faults"] == []


def test_formats_of_values() -> None:
    formatter = "com.mongodb.kafka.connect.source.json.formatter."
    simple = source(output_json_formatter=f"{formatter}SimplifiedJson")
    assert emit(simple)["config"]["outputFormat"] == "basicJson"
    assert emit(simple)["config"]["dateFormat"] == "ISO8601"
    extended = source(output_json_formatter=f"{formatter}ExtendedJson")
    assert emit(extended)["config"]["outputFormat"] == "canonicalJson"
    own = source(output_json_formatter="org.example.Mine")
    assert "output.json.formatter" in missed(own)
    assert "output.format.value" in missed(source(output_format_value="bson"))
    assert "output.format.key" in missed(source(output_format_key="schema"))


def test_avro_values_want_a_registry() -> None:
    schema = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}'
    found = source(
        output_format_value="schema",
        output_schema_value=schema,
        value_converter="io.confluent.connect.avro.AvroConverter",
        value_converter_schema_registry_url="https://registry.example.org",
    )
    registry = emit(found)["schemaRegistry"]
    assert registry["valueSchema"]["schema"]["name"] == "R"
    definition = found["connections"][-1]
    assert definition["schemaRegistryUrls"] == ["https://registry.example.org"]
    assert definition["schemaRegistryAuthentication"]["password"] == {
        "$env": "SCHEMA_REGISTRY_PASSWORD"
    }
    assert found["faults"] == []
    without = converted({"connector.class": "MongoDbAtlasSource", "output.data.format": "AVRO"})
    assert without["to_fill_in"][0]["path"].endswith("valueSchema.schema")
    assert without["faults"] == []


def test_the_producers_settings() -> None:
    found = source(
        producer_override_compression_type="zstd",
        producer_override_acks="1",
        producer_override_linger_ms="7",
        producer_override_security_protocol="SASL_SSL",
        producer_override_sasl_mechanism="SCRAM-SHA-512",
        producer_override_sasl_jaas_config='X required username="me" password="pw";',
        producer_override_bootstrap_servers="SASL_SSL://b1:9092,SASL_SSL://b2:9092",
        producer_override_buffer_memory="5",
    )
    assert emit(found)["config"]["compression_type"] == "zstd"
    assert emit(found)["config"]["acks"] == "1"
    kafka = found["connections"][1]
    assert kafka["bootstrapServers"] == "b1:9092,b2:9092"
    assert kafka["config"] == {"linger.ms": "7"}
    assert kafka["security"] == {"protocol": "SASL_SSL"}
    assert kafka["authentication"] == {
        "mechanism": "SCRAM-512",
        "username": "me",
        "password": {"$env": "KAFKA_PASSWORD"},
    }
    assert set(missed(found)) == {"producer.override.buffer.memory"}


def test_confluents_credentials_become_references() -> None:
    found = converted(
        {
            "connector.class": "MongoDbAtlasSource",
            "kafka.auth.mode": "KAFKA_API_KEY",
            "kafka.api.key": "KEY",
            "kafka.api.secret": "SECRET",
            "kafka.endpoint": "SASL_SSL://pkc.example.org:9092",
            "connection.host": "cluster0.ab1cd.mongodb.net",
            "connection.user": "me",
            "connection.password": "pw",
            "database": "shop",
        }
    )
    cluster, kafka = found["connections"]
    assert cluster["clusterName"] == "cluster0"
    assert cluster["uri"] == {"$env": "MONGODB_URI"}
    assert kafka["bootstrapServers"] == "pkc.example.org:9092"
    assert kafka["authentication"]["password"] == {"$env": "KAFKA_API_SECRET"}
    assert {each["env"] for each in found["secrets"]} == {
        "MONGODB_URI", "KAFKA_API_KEY", "KAFKA_API_SECRET",
    }  # fmt: skip


def test_a_reference_of_connect_stays_one() -> None:
    found = converted(
        {"connector.class": SOURCE_CLASS, "connection.uri": "${env:THE_URI}", "database": "d"}
    )
    assert found["connections"][0]["uri"] == {"$env": "THE_URI"}


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"pipeline": "[{"}, "pipeline"),
        ({"pipeline": "{}"}, "pipeline"),
        ({"pipeline": '[{"$match": {"a": {"$date": "never"}}}]'}, "pipeline"),
        ({"topic_namespace_map": "[1]"}, "topic.namespace.map"),
        ({"topic_namespace_map": '{"/(?<x": "y"}'}, "topic.namespace.map"),
        ({"topic_mapper": "org.example.Mapper"}, "topic.mapper"),
        ({"change_stream_full_document": "always"}, "change.stream.full.document"),
        ({"startup_mode": "sometime"}, "startup.mode"),
        ({"poll_await_time_ms": "soon"}, "poll.await.time.ms"),
        ({"tasks_max": "4"}, "tasks.max"),
        ({"transforms": "a", "transforms_a_type": "X"}, "transforms"),
        (
            {"startup_mode": "timestamp", "startup_mode_timestamp_start_at_operation_time": "0"},
            "startup.mode.timestamp.start.at.operation.time",
        ),
    ],
)
def test_what_cannot_be_translated_is_listed(properties: Document, name: str) -> None:
    found = source(**properties)
    assert name in missed(found)
    assert found["faults"] == []


def test_tolerated_errors_go_to_a_collection() -> None:
    found = source(errors_tolerance="all", errors_deadletterqueue_topic_name="my.dlq")
    assert found["options"] == {
        "dlq": {"connectionName": "mongodb", "db": "shop", "coll": "my_dlq"}
    }


def test_topics_keep_partitions_and_replication() -> None:
    found = source(
        topic_creation_default_partitions="6", topic_creation_default_replication_factor=3
    )
    assert found["topics"] == [
        {"topic": "shop.orders", "role": "output", "partitions": 6} | ({"replication_factor": 3})
    ]
