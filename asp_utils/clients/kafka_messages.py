"""Records over Kafka's own protocol: written with a receipt for each, read without a group."""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from asp_utils.clients.kafka import consumer_settings, producer_settings
from asp_utils.clients.kafka_calls import Trouble, kafka_error, made

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from threading import Event

    from confluent_kafka import KafkaError, Message

    from asp_utils.clients.kafka_positions import Bounds
    from asp_utils.clients.kafka_topics import Delivery, OutgoingRecord

_OURS: Final = frozenset(
    ("acks", "delivery.timeout.ms", "enable.idempotence", "max.in.flight.requests.per.connection",
     "message.max.bytes", "retries", "transactional.id")
)  # fmt: skip
"""Settings of a producer that a connection may have, and that have no say here."""
_MAX_RECORD_BYTES: Final = 100_000_000
_MAX_BATCH_BYTES: Final = 1_000_000
_BATCH_FRAME_BYTES: Final = 128
_NO_PRODUCER_ID: Final = "CLUSTER_AUTHORIZATION_FAILED"
"""A client that may write to no topic gets no id, which is asked for first."""
_SLICE_S: Final = 0.1
_AT_ONCE: Final = 500
_PROBE_S: Final = 1.0
_PASSED_OVER: Final = frozenset(("_PARTITION_EOF", "GROUP_AUTHORIZATION_FAILED"))
"""The client looks for its group's coordinator, which nothing here needs."""
_WIDER: Final = 4


def send(
    connection: Mapping[str, Any],
    topic: str,
    records: Iterable[OutgoingRecord],
    delivery: Delivery,
    timeout_s: float,
    topic_limit_bytes: int,
) -> None:
    """Write records by an idempotent producer, until one fails or there are no more.

    Args:
        connection: A Kafka connection, with the fields that Atlas has for one.
        topic: Name of the topic, which must exist: brokers may create it otherwise.
        records: What to write.
        delivery: Is told what came of each.
        timeout_s: How long each may take to be confirmed by all replicas that are in sync.
        topic_limit_bytes: `max.message.bytes` of the topic; 0 when it is not known.
    """
    trouble = Trouble(str(connection["bootstrapServers"]))
    settings = {k: v for k, v in producer_settings(connection).items() if k not in _OURS}
    # A batch that is too large would be refused whole, with the records that are not.
    limit = (topic_limit_bytes or _MAX_BATCH_BYTES) - _BATCH_FRAME_BYTES
    settings.setdefault("linger.ms", 5)
    settings |= {
        "enable.idempotence": True,
        "message.timeout.ms": max(10, round(timeout_s * 1000)),
        "message.max.bytes": _MAX_RECORD_BYTES,
        "batch.size": max(1, min(limit, _MAX_BATCH_BYTES)),
        **trouble.settings,
    }
    producer: Producer = made(Producer, settings)
    sending = _Sending(producer, topic, delivery, trouble)
    # Else the client waits half a second before it asks again for its id, which no broker gave yet.
    with suppress(KafkaException):
        producer.list_topics(topic, timeout=_PROBE_S)
    try:
        for record in records:
            sending.send(record)
            if delivery.failure is not None:
                break
        sending.finish()
    finally:
        # After a signal, or a fault of the client as a whole: what is still here goes nowhere.
        producer.purge(blocking=False)
        producer.poll(_SLICE_S if len(producer) else 0)


