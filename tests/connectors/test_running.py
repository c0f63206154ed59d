"""Converted connectors that run: on the engine, and whole on a local instance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.connectors.conftest import OURS, SINK_CLASS, SOURCE_CLASS, converted
from tests.operations.conftest import bare_project, project, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod
    from tests.conftest import Rig
    from tests.kafka_broker import Broker
    from tests.operations.conftest import Project

__all__ = ["bare_project", "project", "running"]

pytestmark = pytest.mark.server

Document = dict[str, Any]
IDS = f"{OURS}.processor.id.strategy"
MODELS = f"{OURS}.writemodel.strategy"


@pytest.fixture
def sink(
    rig: Callable[..., Rig],
    kafka_broker: Broker,
    mongod: Mongod,
    cluster: MongoClient[Document],
    database: str,
) -> Callable[..., Any]:
    """Converts a sink, runs it over records, and gives its database."""

    def run(records: list[Document], prepare: Any = None, **properties: Any) -> Any:
        topic = kafka_broker.topic()
        kafka_broker.send(topic, *records)
        if prepare is not None:
            prepare(cluster[database])
        given = {name.replace("_", "."): value for name, value in properties.items()}
        found = converted(
            {
                "connector.class": SINK_CLASS,
                "connection.uri": mongod.uri,
                "topics": topic,
                "database": database,
                "collection": "c",
                **given,
            }
        )
        assert found["faults"] == []
        connections = {
            "kafka": kafka_broker.connection,
            "mongodb": {"type": "atlas", "uri": mongod.uri},
        }
        made = rig(found["pipeline"], connections=connections, dlq=found["options"].get("dlq"))
        while int(made.stats["inputMessageCount"]) < len(records):
            made.processor.step(100)
        assert made.dead == []
        return cluster[database]

    return run


def record(value: Any, key: Any = None) -> Document:
    """A record with JSON key and value."""
    return {"value": json.dumps(value)} | ({"key": json.dumps(key)} if key is not None else {})


def test_values_with_an_id_replace_and_others_are_new(sink: Callable[..., Any]) -> None:
    made = sink([record({"_id": 1, "a": 1}), record({"_id": 1, "b": 2}), record({"c": 3})])
    found = list(made.c.find().sort("_id", 1))
    assert found[0] == {"_id": 1, "b": 2}
    assert found[1]["c"] == 3


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("FullKeyStrategy", {"k": 1, "j": 2}),
        ("ProvidedInKeyStrategy", 7),
        ("PartialKeyStrategy", {"k": 1}),
        ("PartialValueStrategy", {"v": 9}),
    ],
)
def test_ids_from_keys_and_values(sink: Callable[..., Any], strategy: str, wanted: Any) -> None:
    key = {"_id": 7} if strategy == "ProvidedInKeyStrategy" else {"k": 1, "j": 2}
    made = sink(
        [record({"v": 9, "w": 1}, key), record({"v": 9, "w": 2}, key)],
        document_id_strategy=f"{IDS}.{strategy}",
        document_id_strategy_partial_key_projection_list="k",
        document_id_strategy_partial_key_projection_type="AllowList",
        document_id_strategy_partial_value_projection_list="v",
        document_id_strategy_partial_value_projection_type="AllowList",
        document_id_strategy_overwrite_existing="true",
    )
    assert list(made.c.find()) == [{"_id": wanted, "v": 9, "w": 2}]


def test_kafkas_place_is_an_id(sink: Callable[..., Any]) -> None:
    made = sink(
        [record({"v": 1})],
        document_id_strategy=f"{IDS}.KafkaMetaDataStrategy",
        post_processor_chain=f"{OURS}.processor.DocumentIdAdder,{OURS}.processor.KafkaMetaAdder",
    )
    found = made.c.find_one()
    assert found["_id"].endswith("#0")
    assert found["topic-partition-offset"] == found["_id"].replace("#", "-")
    assert isinstance(found["CREATE_TIME"], int)


BUSINESS = {
    "document_id_strategy": f"{IDS}.PartialValueStrategy",
    "document_id_strategy_partial_value_projection_list": "flight,airport",
    "document_id_strategy_partial_value_projection_type": "AllowList",
}


def prepare_business_key(db: Any) -> None:
    """What the connector's page tells its users to do first."""
    db.c.create_index([("flight", 1), ("airport", 1)], unique=True)
    db.c.insert_one({"_id": "kept", "flight": "Z342", "airport": "LAX", "seats": 180})


