"""A MongoDB source connector as a pipeline from a change stream to Kafka.

Source: MongoDB Kafka Connector, "Source Connector Configuration Properties"; Atlas pages "$source"
and "$emit"; asp-reference.md 2.4, 2.12.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bson import Timestamp

from asp_utils.ejson import BadExtendedJson, loads
from asp_utils.pipeline.connectors import endpoints
from asp_utils.pipeline.connectors.naming import topic_of

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

_SOURCE: Final = "pipeline[0].$source"
_KEPT: Final = ("_id", "clusterTime", "wallTime")
"""What a change stream's own pipeline must leave in every event."""
_COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_FIRST_YEAR: Final = 1971
_PLACEHOLDER_DB: Final = "stream_processing"


def source_pipeline(draft: Draft, bootstrap: str | None) -> list[Document]:
    """The stages of a source connector; all else goes on the draft's record."""
    endpoints.cluster(draft, "readAnyDatabase")
    endpoints.kafka(draft, bootstrap, "producer")
    database = draft.take("database", f"{_SOURCE}.db")
    collection = draft.take("collection", f"{_SOURCE}.coll") if database else ""
    if draft.has("collection") and not database:
        draft.miss("collection", "a collection needs its database", "give database")
    source: Document = {"connectionName": draft.names.cluster}
    source |= {"db": database} if database else {}
    source |= {"coll": collection} if collection else {}
    config, stages = _config(draft)
    _start(draft, source, config, bool(database))
    if config:
        source["config"] = config
    emit = _emit(draft, database, collection, only_documents=_takes_documents(draft, config))
    _topic(draft, emit["topic"])
    _errors(draft, database)
    _explain(draft)
    return [{"$source": source}, *stages, {"$emit": emit}]


def _takes_documents(draft: Draft, config: Document) -> bool:
    return (
        bool(config.get("fullDocumentOnly")) or draft.text("publish.full.document.only") == "true"
    )


def _config(draft: Draft) -> tuple[Document, list[Document]]:
    """`config` of the source, and the stages that take the place of what it cannot do."""
    config: Document = {}
    images = f"{_SOURCE}.config.fullDocument"
    wanted = draft.take("change.stream.full.document", images, "default")
    if wanted not in ("default", "updateLookup", "whenAvailable", "required"):
        draft.miss("change.stream.full.document", f"there is no {wanted!r}", "correct it")
        wanted = "default"
    before = draft.take("change.stream.full.document.before.change", f"{images}BeforeChange", "off")
    if before in ("whenAvailable", "required"):
        config["fullDocumentBeforeChange"] = before
    elif before not in ("off", "default"):
        draft.miss("change.stream.full.document.before.change", f"there is no {before!r}", "…")
    only = draft.flag("publish.full.document.only", f"{images}Only")
    if only:
        wanted = "updateLookup"
    if wanted != "default":
        config["fullDocument"] = wanted
    if "required" in (wanted, before) or "whenAvailable" in (wanted, before):
        draft.note(
            "change.stream.full.document",
            "The collection must keep images: cli_mongodb_enable_pre_post_images.py.",
        )
    wait_ms = draft.number("poll.await.time.ms", f"{_SOURCE}.config.maxAwaitTimeMS")
    if wait_ms is not None and wait_ms > 0:
        config["maxAwaitTimeMS"] = wait_ms
    pushed, moved = _divided(draft)
    if pushed:
        config["pipeline"] = pushed
    tombstones = draft.flag("publish.full.document.only.tombstone.on.delete", "$emit") and only
    if not only:
        return config, moved
    if not tombstones and not moved:
        config["fullDocumentOnly"] = True
        draft.note("deletes", "Deletes have no document: nothing is sent for them, as before.")
        return config, []
    return config, [*moved, *_documents(tombstones=tombstones)]


def _documents(*, tombstones: bool) -> list[Document]:
    """The events' documents where the source cannot take them out itself."""
    has_document: Document = {"fullDocument": {"$type": "object"}}
    if not tombstones:
        return [{"$match": has_document}, {"$replaceRoot": {"newRoot": "$fullDocument"}}]
    wanted = {"$or": [{"operationType": "delete"}, has_document]}
    root = {"$ifNull": ["$fullDocument", "$documentKey"]}
    return [{"$match": wanted}, {"$replaceRoot": {"newRoot": root}}]


def _divided(draft: Draft) -> tuple[list[Document], list[Document]]:
    """The connector's pipeline: what the cluster runs, and what the processor must run."""
    stages = draft.parsed("pipeline")
    if stages is None:
        if not draft.has("pipeline"):
            draft.take("pipeline", "nothing: it is empty")
        return [], []
    if not isinstance(stages, list) or not all(
        isinstance(it, dict) and len(it) == 1 for it in stages
    ):
        draft.miss("pipeline", "it is no list of stages", "correct it, and convert again")
        return [], []
    cut = next((i for i, stage in enumerate(stages) if not _may_be_pushed(stage)), len(stages))
    where = f"{_SOURCE}.config.pipeline" if cut else ""
    if cut < len(stages):
        where += (where and ", and ") + "the stages behind $source"
        draft.note(
            "pipeline",
            "Stages that reshape the events run in the processor, not in the cluster: Atlas wants "
            "every event to keep _id, clusterTime and wallTime.",
        )
    draft.take("pipeline", where or "nothing: it is empty")
    return stages[:cut], stages[cut:]


