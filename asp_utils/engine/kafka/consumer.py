"""The consumer behind a Kafka source: partitions assigned by hand, every offset known.

The engine's checkpoint says where to go on; a consumer group is only told how far we are. What
goes wrong in librdkafka becomes a `ProcessorFailed` here.

Source: Atlas page "$source", section "Kafka"; asp-reference.md 1.10, 2.3, 3.4.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from asp_utils.clients.kafka import consumer_settings, reason
from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.context import Surroundings

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

METADATA_INTERVAL_MS: Final = 10_000
"""How often new partitions are looked for."""
SILENCE_LIMIT_MS: Final = 30_000
"""How long all brokers may be away before the processor fails, and is started again."""
_OPENING_ATTEMPTS: Final = 10
_ANSWER_S: Final = 1.0
_OFFSETS_S: Final = 10.0
_BOUNDS_ATTEMPTS: Final = 25
_PAUSE_S: Final = 0.2
_CONNECTION_ERROR: Final = 419
_INVALID_OPTIONS: Final = 420
_SETTINGS: Final = {
    "enable.auto.offset.store": False,
    # After its queue was full librdkafka waits a whole second by default: five times slower.
    "fetch.queue.backoff.ms": 10,
    "reconnect.backoff.max.ms": 1000,
}


@dataclass(frozen=True)
class Records:
    """Some records, column by column: that is how they are read fastest."""

    messages: list[Message]
    origins: list[Partition]
    """The partition of each."""
    payloads: list[bytes | None]
    times_ms: list[int]
    """Their timestamps; -1 for a record of the oldest format, which has none."""
    ends: dict[Partition, int]
    """The offset behind the last record of each partition that is among them."""


@dataclass(frozen=True)
class Group:
    """The consumer group that is told how far the processor is."""

    name: str | None
    """None: no group is told anything."""
    commits_on_read: bool
    """Commit as records are handed on (every few seconds), not at checkpoints."""
    is_given: bool
    """A user named it: where nothing else says so, reading begins at its committed offsets."""


class KafkaConsumer:
    """Reads all partitions of some topics, new ones too.

    Raises:
        ProcessorFailed: From every method: 420 for settings that Kafka's client refuses, 419 for
            everything that brokers refuse, or when they do not answer.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        topics: Sequence[str],
        group: Group,
        reset: str | None,
        surroundings: Surroundings,
    ) -> None:
        self._topics = topics
        self._group = group
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        self._last_error = ""
        self._fatal: KafkaError | None = None
        settings = consumer_settings(connection)
        self._from_beginning = _is_beginning(reset or settings.get("auto.offset.reset", "latest"))
        settings |= {
            **_SETTINGS,
            # The client demands a group; one that never commits is never seen by a broker.
            "group.id": group.name or f"asp-{uuid.uuid4().hex}",
            "enable.auto.commit": group.commits_on_read and group.name is not None,
            "auto.offset.reset": "earliest" if self._from_beginning else "latest",
            "error_cb": self._hear,
        }
        settings.setdefault("client.id", f"asp-{surroundings.processor_name}")
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise ProcessorFailed(
                _INVALID_OPTIONS, f"the Kafka connection: {reason(error)}", retryable=False
            ) from error
        self._last_answer_ms = self._clock.now_ms()
        self._next_look_ms = self._last_answer_ms + METADATA_INTERVAL_MS

    def open(self, position: Mapping[str, Mapping[str, int]] | None) -> dict[Partition, int]:
        """Begin to read; the offset from which each partition is read.

        A partition that `position` does not know begins where its group stands, if a user named
        the group, else at the beginning or end of the topic.
        """
        found = self._partitions_when_reachable()
        known = {
            (topic, int(number)): offset
            for topic, offsets in (position or {}).items()
            for number, offset in offsets.items()
        }
        offsets = {partition: known[partition] for partition in found if partition in known}
        left = [partition for partition in found if partition not in known]
        if position is None and self._group.is_given:
            offsets |= self._committed(left)
        offsets |= self._reset([partition for partition in left if partition not in offsets])
        self._consumer.assign(_list_of(offsets.items()))
        return dict(sorted(offsets.items()))

    def read(self, max_messages: int, max_wait_ms: int) -> Records | None:
        """The next records; waits for the first one only, and gives None when it does not come."""
        try:
            messages = self._consumer.consume(max_messages, 0)
            if not messages and max_wait_ms:
                first = self._consumer.poll(max_wait_ms / 1000)
                if first is not None:
                    messages = [first, *self._consumer.consume(max_messages - 1, 0)]
        except KafkaException as error:
            raise self._failed(error) from error
        if self._fatal is not None:
            raise self._failed(self._fatal)
        if any(map(Message.error, messages)):
            messages = self._without_errors(messages)
        return self._columns(messages) if messages else None

    def _columns(self, messages: list[Message]) -> Records:
        # Methods of C types, mapped: no line of Python runs for a single record.
        numbers: Any = map(Message.partition, messages)
        several = len(self._topics) > 1
        topics: Any = map(Message.topic, messages) if several else repeat(self._topics[0])
        origins: list[Partition] = list(zip(topics, numbers, strict=False))
        offsets: Any = map(Message.offset, messages)
        last: dict[Partition, int] = dict(zip(origins, offsets, strict=True))
        return Records(
            messages,
            origins,
            list(map(Message.value, messages)),
            [time_ms for _, time_ms in map(Message.timestamp, messages)],
            {partition: offset + 1 for partition, offset in last.items()},
        )

    def new_partitions(self, known: Mapping[Partition, int]) -> dict[Partition, int]:
        """Partitions that have come since, and the offset from which each is read from now on.

        Brokers are asked every few seconds only.
        """
        now_ms = self._clock.now_ms()
        if now_ms < self._next_look_ms:
            return {}
        self._next_look_ms = now_ms + METADATA_INTERVAL_MS
        try:
            found = self._partitions()
        except KafkaException as error:
            if now_ms - self._last_answer_ms > SILENCE_LIMIT_MS:
                raise self._failed(error) from error
            return {}
        self._last_answer_ms = now_ms
        offsets = self._reset([partition for partition in found if partition not in known])
        if offsets:
            self._consumer.incremental_assign(_list_of(offsets.items()))
        return offsets

    def handed_on(self, offsets: Mapping[Partition, int]) -> None:
        """Note how far records were handed on, for a group that is told so."""
        if self._group.commits_on_read and self._group.name is not None:
            self._consumer.store_offsets(offsets=_list_of(offsets.items()))

    def checkpointed(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group how far a checkpoint is, without waiting for the broker."""
        if self._group.name is not None and not self._group.commits_on_read and offsets:
            self._consumer.commit(offsets=_list_of(offsets.items()), asynchronous=True)

    def end_offset(self, partition: Partition) -> int | None:
        """The end of a partition as last heard; None when it is not known, or reading is over."""
        try:
            marks = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except (KafkaException, RuntimeError):  # RuntimeError: it is closed
            return None
        return marks[1] if marks and marks[1] >= 0 else None

    def close(self) -> None:
        """Stop reading; what the group was told last still goes out."""
        self._consumer.close()

    def _hear(self, error: KafkaError) -> None:
        """Keep what librdkafka says about its connections: it tries again by itself."""
        self._last_error = reason(error)
        if error.fatal() or error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - a constant
            self._fatal = error

    def _without_errors(self, messages: Sequence[Message]) -> list[Message]:
        for message in messages:
            error = message.error()
            if error is not None and not self._is_harmless(error):
                raise self._failed(error)
        return [message for message in messages if message.error() is None]

    def _is_harmless(self, error: KafkaError) -> bool:
        """A group may be forbidden when nothing is told to it."""
        return self._group.name is None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED

    def _partitions_when_reachable(self) -> list[Partition]:
        """All partitions; tries for some seconds, and gives up early when told to stop."""
        for _ in range(_OPENING_ATTEMPTS - 1):
            try:
                return self._partitions()
            except KafkaException:
                self._consumer.poll(0)  # lets the client tell what it knows
                if self._fatal is not None or self._stopping.is_set():
                    break
        try:
            return self._partitions()
        except KafkaException as error:
            self._consumer.poll(0)
            raise self._failed(self._fatal or error) from error

    def _partitions(self) -> list[Partition]:
        """All partitions of the topics, in order.

        Raises:
            KafkaException: No broker answered.
            ProcessorFailed: A topic has no partitions: it does not exist, or may not be seen.
        """
        found: list[Partition] = []
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic, timeout=_ANSWER_S).topics.get(topic)
            if metadata is None or not metadata.partitions:
                detail = f": {reason(metadata.error)}" if metadata and metadata.error else ""
                message = f"no partitions found for topic {topic!r}{detail}"
                raise ProcessorFailed(_CONNECTION_ERROR, message, retryable=True)
            found += [(topic, number) for number in sorted(metadata.partitions)]
        return found

    def _committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The group's committed offsets, where there are any."""
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            answers = self._consumer.committed(asked, timeout=_OFFSETS_S)
        except KafkaException as error:
            raise self._failed(error) from error
        return {(each.topic, each.partition): each.offset for each in answers if each.offset >= 0}

    def _reset(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The beginning or the end of partitions, as an offset that a checkpoint can hold."""
        end = 0 if self._from_beginning else 1
        return {partition: self._bounds(partition)[end] for partition in partitions}

    def _bounds(self, partition: Partition) -> tuple[int, int]:
        """The first offset of a partition and the one behind its last record."""
        asked, attempt = TopicPartition(*partition), 0
        while True:
            attempt += 1
            try:
                bounds = self._consumer.get_watermark_offsets(asked, timeout=_OFFSETS_S)
                if bounds is not None:
                    return bounds
                raise self._failed(f"no answer about {partition[0]}-{partition[1]}")
            except KafkaException as error:
                # A new partition may have no leader yet.
                if attempt == _BOUNDS_ATTEMPTS or self._stopping.wait(_PAUSE_S):
                    raise self._failed(error) from error

    def _failed(self, error: KafkaError | KafkaException | str) -> ProcessorFailed:
        said = error if isinstance(error, str) else reason(error)
        # A client that times out knows more than that, from its attempts to connect.
        more = f"; {self._last_error}" if self._last_error and self._last_error != said else ""
        return ProcessorFailed(_CONNECTION_ERROR, f"Kafka: {said}{more}", retryable=True)


def _is_beginning(reset: str) -> bool:
    return reset in ("earliest", "beginning", "smallest")


def _list_of(offsets: Iterable[tuple[Partition, int]]) -> list[TopicPartition]:
    return [TopicPartition(*partition, offset) for partition, offset in offsets]
