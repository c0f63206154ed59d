"""The same operations against the local instance's own Admin API: a whole life, nothing faked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.context import Context
from asp_utils.errors import ConfigInvalid, Conflict, NotFound
from asp_utils.operations.connections import (
    connection_create,
    connection_delete,
    connection_ensure,
    connection_get,
    connection_rename,
    connection_update,
    failover_connection_create,
    failover_connection_delete,
    failover_connection_list,
)
from asp_utils.operations.logs import workspace_download_logs
from asp_utils.operations.networking import (
    account_details,
    private_link_create,
    private_link_delete,
)
from asp_utils.operations.processor_runs import (
    processor_delete,
    processor_start,
    processor_stop,
)
from asp_utils.operations.processors import (
    processor_create,
    processor_ensure,
    processor_get,
    processor_modify,
)
from asp_utils.operations.projects import project_get, project_list
from asp_utils.operations.workspaces import (
    workspace_create,
    workspace_delete,
    workspace_ensure,
    workspace_get,
    workspace_list,
    workspace_update,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.operations.conftest import Project

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_local")]

LOCAL = "local"
SINK = {"name": "sink", "type": "Cluster", "clusterName": "c0"}


def pipeline(connection: str = "sink", watts: int = 0) -> list[dict[str, Any]]:
    """Solar samples into a collection."""
    return [
        {"$source": {"connectionName": "sample_stream_solar"}},
        {"$match": {"obs.watts": {"$gte": watts}}},
        {"$merge": {"into": {"connectionName": connection, "db": "admin_life", "coll": "peaks"}}},
    ]


@pytest.fixture
def ctx(running: Project) -> Iterator[Context]:
    """A workspace `life` with a connection `sink`."""
    ctx = Context(root=running.root)
    workspace_create(ctx, "life", "VIRGINIA_USA", sample_connections=True, atlas=LOCAL)
    connection_create(ctx, "life", SINK, atlas=LOCAL)
    yield ctx
    if any(it["name"] == "life" for it in workspace_list(ctx, atlas=LOCAL)["workspaces"]):
        workspace_delete(ctx, "life", delete_processors=True, atlas=LOCAL)


def test_a_processor_lives_and_everything_is_gone_after_it(ctx: Context, running: Project) -> None:
    made = processor_create(ctx, "life", "peaks", pipeline(), atlas=LOCAL)
    assert (made["state"], made["previous_state"]) == ("CREATED", None)
    started = processor_start(ctx, "life", "peaks", tier="SP5", atlas=LOCAL)
    assert (started["state"], started["tier"]) == ("STARTED", "SP5")
    while processor_get(ctx, "life", "peaks", atlas=LOCAL)["stats"]["outputMessageCount"] < 2:
        ctx.wait(0.05)
    shown = running.run("processor_get", {"workspace": "life", "name": "peaks", "atlas": LOCAL})
    assert shown.code == 0, shown.err
    assert shown.result["pipeline"] == pipeline()
    with pytest.raises(Conflict, match=r"peaks \(STARTED"):
        connection_delete(ctx, "life", "sink", atlas=LOCAL)
    with pytest.raises(Conflict, match=r"peaks \(STARTED"):
        workspace_delete(ctx, "life", atlas=LOCAL)
    changed = processor_modify(
        ctx, "life", "peaks", pipeline=pipeline(watts=5), restart=True, atlas=LOCAL
    )
    assert (changed["state"], changed["changes"]) == ("STARTED", ["pipeline"])
    renamed = connection_rename(ctx, "life", "sink", "other", restart=True, atlas=LOCAL)
    assert renamed["rewired"] == [{"name": "peaks", "state": "STARTED"}]
    live = processor_get(ctx, "life", "peaks", atlas=LOCAL)
    assert live["pipeline"] == pipeline("other", watts=5)
    same = processor_ensure(
        ctx, "life", "peaks", pipeline("other", watts=5), started=True, atlas=LOCAL
    )
    assert not same["changed"]
    assert processor_stop(ctx, "life", "peaks", atlas=LOCAL)["state"] == "STOPPED"
    assert processor_delete(ctx, "life", "peaks", atlas=LOCAL)["state"] == "DROPPED"
    with pytest.raises(NotFound):
        processor_get(ctx, "life", "peaks", atlas=LOCAL)
    assert connection_delete(ctx, "life", "other", atlas=LOCAL)["state"] == "DELETED"
    assert workspace_delete(ctx, "life", atlas=LOCAL)["workspace"] is None
    with pytest.raises(NotFound):
        workspace_get(ctx, "life", atlas=LOCAL)


def test_a_workspace_is_ensured_and_updated(ctx: Context) -> None:
    same = workspace_ensure(ctx, "life", "VIRGINIA_USA", sample_connections=True, atlas=LOCAL)
    assert not same["changed"]
    tiers = workspace_update(ctx, "life", tier="SP5", max_tier="SP10", atlas=LOCAL)
    assert [item["after"] for item in tiers["changes"]] == ["SP5", "SP10"]
    with pytest.raises(ConfigInvalid, match="above the largest tier"):
        workspace_update(ctx, "life", tier="SP50", atlas=LOCAL)
    processor_create(ctx, "life", "peaks", pipeline(), atlas=LOCAL)
    with pytest.raises(ConfigInvalid, match="above the largest tier"):
        processor_start(ctx, "life", "peaks", tier="SP30", atlas=LOCAL)
    processor_start(ctx, "life", "peaks", atlas=LOCAL)
    stopped = workspace_update(ctx, "life", processor_status="STOPPED", atlas=LOCAL)
    assert stopped["processors"] == [{"name": "peaks", "state": "STOPPED"}]
    gone = workspace_delete(ctx, "life", delete_processors=True, atlas=LOCAL)
    assert gone["processors"] == [{"name": "peaks", "state": "DROPPED"}]


def test_an_update_loses_no_secret(ctx: Context) -> None:
    secret = {
        "name": "kafka",
        "type": "Kafka",
        "bootstrapServers": "127.0.0.1:9",
        "authentication": {"mechanism": "PLAIN", "username": "u", "password": "p4ssw0rd"},
        "security": {"protocol": "SASL_PLAINTEXT"},
        "config": {"group.id": "g"},
    }
    made = connection_create(ctx, "life", secret, atlas=LOCAL)
    assert "p4ssw0rd" not in str(made)
    moved = {"bootstrapServers": "127.0.0.1:10", "config": None}
    with pytest.raises(ConfigInvalid, match="never shows password"):
        connection_update(ctx, "life", "kafka", moved, atlas=LOCAL)
    again = {**moved, "authentication": {"password": "n3w"}}
    done = connection_update(ctx, "life", "kafka", again, atlas=LOCAL)["connection"]
    assert done is not None
    assert done["bootstrapServers"] == "127.0.0.1:10"
    assert "config" not in done
    assert done == connection_get(ctx, "life", "kafka", atlas=LOCAL)
    new = {**secret, "bootstrapServers": "127.0.0.1:10", "config": {}}
    assert not connection_ensure(ctx, "life", new, atlas=LOCAL)["changed"]


def test_an_aws_connection_keeps_its_own_region(ctx: Context) -> None:
    lake = {"name": "lake", "type": "S3", "region": "eu-west-1", "endpointUrl": "http://127.0.0.1"}
    connection_create(ctx, "life", lake, atlas=LOCAL)
    changes = {"endpointUrl": "http://127.0.0.1:1"}
    done = connection_update(ctx, "life", "lake", changes, atlas=LOCAL)["connection"]
    assert done is not None
    assert (done["region"], done["endpointUrl"]) == ("eu-west-1", "http://127.0.0.1:1")
    plain = {"name": "plain", "type": "S3"}
    connection_create(ctx, "life", plain, atlas=LOCAL)
    connection_update(ctx, "life", "plain", changes, atlas=LOCAL)
    workspace_update(ctx, "life", region="OREGON_USA", atlas=LOCAL)
    assert connection_get(ctx, "life", "plain", atlas=LOCAL)["region"] == "OREGON_USA"


def test_failovers_networks_and_projects(ctx: Context) -> None:
    where = {"region": "OREGON_USA", "clusterName": "standby"}
    made = failover_connection_create(ctx, "life", "sink", where, atlas=LOCAL)
    assert (made["state"], made["region"]) == ("READY", "OREGON_USA")
    listed = failover_connection_list(ctx, "life", "sink", atlas=LOCAL)["failover_connections"]
    assert [item["clusterName"] for item in listed] == ["standby"]
    gone = failover_connection_delete(ctx, "life", "sink", made["id"], atlas=LOCAL)
    assert gone["state"] == "DELETED"
    link = private_link_create(
        ctx, {"provider": "AWS", "vendor": "S3", "region": "us-east-1"}, atlas=LOCAL
    )
    assert link["state"] == "IDLE"
    assert private_link_delete(ctx, link["id"], atlas=LOCAL)["state"] == "DELETED"
    assert account_details(ctx, "GCP", "US_EAST4", atlas=LOCAL)["cloudProvider"] == "GCP"
    assert project_get(ctx, atlas=LOCAL) == project_list(ctx, atlas=LOCAL)["projects"][0]


def test_the_audit_log_tells_who_and_hides_it(ctx: Context) -> None:
    def audit(**more: Any) -> list[dict[str, Any]]:
        return list(workspace_download_logs(ctx, "life", kind="audit", atlas=LOCAL, **more))

    shown, masked = audit(mask=False, text="connections"), audit(text="connections")
    assert len(shown) == len(masked) > 0
    user = shown[0]["actor"]["user"]["name"]
    assert user not in str(masked)
    assert "127.0.0.1" not in str(masked)
