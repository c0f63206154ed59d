"""What the Atlas CLI sends, read in its source, as no registry has it: paths, versions, answers.

Each step has the version that the CLI's SDK puts into Accept and Content-Type, and every list the
page that it always asks for. Replies must be of a type that the SDK reads.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.official.agent import copying
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.official.local import Local

    Document = dict[str, Any]

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]

WORKSPACES = CONNECTIONS = NETWORK = "2023-02-01"
PROCESSORS = "2024-05-30"
SAMPLES = "2024-08-05"
ACCOUNTS = "2024-11-13"
LATEST = "2025-03-12"
READABLE: Final = re.compile(r"(?i)^(application|text)/(vnd\.[^;]+)?json")
PAGE: Final = {"itemsPerPage": "100", "pageNum": "1"}


class ServiceAccount(httpx.Auth):
    """One token for a process, fetched with the first call."""

    requires_response_body = True

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        basic = httpx.BasicAuth(client_id, secret)
        form = {"grant_type": "client_credentials"}
        self._ask = httpx.Request("POST", f"{url}/api/oauth/token", data=form)
        self._basic, self._token = basic, ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        if not self._token:
            reply = yield next(self._basic.auth_flow(self._ask))
            token = reply.json()
            assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
            self._token = token["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@dataclass
class Cli:
    """The CLI's side of the wire."""

    http: httpx.Client
    project: str

    def send(self, method: str, path: str, version: str, body: Document | None = None) -> Document:
        """A command's request; the document that its reply holds."""
        kind = f"application/vnd.atlas.{version}+json"
        headers = {"Accept": kind} | ({} if body is None else {"Content-Type": kind})
        is_list = method == "GET" and path.endswith("s")
        url = f"/api/atlas/v2/groups/{self.project}/{path}"
        reply = self.http.request(
            method, url, headers=headers, json=body, params=PAGE if is_list else None
        )
        assert reply.status_code < 300, reply.text
        if not reply.content:
            return {}
        assert READABLE.match(reply.headers["Content-Type"])
        document: Document = reply.json()
        return document

    def download(self, path: str, version: str) -> str:
        """A log, unzipped."""
        kind = f"application/vnd.atlas.{version}+gzip"
        url = f"/api/atlas/v2/groups/{self.project}/{path}"
        reply = self.http.get(url, headers={"Accept": kind})
        assert reply.status_code == 200, reply.text
        return gzip.decompress(reply.content).decode()


@pytest.fixture(params=["digest", "service account"])
def cli(request: pytest.FixtureRequest, local: Local) -> Iterator[Cli]:
    """The CLI with either kind of credentials; the wrong one is asked for each time."""
    state = local.state
    auth: httpx.Auth = httpx.DigestAuth(state.public_key, state.private_key)
    if request.param != "digest":
        auth = ServiceAccount(state.admin_api_url, state.client_id, state.client_secret)
    with httpx.Client(base_url=state.admin_api_url, auth=auth) as http:
        yield Cli(http, state.project_id)


@pytest.mark.parametrize("cli", ["digest"], indirect=True)
def test_streams_commands_in_a_row(cli: Cli, local: Local) -> None:
    name, region = "by-cli", {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}
    tier = {"tier": "SP30"}
    new = {"name": name, "dataProcessRegion": region, "streamConfig": tier}
    made = cli.send("POST", "streams:withSampleConnections", SAMPLES, new)
    assert made["hostnames"][0].startswith("127.0.0.1:")
    listed = cli.send("GET", "streams", WORKSPACES)
    assert name in [each["name"] for each in listed["results"]]
    change = {"cloudProvider": "AWS", "region": "DUBLIN_IRL"}
    assert cli.send("PATCH", f"streams/{name}", WORKSPACES, change)["_id"] == made["_id"]

    cluster = {"name": "lake", "type": "Cluster", "clusterName": "Cluster0"}
    cluster |= {"dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"}}  # type: ignore[dict-item]
    connections = f"streams/{name}/connections"
    assert cli.send("POST", connections, CONNECTIONS, cluster)["state"] == "READY"
    assert cli.send("GET", f"{connections}/lake", CONNECTIONS)["clusterName"] == "Cluster0"
    assert cli.send("GET", connections, CONNECTIONS)["totalCount"] >= 2

    processor = f"streams/{name}/processor"
    definition = {"name": "copy", "pipeline": copying("by_cli")}
    shown = cli.send("POST", processor, PROCESSORS, definition)
    assert {"_id", "name", "pipeline", "state"} <= set(shown)
    cli.send("POST", f"{processor}/copy:start", PROCESSORS)
    until(lambda: local.count("by_cli") > 0)
    assert cli.send("GET", f"{processor}/copy", PROCESSORS)["state"] == "STARTED"
    cli.send("POST", f"{processor}/copy:stop", PROCESSORS)
    cli.send("PATCH", f"{processor}/copy", PROCESSORS, {"name": "renamed"})
    cli.send("POST", f"{processor}/renamed:startWith", LATEST, {"resumeFromCheckpoint": False})
    assert local.processors(name)["renamed"]["state"] == "STARTED"
    cli.send("POST", f"{processor}/renamed:stop", PROCESSORS)
    assert [each["name"] for each in cli.send("GET", f"{processor}s", PROCESSORS)["results"]] == [
        "renamed"
    ]

    assert "renamed" in cli.download(f"streams/{name}/auditLogs", WORKSPACES)
    assert cli.download(f"streams/{name}:downloadOperationalLogs", LATEST)
    assert cli.send("DELETE", f"{processor}/renamed", PROCESSORS) == {}
    assert cli.send("DELETE", f"{connections}/lake", CONNECTIONS) == {}
    assert cli.send("DELETE", f"streams/{name}", WORKSPACES) == {}
    assert name not in local.workspaces()
    local.cluster["official"]["by_cli"].drop()


def test_networking_commands(cli: Cli) -> None:
    link = {"provider": "Azure", "region": "eastus2", "vendor": "EVENTHUB"}
    link |= {"dnsDomain": "d.servicebus.windows.net", "serviceEndpointId": "/subscriptions/s"}
    links = "streams/privateLinkConnections"
    made = cli.send("POST", links, NETWORK, link)
    shown = cli.send("GET", f"{links}/{made['_id']}", NETWORK)
    assert (shown["provider"], shown["state"]) == ("AZURE", "IDLE")
    assert cli.send("GET", links, NETWORK)["totalCount"] == 1
    assert cli.send("DELETE", f"{links}/{made['_id']}", NETWORK) == {}
    details = "streams/accountDetails?cloudProvider=aws&regionName=VIRGINIA_USA"
    assert cli.send("GET", details, ACCOUNTS)["cloudProvider"] == "AWS"
    assert cli.send("GET", "streams/activeVpcPeeringConnections", ACCOUNTS)["results"] == []


def test_a_command_that_fails_says_why(cli: Cli) -> None:
    url = f"/api/atlas/v2/groups/{cli.project}/streams/missing"
    kind = f"application/vnd.atlas.{WORKSPACES}+json"
    reply = cli.http.get(url, headers={"Accept": kind})
    assert reply.status_code == 404
    assert {"error", "errorCode", "detail", "reason"} <= set(reply.json())
