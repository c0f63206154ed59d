"""A MongoDB sink connector as a pipeline from Kafka to collections.

Source: MongoDB Kafka Connector, "Sink Connector Configuration Properties"; Atlas pages "$source",
"$merge", "$emit"; asp-reference.md 2.3, 2.11, 2.12.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.connectors import changes, endpoints, identity
from asp_utils.pipeline.connectors.draft import is_plain
from asp_utils.pipeline.connectors.records import post_processor_stages, transform_stages
from asp_utils.pipeline.connectors.times import date_of

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

_SOURCE: Final = "pipeline[0].$source"
_ALTERNATIVES: Final = re.compile(r"\^?\(?([\w.-]+(?:\|[\w.-]+)*)\)?\$?")
_DATABASE: Final = "stream_processing"
_TOPIC: Final = {"$meta": "stream.source.topic"}
_UNREADABLE: Final = (
    "ProtobufConverter", "JsonSchemaConverter", "ByteArrayConverter", "PROTOBUF", "JSON_SR", "BSON"
)  # fmt: skip
_GRANULARITIES: Final = ("seconds", "minutes", "hours")
_UNWRAPPED: Final = "a $replaceRoot to $payload"
_JAVA_DEFAULT: Final = "["
"""What the connector's own date pattern holds: optional parts."""


def sink_pipeline(draft: Draft, bootstrap: str | None, topics: list[str] | None) -> list[Document]:
    """The stages of a sink connector; all else goes on the draft's record."""
    endpoints.kafka(draft, bootstrap, "consumer")
    endpoints.cluster(draft, "readWriteAnyDatabase")
    names = topics or _topics(draft)
    key, key_used = _key(draft)
    source, unwrapped = _source(draft, names)
    stages = [*unwrapped, *transform_stages(draft)]
    handler = changes.handler_of(draft)
    if handler:
        stages += changes.change_stages(draft, handler, key)
        model = changes.change_model(handler)
    else:
        stages += post_processor_stages(draft, key)
        stages += identity.timestamp_stages(draft)
        model = identity.write_model(draft)
    if key_used or handler == "relational" or _maps_by_key(draft):
        source.setdefault("config", {})["keyFormat"] = "json"
        draft.note("key", "Record keys are read as JSON documents; others go to the dead letters.")
    stages += _throttle(draft)
    database, collection = _namespace(draft, names, key)
    sink = _sink(draft, names, (database, collection), model, stages)
    endpoints.dead_letters(draft, draft.text("database") or _DATABASE)
    _explain(draft)
    return [{"$source": source}, *stages, sink]


def _topics(draft: Draft) -> list[str]:
    names = draft.words("topics")
    draft.take("topics", f"{_SOURCE}.topic")
    pattern = draft.text("topics.regex")
    if names:
        draft.miss("topics.regex", "topics are given too", "nothing")
        return names
    found = _ALTERNATIVES.fullmatch(pattern)
    # A dot is any character to Java; topic names often hold one.
    if found and "." not in pattern:
        draft.take("topics.regex", f"{_SOURCE}.topic")
        return found[1].split("|")
    draft.miss("topics.regex", "topics are named, not matched", "give `topics` to the conversion")
    what = "the topics to read; the connector matched them by a pattern, or names none"
    draft.to_fill_in.append({"path": "pipeline[0].$source.topic", "what": what})
    return ["TOPIC"]


def _source(draft: Draft, names: list[str]) -> tuple[Document, list[Document]]:
    """`$source`, and the stages that undo what the converter put around values."""
    # Connect reads a new group's topics from their beginning; a stream processor from their end.
    reset = endpoints.client_setting(
        draft, "consumer", "auto.offset.reset", f"{_SOURCE}.config.auto_offset_reset"
    )
    config: Document = {"auto_offset_reset": "latest" if reset == "latest" else "earliest"}
    group = endpoints.client_setting(draft, "consumer", "group.id", f"{_SOURCE}.config.group_id")
    if group:
        config["group_id"] = group
    source: Document = {
        "connectionName": draft.names.kafka,
        "topic": names[0] if len(names) == 1 else names,
    }
    unwrapped = _value_format(draft, source)
    source["config"] = config
    draft.topics += [{"topic": name, "role": "input"} for name in names]
    return source, unwrapped


