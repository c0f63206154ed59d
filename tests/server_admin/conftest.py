from __future__ import annotations

import json
import os
import ssl
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pymongo import MongoClient

from asp_utils.server import lifecycle
from tests.instances import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.server.lifecycle import InstanceState

SCRIPTED = (sys.executable, str(Path(__file__).parents[1] / "server" / "scripted_instance.py"))
PER_MINUTE = 100_000
FAST = {
    "backoff_first_s": 0.05,
    "retry_delays_s": [0.05],
    "heartbeat_s": 0.1,
    "stop_s": 1.0,
    "requests_per_minute": PER_MINUTE,
}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain http: loading the public authorities takes longer than most tests."""
LATEST = "application/vnd.atlas.2025-03-12+json"
ROOT = "/api/atlas/v2"


def pipeline(*script: dict[str, Any]) -> list[dict[str, Any]]:
    """A pipeline for scripted workers, which runs until it is stopped."""
    into = {"connectionName": "local_cluster", "db": "shop", "coll": "out"}
    steps = [*script, {"started": 1}, {"wait": 1}]
    return [{"$source": {"script": steps}}, {"$merge": {"into": into}}]


@dataclass
class Api:
    """The Admin API as a client of Atlas sees it."""

    state: InstanceState
    http: httpx.Client
    has_changed: bool = False

    @property
    def streams(self) -> str:
        return f"{ROOT}/groups/{self.state.project_id}/streams"

    def call(
        self, method: str, path: str, body: Any = None, status: int | None = None, **options: Any
    ) -> httpx.Response:
        """One request; `path` below the streams, or absolute."""
        url = path if path.startswith("/api") else self.streams + path
        given = {} if body is None else {"json": body}
        reply = self.http.request(method, url, **given, **options)
        self.has_changed |= method != "GET" and reply.status_code < 300
        if status is not None:
            assert reply.status_code == status, reply.text
        return reply

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, status=200, **options).json()

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """The body of a request that must be refused, after its shape has been looked at."""
        reply = self.call(method, path, body, **options)
        assert reply.status_code >= 400, reply.text
        assert reply.headers["content-type"] == "application/json"
        error: dict[str, Any] = reply.json()
        assert error["error"] == reply.status_code
        assert error["reason"] == reply.reason_phrase
        assert error["detail"] and error["errorCode"] == error["errorCode"].upper()
        assert isinstance(error["parameters"], list)
        return error

    def fields(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, str]:
        """The faults of a request that must be refused for its fields."""
        error = self.refused(method, path, body, **options)
        assert error["error"] == 400
        found = error["badRequestDetail"]["fields"]
        return {each["field"]: each["description"] for each in found}


def token_of(state: InstanceState) -> str:
    reply = httpx.post(
        f"{state.admin_api_url}/api/oauth/token",
        auth=(state.client_id, state.client_secret),
        data={"grant_type": "client_credentials"},
    )
    assert reply.status_code == 200, reply.text
    token: str = reply.json()["access_token"]
    return token


def client_of(state: InstanceState, **headers: str) -> httpx.Client:
    return httpx.Client(
        base_url=state.admin_api_url,
        headers={"Accept": LATEST, **headers},
        verify=NO_TLS,
        timeout=30,
        trust_env=False,
    )


@contextmanager
def limits(**values: Any) -> Iterator[None]:
    """Limits of the instances that are started within."""
    before = dict(os.environ)
    os.environ["ASP_TEST_LIMITS"] = json.dumps({**FAST, **values})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceState]:
    """One instance with scripted workers for all tests here."""
    folder = tmp_path_factory.mktemp("admin_api")
    with limits():
        started = lifecycle.start(folder, daemon=SCRIPTED, timeout_s=60)
    yield started
    log = (folder / "instance.log").read_text()
    lifecycle.stop(folder)
    assert "Traceback" not in log, log


@pytest.fixture
def start_scripted() -> Iterator[Callable[[Path], InstanceState]]:
    """Start further instances; all are stopped after the test."""
    started: set[Path] = set()

    def start(folder: Path) -> InstanceState:
        started.add(folder)
        with limits():
            return lifecycle.start(folder, daemon=SCRIPTED, timeout_s=60)

    yield start
    for folder in started:
        discard(folder)


@pytest.fixture(scope="session")
def token(state: InstanceState) -> str:
    return token_of(state)


@pytest.fixture(scope="session")
def http(state: InstanceState, token: str) -> Iterator[httpx.Client]:
    with client_of(state, Authorization=f"Bearer {token}") as client:
        yield client


@pytest.fixture
def api(state: InstanceState, http: httpx.Client) -> Iterator[Api]:
    """The Admin API as the service account; what a test makes is gone after it."""
    found = Api(state, http)
    yield found
    if found.has_changed:
        tidy(found)


def tidy(api: Api) -> None:
    """Leave the workspace `local` and its own connections, and nothing else."""
    for workspace in api.get("")["results"]:
        name = workspace["name"]
        for processor in api.get(f"/{name}/processors")["results"]:
            api.call("DELETE", f"/{name}/processor/{processor['name']}", status=204)
        if name != "local":
            api.call("DELETE", f"/{name}", status=202)
    for connection in api.get("/local/connections")["results"]:
        if connection["type"] != "Sample" and connection["name"] != "local_cluster":
            api.call("DELETE", f"/local/connections/{connection['name']}", status=202)
    for link in api.get("/privateLinkConnections")["results"]:
        api.call("DELETE", f"/privateLinkConnections/{link['_id']}", status=202)


@pytest.fixture
def database(state: InstanceState) -> Iterator[Any]:
    """The instance's own database, to put in what nobody can ask for here."""
    with MongoClient[Any](state.mongod_uri) as client:
        yield client["__asp_local"]


@pytest.fixture
def tls(state: InstanceState) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=state.ca_file)