class _Sending:
    """Records on their way."""

    def __init__(
        self, producer: Producer, topic: str, delivery: Delivery, trouble: Trouble
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._delivery = delivery
        self._trouble = trouble
        self._fatal: KafkaError | None = None

    def send(self, record: OutgoingRecord) -> None:
        """Queue a record; waits while the queue is full."""
        given: dict[str, Any] = {}
        if record.partition is not None:
            given["partition"] = record.partition
        if record.timestamp_ms is not None:
            given["timestamp"] = record.timestamp_ms
        if record.headers:
            given["headers"] = record.headers
        report = partial(self._reported, record.number, record.size_bytes)
        while True:
            try:
                self._producer.produce(
                    self._topic, value=record.value, key=record.key, on_delivery=report, **given
                )
            except BufferError:
                self._producer.poll(_SLICE_S)
                continue
            except KafkaException as error:
                self._fail(record.number, error.args[0])
            break
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait until all records are confirmed, or are not."""
        try:
            while self._producer.flush(_SLICE_S):
                pass
        except KafkaException as error:
            # The client can write no more; the records that wait for it are told so when purged.
            self._fatal = error.args[0]

    def _reported(
        self, number: int, size_bytes: int, error: KafkaError | None, message: Message
    ) -> None:
        """Called by librdkafka for each record."""
        if error is None:
            self._delivery.confirm(message.partition() or 0, message.offset() or 0, size_bytes)
        else:
            self._fail(number, error)

    def _fail(self, number: int, error: KafkaError) -> None:
        what = f"topic {self._topic!r}"
        failure = kafka_error(self._fatal or error, what, self._trouble, "$.topic")
        if failure.details.get("kafkaError") == _NO_PRODUCER_ID:
            failure.hint = "this user needs the ACL WRITE on the topic"
        self._delivery.fail(number, failure)


class MessageReader:
    """Reads partitions of one topic that it assigns itself; commits nothing. Close it.

    Args:
        connection: A Kafka connection, with the fields that Atlas has for one.
        topic: Name of the topic.
        timeout_s: How long brokers may be away.
        cancelled: Set when reading is to end.

    Raises:
        ConfigInvalid: librdkafka cannot use these settings.
    """

    def __init__(
        self, connection: Mapping[str, Any], topic: str, timeout_s: float, cancelled: Event
    ) -> None:
        self._cancelled = cancelled
        self._topic = topic
        self._timeout_s = timeout_s
        self._trouble = Trouble(str(connection["bootstrapServers"]))
        settings = {
            **consumer_settings(connection),
            # The client demands a group; one that never commits is never seen by a broker.
            "group.id": f"asp-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "fetch.queue.backoff.ms": 10,
            **self._trouble.settings,
        }
        settings.setdefault("client.id", "asp-toolkit")
        self._consumer: Consumer = made(Consumer, settings)
        self._heard_s = float("-inf")
        self.next_offsets: dict[int, int] = {}
        """By partition, the offset after the last record that was handed on."""

    def read(
        self,
        starts: Mapping[int, int],
        ends: Mapping[int, int] | None = None,
        max_seconds: float | None = None,
    ) -> Generator[Message, None, None]:
        """Records from those offsets on, each partition in order.

        Args:
            starts: By partition, the offset to begin with; other partitions are not read.
            ends: By partition, the offset before which to stop; without any more is waited for.
            max_seconds: How long to read at most.

        Raises:
            Unreachable: No broker answers for longer than `timeout_s`.
            PermissionDenied: This user may not read the topic.
        """
        self.next_offsets = dict(starts)
        left = {n for n, offset in starts.items() if ends is None or offset < ends.get(n, 0)}
        self._consumer.assign([TopicPartition(self._topic, n, starts[n]) for n in sorted(left)])
        for message in self._arriving(left, ends, max_seconds):
            yield message
            self.next_offsets[message.partition() or 0] = (message.offset() or 0) + 1

    def tail(self, count: int, around: Bounds, max_seconds: float | None) -> list[Message]:
        """The last records over all partitions, by time.

        Args:
            count: How many.
            around: Beginning and end of each partition.
            max_seconds: How long to read at most; what came by then is given.
        """
        ends = {number: high for number, (_, high) in around.items()}
        newest: dict[int, deque[Message]] = {}
        span, missing = count, set(ends)
        # Markers of transactions and compaction leave gaps: look further back where few came.
        deadline_s = time.monotonic() + (max_seconds or float("inf"))
        while missing and time.monotonic() < deadline_s:
            starts = {n: max(around[n][0], ends[n] - span) for n in missing}
            newest |= {number: deque(maxlen=count) for number in missing}
            for message in self.read(starts, ends, deadline_s - time.monotonic()):
                newest[message.partition() or 0].append(message)
            missing = {n for n in missing if len(newest[n]) < count and starts[n] > around[n][0]}
            span *= _WIDER
        found = sorted(
            (message for messages in newest.values() for message in messages),
            key=lambda it: (it.timestamp()[1], it.partition() or 0, it.offset() or 0),
        )
        return found[-count:]

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _arriving(
        self, left: set[int], ends: Mapping[int, int] | None, max_seconds: float | None
    ) -> Generator[Message, None, None]:
        """Records as they come, until the partitions in `left` are read or the time is up."""
        deadline_s = time.monotonic() + (max_seconds or float("inf"))
        while left and not self._cancelled.is_set():
            wait_s = min(_SLICE_S, deadline_s - time.monotonic())
            if wait_s <= 0:
                return
            messages = self._consumer.consume(_AT_ONCE, 0)
            if not messages:
                first = self._consumer.poll(wait_s)
                messages = [first] if first is not None else []
            if messages:
                self._heard_s = time.monotonic()
            else:
                self._look_after_brokers()
            for message in messages:
                if self._is_record(message, left, ends):
                    yield message

    def _is_record(self, message: Message, left: set[int], ends: Mapping[int, int] | None) -> bool:
        """Whether it is one to hand on; partitions that it ends are taken out of `left`."""
        error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
        if error is not None and error.name() not in _PASSED_OVER:
            raise kafka_error(error, f"topic {self._topic!r}", self._trouble, "$.topic")
        end = None if ends is None else ends.get(number)
        if error is not None:
            if end is not None and error.name() == "_PARTITION_EOF":
                left.discard(number)
            return False
        if end is not None and offset + 1 >= end:
            left.discard(number)
        return end is None or offset < end

    def _look_after_brokers(self) -> None:
        """Tell an idle topic from brokers that are away; what they sent before still comes."""
        self._trouble.raise_if_hopeless(grace_s=float("inf"))
        down_since_s = self._trouble.down_since_s
        if down_since_s is None:
            return
        if time.monotonic() - max(down_since_s, self._heard_s) < self._timeout_s:
            return
        try:
            self._consumer.list_topics(self._topic, timeout=_PROBE_S)
        except KafkaException as error:
            raise self._trouble.unreachable() from error
        self._trouble.clear()
