"""Workspaces come and go while the instance runs, and outlive its end, however that came."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from asp_utils.server import lifecycle
from tests.workspaces.conftest import IDLE, Instance, is_alive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("workspaces")]
GONE, NEW = "e" * 24, "f" * 24


def resuming(path: Path) -> list[dict[str, Any]]:
    """A pipeline whose worker notes each of its starts and has a checkpoint to resume from."""
    script = [{"note": str(path)}, {"checkpoint": 1}, {"started": 1}, {"wait": 1}]
    return [{"$source": {"script": script}}, {"$merge": {"into": "x"}}]


def starts(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def databases(uri: str) -> list[str]:
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    with client:
        return [name for name in client.list_database_names() if name.startswith("__asp_local_")]


def run_one(instance: Instance, workspace: str, path: Path) -> None:
    with instance.admin(workspace) as admin:
        admin.command("createStreamProcessor", "p", pipeline=resuming(path))
        admin.command("createStreamProcessor", "resting", pipeline=IDLE)
        admin.command("startStreamProcessor", "p")


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.slow
def test_workspaces_and_what_runs_in_them_come_back(
    own: Instance, tmp_path: Path, killed: bool
) -> None:
    before = own.start()
    made = own.create("two", "OHIO_USA", tier="SP5", maxTierSize="SP30")
    for name in ("local", "two"):
        run_one(own, name, tmp_path / name)
    addresses = own.state.workspaces
    if killed:
        os.kill(before.supervisor_pid, signal.SIGKILL)
    else:
        lifecycle.stop(own.folder)
    after = own.start()
    assert after.supervisor_pid != before.supervisor_pid
    assert after.workspaces == addresses
    assert [after.project_id, after.client_secret, after.private_key, after.ports] == [
        before.project_id, before.client_secret, before.private_key, before.ports
    ]  # fmt: skip
    for name in ("local", "two"):
        with own.admin(name) as admin:
            listed = admin.command("listStreamProcessors", 1)["streamProcessors"]
            # Until its worker has started again it is PROVISIONING or STARTED, never stopped.
            admin.command("stopStreamProcessor", "p")
        assert [each["name"] for each in listed] == ["p", "resting"]
        assert listed[0]["state"] in ("PROVISIONING", "STARTED")
        first, *again = starts(tmp_path / name)
        assert not first["resumeFromCheckpoint"]
        assert [each["resumeFromCheckpoint"] for each in again] == [True]
    with own.rest() as rest:
        assert rest.get("/streams/two").json() == made
    with own.admin_by_host(own.address("two")["tls_host"]) as admin:
        assert admin.command("ping")["ok"] == 1


def test_a_deleted_workspace_leaves_nothing(own: Instance, tmp_path: Path) -> None:
    state = own.start()
    own.create("two")
    two = own.address("two")
    run_one(own, "two", tmp_path / "notes")
    (worker,) = starts(tmp_path / "notes")
    with own.admin("two") as admin, own.admin_by_host(two["tls_host"]) as by_host:
        assert by_host.command("ping")["ok"] == 1
        with own.rest() as rest:
            assert rest.delete("/streams/two").status_code == 403
        admin.command("stopStreamProcessor", "p")
        assert not is_alive(worker["pid"])
        own.delete("two")
        for gone in (admin, by_host):
            with pytest.raises(PyMongoError):
                gone.command("ping")
    assert [each["name"] for each in own.state.workspaces] == ["local"]
    assert databases(state.mongod_uri) == []
    left = {path.name for path in own.folder.rglob("*") if two["id"] in path.name}
    assert left == set()
    again = own.create("two")
    assert again["_id"] != two["id"]
    with own.admin("two") as admin:
        assert admin.command("listStreamProcessors", 1)["streamProcessors"] == []


@pytest.mark.slow
def test_what_a_kill_interrupted_is_finished(own: Instance) -> None:
    """A deletion after its mark, a creation after its record, a database that nobody knows."""
    state = own.start()
    own.create("two")
    own.create("three")
    two, three = own.address("two"), own.address("three")
    client: MongoClient[dict[str, Any]] = MongoClient(state.mongod_uri)
    with client:
        kept = client["__asp_local"]["workspaces"]
        kept.update_one({"_id": two["id"]}, {"$set": {"deleting": True}})
        kept.insert_one({"_id": NEW, "name": "new", "region": "OHIO_USA"})
        client[f"__asp_local_{GONE}"]["processors"].insert_one({"a": 1})
    os.kill(state.supervisor_pid, signal.SIGKILL)
    state = own.start()
    assert [each["name"] for each in state.workspaces] == ["local", "three", "new"]
    assert databases(state.mongod_uri) == [f"__asp_local_{each}" for each in (three["id"], NEW)]
    with own.admin_by_host(own.address("new")["tls_host"]) as admin:
        admin.command("createStreamProcessor", "p", pipeline=IDLE)
        admin.command("startStreamProcessor", "p")


def test_a_workspace_moves_to_another_region(own: Instance) -> None:
    own.start()
    own.create("two")
    before = own.address("two")
    assert ".virginia-usa." in before["tls_host"]
    with own.rest() as rest:
        moved = rest.patch("/streams/two", json={"cloudProvider": "AWS", "region": "TOKYO_JPN"})
    after = own.address("two")
    assert moved.json()["hostnames"][1] == after["tls_host"]
    assert ".tokyo-jpn." in after["tls_host"]
    assert after["stream_processor_url"] == before["stream_processor_url"]
    with own.admin_by_host(after["tls_host"]) as admin:
        admin.command("createStreamProcessor", "p", pipeline=IDLE)
        assert admin.command("getStreamProcessor", "p")["activeRegion"] == "TOKYO_JPN"