def test_a_business_key_replaces_and_keeps_the_id(sink: Callable[..., Any]) -> None:
    new = {"flight": "Z342", "airport": "LAX", "status": "canceled"}
    made = sink(
        [record(new), record({"flight": "A1", "airport": "SFO"})],
        prepare_business_key,
        **BUSINESS,
        writemodel_strategy=f"{MODELS}.ReplaceOneBusinessKeyStrategy",
    )
    assert made.c.find_one({"flight": "Z342"}) == {"_id": "kept", **new}
    assert made.c.count_documents({}) == 2


def test_a_business_key_deletes(sink: Callable[..., Any]) -> None:
    made = sink(
        [record({"flight": "Z342", "airport": "LAX"}), record({"flight": "?", "airport": "?"})],
        prepare_business_key,
        **BUSINESS,
        writemodel_strategy=f"{MODELS}.DeleteOneBusinessKeyStrategy",
    )
    assert made.c.count_documents({}) == 0


def test_times_of_writing_are_kept(sink: Callable[..., Any]) -> None:
    def prepare(db: Any) -> None:
        db.c.insert_one({"_id": 1, "_insertedTS": "then", "kept": True})

    made = sink(
        [record({"_id": 1, "a": 1}), record({"_id": 2, "a": 2})],
        prepare,
        document_id_strategy=f"{IDS}.ProvidedInValueStrategy",
        writemodel_strategy=f"{MODELS}.UpdateOneTimestampsStrategy",
    )
    old, new = made.c.find().sort("_id", 1)
    assert (old["_insertedTS"], old["kept"], old["a"]) == ("then", True, 1)
    assert old["_modifiedTS"] == new["_modifiedTS"] == new["_insertedTS"]


def test_change_events_are_applied(sink: Callable[..., Any]) -> None:
    def prepare(db: Any) -> None:
        db.c.insert_many([{"_id": n, "old": True} for n in (1, 2, 3)])

    made = sink(
        [
            record({"operationType": "update", "fullDocument": {"_id": 1, "a": 1}}),
            record({"operationType": "delete", "documentKey": {"_id": 2}}),
            record({"operationType": "delete", "documentKey": {"_id": 99}}),
            record({"operationType": "insert", "fullDocument": {"_id": 4, "a": 4}}),
            record({"operationType": "update", "updateDescription": {"updatedFields": {}}}),
        ],
        prepare,
        change_data_capture_handler=f"{OURS}.cdc.mongodb.ChangeStreamHandler",
    )
    assert list(made.c.find().sort("_id", 1)) == [
        {"_id": 1, "a": 1},
        {"_id": 3, "old": True},
        {"_id": 4, "a": 4},
    ]


def test_debeziums_rows_are_applied(sink: Callable[..., Any]) -> None:
    key = {"id": 5}
    made = sink(
        [
            record({"op": "c", "after": {"id": 5, "n": 1}}, key),
            record({"op": "u", "after": {"id": 5, "n": 2}}, key),
            record({"op": "c", "after": {"id": 6}}, {"id": 6}),
            record({"op": "d", "before": {"id": 6}, "after": None}, {"id": 6}),
        ],
        change_data_capture_handler=f"{OURS}.cdc.debezium.rdbms.postgres.PostgresHandler",
    )
    assert list(made.c.find()) == [{"_id": key, "id": 5, "n": 2}]


