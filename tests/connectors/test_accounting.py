"""Every property of a connector is accounted for; no secret is shown; pipelines are accepted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asp_utils import ejson
from asp_utils.context import Context
from asp_utils.errors import ConfigInvalid
from asp_utils.operations.connectors import kafka_connector_to_pipeline
from asp_utils.pipeline.connectors.properties import ALIASES, KNOWN, LOST, SINK, SOURCE
from asp_utils.pipeline.connectors.times import mongodb_format
from tests.connectors.conftest import SINK_CLASS, SOURCE_CLASS, converted, missed

if TYPE_CHECKING:
    from pathlib import Path

Document = dict[str, Any]
SECRET = "s3cr3t-Value-9"

PLAUSIBLE: Document = {
    "name": "mine",
    "tasks.max": "2",
    "connection.uri": f"mongodb+srv://me:{SECRET}@cluster0.ab1cd.mongodb.net/?retryWrites=true",
    "database": "shop",
    "collection": "orders",
    "topics": "orders,returns",
    "topics.regex": "orders|returns",
    "pipeline": '[{"$match": {"operationType": "insert"}}]',
    "topic.namespace.map": '{"shop.orders": "o", "shop": "s", "*": "rest"}',
    "change.stream.full.document": "updateLookup",
    "change.stream.full.document.before.change": "whenAvailable",
    "publish.full.document.only": "true",
    "publish.full.document.only.tombstone.on.delete": "true",
    "poll.await.time.ms": "2000",
    "startup.mode": "copy_existing",
    "startup.mode.timestamp.start.at.operation.time": "1700000000",
    "startup.mode.copy.existing.max.threads": "4",
    "output.json.formatter": "com.mongodb.kafka.connect.source.json.formatter.SimplifiedJson",
    "output.schema.value": '{"type": "record", "name": "R", "fields": []}',
    "collation": '{"locale": "en"}',
    "post.processor.chain": "com.mongodb.kafka.connect.sink.processor.DocumentIdAdder,"
    "com.mongodb.kafka.connect.sink.processor.RenameByMapping",
    "field.renamer.mapping": '[{"oldName": "value.a", "newName": "b"}]',
    "document.id.strategy": "com.mongodb.kafka.connect.sink.processor.id.strategy."
    "PartialValueStrategy",
    "document.id.strategy.partial.value.projection.list": "a,b",
    "document.id.strategy.partial.value.projection.type": "AllowList",
    "writemodel.strategy": "com.mongodb.kafka.connect.sink.writemodel.strategy."
    "UpdateOneTimestampsStrategy",
    "change.data.capture.handler": "com.mongodb.kafka.connect.sink.cdc.mongodb.ChangeStreamHandler",
    "namespace.mapper": "com.mongodb.kafka.connect.sink.namespace.mapping.FieldPathNamespaceMapper",
    "namespace.mapper.value.database.field": "tenant.db",
    "timeseries.timefield": "ts",
    "timeseries.granularity": "minutes",
    "timeseries.expire.after.seconds": "86400",
    "value.converter": "io.confluent.connect.avro.AvroConverter",
    "value.converter.schema.registry.url": "https://registry.example.org",
    "value.converter.basic.auth.user.info": f"user:{SECRET}",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "kafka.auth.mode": "KAFKA_API_KEY",
    "kafka.api.key": SECRET,
    "kafka.api.secret": SECRET,
    "connection.password": SECRET,
    "connection.ssl.truststorePassword": SECRET,
    "csfle.local.master.key": SECRET,
    "transforms": "add",
    "errors.tolerance": "all",
    "max.batch.size": "100",
    "rate.limiting.every.n": "5",
    "rate.limiting.timeout": "1000",
}


@pytest.mark.parametrize(
    "kind", [SOURCE_CLASS, SINK_CLASS, "MongoDbAtlasSource", "MongoDbAtlasSink"]
)
@pytest.mark.parametrize("name", sorted(KNOWN - {"connector.class"}))
def test_every_documented_property_is_mapped_or_listed(name: str, kind: str) -> None:
    base = {"connector.class": kind, "database": "shop", "topics": "orders"}
    value = PLAUSIBLE.get(name, PLAUSIBLE.get(ALIASES.get(name, ""), "x"))
    found = converted({**base, name: value})
    assert found["faults"] == []
    listed = next((each for each in found["unmapped"] if each["field"] == name), None)
    if listed is not None:
        assert listed["reason"]
        assert listed["what_to_do"]
    assert SECRET not in json.dumps(found, default=str)


@pytest.mark.parametrize(
    ("kind", "documented"), [(SOURCE_CLASS, SOURCE), (SINK_CLASS, SINK)], ids=["source", "sink"]
)
def test_all_of_them_together_are_accepted(kind: str, documented: frozenset[str]) -> None:
    config = {name: PLAUSIBLE.get(name, "x") for name in (*documented, *LOST)}
    found = converted({**config, "connector.class": kind})
    assert found["faults"] == []
    assert SECRET not in json.dumps(found, default=str)


VALUES = (
    st.sampled_from(sorted(map(str, PLAUSIBLE.values())))
    | st.text(max_size=12)
    | st.booleans()
    | st.none()
    | st.integers()
    | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
)
FAMILIES = ("topic.override.orders.", "transforms.add.", "consumer.override.", "producer.override.")
NAMES = st.sampled_from(sorted(KNOWN - {"connector.class"})) | st.text(min_size=1, max_size=8)
PREFIXED = st.builds(
    lambda start, rest: start + rest,
    st.sampled_from(FAMILIES),
    st.sampled_from(("collection", "database", "type", "field", "auto.offset.reset", "odd")),
)


@settings(max_examples=150)
@given(
    st.dictionaries(NAMES | PREFIXED, VALUES, max_size=12),
    st.sampled_from([SOURCE_CLASS, SINK_CLASS, "MongoDbAtlasSource", "MongoDbAtlasSink"]),
)
def test_any_configuration_is_accounted_for(config: Document, kind: str) -> None:
    found = converted({**config, "connector.class": kind})
    ejson.dumps(found)
    assert len(found["pipeline"]) >= 2


@settings(max_examples=100)
@given(
    st.sets(st.sampled_from(sorted(PLAUSIBLE)), max_size=25),
    st.sampled_from([SOURCE_CLASS, SINK_CLASS]),
)
def test_plausible_configurations_give_pipelines_without_faults(names: set[str], kind: str) -> None:
    found = converted({"connector.class": kind, **{name: PLAUSIBLE[name] for name in names}})
    assert found["faults"] == []
    assert SECRET not in json.dumps(found, default=str)


def test_a_misspelt_property_is_recognised() -> None:
    found = converted({"connector.class": SINK_CLASS, "topics": "t", "writemodel.stratgy": "x"})
    entry = next(each for each in found["unmapped"] if each["field"] == "writemodel.stratgy")
    assert entry["what_to_do"] == "did you mean writemodel.strategy?"


def test_what_looks_secret_is_hidden_wherever_it_stands() -> None:
    odd = {
        "my.setting": "mongodb://u:" + SECRET + "@h/",
        "ssl.keystore.key": "-----BEGIN PRIVATE KEY-----\nMIIE",
        "x.token": SECRET,
        "plain": "shown",
    }
    found = converted({"connector.class": SINK_CLASS, "topics": "t", **odd})
    values = {each["field"]: each["value"] for each in found["unmapped"]}
    assert {name: values[name] for name in odd} == {
        "my.setting": "[redacted]",
        "ssl.keystore.key": "[redacted]",
        "x.token": "[redacted]",
        "plain": "shown",
    }


def test_secrets_are_concealed_from_the_record() -> None:
    hidden: list[str] = []
    from pathlib import Path

    ctx = Context(root=Path("/nowhere"), conceal=lambda secrets: hidden.extend(secrets))
    jaas = f'x.PlainLoginModule required username="u" password="{SECRET}";'
    config = {
        "connector.class": SINK_CLASS,
        "topics": "t",
        "connection.uri": "mongodb://u:uripw@h/",
        "kafka.api.secret": "apisecret",
        "consumer.override.sasl.jaas.config": jaas,
    }
    kafka_connector_to_pipeline(ctx, connector=config)
    assert {"uripw", "apisecret", SECRET} <= set(hidden)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "$.connector"),
        ({"config": {"name": "x"}}, "$.connector.config"),
        ({"connector.class": "io.debezium.connector.mysql.MySqlConnector"}, "connector.class"),
        ({"connector.class": 5}, "$.connector"),
    ],
)
def test_other_configurations_are_refused(config: Document, path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        kafka_connector_to_pipeline(Context(root=tmp_path), connector=config)
    assert (caught.value.path or "").endswith(path)


def test_a_file_may_be_json_or_properties(tmp_path: Path) -> None:
    ctx = Context(root=tmp_path)
    properties = tmp_path / "sink.properties"
    properties.write_text(
        "# a comment\nname=mine\nconnector.class = " + SINK_CLASS + "\n"
        "topics=a,\\\n  b\nconnection.uri: mongodb://127.0.0.1/\ndatabase=d\n"
    )
    found = kafka_connector_to_pipeline(ctx, connector_file=str(properties))
    assert found["pipeline"][0]["$source"]["topic"] == ["a", "b"]
    assert found["name"] == "mine"
    as_json = tmp_path / "sink.json"
    as_json.write_text(
        json.dumps({"name": "mine", "config": {"connector.class": SINK_CLASS, "topics": "a"}})
    )
    again = kafka_connector_to_pipeline(ctx, connector_file=str(as_json))
    assert (again["name"], again["pipeline"][0]["$source"]["topic"]) == ("mine", "a")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    ctx = Context(root=tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text('{"name": ')
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for file in (broken, binary, tmp_path / "missing"):
        with pytest.raises(ConfigInvalid) as caught:
            kafka_connector_to_pipeline(ctx, connector_file=str(file))
        assert caught.value.path == "$.connector_file"
    with pytest.raises(ConfigInvalid):
        kafka_connector_to_pipeline(ctx)
    with pytest.raises(ConfigInvalid):
        kafka_connector_to_pipeline(ctx, connector={}, connector_file="x")


@pytest.mark.parametrize(
    ("java", "ours"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss'Z'", "%Y-%m-%dT%H:%M:%SZ"),
        ("yyyy-MM-dd HH:mm:ss.SSS XXX", "%Y-%m-%d %H:%M:%S.%L %z"),
        ("dd.MM.yyyy", "%d.%m.%Y"),
        ("h 'o''clock' a", None),
        ("EEE MMM dd", None),
        ("yyyy-MM-dd[ HH:mm]", None),
        ("100%", "100%%"),
    ],
)
def test_date_patterns(java: str, ours: str | None) -> None:
    assert mongodb_format(java) == ours


def test_nothing_is_missing_without_a_reason() -> None:
    found = converted({"connector.class": SINK_CLASS, "topics.regex": "orders.*"})
    assert "named, not matched" in missed(found)["topics.regex"]
    assert [each["path"] for each in found["to_fill_in"]] == [
        "pipeline[0].$source.topic",
        "$merge.into.db",
    ]
    told = converted({"connector.class": SINK_CLASS, "topics.regex": "orders.*"}, topics=["a", "b"])
    assert told["pipeline"][0]["$source"]["topic"] == ["a", "b"]
