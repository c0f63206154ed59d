"""A local instance with scripted workers and more than one workspace."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pymongo import MongoClient

from asp_utils.server import lifecycle
from tests.instances import discard
from tests.server.conftest import FAST, SCRIPTED, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

    from asp_utils.server.instance_folder import WorkspaceAddress
    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]

IDLE: list[dict[str, Any]] = [
    {"$source": {"script": [{"started": 1}, {"wait": 1}]}},
    {"$merge": {"into": "x"}},
]


@dataclass
class Instance:
    """A local instance, started, stopped and killed by a test."""

    folder: Path

    def start(self) -> InstanceState:
        with environment(ASP_TEST_LIMITS=json.dumps(FAST)):
            return lifecycle.start(self.folder, daemon=SCRIPTED, timeout_s=60)

    @property
    def state(self) -> InstanceState:
        """What is published now."""
        state = lifecycle.status(self.folder)
        assert state is not None
        return state

    def address(self, name: str) -> WorkspaceAddress:
        return next(each for each in self.state.workspaces if each["name"] == name)

    @contextmanager
    def admin(self, name: str = "local") -> Iterator[Admin]:
        """The admin database of a workspace at its own port."""
        with self.client(self.address(name)["stream_processor_url"]) as client:
            yield client.admin

    @contextmanager
    def admin_by_host(self, host: str, **options: Any) -> Iterator[Admin]:
        """The admin database behind a host name with the TLS port."""
        settings = {"tls": True, "tlsCAFile": self.state.ca_file, **options}
        with self.client(f"mongodb://{host}/", **settings) as client:
            yield client.admin

    def client(self, url: str, **options: Any) -> MongoClient[dict[str, Any]]:
        state = self.state
        return MongoClient(
            url,
            username=state.connection_user,
            password=state.connection_password,
            **{"serverSelectionTimeoutMS": 3000, **options},
        )

    @contextmanager
    def rest(self, **options: Any) -> Iterator[httpx.Client]:
        """A client of the Admin API at the project."""
        state = self.state
        options = {"auth": httpx.DigestAuth(state.public_key, state.private_key), **options}
        url = f"{state.admin_api_url}/api/atlas/v2/groups/{state.project_id}"
        accept = {"Accept": "application/vnd.atlas.2023-02-01+json"}
        with httpx.Client(base_url=url, headers=accept, trust_env=False, **options) as client:
            yield client

    def create(
        self, name: str, region: str = "VIRGINIA_USA", **stream_config: str
    ) -> dict[str, Any]:
        body = {
            "name": name,
            "dataProcessRegion": {"cloudProvider": "AWS", "region": region},
            "streamConfig": stream_config,
        }
        with self.rest() as rest:
            reply = rest.post("/streams", json=body)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def delete(self, name: str) -> None:
        with self.rest() as rest:
            reply = rest.delete(f"/streams/{name}")
        assert reply.status_code == 202, reply.text


def stop_all(admin: Admin) -> None:
    for processor in admin.command("listStreamProcessors", 1)["streamProcessors"]:
        admin.command("dropStreamProcessor", processor["name"])


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running instance with the workspaces `local` and `two` (in Ohio, up to SP30)."""
    instance = Instance(tmp_path_factory.mktemp("shared"))
    instance.start()
    instance.create("two", "OHIO_USA", tier="SP5", maxTierSize="SP30")
    yield instance
    discard(instance.folder)


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The shared instance; its processors are dropped after the test."""
    yield shared
    for address in shared.state.workspaces:
        with shared.admin(address["name"]) as admin:
            stop_all(admin)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Instance]:
    """An instance that a test may break."""
    instance = Instance(tmp_path / "own")
    yield instance
    discard(instance.folder)


@pytest.fixture(autouse=True)
def atlas_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, a name of Atlas's form is this machine, as with a line in /etc/hosts."""
    ask = socket.getaddrinfo

    def resolved(host: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(host, str) and host.startswith("atlas-stream-"):
            host = "127.0.0.1"
        return ask(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
