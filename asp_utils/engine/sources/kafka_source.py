"""`$source` from Kafka: all partitions of one or several topics.

A batch is decoded in one go; the key of a record only where something asks for it or it may fail.
A record without a value (a tombstone) is no document and goes to the dead letter queue. The
position holds the next offset of every partition, `{topic: {partition: offset}}`.

Source: Atlas page "$source", section "Kafka"; asp-reference.md 2.3, 2.13, 3.2.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

from bson import Int64

from asp_utils.engine.batch import Batch, Source, Unreadable
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.formats.json_input import decode_each, decode_json
from asp_utils.engine.formats.keys import decode_key
from asp_utils.engine.kafka.consumer import Group, KafkaConsumer
from asp_utils.engine.sizes import documents_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from confluent_kafka import Message

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.kafka.consumer import Partition, Records
    from asp_utils.engine.sources.kafka_options import KafkaConfig, KafkaOptions

    Document = dict[str, Any]
    Decode = Callable[[Sequence[bytes | None]], tuple[list[Document], dict[int, str]]]

_MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
_MAYBE_TOO_LARGE_BYTES: Final = 2 * 1024 * 1024
"""JSON grows seven times at most when it becomes BSON (arrays of digits do)."""
_SOURCE_TOO_LARGE: Final = 423
_AS_IT_IS: Final = object()


class KafkaSource(Source):
    """Records in the order of their partitions; the position is the next offset of each."""

    operator_name = "KafkaConsumerOperator"
    source_type = "kafka"

    def __init__(
        self,
        options: KafkaOptions,
        surroundings: Surroundings,
        consumer: KafkaConsumer,
        decode: Decode,
        position: Document | None,
        held: ExitStack,
    ) -> None:
        timeout = options.partition_idle_timeout
        self.partition_idle_timeout_ms = timeout.ms if timeout else None
        self._consumer = consumer
        self._held = held
        self._clock = surroundings.clock
        self._decode = decode
        self._config = options.config
        self._next: dict[Partition, int] = {}
        """The next offset of every partition."""
        self._heard_ms: dict[Partition, int] = {}
        """When each partition last gave a record."""
        self._names: dict[Partition, str] = {}
        self._checkpointed = _offsets_in(position or {})
        self._told: dict[Partition, int] = {}
        """What the consumer group was told."""
        self._take_up(consumer.open(position))

    @property
    def partitions(self) -> Sequence[str]:
        """All partitions, as `topic-number`."""
        return list(self._names.values())

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The records that have come; waits for the first one only.

        Raises:
            ProcessorFailed: Brokers are away or refuse, or a record is too large for a document.
        """
        self._take_up(self._consumer.new_partitions(self._next))
        records = self._consumer.read(max_documents, max_wait_ms)
        if records is None:
            return None
        batch = self._batch(records)
        self._consumer.handed_on(self._next)
        return batch

    def committed(self, position: Any) -> None:
        """Tell the consumer group how far the checkpoint is, unless it hears of it on reading."""
        self._checkpointed = _offsets_in(position)
        news = {p: n for p, n in self._checkpointed.items() if self._told.get(p) != n}
        self._consumer.checkpointed(news)
        self._told |= news

    def stats(self) -> Document:
        """`kafkaPartitions` and `kafkaTotalOffsetLag`; the lag is as of the last fetch."""
        shown = [self._partition_stats(p, n) for p, n in list(self._next.items())]
        total = sum(each["partitionOffsetLag"] for each in shown)
        return {"kafkaTotalOffsetLag": Int64(total), "kafkaPartitions": shown}

    def close(self) -> None:
        """Stop reading."""
        self._held.close()

    def _take_up(self, offsets: Mapping[Partition, int]) -> None:
        """Read more partitions, each from its offset."""
        now_ms = self._clock.now_ms()
        for partition, offset in offsets.items():
            self._names[partition] = f"{partition[0]}-{partition[1]}"
            self._heard_ms[partition] = now_ms
            self._next[partition] = offset
        if offsets:
            self.position = _position_of(self._next)

    def _batch(self, records: Records) -> Batch:
        now_ms = self._clock.now_ms()
        messages, payloads, times_ms = records.messages, records.payloads, records.times_ms
        documents, faults = self._decode(payloads)
        _refuse_too_large(payloads, documents)
        self._next |= records.ends
        self._heard_ms |= dict.fromkeys(records.ends, now_ms)
        self.position = _position_of(self._next)
        unreadable = {
            index: _unreadable(messages[index], _text(payloads[index]), fault)
            for index, fault in faults.items()
        }
        keys = self._keys(messages, documents, unreadable)
        if -1 in times_ms:
            times_ms = [now_ms if time_ms < 0 else time_ms for time_ms in times_ms]
        partitions = list(map(self._names.__getitem__, records.origins))
        kept: Sequence[int] = range(len(messages))
        if unreadable:
            kept = [index for index in kept if index not in unreadable]
            documents = [documents[index] for index in kept]
            times_ms = [times_ms[index] for index in kept]
            partitions = [partitions[index] for index in kept]
        return Batch(
            documents,
            times_ms,
            self.position,
            lambda index: _metadata(messages[kept[index]], keys.get(kept[index], _AS_IT_IS)),
            partitions,
            [unreadable[index] for index in sorted(unreadable)],
        )

    def _keys(
        self,
        messages: Sequence[Message],
        documents: Sequence[Document],
        unreadable: dict[int, Unreadable],
    ) -> dict[int, Any]:
        """The keys, by index, that are not to stay as they are; adds to what is unreadable."""
        keys: dict[int, Any] = {}
        key_format = self._config.key_format
        if key_format == "binData":
            return keys
        for index, message in enumerate(messages):
            try:
                keys[index] = decode_key(message.key(), key_format)
            except ValueError as error:
                if self._config.key_format_error == "dlq" and index not in unreadable:
                    reason = f"the key is no {key_format}: {error}"
                    unreadable[index] = _unreadable(message, documents[index], reason)
        return keys

    def _partition_stats(self, partition: Partition, next_offset: int) -> Document:
        end = self._consumer.end_offset(partition)
        silent_ms = self._clock.now_ms() - self._heard_ms[partition]
        timeout_ms = self.partition_idle_timeout_ms
        checkpointed = self._checkpointed.get(partition)
        return {
            "topic": partition[0],
            "partition": partition[1],
            "currentOffset": Int64(next_offset),
            "checkpointOffset": None if checkpointed is None else Int64(checkpointed),
            "isIdle": timeout_ms is not None and silent_ms >= timeout_ms,
            "partitionOffsetLag": Int64(0 if end is None else max(0, end - next_offset)),
        }


