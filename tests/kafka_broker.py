"""A Kafka broker for the tests, as a pytest plugin: `kafka_broker` and `real_kafka`.

The broker is the one that `ASP_KAFKA_BOOTSTRAP` names, else an Apache Kafka of this run's own (when
`make kafka` has fetched it), else librdkafka's mock cluster. What the mock cannot do asks for
`real_kafka` and is skipped without one; the summary then says so.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.kafka.apache import BOOTSTRAP_VARIABLE, ApacheKafka, is_available

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import Message
    from confluent_kafka.admin import AdminClient

WITHOUT_REAL: Final = "needs a real Kafka broker (make kafka)"
_TIMEOUT_S: Final = 20.0


@dataclass
class Broker:
    """A broker under test."""

    bootstrap: str
    """Its bootstrap servers."""
    is_real: bool
    """Whether it is Apache Kafka; the mock gives every topic four partitions, whatever is asked."""
    topics: list[str] = field(default_factory=list)
    """The topics that tests created."""
    _admin: AdminClient | None = None

    @property
    def connection(self) -> dict[str, Any]:
        """Its entry in a connection registry."""
        security = {"protocol": "PLAINTEXT"}
        return {"type": "kafka", "bootstrapServers": self.bootstrap, "security": security}

    def admin(self) -> AdminClient:
        """The client that looks at topics, groups and offsets; what it promises ends with it."""
        from confluent_kafka.admin import AdminClient

        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        return self._admin

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic of its own for a test; gives its name."""
        from confluent_kafka.cimpl import NewTopic

        name = f"t-{uuid.uuid4().hex[:12]}"
        self.topics.append(name)
        admin = self.admin()
        if self.is_real:
            new = NewTopic(name, partitions, 1, config=dict(config or {}))
            admin.create_topics([new], operation_timeout=_TIMEOUT_S)[name].result(_TIMEOUT_S)
        else:
            admin.list_topics(name, timeout=_TIMEOUT_S)  # the mock creates what is asked for
        return name

    def send(self, topic: str, *records: dict[str, Any]) -> None:
        """Write records and wait for them: `value`, `key`, `headers`, `partition`, `timestamp`."""
        from confluent_kafka import Producer

        settings = {"bootstrap.servers": self.bootstrap, "linger.ms": 5}
        producer = Producer({**settings, "message.max.bytes": 100_000_000})
        failed: list[Any] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        for record in records:
            while True:
                try:
                    producer.produce(topic, on_delivery=delivered, **record)
                except BufferError:
                    producer.poll(0.1)
                    continue
                break
        assert producer.flush(_TIMEOUT_S) == 0
        assert failed == []

    def received(self, topic: str, count: int) -> list[Message]:
        """The first `count` records of a topic; partition by partition where it has several."""
        from confluent_kafka import Consumer, TopicPartition

        settings = {"bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex}
        consumer = Consumer({**settings, "enable.auto.commit": False})
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages: list[Message] = []
        while len(messages) < count:
            found = consumer.consume(count - len(messages), _TIMEOUT_S)
            assert found, f"{len(messages)} of {count} records came"
            assert all(message.error() is None for message in found)
            messages += found
        consumer.close()
        return sorted(messages, key=lambda message: (message.partition(), message.offset()))


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker: a real one if there is one, else the mock cluster."""
    given = os.environ.get(BOOTSTRAP_VARIABLE)
    if given:
        broker = Broker(given, is_real=True)
        yield broker
        if broker.topics:
            for done in broker.admin().delete_topics(broker.topics).values():
                done.result(_TIMEOUT_S)
    elif is_available():
        server = ApacheKafka.start(tmp_path_factory.mktemp("kafka"))
        yield Broker(server.bootstrap, is_real=True)
        server.kill()
    else:
        with mock_cluster() as bootstrap:
            yield Broker(bootstrap, is_real=False)


@contextlib.contextmanager
def mock_cluster() -> Iterator[str]:
    """Librdkafka's mock cluster of one broker; its bootstrap server."""
    from confluent_kafka import Producer

    keeper = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    broker = next(iter(keeper.list_topics(timeout=_TIMEOUT_S).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    keeper.flush(0)


@pytest.fixture
def real_kafka(kafka_broker: Broker) -> Broker:
    """A real broker; the test is skipped where there is none."""
    if not kafka_broker.is_real:
        pytest.skip(WITHOUT_REAL)
    return kafka_broker


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses the broker, and keep it on one worker: then one broker is started only."""
    if "kafka_broker" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.kafka)
        if item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("kafka"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests would need a real broker."""
    skipped = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", [])
        if WITHOUT_REAL in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_sep("-", "Kafka")
        terminalreporter.write_line(
            "No Apache Kafka here: Kafka tests ran on librdkafka's mock cluster, and "
            f"{len(skipped)} that need a real broker were skipped. `make kafka` fetches one."
        )
        for name in sorted(skipped):
            terminalreporter.write_line(f"  {name}")
