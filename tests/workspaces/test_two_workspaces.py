"""Two workspaces of one instance: neither sees what is in the other, and each has its host."""

from __future__ import annotations

import json
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.server import lifecycle
from tests.workspaces.conftest import IDLE, Instance

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

    Admin = Database[dict[str, Any]]

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("workspaces")]


def noting(path: Path) -> list[dict[str, Any]]:
    """A pipeline whose worker notes what it was given."""
    script = [{"note": str(path)}, {"started": 1}, {"wait": 1}]
    return [{"$source": {"script": script}}, {"$merge": {"into": "x"}}]


def names(admin: Admin) -> list[str]:
    return [each["name"] for each in admin.command("listStreamProcessors", 1)["streamProcessors"]]


def refusal(admin: Admin, command: str, name: Any = "p", **fields: Any) -> dict[str, Any]:
    with pytest.raises(OperationFailure) as caught:
        admin.command(command, name, **fields)
    return dict(caught.value.details or {})


def test_a_processor_of_one_name_in_each(instance: Instance, tmp_path: Path) -> None:
    seen = {}
    for workspace in ("local", "two"):
        path = tmp_path / workspace
        with instance.admin(workspace) as admin:
            admin.command("createStreamProcessor", "p", pipeline=noting(path))
            admin.command("startStreamProcessor", "p")
            stats = admin.command("getStreamProcessorStats", "p")
            processor = admin.command("getStreamProcessor", "p")
        assert stats["ns"] == f"{workspace}.{processor['id']}.p"
        seen[workspace] = {**processor, "told": json.loads(path.read_text())}
    local, two = seen["local"], seen["two"]
    assert local["id"] != two["id"]
    assert (local["activeRegion"], two["activeRegion"]) == ("VIRGINIA_USA", "OHIO_USA")
    assert (local["told"]["workspace"], two["told"]["workspace"]) == ("local", "two")
    two_id = instance.address("two")["id"]
    assert local["told"]["stateDb"] == "__asp_local"
    assert two["told"]["stateDb"] == f"__asp_local_{two_id}"
    with instance.admin("two") as admin:
        admin.command("dropStreamProcessor", "p")
        assert names(admin) == []
    with instance.admin("local") as admin:
        assert admin.command("getStreamProcessorStats", "p")["state"] == "STARTED"


def test_connections_are_of_one_workspace(instance: Instance, tmp_path: Path) -> None:
    here = {"name": "orders", "type": "Cluster", "uri": "mongodb://127.0.0.1:9/"}
    there = {**here, "uri": "mongodb://127.0.0.1:8/"}
    with instance.admin("two") as two, instance.admin("local") as local:
        two.command("localUpsertConnections", [here])
        listed = local.command("listStreamConnections", 1, filter={"name": "orders"})
        assert listed["connections"] == []
        # A processor that uses the name keeps the connection of its own workspace only.
        using = noting(tmp_path / "two")
        using[1] = {"$merge": {"into": {"connectionName": "orders"}}}
        two.command("createStreamProcessor", "p", pipeline=using)
        two.command("startStreamProcessor", "p")
        assert (
            "running stream processor 'p'"
            in refusal(two, "localUpsertConnections", [there])["errmsg"]
        )
        local.command("localUpsertConnections", [there])
        local.command("localDropConnections", ["orders"])
        two.command("stopStreamProcessor", "p")
        two.command("localDropConnections", ["orders"])
    told = json.loads((tmp_path / "two").read_text())
    assert "127.0.0.1:9" in json.dumps(told["connections"]["orders"])


def test_each_has_its_own_tiers(instance: Instance) -> None:
    with instance.admin("local") as admin:
        reply = admin.command("listWorkspaceDefaults", 1)
        assert (reply["defaultTierSize"], reply["maxTierSize"]) == ("SP10", "SP50")
    with instance.admin("two") as admin:
        reply = admin.command("listWorkspaceDefaults", 1)
        assert (reply["defaultTierSize"], reply["maxTierSize"]) == ("SP5", "SP30")
        admin.command("createStreamProcessor", "p", pipeline=IDLE)
        assert admin.command("getStreamProcessor", "p")["tier"] == "SP5"
        admin.command("startStreamProcessor", "p", autoscaling={"minTier": "SP2"})
        scaling = admin.command("getStreamProcessorStats", "p")["autoscaling"]
        assert scaling == {"minTier": "SP2", "maxTier": "SP30"}


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("createStreamProcessor", {"pipeline": IDLE, "options": {"tier": "SP50"}}),
        ("createStreamProcessor", {"pipeline": IDLE, "autoscaling": {"maxTier": "SP50"}}),
        ("createStreamProcessor", {"pipeline": IDLE, "failoverEnabled": True}),
        ("modifyStreamProcessor", {"tier": "SP50"}),
        ("modifyStreamProcessor", {"failoverEnabled": True}),
        ("startStreamProcessor", {"tier": "SP50"}),
        ("startStreamProcessor", {"autoscaling": {"minTier": "SP5", "maxTier": "SP50"}}),
    ],
)
def test_more_than_the_workspace_allows_is_refused(
    instance: Instance, command: str, fields: dict[str, Any]
) -> None:
    with instance.admin("two") as admin:
        admin.command("createStreamProcessor", "kept", pipeline=IDLE)
        name = "new" if command.startswith("create") else "kept"
        refused = refusal(admin, command, name, **fields)
        assert (refused["code"], refused["codeName"]) == (420, "StreamProcessorInvalidOptions")
        assert "SP50" in refused["errmsg"] or "SP5" in refused["errmsg"]
        assert names(admin) == ["kept"]
        assert admin.command("getStreamProcessor", "kept")["state"] == "CREATED"