def open_kafka(
    options: KafkaOptions, surroundings: Surroundings, position: Document | None
) -> KafkaSource:
    """The source, at `position` or where its options say.

    Raises:
        ProcessorFailed: No broker answers, a topic does not exist, or settings are wrong.
    """
    connection = surroundings.connections[options.connection_name]
    topics = [options.topic] if isinstance(options.topic, str) else options.topic
    consumer = KafkaConsumer(
        connection,
        list(dict.fromkeys(topics)),
        _group(options.config, connection, surroundings),
        options.config.auto_offset_reset,
        surroundings,
    )
    held = ExitStack()
    held.callback(consumer.close)
    try:
        decode = _decoder(options, surroundings, held)
        return KafkaSource(options, surroundings, consumer, decode, position, held)
    except ProcessorFailed:
        held.close()
        raise


def _group(config: KafkaConfig, connection: Mapping[str, Any], surroundings: Surroundings) -> Group:
    """The consumer group: the one named, else a lasting processor's own, else none."""
    named = config.group_id or (connection.get("config") or {}).get("group.id")
    start = surroundings.start_options
    lasting = "processorId" in start and start.get("mode") != "process"
    name = named or (f"asp-{start['processorId']}-consumer" if lasting else None)
    return Group(name, config.enable_auto_commit is not False, bool(named))


def _decoder(options: KafkaOptions, surroundings: Surroundings, held: ExitStack) -> Decode:
    """How payloads become documents; what that needs is closed with `held`."""
    if options.schema_registry is None:
        return decode_json
    from asp_utils.engine.formats.avro import AvroDecoder

    connections = surroundings.connections
    registry = connections[options.schema_registry.connection_name]
    avro = AvroDecoder(registry, connections[options.connection_name])
    held.callback(avro.close)
    return lambda payloads: decode_each(payloads, avro.decode)


def _refuse_too_large(payloads: Sequence[bytes | None], documents: Sequence[Document]) -> None:
    """Fail for a document that no MongoDB holds; only large payloads are looked at."""
    if max(map(len, filter(None, payloads)), default=0) < _MAYBE_TOO_LARGE_BYTES:
        return
    for document in documents:
        size_bytes = documents_bytes([document])
        if size_bytes > _MAX_DOCUMENT_BYTES:
            message = f"a record gives a document of {size_bytes} bytes; 16 MB is the limit"
            raise ProcessorFailed(_SOURCE_TOO_LARGE, message, retryable=False)


def _position_of(offsets: Mapping[Partition, int]) -> Document:
    position: Document = {}
    for (topic, number), offset in offsets.items():
        position.setdefault(topic, {})[str(number)] = offset
    return position


def _offsets_in(position: Mapping[str, Mapping[str, int]]) -> dict[Partition, int]:
    return {
        (topic, int(number)): offset
        for topic, offsets in position.items()
        for number, offset in offsets.items()
    }


def _unreadable(message: Message, document: Any, reason: str) -> Unreadable:
    return Unreadable(document, reason, _metadata(message, _AS_IT_IS))


def _metadata(message: Message, key: Any) -> Document:
    """The `stream.source` metadata of a record, with a decoded key or its bytes `_AS_IT_IS`."""
    raw = message.key()
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": Int64(message.offset() or 0),
        **({} if raw is None else {"key": raw if key is _AS_IT_IS else key}),
        "headers": [{"k": name, "v": value} for name, value in headers],
    }


def _text(payload: bytes | None) -> str | bytes | None:
    """A payload as a dead letter shows it."""
    try:
        return None if payload is None else payload.decode()
    except UnicodeDecodeError:
        return payload
