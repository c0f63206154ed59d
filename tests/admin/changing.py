"""Every operation that changes something over the Admin API, with a call of it that works."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asp_utils.admin.project import project
from asp_utils.environment.file import with_secrets
from asp_utils.environment.planning import plan_of
from asp_utils.operations.connection_help import connection_rotate_secret
from asp_utils.operations.connections import (
    connection_create,
    connection_delete,
    connection_ensure,
    connection_rename,
    connection_update,
    failover_connection_create,
    failover_connection_delete,
    failover_connection_update,
)
from asp_utils.operations.environments import environment_apply
from asp_utils.operations.networking import (
    peering_accept,
    peering_delete,
    peering_reject,
    private_link_create,
    private_link_delete,
    private_link_update,
)
from asp_utils.operations.processor_runs import processor_delete, processor_start, processor_stop
from asp_utils.operations.processors import processor_create, processor_ensure, processor_modify
from asp_utils.operations.workspaces import (
    workspace_create,
    workspace_delete,
    workspace_ensure,
    workspace_update,
)
from asp_utils.pipeline.environment.plan import digest
from tests.admin.conftest import PIPELINE, FastContext, Here
from tests.admin.fake_atlas import (
    CLIENT_ID,
    CLIENT_SECRET,
    PROJECT,
    FakeAtlas,
    Resource,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PASSWORD = "p4ssw0rd"
KAFKA: dict[str, Any] = {
    "name": "kafka",
    "type": "Kafka",
    "bootstrapServers": "broker.example.com:9092",
    "authentication": {"mechanism": "PLAIN", "username": "u", "password": PASSWORD},
    "security": {"protocol": "SASL_SSL"},
}
NEW_SECRET = {"authentication": {"password": "n3w-p4ssw0rd"}}
MOVED = {"bootstrapServers": "other.example.com:9092", **NEW_SECRET}
OTHER = [PIPELINE[0], {"$match": {"obs.watts": {"$gt": 300}}}, PIPELINE[2]]
FROM_KAFKA = [{"$source": {"connectionName": "kafka", "topic": "t"}}, PIPELINE[2]]
LINK = {"provider": "AWS", "vendor": "S3", "region": "us-east-1"}
ENVIRONMENT: dict[str, Any] = {
    "workspace": {
        "name": "main",
        "dataProcessRegion": {"cloudProvider": "AWS", "region": "VIRGINIA_USA"},
        "streamConfig": {"tier": "SP30"},
    },
    "connections": [{"name": "second", "type": "Cluster", "clusterName": "c1"}],
    "processors": [
        {"name": "running", "pipeline": OTHER, "state": "STARTED"},
        {"name": "fresh", "pipeline": PIPELINE},
    ],
}
_WAIT_S = 3
"""By a clock that only waiting moves."""


def standing(fake: FakeAtlas) -> None:
    """Put one of everything into the workspace `main`; more processors than a page holds."""
    fake.add_workspace("main")
    fake.add_connection("main", name="sample_stream_solar", type="Sample")
    fake.add_connection("main", name="cluster", type="Cluster", clusterName="c0")
    shown = {**KAFKA, "authentication": {"mechanism": "PLAIN", "username": "u"}}
    fake.add_connection("main", **shown)
    fake.add_processor("main", "idle", PIPELINE)
    fake.add_processor("main", "running", PIPELINE, state="STARTED")
    fake.add_processor("main", "user", FROM_KAFKA, state="STARTED")
    failover = {"id": "f1", "region": "OREGON_USA", "state": "READY", "type": "Cluster"}
    fake.failovers["f1"] = Resource({"name": "cluster", "clusterName": "c9", **failover})
    fake.links["p1"] = Resource({"_id": "p1", "state": "DONE", **LINK})
    fake.peerings["pcx"] = {"name": "pcx", "requesterAccountId": "42", "cloudStatus": "pending"}


@dataclass(frozen=True)
class Changing:
    """A call of an operation, and what of it is known beforehand."""

    name: str
    call: Callable[[Here], Any]
    before: Callable[[FakeAtlas], Any] = lambda _fake: None
    """What is to be different from `standing`."""

    @property
    def operation(self) -> str:
        """The operation's own name."""
        return self.name.partition(" ")[0]


def _calling(operation: Callable[..., Any], *given: Any, **more: Any) -> Callable[[Here], Any]:
    def call(here: Here) -> Any:
        return operation(here.ctx, *given, atlas=here.account, timeout_s=_WAIT_S, **more)

    return call


