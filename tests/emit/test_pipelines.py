"""Whole pipelines that end in `$emit`: dead letters, metadata, stats, checkpoints."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import bson
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from tests.emit.registry import Registry
    from tests.kafka_broker import Broker

    Document = dict[str, Any]

AT = datetime(2026, 1, 20, 14, 30)  # noqa: DTZ001


def source(*documents: Document) -> Document:
    return {"$source": {"documents": list(documents)}}


def to_kafka(topic: Any, **options: Any) -> Document:
    return {"$emit": {"connectionName": "k", "topic": topic, **options}}


def test_refused_documents_are_dead_letters_with_their_metadata(
    rig: Callable[..., Any], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    config = {
        "key": "$k",
        "keyFormat": "string",
        "headers": {"from": {"$meta": "stream.source.type"}},
    }
    documents: list[Document] = [{"k": "a"}, {"k": 5}, {"k": "c", "text": "x" * 2_000_000}]
    run = rig(
        [source(*documents), to_kafka(topic, config=config)],
        connections={"k": kafka_broker.connection},
    ).drain()
    assert [document["k"] for document in run.output] == ["a"]
    (message,) = kafka_broker.received(topic, 1)
    assert message.headers() == [("from", b"generated")]
    letters = {letter["doc"]["k"]: letter for letter in run.dead}
    assert "cannot be written as string" in letters[5]["errInfo"]["reason"]
    assert "MSG_SIZE_TOO_LARGE" in letters["c"]["errInfo"]["reason"]
    assert {letter["operatorName"] for letter in run.dead} == {"KafkaEmitOperator"}
    assert letters["c"]["_stream_meta"]["source"]["type"] == "generated"
    assert all(set(letter["doc"]) <= {"k", "text"} for letter in run.dead)


def test_stats_name_the_topics(rig: Callable[..., Any], kafka_broker: Broker) -> None:
    topic = kafka_broker.topic()
    run = rig(
        [source({"n": 1}, {"n": 2}), to_kafka(topic)], connections={"k": kafka_broker.connection}
    ).drain()
    operator = run.stats["operatorStats"][-1]
    size_bytes = len(b'{"n":1}') * 2
    target = {"topic": topic, "outputMessageCount": 2, "outputMessageSize": size_bytes}
    assert operator["targetStats"] == [target]


def test_what_a_window_gives_is_keyed_by_the_window(
    rig: Callable[..., Any], kafka_broker: Broker
) -> None:
    topic = kafka_broker.topic()
    times = ["14:30:00", "14:30:01", "14:31:01", "14:33:00"]
    documents: list[Document] = [{"at": f"2026-01-20T{time}Z", "n": 1} for time in times]
    window = {
        "$tumblingWindow": {
            "interval": {"size": 1, "unit": "minute"},
            "allowedLateness": 0,
            "pipeline": [{"$group": {"_id": None, "n": {"$sum": "$n"}}}],
        }
    }
    config = {"key": {"start": {"$meta": "stream.window.start"}}, "keyFormat": "json"}
    opening = source(*documents)
    opening["$source"]["timeField"] = {"$toDate": "$at"}
    rig(
        [opening, window, to_kafka(topic, config=config)],
        connections={"k": kafka_broker.connection},
    ).drain()
    found = kafka_broker.received(topic, 2)
    keys = sorted(json.loads(message.key() or b"")["start"]["$date"] for message in found)
    assert keys == ["2026-01-20T14:30:00Z", "2026-01-20T14:31:00Z"]
    assert sorted(json.loads(m.value() or b"")["n"] for m in found) == [1, 2]


def test_avro_goes_through_kafka_and_back(
    rig: Callable[..., Any], kafka_broker: Broker, registry: Registry, database: str
) -> None:
    topic = kafka_broker.topic()
    connections = {"k": kafka_broker.connection, "r": registry.connection}
    fields = [
        {"name": "_id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]
    schema = {"type": "record", "name": "Event", "fields": fields}
    avro = {"connectionName": "r", "valueSchema": {"type": "avro", "schema": schema}}
    documents = [{"_id": bson.Int64(n), "at": AT} for n in range(5)]
    rig([source(*documents), to_kafka(topic, schemaRegistry=avro)], connections=connections).drain()
    config = {"auto_offset_reset": "earliest"}
    reading = {"connectionName": "k", "topic": topic, "config": config}
    back = rig(
        [
            {"$source": {**reading, "schemaRegistry": {"connectionName": "r"}}},
            {"$merge": {"into": {"connectionName": "c", "db": database, "coll": "out"}}},
        ],
        connections=connections,
        name="reader",
    )
    while len(back.output) < 5:
        back.processor.step(200)
    assert [(d["_id"], d["at"]) for d in back.output] == [(n, AT) for n in range(5)]
    assert back.dead == []


@pytest.mark.proves("$emit:atlas")
def test_time_series(rig: Callable[..., Any], cluster: MongoClient[Any], database: str) -> None:
    target = {"connectionName": "c", "db": database, "coll": "m", "timeseries": {"timeField": "at"}}
    documents: list[Document] = [{"n": 1, "at": AT}, {"n": 2}]
    run = rig([source(*documents), {"$emit": target}]).drain()
    assert [document["n"] for document in run.output] == [1]
    assert [letter["operatorName"] for letter in run.dead] == ["TimeseriesEmitOperator"]
    assert [document["n"] for document in cluster[database]["m"].find()] == [1]
