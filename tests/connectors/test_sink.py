"""Sink connectors: what each property becomes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.conftest import OURS, SINK_CLASS, converted, missed, sink

Document = dict[str, Any]
IDS = f"{OURS}.processor.id.strategy"
MODELS = f"{OURS}.writemodel.strategy"
POST = f"{OURS}.processor"
KEY = "stream.source.key"


def stages(found: Any) -> list[Document]:
    inner: list[Document] = found["pipeline"][1:-1]
    return inner


def merge(found: Any) -> Document:
    stage: Document = found["pipeline"][-1]["$merge"]
    return stage


def test_the_smallest_sink() -> None:
    found = sink()
    assert found["pipeline"] == [
        {
            "$source": {
                "connectionName": "kafka",
                "topic": "orders",
                "config": {"auto_offset_reset": "earliest"},
            }
        },
        {
            "$merge": {
                "into": {"connectionName": "mongodb", "db": "shop", "coll": "orders"},
                "whenMatched": "replace",
                "whenNotMatched": "insert",
            }
        },
    ]
    assert found["topics"] == [{"topic": "orders", "role": "input"}]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, []),
        ({"document_id_strategy_overwrite_existing": "true"}, [{"$unset": "_id"}]),
        (
            {"document_id_strategy": f"{IDS}.FullKeyStrategy"},
            [{"$set": {"_id": {"$ifNull": ["$_id", {"$meta": KEY}]}}}],
        ),
        (
            {"document_id_strategy": f"{IDS}.ProvidedInKeyStrategy"},
            [{"$set": {"_id": {"$meta": f"{KEY}._id"}}}],
        ),
        ({"document_id_strategy": f"{IDS}.ProvidedInValueStrategy"}, []),
        (
            {
                "document_id_strategy": f"{IDS}.PartialKeyStrategy",
                "document_id_strategy_partial_key_projection_list": "a",
                "document_id_strategy_partial_key_projection_type": "AllowList",
                "document_id_strategy_overwrite_existing": "true",
            },
            [{"$set": {"_id": {"$mergeObjects": [{"a": {"$meta": f"{KEY}.a"}}]}}}],
        ),
        (
            {
                "document_id_strategy": f"{IDS}.PartialValueStrategy",
                "value_projection_list": "a",
                "value_projection_type": "blacklist",
                "document_id_strategy_overwrite_existing": "true",
            },
            [{"$set": {"_id": {"$unsetField": {"field": "a", "input": "$$ROOT"}}}}],
        ),
        (
            {
                "document_id_strategy": f"{IDS}.UuidStrategy",
                "document_id_strategy_overwrite_existing": "true",
            },
            [{"$set": {"_id": {"$createUUID": {}}}}],
        ),
    ],
)
def test_ids(properties: Document, expected: list[Document]) -> None:
    found = sink(**properties)
    assert stages(found) == expected
    assert missed(found) == {}
    assert found["faults"] == []


@pytest.mark.parametrize(
    ("strategy", "matched", "not_matched"),
    [
        ("ReplaceOneDefaultStrategy", "replace", "insert"),
        ("InsertOneDefaultStrategy", "keepExisting", "insert"),
        ("UpdateOneDefaultStrategy", "merge", "insert"),
        ("DeleteOneDefaultStrategy", "delete", "discard"),
    ],
)
def test_write_models(strategy: str, matched: str, not_matched: str) -> None:
    found = sink(writemodel_strategy=f"{MODELS}.{strategy}")
    assert (merge(found)["whenMatched"], merge(found)["whenNotMatched"]) == (matched, not_matched)


def test_business_keys_want_an_index_in_every_collection() -> None:
    found = converted(
        {
            "connector.class": SINK_CLASS,
            "topics": "a,b",
            "database": "d",
            "document.id.strategy": f"{IDS}.PartialValueStrategy",
            "document.id.strategy.partial.value.projection.list": "flight,airport",
            "document.id.strategy.partial.value.projection.type": "AllowList",
            "writemodel.strategy": f"{MODELS}.DeleteOneBusinessKeyStrategy",
        }
    )
    assert merge(found)["on"] == ["flight", "airport"]
    assert merge(found)["whenMatched"] == "delete"
    assert found["indexes"] == [
        {"database": "d", "collection": c, "keys": {"flight": 1, "airport": 1}, "unique": True}
        for c in ("a", "b")
    ]
    without = sink(writemodel_strategy=f"{MODELS}.ReplaceOneBusinessKeyStrategy")
    assert "writemodel.strategy" in missed(without)


def test_post_processors_stand_in_their_order() -> None:
    found = sink(
        post_processor_chain=f"{POST}.BlockListValueProjector,{POST}.RenameByMapping,"
        f"{POST}.NullFieldValueRemover,{POST}.DocumentIdAdder",
        value_projection_list="secret,nested.part",
        value_projection_type="blocklist",
        field_renamer_mapping='[{"oldName": "value.a.b", "newName": "c"}]',
        document_id_strategy=f"{IDS}.ProvidedInKeyStrategy",
    )
    assert [next(iter(stage)) for stage in stages(found)] == [
        "$unset", "$set", "$unset", "$replaceRoot", "$set",
    ]  # fmt: skip
    assert stages(found)[0] == {"$unset": ["secret", "nested.part"]}
    assert stages(found)[1] == {"$set": {"a.c": "$a.b"}}
    assert found["faults"] == []


def test_an_allow_list_names_parents_too() -> None:
    found = sink(
        post_processor_chain=f"{POST}.AllowListValueProjector",
        value_projection_list="a,a.b,c",
        value_projection_type="allowlist",
    )
    assert stages(found) == [{"$project": {"a.b": 1, "c": 1}}]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {
                "type": "InsertField$Value",
                "topic.field": "t",
                "static.field": "s",
                "static.value": "1",
            },
            [{"$set": {"t": {"$meta": "stream.source.topic"}, "s": {"$literal": "1"}}}],
        ),
        (
            {"type": "ReplaceField$Value", "exclude": "a", "renames": "b:c"},
            [{"$unset": ["a"]}, {"$set": {"c": "$b"}}, {"$unset": ["b"]}],
        ),
        ({"type": "ReplaceField$Value", "include": "a,b"}, [{"$project": {"a": 1, "b": 1}}]),
        (
            {"type": "ExtractField$Value", "field": "after"},
            [{"$replaceRoot": {"newRoot": "$after"}}],
        ),
        (
            {"type": "HoistField$Value", "field": "v"},
            [{"$replaceRoot": {"newRoot": {"v": "$$ROOT"}}}],
        ),
        (
            {"type": "MaskField$Value", "fields": "ssn", "replacement": "x"},
            [{"$set": {"ssn": {"$literal": "x"}}}],
        ),
        (
            {"type": "Cast$Value", "spec": "a:int64,b:string"},
            [{"$set": {"a": {"$toLong": "$a"}, "b": {"$toString": "$b"}}}],
        ),
    ],
)
def test_transforms(settings: dict[str, str], expected: list[Document]) -> None:
    given = {f"transforms.one.{name}": value for name, value in settings.items()}
    given["transforms.one.type"] = f"org.apache.kafka.connect.transforms.{settings['type']}"
    found = converted(
        {
            "connector.class": SINK_CLASS,
            "topics": "t",
            "database": "d",
            "transforms": "one",
            **given,
        }
    )
    assert stages(found) == expected
    assert missed(found) == {}
    assert found["faults"] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "org.apache.kafka.connect.transforms.Flatten$Value", "delimiter": "_"},
        {"type": "org.apache.kafka.connect.transforms.Cast$Value", "spec": "int8"},
        {
            "type": "org.apache.kafka.connect.transforms.ExtractField$Value",
            "field": "a",
            "predicate": "p",
        },
        {"type": "org.example.Mine"},
    ],
)
def test_other_transforms_are_listed_whole(settings: dict[str, str]) -> None:
    given = {f"transforms.one.{name}": value for name, value in settings.items()}
    found = converted({"connector.class": SINK_CLASS, "topics": "t", "transforms": "one", **given})
    assert set(given) <= set(missed(found))
    assert stages(found) == []


def test_namespaces_by_topic_by_override_and_by_field() -> None:
    base = {"connector.class": SINK_CLASS, "topics": "a,b", "database": "d"}
    by_topic = converted(base)
    assert merge(by_topic)["into"]["coll"] == {"$meta": "stream.source.topic"}
    overridden = converted(
        {**base, "topic.override.a.collection": "x", "topic.override.a.foo": "y"}
    )
    switch = merge(overridden)["into"]["coll"]["$switch"]
    assert switch["branches"][0]["then"] == "x"
    assert set(missed(overridden)) == {"topic.override.a.foo"}
    mapper = f"{OURS}.namespace.mapping.FieldPathNamespaceMapper"
    by_field = converted(
        {
            **base,
            "namespace.mapper": mapper,
            "namespace.mapper.value.database.field": "tenant.db",
            "namespace.mapper.key.collection.field": "kind",
            "namespace.mapper.error.if.invalid": "true",
        }
    )
    assert merge(by_field)["into"]["db"] == "$tenant.db"
    assert merge(by_field)["into"]["coll"] == {"$meta": f"{KEY}.kind"}
    assert by_field["pipeline"][0]["$source"]["config"]["keyFormat"] == "json"
    for found in (by_topic, overridden, by_field):
        assert found["faults"] == []


def test_time_series_become_an_emit() -> None:
    found = sink(
        timeseries_timefield="ts",
        timeseries_metafield="device",
        timeseries_granularity="minutes",
        timeseries_expire_after_seconds="60",
        timeseries_timefield_auto_convert="true",
        timeseries_timefield_auto_convert_date_format="yyyy-MM-dd'T'HH:mm:ss'Z'",
        collection="readings",
        tasks_max="3",
    )
    assert found["pipeline"][-1]["$emit"] == {
        "connectionName": "mongodb",
        "db": "shop",
        "coll": "readings",
        "timeseries": {"timeField": "ts", "metaField": "device", "granularity": "minutes"},
    }
    assert "$switch" in stages(found)[-1]["$set"]["ts"]
    assert found["collections"][0]["expire_after_seconds"] == 60
    assert set(missed(found)) == {"tasks.max"}
    assert found["faults"] == []


def test_a_rate_limit_becomes_a_throttle() -> None:
    limited = {"rate_limiting_every_n": "2", "rate_limiting_timeout": "500"}
    found = sink(**limited, max_batch_size="100")
    assert stages(found) == [{"$throttle": {"messagesPerSec": 400}}]
    assert found["faults"] == []
    assert set(missed(sink(**limited))) == {"rate.limiting.every.n", "rate.limiting.timeout"}


def test_converters() -> None:
    wrapped = sink(value_converter="org.apache.kafka.connect.json.JsonConverter")
    assert stages(wrapped) == [{"$replaceRoot": {"newRoot": "$payload"}}]
    plain = sink(
        value_converter="org.apache.kafka.connect.json.JsonConverter",
        value_converter_schemas_enable="false",
    )
    assert stages(plain) == []
    avro = sink(
        value_converter="io.confluent.connect.avro.AvroConverter",
        value_converter_schema_registry_url="http://u:p@registry",
    )
    assert avro["pipeline"][0]["$source"]["schemaRegistry"] == {"connectionName": "schema_registry"}
    assert avro["connections"][-1]["schemaRegistryUrls"] == [{"$env": "SCHEMA_REGISTRY_URL"}]
    assert avro["faults"] == []
    for name in ("protobuf.ProtobufConverter", "json.JsonSchemaConverter"):
        assert "value.converter" in missed(sink(value_converter=f"io.confluent.connect.{name}"))
    keys = sink(
        key_converter="io.confluent.connect.avro.AvroConverter",
        document_id_strategy=f"{IDS}.FullKeyStrategy",
    )
    assert "key.converter" in missed(keys)


def test_the_consumers_settings() -> None:
    found = sink(
        consumer_override_auto_offset_reset="latest",
        consumer_override_group_id="mine",
        consumer_override_fetch_min_bytes="10",
        consumer_override_max_poll_records="10",
    )
    source = found["pipeline"][0]["$source"]
    assert source["config"] == {"auto_offset_reset": "latest", "group_id": "mine"}
    assert found["connections"][0]["config"] == {"fetch.min.bytes": "10"}
    assert set(missed(found)) == {"consumer.override.max.poll.records"}


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"delete_on_null_values": "true"}, "delete.on.null.values"),
        ({"document_id_strategy": "org.example.Ids"}, "document.id.strategy"),
        ({"writemodel_strategy": "org.example.Model"}, "writemodel.strategy"),
        ({"namespace_mapper": "org.example.Mapper"}, "namespace.mapper"),
        ({"post_processor_chain": "org.example.Post"}, "post.processor.chain"),
        (
            {"change_data_capture_handler": f"{OURS}.cdc.qlik.rdbms.RdbmsHandler"},
            "change.data.capture.handler",
        ),
        (
            {
                "post_processor_chain": f"{POST}.BlockListValueProjector",
                "value_projection_list": "a.*",
                "value_projection_type": "blocklist",
            },
            "value.projection.list",
        ),
        (
            {
                "post_processor_chain": f"{POST}.RenameByMapping",
                "field_renamer_mapping": '[{"oldName": "key.a", "newName": "b"}]',
            },
            "field.renamer.mapping",
        ),
        ({"timeseries_timefield": "a.b"}, "timeseries.timefield"),
    ],
)
def test_what_cannot_be_translated_is_listed(properties: Document, name: str) -> None:
    found = sink(**properties)
    assert name in missed(found)
    assert found["faults"] == []