def test_values_are_reshaped_and_sent_where_they_say(
    sink: Callable[..., Any], database: str
) -> None:
    transforms = "org.apache.kafka.connect.transforms"
    made = sink(
        [
            record({"schema": {}, "payload": {"kind": "a", "n": "7", "at": "05.04.2024", "x": 1}}),
            record({"schema": {}, "payload": {"n": "8", "at": None, "y": None}}),
        ],
        value_converter="org.apache.kafka.connect.json.JsonConverter",
        transforms="cast,time,topic,hide",
        transforms_cast_type=f"{transforms}.Cast$Value",
        transforms_cast_spec="n:int32",
        transforms_time_type=f"{transforms}.TimestampConverter$Value",
        transforms_time_field="at",
        transforms_time_target_type="Timestamp",
        transforms_time_format="dd.MM.yyyy",
        transforms_topic_type=f"{transforms}.InsertField$Value",
        transforms_topic_static_field="from",
        transforms_topic_static_value="$kafka",
        transforms_hide_type=f"{transforms}.ReplaceField$Value",
        transforms_hide_renames="x:z",
        post_processor_chain=f"{OURS}.processor.NullFieldValueRemover",
        namespace_mapper=f"{OURS}.namespace.mapping.FieldPathNamespaceMapper",
        namespace_mapper_value_collection_field="kind",
    )
    first = made.a.find_one({}, {"_id": 0})
    assert (first["n"], first["z"], first["from"]) == (7, 1, "$kafka")
    assert (first["at"].year, first["at"].month, first["at"].day) == (2024, 4, 5)
    assert made.c.find_one({}, {"_id": 0}) == {"n": 8, "from": "$kafka"}


def test_measurements_go_to_a_time_series(sink: Callable[..., Any]) -> None:
    made = sink(
        [record({"ts": "2024-01-02T03:04:05Z", "d": 1}), record({"ts": 1700000000000, "d": 2})],
        lambda db: db.create_collection("other"),
        timeseries_timefield="ts",
        timeseries_metafield="d",
        timeseries_timefield_auto_convert="true",
    )
    found = {each["d"]: each["ts"] for each in made.c.find()}
    assert found[1].hour == 3
    assert found[2].year == 2023


@pytest.fixture
def source(
    rig: Callable[..., Rig],
    kafka_broker: Broker,
    mongod: Mongod,
    cluster: MongoClient[Document],
    database: str,
) -> Callable[..., Any]:
    """Converts a source, runs it over changes, and gives the records that it wrote."""

    def run(
        change: Any, count: int, pattern: str = "*", **properties: Any
    ) -> list[tuple[Any, Any]]:
        topic = kafka_broker.topic()
        moment = cluster.admin.command("hello")["operationTime"]
        start = {"$timestamp": {"t": moment.time, "i": moment.inc + 1}}
        change(cluster[database])
        given = {name.replace("_", "."): value for name, value in properties.items()}
        found = converted(
            {
                "connector.class": SOURCE_CLASS,
                "connection.uri": mongod.uri,
                "database": database,
                "collection": "c",
                "topic.namespace.map": json.dumps({pattern: topic}),
                "startup.mode": "timestamp",
                "startup.mode.timestamp.start.at.operation.time": json.dumps(start),
                **given,
            }
        )
        assert found["faults"] == []
        connections = {
            "kafka": kafka_broker.connection,
            "mongodb": {"type": "atlas", "uri": mongod.uri},
        }
        made = rig(found["pipeline"], connections=connections)
        while int(made.stats["outputMessageCount"]) < count:
            made.processor.step(100)
        made.processor.checkpoint()
        assert made.dead == []
        records = kafka_broker.received(topic, count)
        return [(each.key(), each.value()) for each in records]

    return run


def changes(db: Any) -> None:
    """An insert, an update and a delete."""
    db.c.insert_one({"_id": 1, "n": 1})
    db.c.update_one({"_id": 1}, {"$set": {"n": 2}})
    db.c.delete_one({"_id": 1})


def test_events_are_published_with_their_documents_key(source: Callable[..., Any]) -> None:
    found = source(changes, 3)
    assert [json.loads(key) for key, _ in found] == [{"_id": 1}] * 3
    kinds = [json.loads(value)["operationType"] for _, value in found]
    assert kinds == ["insert", "update", "delete"]


