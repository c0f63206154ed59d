"""Topics of an environment file, on a real broker and a local instance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.context import Context
from asp_utils.errors import Conflict, Unreachable
from asp_utils.operations.environments import (
    environment_apply,
    environment_export,
    environment_plan,
)
from asp_utils.server import lifecycle
from asp_utils.session.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka_broker import Broker

pytestmark = pytest.mark.server


@dataclass
class Session:
    """A project folder with a local instance that starts on demand."""

    ctx: Context
    bootstrap: str
    topic: str

    def file(self, partitions: int, retention_ms: int) -> str:
        """An environment file that wants that topic."""
        kafka = {
            "name": "events",
            "type": "Kafka",
            "bootstrapServers": self.bootstrap,
            "security": {"protocol": "PLAINTEXT"},
        }
        topic = {
            "connectionName": "events",
            "name": self.topic,
            "partitions": partitions,
            "replicationFactor": 1,
            "config": {"retention.ms": str(retention_ms)},
        }
        pipeline = [
            {"$source": {"connectionName": "events", "topic": self.topic}},
            {"$emit": {"connectionName": "events", "topic": f"{self.topic}-out"}},
        ]
        document = {
            "workspace": {
                "name": "streams",
                "dataProcessRegion": {"cloudProvider": "AWS", "region": "DUBLIN_IRL"},
            },
            "connections": [kafka],
            "topics": [topic],
            "processors": [{"name": "copy", "pipeline": pipeline}],
        }
        path = self.ctx.root / "environment.json"
        path.write_text(json.dumps(document))
        return str(path)

    def plan(self, file: str) -> tuple[list[str], dict[str, Any]]:
        """The difference, and the config that carries it out."""
        made = environment_plan(self.ctx, file, "local")
        assert made["plan_file"] is not None
        return made["diff"], json.loads((self.ctx.root / made["plan_file"]).read_text())

    def apply(self, config: dict[str, Any]) -> list[dict[str, Any]]:
        """What apply gives."""
        return list(environment_apply(self.ctx, **config))


@pytest.fixture
def session(real_kafka: Broker, tmp_path: Path) -> Iterator[Session]:
    stored = Store(tmp_path).new()
    topic = f"env-{tmp_path.name[-12:]}".replace("_", "-")
    real_kafka.topics.append(topic)
    yield Session(Context(tmp_path, stored.folder), real_kafka.bootstrap, topic)
    lifecycle.stop(tmp_path / "temp" / "local")


def test_topics_are_made_grown_and_exported(session: Session, real_kafka: Broker) -> None:
    diff, config = session.plan(session.file(2, 60_000))
    assert f"+ create topic events/{session.topic}" in diff
    assert session.apply(config)[-1]["converged"] is True
    metadata = real_kafka.admin().list_topics(session.topic, timeout=10)
    assert len(metadata.topics[session.topic].partitions) == 2

    diff, config = session.plan(session.file(3, 90_000))
    assert diff == [
        f"~ update topic events/{session.topic}",
        "    partitions: 2 -> 3",
        '    config.retention.ms: "60000" -> "90000"',
    ]
    assert session.apply(config)[-1] == {"applied": 1, "converged": True, "changed": True}
    assert session.plan(session.file(3, 90_000))[0] == [
        "nothing to do: everything is as the file says"
    ]

    exported = environment_export(session.ctx, "streams", "local")
    [topic] = exported["environment"]["topics"]
    assert (topic["partitions"], topic["config"]) == (3, {"retention.ms": "90000"})
    assert any(f"{session.topic}-out" in note for note in exported["notes"])

    with pytest.raises(Conflict, match="partitions is 3 and cannot become 1"):
        session.plan(session.file(1, 90_000))


def test_a_topic_that_moved_meanwhile_makes_the_plan_void(
    session: Session, real_kafka: Broker
) -> None:
    from confluent_kafka.cimpl import NewPartitions

    session.apply(session.plan(session.file(1, 60_000))[1])
    _, config = session.plan(session.file(3, 60_000))
    grown = real_kafka.admin().create_partitions([NewPartitions(session.topic, 2)])
    grown[session.topic].result(20)
    with pytest.raises(Conflict, match="has changed since this plan was made"):
        session.apply(config)


def test_brokers_that_are_away_are_named_before_anything_is_made(session: Session) -> None:
    away = session.file(1, 60_000)
    document = json.loads((session.ctx.root / "environment.json").read_text())
    document["connections"][0]["bootstrapServers"] = "127.0.0.1:1"
    (session.ctx.root / "environment.json").write_text(json.dumps(document))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        environment_plan(session.ctx, away, "local", timeout_s=5)