def _may_be_pushed(stage: Document) -> bool:
    name, options = next(iter(stage.items()))
    if name == "$match":
        return True
    if name in ("$set", "$addFields") and isinstance(options, dict):
        return not any(str(key).split(".")[0] in _KEPT for key in options)
    return False


def _start(draft: Draft, source: Document, config: Document, has_database: bool) -> None:
    """Where the stream begins when there is no checkpoint."""
    mode = draft.take("startup.mode", f"{_SOURCE}.initialSync")
    copies = draft.flag("copy.existing", f"{_SOURCE}.initialSync")
    if mode == "copy_existing" or (copies and not mode):
        _copy(draft, source, has_database)
    elif mode == "timestamp":
        moment = _moment(draft)
        if moment is not None:
            config["startAtOperationTime"] = moment
    elif mode not in ("", "latest"):
        draft.miss("startup.mode", f"there is no mode {mode!r}", "latest, timestamp, copy_existing")


def _copy(draft: Draft, source: Document, has_database: bool) -> None:
    if not has_database:
        for name in ("startup.mode", "copy.existing"):
            draft.miss(
                name, "initialSync copies collections of one database", "one processor per database"
            )
        return
    sync: Document = {"enable": True}
    for name in ("startup.mode.copy.existing.max.threads", "copy.existing.max.threads"):
        threads = draft.number(name, f"{_SOURCE}.initialSync.parallelism")
        if threads is not None and threads > 0:
            sync["parallelism"] = min(threads, 8)
    source["initialSync"] = sync
    draft.note("initialSync", "Copied documents come as insert events, before the changes.")
    for prefix in ("startup.mode.copy.existing.", "copy.existing."):
        draft.miss(
            f"{prefix}pipeline",
            "a pipeline for copied documents alone does not exist",
            'put a $match behind $source that knows {$meta: "stream.source.initialSync.phase"}',
        )
        draft.miss(
            f"{prefix}namespace.regex",
            "collections are copied by name, not by a pattern",
            "list them in $source.coll",
        )


def _moment(draft: Draft) -> Any:
    """The operation time: seconds, an instant in ISO 8601, or Extended JSON."""
    name = "startup.mode.timestamp.start.at.operation.time"
    text = draft.text(name)
    if not text:
        return None
    moment: Any = None
    if re.fullmatch(r"\d{1,10}", text) and 0 < int(text) < 2**32:
        moment = Timestamp(int(text), 0)
    elif text.startswith("{"):
        try:
            found = loads(text)
        except (BadExtendedJson, ValueError):
            found = None
        moment = found if isinstance(found, Timestamp) and found.time else None
    else:
        try:
            instant = datetime.fromisoformat(text)
            in_utc = instant.astimezone(UTC) if instant.tzinfo else instant
            moment = in_utc.replace(tzinfo=None)
        except (ValueError, OverflowError):
            moment = None
        if moment is not None and moment.year < _FIRST_YEAR:
            moment = None
    if moment is None:
        draft.miss(name, "it names no moment that a stream can begin at", "give a date")
    else:
        draft.take(name, f"{_SOURCE}.config.startAtOperationTime")
    return moment


def _emit(draft: Draft, database: str, collection: str, *, only_documents: bool) -> Document:
    config: Document = _key(draft, only_documents=only_documents)
    registry = _value(draft, config)
    if draft.text("publish.full.document.only.tombstone.on.delete") == "true" and only_documents:
        config["tombstoneWhen"] = {"$eq": [{"$meta": "stream.source.operationType"}, "delete"]}
        draft.take("publish.full.document.only.tombstone.on.delete", "$emit.config.tombstoneWhen")
    else:
        draft.miss(
            "publish.full.document.only.tombstone.on.delete",
            "it has no effect without publish.full.document.only",
            "nothing",
        )
    compression = endpoints.client_setting(
        draft, "producer", "compression.type", "$emit.config.compression_type"
    )
    if compression in _COMPRESSIONS:
        config["compression_type"] = compression
    acks = endpoints.client_setting(draft, "producer", "acks", "$emit.config.acks")
    if acks in ("all", "-1", "0", "1"):
        config["acks"] = acks
    emit: Document = {
        "connectionName": draft.names.kafka,
        "topic": topic_of(draft, database, collection),
    }
    if registry:
        emit["schemaRegistry"] = registry
    return {**emit, "config": config}