def _value_format(draft: Draft, source: Document) -> list[Document]:
    converter = draft.text("value.converter").rpartition(".")[2]
    form = draft.text("input.data.format").upper()
    for name in ("value.converter", "input.data.format"):
        draft.take(name, f"{_SOURCE}, JSON")
    schemas = draft.text("value.converter.schemas.enable").lower()
    became = "nothing: the value is the document" if schemas == "false" else _UNWRAPPED
    has_schemas = draft.flag("value.converter.schemas.enable", became, default=not form)
    if converter == "AvroConverter" or form == "AVRO":
        source["schemaRegistry"] = {"connectionName": endpoints.registry(draft, "value")}
    elif converter in _UNREADABLE or form in _UNREADABLE:
        for name in ("value.converter", "input.data.format"):
            draft.miss(name, "values are read as JSON or Avro", "write the topic as one of these")
    elif converter == "JsonConverter" and has_schemas:
        return [{"$replaceRoot": {"newRoot": "$payload"}}]
    elif not converter and not form:
        draft.note(
            "value format",
            "The connector leaves its converter to the worker; values are taken to be JSON.",
        )
    return []


def _key(draft: Draft) -> tuple[str, bool]:
    """Metadata path of the record's key document, and whether the id comes from it."""
    used = identity.uses_key(draft)
    converter = draft.text("key.converter").rpartition(".")[2]
    form = draft.text("input.key.format").upper()
    for name in ("key.converter", "input.key.format"):
        draft.take(name, f"{_SOURCE}.config.keyFormat")
    is_json = converter in ("", "StringConverter", "JsonConverter") and form in (
        "", "STRING", "JSON",
    )  # fmt: skip
    if used and not is_json:
        for name in ("key.converter", "input.key.format"):
            draft.miss(name, "keys are JSON, text, numbers or bytes", "write keys as JSON")
    wrapped = draft.flag(
        "key.converter.schemas.enable", "the key's $payload", default=converter == "JsonConverter"
    )
    return identity.KEY + (".payload" if wrapped and converter == "JsonConverter" else ""), used


