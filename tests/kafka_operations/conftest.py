"""Operations on Kafka: called as a library calls them, and run as wrappers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients import kafka_calls
from asp_utils.context import Context
from tests.kafka_operations.confluent_fake import ConfluentFake
from tests.operations.conftest import bare_project as bare_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kafka_broker import Broker
    from tests.operations.conftest import Project


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """The surroundings of a call."""
    return Context(root=tmp_path)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers on this machine have one address each, which answers at once or never."""
    monkeypatch.setattr(kafka_calls, "GRACE_S", 0.2)


@pytest.fixture(scope="session")
def kafka_project(bare_project: Project) -> Project:
    """A project with wrappers, in which nothing runs."""
    return bare_project


@pytest.fixture
def confluent(real_kafka: Broker) -> Iterator[ConfluentFake]:
    """Confluent's REST API before the real broker."""
    with ConfluentFake(real_kafka.bootstrap) as fake:
        yield fake


@pytest.fixture(params=["kafka", "rest"])
def cluster(request: pytest.FixtureRequest, real_kafka: Broker) -> dict[str, Any] | str:
    """The `kafka` parameter for the same broker, by each transport."""
    if request.param == "kafka":
        return real_kafka.bootstrap
    fake: ConfluentFake = request.getfixturevalue("confluent")
    return fake.parameter


@pytest.fixture
def topic_name(real_kafka: Broker) -> Iterator[Callable[[], str]]:
    """Names of topics that are not there yet; whatever is made of them is deleted."""
    import uuid

    from confluent_kafka import KafkaException

    given: list[str] = []

    def name() -> str:
        given.append(f"n-{uuid.uuid4().hex[:12]}")
        return given[-1]

    yield name
    if given:
        for future in real_kafka.admin().delete_topics(given).values():
            try:
                future.result(20)
            except KafkaException:
                continue