def _key(draft: Draft, *, only_documents: bool) -> Document:
    """Keys are the document's key; the connector's JSON keys look alike."""
    form = draft.take("output.format.key", "$emit.config.keyFormat", "json")
    confluent = draft.take("output.key.format", "$emit.config.keyFormat", "STRING").upper()
    if form != "json" or confluent not in ("STRING", "JSON"):
        for name in ("output.format.key", "output.key.format"):
            draft.miss(name, "keys are JSON, text or numbers", "read the key as JSON: {_id: …}")
    if not draft.flag("change.stream.document.key.as.key", "$emit.config.key", default=True):
        draft.miss(
            "change.stream.document.key.as.key",
            "the resume token is no key here: the document's key is",
            "nothing, as keys by document keep the order of each document's changes",
        )
    draft.take("key.converter", "$emit.config.keyFormat")
    draft.take("key.converter.schemas.enable", "$emit.config.keyFormat")
    key: Any = {"_id": {"$meta": "stream.source.documentKey._id"}}
    if only_documents:
        key = {"_id": "$_id"}
    return {"key": key, "keyFormat": "json"}


def _value(draft: Draft, config: Document) -> Document | None:
    """Format of values; the `schemaRegistry` of `$emit` when they are Avro."""
    form = draft.take("output.format.value", "$emit.config.outputFormat", "json").lower()
    confluent = draft.take("output.data.format", "$emit.config.outputFormat").upper()
    converter = draft.kind("value.converter", "StringConverter")
    draft.take("value.converter", "$emit.config.outputFormat")
    draft.take("value.converter.schemas.enable", "$emit.config.outputFormat")
    if confluent in ("AVRO",) or (form == "schema" and "AvroConverter" in _class(draft)):
        return _avro(draft)
    formatter = draft.kind("output.json.formatter", "DefaultJson")
    draft.take("output.json.formatter", "$emit.config.outputFormat")
    if formatter == "ExtendedJson":
        config["outputFormat"] = "canonicalJson"
    elif formatter == "SimplifiedJson":
        config |= {"outputFormat": "basicJson", "dateFormat": "ISO8601"}
    elif formatter == "DefaultJson":
        config["outputFormat"] = "relaxedJson"
        draft.note(
            "value format",
            "DefaultJson wrote dates as {$date: <ms>} and longs as {$numberLong: …}; relaxed "
            "Extended JSON writes {$date: <ISO 8601>} and plain numbers.",
        )
    else:
        draft.miss("output.json.formatter", "Java classes cannot be used", "choose outputFormat")
    is_json = form == "json" and confluent in ("", "JSON", "STRING")
    if not is_json or converter in ("ByteArrayConverter",):
        for name in ("output.format.value", "output.data.format"):
            draft.miss(name, "values are JSON or Avro", "read JSON, or give an Avro schema")
    return None


def _class(draft: Draft) -> str:
    return draft.text("value.converter").rpartition(".")[2]


def _avro(draft: Draft) -> Document | None:
    schema = draft.parsed("output.schema.value")
    name = endpoints.registry(draft, "value")
    if not isinstance(schema, dict):
        draft.miss("output.schema.value", "an Avro schema is an object", "give the schema")
        draft.to_fill_in.append(
            {"path": "$emit.schemaRegistry.valueSchema.schema", "what": "the Avro schema of values"}
        )
        record = {"type": "record", "name": "Value", "fields": [{"name": "_id", "type": "string"}]}
        schema = record
    else:
        draft.take("output.schema.value", "$emit.schemaRegistry.valueSchema.schema")
    return {"connectionName": name, "valueSchema": {"type": "avro", "schema": schema}}


def _topic(draft: Draft, topic: Any) -> None:
    """What is to be known of the topics, which no processor creates with settings of its own."""
    entry: Document = {"topic": topic, "role": "output"}
    for name, became in (
        ("topic.creation.default.partitions", "partitions"),
        ("topic.creation.default.replication.factor", "replication_factor"),
    ):
        count = draft.number(name, f"topics.{became}")
        if count is not None and count > 0:
            entry[became] = count
    draft.take("topic.creation.enable", "topics")
    draft.topics.append(entry)


def _errors(draft: Draft, database: str) -> None:
    """Tolerated errors: a dead letter queue in the cluster."""
    endpoints.dead_letters(draft, database or _PLACEHOLDER_DB)
    if draft.number("tasks.max", "one processor") not in (None, 0, 1):
        draft.miss("tasks.max", "one processor reads one change stream", "nothing")


def _explain(draft: Draft) -> None:
    draft.note(
        "delivery",
        "At least once, as the connector: after a failure events may come again. Order is kept per "
        "document, by its key.",
    )
    if draft.has("transforms"):
        draft.miss(
            "transforms",
            "the connector's values are text to a transform; here they are documents",
            "write the transforms as stages between $source and $emit",
        )