def _stopped(fake: FakeAtlas) -> None:
    for processor in fake.processors["main"].values():
        processor.shown["state"] = "STOPPED"


def _no_processors(fake: FakeAtlas) -> None:
    fake.processors["main"].clear()


@cache
def _plan() -> Mapping[str, Any]:
    """The plan for `ENVIRONMENT`; ids of the fake are the same each time, so it stays true."""
    fake = FakeAtlas()
    standing(fake)
    ctx = FastContext(root=Path())
    account = {"project_id": PROJECT, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    with serving(fake) as url, project(ctx, {**account, "url": url}) as there:
        given = with_secrets(ctx, ENVIRONMENT, "file")
        plan, _ = plan_of(
            there,
            ENVIRONMENT,
            given,
            "file",
            prune=False,
            update_secrets=False,
            timeout_s=_WAIT_S,
        )
    return plan


def _apply(here: Here) -> list[dict[str, Any]]:
    plan = dict(_plan())
    return list(
        environment_apply(here.ctx, plan, digest(plan), atlas=here.account, timeout_s=_WAIT_S)
    )


CHANGING = [
    Changing("workspace_create", _calling(workspace_create, "new", "VIRGINIA_USA")),
    Changing(
        "workspace_create with samples",
        _calling(workspace_create, "new", "VIRGINIA_USA", sample_connections=True),
    ),
    Changing("workspace_ensure anew", _calling(workspace_ensure, "new", "VIRGINIA_USA")),
    Changing("workspace_ensure", _calling(workspace_ensure, "main", "VIRGINIA_USA", tier="SP30")),
    Changing("workspace_update", _calling(workspace_update, "main", tier="SP30")),
    Changing(
        "workspace_update of processors",
        _calling(workspace_update, "main", processor_status="STOPPED"),
    ),
    Changing("workspace_delete", _calling(workspace_delete, "main"), _stopped),
    Changing(
        "workspace_delete with processors",
        _calling(workspace_delete, "main", delete_processors=True),
    ),
    Changing("connection_create", _calling(connection_create, "main", {**KAFKA, "name": "k2"})),
    Changing(
        "connection_ensure anew", _calling(connection_ensure, "main", {**KAFKA, "name": "k2"})
    ),
    Changing(
        "connection_ensure",
        _calling(connection_ensure, "main", {**KAFKA, "bootstrapServers": "b.example.com:9092"}),
        _stopped,
    ),
    Changing("connection_update", _calling(connection_update, "main", "kafka", MOVED), _stopped),
    Changing(
        "connection_rename",
        _calling(connection_rename, "main", "kafka", "k2", NEW_SECRET, restart=True),
    ),
    Changing("connection_delete", _calling(connection_delete, "main", "kafka"), _no_processors),
    Changing(
        "connection_rotate_secret",
        _calling(
            connection_rotate_secret,
            "main",
            "kafka",
            NEW_SECRET,
            test=False,
            restart_processors=True,
        ),
    ),
    Changing(
        "failover_connection_create",
        _calling(
            failover_connection_create,
            "main",
            "cluster",
            {"region": "OREGON_USA", "clusterName": "c8"},
        ),
    ),
    Changing(
        "failover_connection_update",
        _calling(failover_connection_update, "main", "cluster", "f1", {"clusterName": "c7"}),
    ),
    Changing(
        "failover_connection_delete",
        _calling(failover_connection_delete, "main", "cluster", "f1"),
    ),
    Changing("processor_create", _calling(processor_create, "main", "new", PIPELINE, tier="SP10")),
    Changing("processor_ensure", _calling(processor_ensure, "main", "new", PIPELINE, started=True)),
    Changing(
        "processor_modify",
        _calling(processor_modify, "main", "running", OTHER, tier="SP10", restart=True),
    ),
    Changing("processor_modify idle", _calling(processor_modify, "main", "idle", new_name="new")),
    Changing("processor_start", _calling(processor_start, "main", "idle")),
    Changing("processor_stop", _calling(processor_stop, "main", "running")),
    Changing("processor_delete", _calling(processor_delete, "main", "running")),
    Changing("private_link_create", _calling(private_link_create, LINK)),
    Changing("private_link_update", _calling(private_link_update, "p1", {"region": "us-east-2"})),
    Changing("private_link_delete", _calling(private_link_delete, "p1")),
    Changing("peering_accept", _calling(peering_accept, "pcx", "42", "vpc")),
    Changing("peering_reject", _calling(peering_reject, "pcx", "42")),
    Changing("peering_delete", _calling(peering_delete, "pcx", "42")),
    Changing("environment_apply", _apply),
]
