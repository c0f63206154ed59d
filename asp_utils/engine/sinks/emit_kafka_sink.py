"""`$emit` into topics of an Apache Kafka broker.

Records are sent as documents come; a checkpoint waits until all of them are delivered. Keys and
headers that are missing or null, or do not fit their format, send the document to the dead letter
queue, and so does a topic that no record can have.

Source: Atlas page "$emit", "Apache Kafka Broker"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import Int64

from asp_utils.engine.computed import Computed
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.hidden import visible
from asp_utils.engine.kafka.producer import KafkaProducer
from asp_utils.engine.kafka.records import (
    Refusal,
    is_tombstone,
    is_topic,
    record_headers,
    record_key,
)
from asp_utils.engine.sinks import MAX_SHOWN_TARGETS, MAX_TARGETS, Rejected, Sink
from asp_utils.engine.sinks.emit_kafka_options import KafkaEmitOptions, computed_values
from asp_utils.engine.sinks.emit_kafka_values import AvroValues, JsonValues
from asp_utils.pipeline.grammar import is_expression
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks.emit_kafka_values import Values

    Document = dict[str, Any]


class KafkaEmitSink(Sink):
    """Sends every document as a record."""

    operator_name = "KafkaEmitOperator"

    def __init__(
        self,
        options: KafkaEmitOptions,
        surroundings: Surroundings,
        producer: KafkaProducer,
        values: Values,
    ) -> None:
        given = computed_values(options)
        self._key_format = options.config.key_format if "key" in given else None
        self._has_headers = "headers" in given
        self._has_tombstones = "tombstoneWhen" in given
        self._computed = Computed(given, self.operator_name, surroundings.evaluator)
        self._constants = given
        self._is_plain = self._computed.is_constant and set(given) == {"topic"}
        self._producer = producer
        self._values = values
        self._sent: dict[str, list[int]] = {}
        self._number = 0

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Send a batch; gives what could not be sent, and what earlier was not taken.

        Raises:
            ProcessorFailed: 419: the broker does not take records; 424: too many topics.
        """
        first = self._number
        if self._is_plain:
            rejected = self._write_values(documents, first)
        else:
            rejected = self._write_computed(documents, variables, first)
        self._number = first + len(documents)
        return rejected + self._refused(self._producer.poll(), first)

    def poll(self) -> list[Rejected]:
        """Hear what became of records that were sent; see `Sink.poll`."""
        return self._refused(self._producer.poll(), self._number)

    def flush(self) -> list[Rejected]:
        """Wait until everything is delivered; see `Sink.flush`."""
        return self._refused(self._producer.flush(), self._number)

    def finish(self) -> list[Rejected]:
        """Wait until everything is delivered; see `Sink.finish`."""
        return self.flush()

    def stats(self) -> Document:
        """The topics written to: how many records each took and their bytes, keys included."""
        most = sorted(self._sent.items(), key=lambda item: -item[1][0])[:MAX_SHOWN_TARGETS]
        return {
            "targetStats": [
                {
                    "topic": topic,
                    "outputMessageCount": Int64(count),
                    "outputMessageSize": Int64(size_bytes),
                }
                for topic, (count, size_bytes) in most
            ]
        }

    def close(self) -> None:
        """Drop what is not delivered, and the connections."""
        self._producer.close()
        self._values.close()

    def _write_values(self, documents: Sequence[Document], first: int) -> list[Rejected]:
        """Send a batch to the one topic, without key or headers: the quickest way."""
        rejected = []
        topic: str = self._constants["topic"]
        encode, send, size_bytes = self._values.encode, self._producer.send, 0
        for number, document in enumerate(documents, first):
            try:
                value = encode(visible(document), self._constants)
            except ValueError as error:
                rejected.append(Rejected(document, f"$emit: {error}", number - first))
                continue
            send(topic, value, None, None, _kept(document), number)
            size_bytes += len(value)
        counts = self._sent.get(topic) or self._new_target(topic)
        counts[0] += len(documents) - len(rejected)
        counts[1] += size_bytes
        return rejected

    def _write_computed(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None, first: int
    ) -> list[Rejected]:
        """Send a batch by what is computed for each document."""
        values, failures = self._computed.values(documents, variables)
        rejected = [Rejected(documents[f.index], f.reason, f.index) for f in failures]
        for index, (document, found) in enumerate(zip(documents, values, strict=True)):
            if found is None:
                continue
            try:
                self._send(document, found, first + index)
            except ValueError as error:
                rejected.append(Rejected(document, f"$emit: {error}", index))
        return rejected

    def _send(self, document: Document, found: Document, number: int) -> None:
        """Send the record of one document; a ValueError says why there is none."""
        topic: Any = found.get("topic")
        counts = self._sent.get(topic) if isinstance(topic, str) else None
        if counts is None:
            counts = self._new_target(topic)
        value = key = headers = None
        if not (self._has_tombstones and is_tombstone(found.get("tombstoneWhen"))):
            value = self._values.encode(visible(document), found)
        if self._key_format is not None:
            key = record_key(found.get("key"), self._key_format)
        if self._has_headers:
            headers = record_headers(found.get("headers"))
        self._producer.send(topic, value, key, headers, _kept(document), number)
        counts[0] += 1
        counts[1] += len(value or b"") + len(key or b"")

    def _new_target(self, topic: Any) -> list[int]:
        if not is_topic(topic):
            raise ValueError(f"topic gave no name of a topic but {topic!r:.60}")
        if len(self._sent) >= MAX_TARGETS:
            message = f"$emit: more than {MAX_TARGETS} different topics"
            raise ProcessorFailed(424, message, retryable=False)
        counts = self._sent[topic] = [0, 0]
        return counts

    def _refused(self, refusals: Sequence[Refusal], first: int) -> list[Rejected]:
        """The documents of records that were not delivered, in the batch that begins at `first`."""
        rejected = []
        for record, reason in refusals:
            counts = self._sent[record.topic]
            counts[0] -= 1
            counts[1] -= record.size_bytes
            index = record.number - first if record.number >= first else -1
            rejected.append(Rejected(record.document, f"$emit: {reason}", index))
        return rejected


def _kept(document: Document) -> Document:
    """The document as a dead letter may need it later: its metadata is taken away when written."""
    return {**document} if METADATA_FIELD in document else document


def open_kafka_emit(options: KafkaEmitOptions, surroundings: Surroundings) -> KafkaEmitSink:
    """The sink; the broker must answer.

    Raises:
        ProcessorFailed: 419: it does not; 420: the connection's settings cannot be used.
    """
    connection = surroundings.connections[options.connection_name]
    topic = None if is_expression(options.topic) else str(options.topic)
    config = options.config
    producer = KafkaProducer(connection, config.acks, config.compression_type, topic)
    return KafkaEmitSink(options, surroundings, producer, _values(options, surroundings))


def _values(options: KafkaEmitOptions, surroundings: Surroundings) -> Values:
    registry, connections = options.schema_registry, surroundings.connections
    if registry is None:
        return JsonValues(options.config)
    from asp_utils.engine.formats.avro import open_registry

    client = open_registry(
        connections[registry.connection_name], connections[options.connection_name]
    )
    return AvroValues(registry, client, surroundings.clock)