def test_documents_alone_and_tombstones(source: Callable[..., Any]) -> None:
    def two(db: Any) -> None:
        db.c.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        db.c.delete_one({"_id": 1})

    found = source(
        two,
        3,
        publish_full_document_only="true",
        publish_full_document_only_tombstone_on_delete="true",
        pipeline='[{"$match": {"operationType": {"$ne": "drop"}}}]',
    )
    assert [json.loads(key)["_id"] for key, _ in found] == [1, 2, 1]
    assert json.loads(found[1][1]) == {"_id": 2, "n": 2}
    assert found[2][1] is None


def test_a_pipeline_that_reshapes_events_runs_behind_the_source(
    source: Callable[..., Any],
) -> None:
    found = source(changes, 1, pipeline='[{"$match": {"operationType": "insert"}}, '
                   '{"$project": {"n": "$fullDocument.n", "_id": 0}}]')  # fmt: skip
    assert json.loads(found[0][1]) == {"n": 1}
    assert json.loads(found[0][0]) == {"_id": 1}


def test_a_whole_database_goes_to_topics_by_collection(
    source: Callable[..., Any], database: str
) -> None:
    def change(db: Any) -> None:
        db.c.insert_one({"_id": 1})
        db.drop_collection("c")

    # The insert goes by its collection's name; the drop, too, and it has no document key.
    found = source(change, 2, pattern=f"{database}.c", collection="")
    assert [json.loads(value)["operationType"] for _, value in found] == ["insert", "drop"]


@pytest.mark.xdist_group("kafka")
@pytest.mark.slow
def test_converted_and_run_whole_on_a_local_instance(
    project: Project, kafka_broker: Broker
) -> None:
    """As a user does it: convert, store the connections, create, start, see the documents."""
    topic, out = kafka_broker.topic(), kafka_broker.topic()
    kafka_broker.send(topic, record({"_id": 1, "n": 1}), record({"_id": 2, "n": 2}))
    local = {"stream_processor_url": "local"}
    sink_config = {
        "connector.class": SINK_CLASS,
        "connection.uri": "mongodb://127.0.0.1/",
        "topics": topic,
        "database": "shop",
        "collection": "orders",
        "errors.tolerance": "all",
    }
    bootstrap = {"kafka_bootstrap_servers": kafka_broker.bootstrap}
    to_cluster = project.run(
        "kafka_connector_to_pipeline",
        {"connector": {"name": "to-mongo", "config": sink_config}, **bootstrap},
    )
    assert to_cluster.code == 0, to_cluster.err
    source_config = {
        "connector.class": SOURCE_CLASS,
        "connection.uri": "mongodb://127.0.0.1/",
        "database": "shop",
        "collection": "orders",
        "startup.mode": "copy_existing",
        "publish.full.document.only": "true",
        "topic.namespace.map": json.dumps({"*": out}),
    }
    to_kafka = project.run(
        "kafka_connector_to_pipeline",
        {"connector": {"name": "to-kafka", "config": source_config}, **bootstrap},
    )
    # The instance's own mongod, under the name that the pipelines use.
    uri = json.loads((project.root / "temp/local/instance.json").read_text())["mongod_uri"]
    found = [
        {**each, "uri": uri} if each["type"] == "Cluster" else each
        for each in to_cluster.result["connections"]
    ]
    started = project.run("local_start", {"connections": found})
    assert started.code == 0, started.err
    for ran in (to_cluster, to_kafka):
        made = {name: ran.result[name] for name in ("name", "pipeline")}
        if ran.result["options"]:
            made["dlq"] = ran.result["options"]["dlq"]
        created = project.run("sp_create_stream_processor", {**local, **made})
        assert created.code == 0, created.err
        begun = project.run("sp_start_stream_processor", {**local, "name": made["name"]})
        assert begun.code == 0, begun.err
    records = kafka_broker.received(out, 2)
    values = sorted((json.loads(each.value() or b"") for each in records), key=lambda it: it["_id"])
    assert values == [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}]
    counted = project.run(
        "mongodb_count",
        {"mongodb_uri": "local", "database": "shop", "collection": "orders", "exact": True},
    )
    assert counted.result["count"] == 2
    for ran in (to_cluster, to_kafka):
        project.run("sp_stop_stream_processor", {**local, "name": ran.result["name"]})