def test_a_temporary_processor_too(instance: Instance) -> None:
    with instance.admin("two") as admin:
        refused = refusal(admin, "processStreamProcessor", IDLE, options={"tier": "SP50"})
        assert "above the workspace's largest tier, SP30" in refused["errmsg"]


def test_a_processor_above_a_lowered_maximum_does_not_start(instance: Instance) -> None:
    with instance.admin("two") as admin, instance.rest() as rest:
        admin.command("createStreamProcessor", "p", pipeline=IDLE, options={"tier": "SP30"})
        lowered = rest.patch("/streams/two", json={"streamConfig": {"maxTierSize": "SP10"}})
        assert lowered.status_code == 200, lowered.text
        try:
            assert "SP10" in refusal(admin, "startStreamProcessor")["errmsg"]
            admin.command("startStreamProcessor", "p", tier="SP10")
        finally:
            rest.patch("/streams/two", json={"streamConfig": {"maxTierSize": "SP30"}})


def test_the_host_name_chooses_the_workspace(instance: Instance) -> None:
    for workspace in ("local", "two"):
        with instance.admin(workspace) as admin:
            admin.command("createStreamProcessor", f"in_{workspace}", pipeline=IDLE)
        with instance.admin_by_host(instance.address(workspace)["tls_host"]) as admin:
            assert names(admin) == [f"in_{workspace}"]
    port = instance.state.ports["stream_endpoint_tls"]
    for host in ("127.0.0.1", "localhost"):
        with instance.admin_by_host(f"{host}:{port}") as admin:
            assert names(admin) == ["in_local"]


def test_drivers_know_the_host_name_for_atlas(instance: Instance) -> None:
    host = instance.address("two")["tls_host"]
    assert host.split(":")[0] == (
        f"atlas-stream-{instance.address('two')['id']}-local.ohio-usa.a.query.mongodb.net"
    )
    with instance.admin_by_host(host, loadBalanced=True) as admin:
        assert admin.command("listStreamProcessors", 1)["ok"] == 1


def test_a_host_that_is_no_workspace_is_refused(instance: Instance) -> None:
    known = instance.address("two")
    stranger = known["tls_host"].replace(known["id"], "f" * 24)
    with (
        instance.admin_by_host(stranger, serverSelectionTimeoutMS=300) as admin,
        pytest.raises(ServerSelectionTimeoutError, match="no workspace of this local instance has"),
    ):
        admin.command("ping")


def test_who_does_not_know_the_authority_does_not_connect(instance: Instance) -> None:
    host = instance.address("two")["tls_host"]
    system = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
    with (
        instance.admin_by_host(host, tlsCAFile=system, serverSelectionTimeoutMS=300) as admin,
        pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        admin.command("ping")


def test_a_wrong_password_is_refused_with_tls_too(instance: Instance) -> None:
    host, ca_file = instance.address("two")["tls_host"], instance.state.ca_file
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://me:wrong@{host}/", tls=True, tlsCAFile=ca_file
    )
    with client, pytest.raises(OperationFailure, match="Authentication failed"):
        client.admin.command("listStreamProcessors", 1)


def test_a_client_without_tls_disturbs_nobody(instance: Instance) -> None:
    host = instance.address("local")["tls_host"]
    port = instance.state.ports["stream_endpoint_tls"]
    with (
        instance.client(f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=300) as client,
        pytest.raises(ServerSelectionTimeoutError),
    ):
        client.admin.command("ping")
    with instance.admin_by_host(host) as admin:
        assert admin.command("ping")["ok"] == 1


def test_the_unix_socket_of_each_needs_no_password(instance: Instance) -> None:
    with instance.admin("two") as admin:
        admin.command("createStreamProcessor", "p", pipeline=IDLE)
    for workspace, found in (("local", []), ("two", ["p"])):
        with closing(lifecycle.connect(instance.state, workspace)) as endpoint:
            listed = endpoint.command({"listStreamProcessors": 1})["streamProcessors"]
            assert [each["name"] for each in listed] == found
    two = instance.folder / f"{instance.address('two')['id']}.sock"
    with closing(MongodSocket.at(two)) as link:
        assert link.command({"ping": 1})["ok"] == 1


def test_who_changed_what_is_noted_in_its_own_workspace(instance: Instance) -> None:
    with instance.admin("two") as admin:
        admin.command("createStreamProcessor", "noted", pipeline=IDLE)
        refusal(admin, "startStreamProcessor", "nobody")
        admin.command("listStreamProcessors", 1)
    logs = instance.folder / "workers"
    two = logs / instance.address("two")["id"] / "audit.jsonl"
    done, refused = (json.loads(line) for line in two.read_text().splitlines()[-2:])
    assert (done["activity_name"], done["status"]) == ("Create", "Success")
    assert done["actor"]["user"]["name"] == instance.state.connection_user
    assert done["resources"] == [{"type": "stream_processor", "name": "noted"}]
    assert (refused["status"], refused["status_code"]) == ("Failure", "StreamProcessorDoesNotExist")
    assert "noted" not in (logs / "audit.jsonl").read_text()