def _throttle(draft: Draft) -> list[Document]:
    """A rate limit is so many batches of so many records, then a pause."""
    every = draft.number("rate.limiting.every.n", "$throttle.messagesPerSec") or 0
    pause_ms = draft.number("rate.limiting.timeout", "$throttle.messagesPerSec") or 0
    records = draft.number("max.batch.size", "$throttle.messagesPerSec") or 0
    if every > 0 and pause_ms > 0 and records > 0:
        draft.note("rate limit", "The limit is even over time, not a pause after some batches.")
        return [
            {
                "$throttle": {
                    "messagesPerSec": max(1, min(2**31 - 1, every * records * 1000 // pause_ms))
                }
            }
        ]
    if every > 0 and pause_ms > 0:
        for name in ("rate.limiting.every.n", "rate.limiting.timeout"):
            draft.miss(name, "without max.batch.size it says no rate", "add $throttle yourself")
    elif records > 0:
        draft.miss("max.batch.size", "a stream processor sizes its batches itself", "nothing")
    return []


def _maps_by_key(draft: Draft) -> bool:
    return any(draft.has(f"namespace.mapper.key.{it}.field") for it in ("database", "collection"))


def _namespace(draft: Draft, names: list[str], key: str) -> tuple[Any, Any]:
    """Database and collection: names, or expressions where records decide."""
    mapper = draft.kind("namespace.mapper", "DefaultNamespaceMapper")
    draft.take("namespace.mapper", "$merge.into")
    if not draft.has("database"):
        draft.to_fill_in.append({"path": "$merge.into.db", "what": "the database to write to"})
    database: Any = draft.take("database", "$merge.into.db", _DATABASE)
    collection: Any = draft.take("collection", "$merge.into.coll")
    if not collection:
        collection = names[0] if len(names) == 1 else _TOPIC
    if mapper == "custom":
        draft.miss("namespace.mapper", "Java classes cannot be used", "write $merge.into yourself")
    if mapper == "FieldPathNamespaceMapper":
        database = _by_field(draft, "database", database, key)
        collection = _by_field(draft, "collection", collection, key)
        draft.take("namespace.mapper.error.if.invalid", "$merge.into")
        return database, collection
    return _overridden(draft, names, "database", database), _overridden(
        draft, names, "collection", collection
    )


def _by_field(draft: Draft, what: str, otherwise: Any, key: str) -> Any:
    strict = draft.text("namespace.mapper.error.if.invalid").lower() == "true"
    for part in ("key", "value"):
        name = f"namespace.mapper.{part}.{what}.field"
        field = draft.text(name)
        if not field:
            continue
        if not is_plain(field):
            draft.miss(name, "it is no plain field path", "write $merge.into yourself")
            continue
        draft.take(name, "$merge.into")
        found: Any = {"$meta": f"{key}.{field}"} if part == "key" else f"${field}"
        return found if strict else {"$ifNull": [found, otherwise]}
    return otherwise


def _overridden(draft: Draft, names: list[str], what: str, otherwise: Any) -> Any:
    """`topic.override.<topic>.database` and `.collection`."""
    found = {}
    for topic in names:
        name = f"topic.override.{topic}.{what}"
        if draft.has(name):
            found[topic] = draft.take(name, "$merge.into")
    if not found:
        return otherwise
    if len(names) == 1:
        return found[names[0]]
    branches = [{"case": {"$eq": [_TOPIC, topic]}, "then": to} for topic, to in found.items()]
    return {"$switch": {"branches": branches, "default": otherwise}}


def _sink(
    draft: Draft,
    names: list[str],
    namespace: tuple[Any, Any],
    model: Document,
    stages: list[Document],
) -> Document:
    database, collection = namespace
    into = {"connectionName": draft.names.cluster, "db": database, "coll": collection}
    time_field = draft.take("timeseries.timefield", "$emit.timeseries.timeField")
    if time_field and is_plain(time_field) and "." not in time_field:
        return {"$emit": {**into, "timeseries": _time_series(draft, time_field, stages)}}
    if time_field:
        draft.miss("timeseries.timefield", "it is no plain field", "correct it")
    for name in ("tasks.max",):
        tasks = draft.number(name, "one processor")
        if tasks is not None and tasks > 1:
            draft.miss(
                name,
                "one processor reads all partitions",
                "raise $merge.parallelism or the tier when it cannot keep up",
            )
    if isinstance(model.get("on"), list):
        keys = dict.fromkeys(model["on"], 1)
        draft.indexes += [
            {"database": database, "collection": each, "keys": keys, "unique": True}
            for each in (names if collection == _TOPIC else [collection])
        ]
    return {"$merge": {"into": into, **model}}


def _time_series(draft: Draft, time_field: str, stages: list[Document]) -> Document:
    made: Document = {"timeField": time_field}
    meta = draft.take("timeseries.metafield", "$emit.timeseries.metaField")
    if meta:
        made["metaField"] = meta
    granularity = draft.take("timeseries.granularity", "$emit.timeseries.granularity").lower()
    if granularity in _GRANULARITIES:
        made["granularity"] = granularity
    seconds = draft.number("timeseries.expire.after.seconds", "collections.expire_after_seconds")
    if seconds:
        draft.collections.append(
            {
                "database": draft.text("database", _DATABASE),
                "collection": draft.text("collection"),
                "timeseries": dict(made),
                "expire_after_seconds": seconds,
            }
        )
        draft.note("time series", "Expiry is the collection's: cli_mongodb_ensure_collection.py.")
    if draft.flag("timeseries.timefield.auto.convert", "a $set of the time field"):
        form = draft.take(
            "timeseries.timefield.auto.convert.date.format", "a $set of the time field"
        )
        date = date_of(f"${time_field}", "" if _JAVA_DEFAULT in form else form)
        if date is None:
            name = "timeseries.timefield.auto.convert.date.format"
            draft.miss(
                name, "this pattern has no like in MongoDB", "convert it with $dateFromString"
            )
            date = date_of(f"${time_field}")
        stages.append({"$set": {time_field: date}})
    tasks = draft.number("tasks.max", "one processor")
    if tasks is not None and tasks > 1:
        draft.miss("tasks.max", "one processor reads all partitions", "raise $emit.parallelism")
    draft.note("time series", "Records become measurements; nothing is replaced or deleted.")
    return made


def _explain(draft: Draft) -> None:
    draft.note(
        "delivery",
        "At least once, as the connector. The processor has offsets of its own: it begins where "
        "config.auto_offset_reset says, not where the connector stopped. To go on there, set "
        f"config.group_id to the connector's group, connect-{draft.text('name') or 'NAME'}.",
    )
