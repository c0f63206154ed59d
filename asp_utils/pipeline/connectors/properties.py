"""The documented properties of the MongoDB connectors, and why some have no counterpart.

Source: MongoDB Kafka Connector, pages "Source Connector Configuration Properties" and "Sink
Connector Configuration Properties" (v2.0); Confluent Cloud, pages "MongoDB Atlas Source Connector"
and "MongoDB Atlas Sink Connector"; Apache Kafka, "Kafka Connect Configs".
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Lost(NamedTuple):
    """Why a property has no counterpart, and what to do."""

    reason: str
    what_to_do: str


_NOTHING: Final = "nothing"
_RETRIES: Final = Lost("a stream processor retries by itself", _NOTHING)
_BATCHES: Final = Lost("a stream processor sizes its batches itself", _NOTHING)
_STABLE: Final = Lost("the service speaks the server's API as it needs", _NOTHING)
_LOGGED: Final = Lost("there are operational logs instead", "read them: cli_workspace_logs.py")
_HEARTBEAT: Final = Lost(
    "checkpoints keep the resume token fresh; no heartbeat is needed", _NOTHING
)
_STORES: Final = Lost("a Java key store cannot be used", "give PEM text in the connection")
_ENCRYPTION: Final = Lost(
    "there is no client-side field level encryption in a stream processor",
    "decrypt before the topic, or keep the connector",
)
_AUTHENTICATOR: Final = Lost(
    "Java classes cannot be used", "give the Cluster connection a database role instead"
)
_ACCOUNT: Final = Lost(
    "Confluent's own service account has no meaning outside it",
    "make an API key for it, and put that into KAFKA_API_KEY and KAFKA_API_SECRET",
)
_CONVERTER: Final = Lost("this shapes Confluent's converter only", _NOTHING)
_SCHEMA_KEY: Final = Lost("keys are not written with a schema", "choose a config.keyFormat")

LOST: Final[dict[str, Lost]] = {
    "max.num.retries": _RETRIES,
    "retries.defer.timeout": _RETRIES,
    "auto.restart.on.user.error": _RETRIES,
    "errors.retry.timeout": _RETRIES,
    "errors.retry.delay.max.ms": _RETRIES,
    "poll.max.batch.size": _BATCHES,
    "batch.size": _BATCHES,
    "producer.batch.size": _BATCHES,
    "max.poll.records": _BATCHES,
    "bulk.write.ordered": Lost(
        "documents are written in order, and one that is refused goes to the dead letter queue",
        _NOTHING,
    ),
    "server.api.version": _STABLE,
    "server.api.deprecation.errors": _STABLE,
    "server.api.strict": _STABLE,
    "errors.log.enable": _LOGGED,
    "errors.log.include.messages": _LOGGED,
    "mongo.errors.log.enable": _LOGGED,
    "heartbeat.interval.ms": _HEARTBEAT,
    "heartbeat.topic.name": _HEARTBEAT,
    "connection.ssl.truststore": _STORES,
    "connection.ssl.truststorePassword": _STORES,
    "connection.ssl.keystore": _STORES,
    "connection.ssl.keystorePassword": _STORES,
    "csfle.enabled": _ENCRYPTION,
    "csfle.onFailure": _ENCRYPTION,
    "csfle.local.master.key": _ENCRYPTION,
    "csfle.key.vault.namespace": _ENCRYPTION,
    "csfle.schema.namespace": _ENCRYPTION,
    "csfle.schema": _ENCRYPTION,
    "csfle.mongocryptd.spawn.path": _ENCRYPTION,
    "csfle.crypt_shared.path": _ENCRYPTION,
    "csfle.kms.provider": _ENCRYPTION,
    "sr.service.account.id": _ENCRYPTION,
    "mongo.custom.auth.mechanism.enable": _AUTHENTICATOR,
    "mongo.custom.auth.mechanism.providerClass": _AUTHENTICATOR,
    "kafka.service.account.id": _ACCOUNT,
    "schema.context.name": Lost(
        "schema contexts are not known", "put the context into the registry's URL, `/contexts/NAME`"
    ),
    "offset.partition.name": Lost(
        "a stream processor keeps its position in its checkpoint",
        "to begin anew: cli_sp_start_stream_processor.py with resume_from_checkpoint false",
    ),
    "collation": Lost("a change stream source has no collation", "compare with $toLower"),
    "change.stream.show.expanded.events": Lost(
        "expanded events (createIndexes, modify, …) are not given", "do without them"
    ),
    "output.schema.key": _SCHEMA_KEY,
    "key.converter.schema.registry.url": _SCHEMA_KEY,
    "output.schema.infer.value": Lost(
        "a schema is not inferred document by document",
        "give the Avro schema in schemaRegistry.valueSchema.schema",
    ),
    "remove.field.on.schema.mismatch": Lost(
        "what does not fit the schema goes to the dead letter queue", "$project the fields wanted"
    ),
    "value.converter.decimal.format": _CONVERTER,
    "value.converter.value.subject.name.strategy": Lost(
        "how subjects are named is said in the pipeline",
        "schemaRegistry.valueSchema.options.subjectNameStrategy",
    ),
    "value.subject.name.strategy": Lost(
        "how subjects are named is said in the pipeline",
        "schemaRegistry.valueSchema.options.subjectNameStrategy",
    ),
    "startup.mode.copy.existing.queue.size": _BATCHES,
    "copy.existing.queue.size": _BATCHES,
    "startup.mode.copy.existing.allow.disk.use": Lost("copying needs no disk", _NOTHING),
    "copy.existing.allow.disk.use": Lost("copying needs no disk", _NOTHING),
    "errors.deadletterqueue.context.headers.enable": Lost(
        "a dead letter says why by itself: errInfo.reason, and the record's metadata", _NOTHING
    ),
    "errors.deadletterqueue.topic.replication.factor": Lost(
        "the dead letter queue is a collection, not a topic", _NOTHING
    ),
    "header.converter": Lost(
        "headers come as bytes, or as text where they are UTF-8", "convert them in the pipeline"
    ),
    "config.action.reload": Lost("there is no Connect worker", _NOTHING),
    "predicates": Lost("predicates of transforms are not translated", "write them as $match"),
    "exactly.once.support": Lost("delivery is at least once", "write idempotently"),
    "transaction.boundary": Lost("delivery is at least once", "write idempotently"),
    "transaction.boundary.interval.ms": Lost("delivery is at least once", "write idempotently"),
    "offsets.storage.topic": Lost("the position is in the processor's checkpoint", _NOTHING),
    "linger.ms": Lost("a record waits 5 ms at most", _NOTHING),
    "provider": Lost("it names the vendor of a distribution", _NOTHING),
    "max.poll.interval.ms": Lost("the processor's own consumer never waits that long", _NOTHING),
    "timeseries.timefield.auto.convert.locale.language.tag": Lost(
        "formats know no language", "use numbers for months"
    ),
    "field.renamer.regexp": Lost(
        "fields cannot be renamed by a regular expression", "name them: $set and $unset"
    ),
    "delete.writemodel.strategy": Lost(
        "a record without a value never reaches the pipeline", "send an explicit delete marker"
    ),
    "delete.on.null.values": Lost(
        "a record without a value (a tombstone) is no document: it goes to the dead letter queue",
        "let the producer send a value that says it is a deletion, and $merge with whenMatched "
        '{$cond: [<deleted>, "delete", "replace"]}',
    ),
}  # fmt: skip
"""What is never translated."""

COMMON: Final = frozenset(
    (
        "name", "connector.class", "tasks.max", "connection.uri", "database", "collection",
        "key.converter", "value.converter", "key.converter.schemas.enable",
        "value.converter.schemas.enable", "value.converter.schema.registry.url",
        "value.converter.schema.registry.basic.auth.user.info",
        "value.converter.basic.auth.user.info", "value.converter.basic.auth.credentials.source",
        "transforms", "errors.tolerance", "errors.deadletterqueue.topic.name",
        "mongo.errors.tolerance", "mongo.errors.deadletterqueue.topic.name",
        "connection.host", "connection.user", "connection.password", "kafka.auth.mode",
        "kafka.api.key", "kafka.api.secret", "kafka.endpoint",
    )
)  # fmt: skip
SOURCE: Final = COMMON | frozenset(
    (
        "topic.mapper", "topic.prefix", "topic.suffix", "topic.separator", "topic.namespace.map",
        "pipeline", "change.stream.full.document", "change.stream.full.document.before.change",
        "change.stream.document.key.as.key", "publish.full.document.only",
        "publish.full.document.only.tombstone.on.delete", "poll.await.time.ms",
        "output.format.key", "output.format.value", "output.json.formatter",
        "output.schema.value", "startup.mode", "startup.mode.timestamp.start.at.operation.time",
        "startup.mode.copy.existing.namespace.regex", "startup.mode.copy.existing.pipeline",
        "startup.mode.copy.existing.max.threads", "copy.existing",
        "copy.existing.namespace.regex", "copy.existing.pipeline", "copy.existing.max.threads",
        "output.data.format", "output.key.format", "output.json.format",
        "topic.creation.default.partitions", "topic.creation.default.replication.factor",
        "topic.creation.enable", "topic.creation.groups",
    )
)  # fmt: skip
SINK: Final = COMMON | frozenset(
    (
        "topics", "topics.regex", "namespace.mapper", "namespace.mapper.key.database.field",
        "namespace.mapper.key.collection.field", "namespace.mapper.value.database.field",
        "namespace.mapper.value.collection.field", "namespace.mapper.error.if.invalid",
        "post.processor.chain", "field.renamer.mapping", "key.projection.type",
        "key.projection.list", "value.projection.type", "value.projection.list",
        "document.id.strategy", "document.id.strategy.overwrite.existing",
        "document.id.strategy.uuid.format", "document.id.strategy.partial.key.projection.type",
        "document.id.strategy.partial.key.projection.list",
        "document.id.strategy.partial.value.projection.type",
        "document.id.strategy.partial.value.projection.list", "writemodel.strategy",
        "max.batch.size", "rate.limiting.timeout", "rate.limiting.every.n",
        "change.data.capture.handler", "timeseries.timefield", "timeseries.timefield.auto.convert",
        "timeseries.timefield.auto.convert.date.format", "timeseries.metafield",
        "timeseries.granularity", "timeseries.expire.after.seconds",
        "input.data.format", "input.key.format",
    )
)  # fmt: skip
ALIASES: Final[dict[str, str]] = {
    "doc.id.strategy": "document.id.strategy",
    "doc.id.strategy.overwrite.existing": "document.id.strategy.overwrite.existing",
    "write.strategy": "writemodel.strategy",
    "cdc.handler": "change.data.capture.handler",
    "ts.granularity": "timeseries.granularity",
    "namespace.mapper.class": "namespace.mapper",
    "output.json.format": "output.json.formatter",
}
"""Confluent Cloud's spelling to MongoDB's."""
KNOWN: Final = SOURCE | SINK | frozenset(LOST) | frozenset(ALIASES)
"""Every property that is documented, but for families such as `transforms.…`."""
FAMILIES: Final = (
    ("predicates.", LOST["predicates"]),
    ("topic.creation.", Lost("topics are made before the processor", "cli_topic_ensure.py")),
    ("value.converter.", _CONVERTER),
    ("key.converter.", _CONVERTER),
    ("admin.override.", Lost("the processor administers no broker", _NOTHING)),
    ("mongo.custom.auth.", _AUTHENTICATOR),
    ("csfle.", _ENCRYPTION),
    (
        "consumer.override.",
        Lost("Atlas lets this consumer setting not through", "do without it"),
    ),
    (
        "producer.override.",
        Lost("Atlas lets this producer setting not through", "do without it"),
    ),
    ("topic.override.", Lost("only collection and database differ by topic", "one processor each")),
    ("transforms.", Lost("this transform is not translated", "write it as stages")),
)
"""Beginnings of names, and why what begins so has no counterpart when nothing took it."""
