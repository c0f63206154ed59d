"""The producer behind a Kafka sink: what librdkafka reports of single records, and of itself.

Records are sent as they come, librdkafka gathers them for some milliseconds. It calls back only for
those that fail. A broker refuses whole batches, so those records are sent again in ever smaller
parts, down to the ones that are at fault; there the order of records is lost.

Source: Atlas page "$emit", "Apache Kafka Broker"; asp-reference.md 1.10, 2.12, 3.4.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException, Producer

from asp_utils.clients.kafka import producer_settings, reason
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.kafka.records import Document, Headers, Record, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import KafkaError, Message

_CONNECTION_ERROR: Final = 419
_INVALID_OPTIONS: Final = 420
_ANSWER_S: Final = 10.0
_WAIT_S: Final = 0.2
_DEFAULTS: Final[dict[str, Any]] = {
    "linger.ms": 5,
    "compression.type": "none",
    # librdkafka's own figures are five minutes and 1 GB: too long to wait where one watches, and
    # more than a processor of the smallest tier has.
    "delivery.timeout.ms": 30_000,
    "queue.buffering.max.kbytes": 64 * 1024,
    # How long a topic may be unknown: brokers create one in less.
    "topic.metadata.propagation.max.ms": 5000,
}
_AGAINST_IDEMPOTENCE: Final = frozenset(["max.in.flight.requests.per.connection", "retries"])
_OF_A_BATCH: Final = frozenset(
    [
        "INVALID_RECORD",
        "MSG_SIZE_TOO_LARGE",
        "RECORD_LIST_TOO_LARGE",
        "_INVALID_DIFFERENT_RECORD",
    ]
)
"""Names of errors that a whole batch gets for one of its records."""
_OF_A_RECORD: Final = _OF_A_BATCH | {"INVALID_MSG_SIZE", "INVALID_TIMESTAMP", "POLICY_VIOLATION"}
_NO_TOPIC: Final = frozenset(
    ["TOPIC_EXCEPTION", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"]
)
_DROPPED: Final = frozenset(["_PURGE_INFLIGHT", "_PURGE_QUEUE"])


class KafkaProducer:
    """Sends records to the brokers of one connection.

    Args:
        connection: The connection's registry entry.
        acks: How many brokers must have a record; None: as the connection says, else all.
        compression: None: as the connection says, else none.
        topic: The one topic; None where each record names its own. A topic that does not exist
            then only refuses its records.

    Raises:
        ProcessorFailed: From every method: 420 for settings that Kafka's client refuses, 419 for
            brokers that do not answer, or do not let us write.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        acks: str | None = None,
        compression: str | None = None,
        topic: str | None = None,
    ) -> None:
        self._topic = topic
        self._refused: list[Refusal] = []
        self._again: list[Record] = []
        self._is_alone = False
        self._trouble = ""
        self._last_error = ""
        settings = _settings(connection, acks, compression)
        try:
            self._producer = Producer({**settings, "error_cb": self._on_error})
            self._produce = self._producer.produce
        except KafkaException as error:
            message = f"$emit: Kafka's client refuses the connection's settings: {reason(error)}"
            raise ProcessorFailed(_INVALID_OPTIONS, message, retryable=False) from error
        try:
            if topic is None:
                self._producer.list_topics(timeout=_ANSWER_S)
            else:
                self._producer.list_topics(topic, _ANSWER_S)
        except KafkaException as error:
            self._producer.poll(0)
            raise _connection_failure(self._last_error or reason(error)) from error

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        document: Document,
        number: int,
    ) -> None:
        """Take a record (see `Record`); waits where too many are waiting already.

        It is called for every document, so nothing is built here that only a failure needs.
        """
        on_failure = partial(self._failed, topic, value, key, headers, document, number)
        while True:
            try:
                if headers is None:
                    self._produce(topic, value, key, on_delivery=on_failure)
                else:
                    self._produce(topic, value, key, on_delivery=on_failure, headers=headers)
            except BufferError:
                self._producer.poll(_WAIT_S)
                self._raise_trouble()
            except KafkaException as error:
                record = Record(topic, value, key, headers, document, number)
                self._judge(record, error.args[0], is_alone=True)
                return
            else:
                return

    def poll(self) -> list[Refusal]:
        """Hear what has become of the records; gives those refused since the last time."""
        self._producer.poll(0)
        self._raise_trouble()
        refused, self._refused = self._refused, []
        return refused

    def flush(self) -> list[Refusal]:
        """Wait until all records are delivered; gives those refused since the last time."""
        self._wait()
        parts = deque(_halves(self._take_again()))
        while parts:
            part = parts.popleft()
            self._is_alone = len(part) == 1
            for record in part:
                self.send(*record)
            self._wait()
            parts.extend(_halves(self._take_again()))
        self._is_alone = False
        return self.poll()

    def close(self) -> None:
        """Drop what has not been delivered."""
        self._producer.purge(blocking=False)
        self._producer.flush(0)

    def _take_again(self) -> list[Record]:
        again, self._again = self._again, []
        return again

    def _wait(self) -> None:
        while self._producer.flush(_WAIT_S):
            self._raise_trouble()
        self._raise_trouble()

    def _failed(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        document: Document,
        number: int,
        error: KafkaError | None,
        _: Message,
    ) -> None:
        """Called by librdkafka for each record that was not delivered."""
        if error is not None:
            record = Record(topic, value, key, headers, document, number)
            self._judge(record, error, is_alone=self._is_alone)

    def _judge(self, record: Record, error: KafkaError, *, is_alone: bool) -> None:
        """Whose fault it is: the record's, one's of its batch, or everything's."""
        name = error.name()
        if name in _OF_A_BATCH and not is_alone:
            self._again.append(record)
        elif name in _OF_A_RECORD or (name in _NO_TOPIC and self._topic is None):
            self._refused.append(Refusal(record, f"topic {record.topic!r}: {reason(error)}"))
        elif name in _NO_TOPIC:
            self._trouble = (
                f"topic {record.topic!r} does not exist and the broker does not create it "
                f"({reason(error)})"
            )
        elif name not in _DROPPED:
            last = f"; before that: {self._last_error}" if self._last_error else ""
            self._trouble = f"topic {record.topic!r}: {reason(error)}{last}"

    def _on_error(self, error: KafkaError) -> None:
        """Called by librdkafka for trouble with brokers; most of it passes."""
        self._last_error = reason(error)
        if error.fatal() or error.name() == "_AUTHENTICATION":
            self._trouble = self._last_error

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise _connection_failure(self._trouble)


def _settings(
    connection: Mapping[str, Any], acks: str | None, compression: str | None
) -> dict[str, Any]:
    given = producer_settings(connection)
    # Every record would have to be in a transaction; a processor writes at least once.
    given.pop("transactional.id", None)
    settings = {**_DEFAULTS, **given, "delivery.report.only.error": True}
    settings["acks"] = acks or given.get("acks", "all")
    if compression is not None:
        settings["compression.type"] = compression
    if str(settings["acks"]) in ("all", "-1") and not _AGAINST_IDEMPOTENCE & set(given):
        settings.setdefault("enable.idempotence", True)
    return settings


def _halves(records: list[Record]) -> list[list[Record]]:
    middle = len(records) // 2
    return [part for part in (records[:middle], records[middle:]) if part]


def _connection_failure(why: str) -> ProcessorFailed:
    return ProcessorFailed(_CONNECTION_ERROR, f"$emit: Kafka: {why}", retryable=True)
