"""One local instance and one MCP server for all tests with official clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from asp_utils.model.local_names import LOCAL_DATABASE
from asp_utils.server import lifecycle
from asp_utils.server.admin.networking import PEERINGS
from tests.instances import discard
from tests.official.agent import Agent
from tests.official.local import Local, rest_client
from tests.official.mcp import McpServer, account_environment, mcp_server
from tests.official.mongosh import Mongosh
from tests.official.npm import is_available
from tests.official_clients import WITHOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def clients() -> None:
    """Skip what needs the official clients where they are not."""
    if not is_available():
        pytest.skip(WITHOUT)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A local instance with the real engine."""
    folder = tmp_path_factory.mktemp("official")
    state = lifecycle.start(folder)
    with MongoClient[Any](state.mongod_uri) as cluster, rest_client(state) as rest:
        yield Local(folder, cluster, rest)
    discard(folder)


@pytest.fixture(scope="session")
def mcp_process(
    clients: None, local: Local, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[McpServer]:
    """The MongoDB MCP server with the instance's service account, over https."""
    state = local.state
    environment = account_environment(
        state.admin_api_https_url, state.ca_file, state.client_id, state.client_secret
    )
    with mcp_server(tmp_path_factory.mktemp("mcp"), environment) as server:
        yield server


@pytest.fixture
def mcp(mcp_process: McpServer) -> McpServer:
    """The same server, with whoever answers its questions in agreement."""
    mcp_process.consent = "accept"
    mcp_process.answers = {}
    mcp_process.asked = []
    return mcp_process


@pytest.fixture
def shell(clients: None, local: Local, tmp_path: Path) -> Mongosh:
    """The shell at the workspace `local`."""
    state = local.state
    url, user = state.stream_processor_url, state.connection_user
    return Mongosh(tmp_path / "home", url, user, state.connection_password)


@pytest.fixture(scope="session")
def workspace(mcp_process: McpServer, local: Local) -> str:
    """A workspace that the MCP server built, with samples and a cluster connection `lake`."""
    name = "by-mcp"
    where = {"projectId": local.state.project_id, "workspaceName": name}
    mcp_process.expect(
        "atlas-streams-build",
        resource="workspace",
        cloudProvider="AWS",
        region="VIRGINIA_USA",
        tier="SP10",
        **where,
    )
    mcp_process.expect(
        "atlas-streams-build",
        resource="connection",
        connectionName="lake",
        connectionType="Cluster",
        connectionConfig={"clusterName": "Cluster0"},
        **where,
    )
    return name


@pytest.fixture
def agent(mcp: McpServer, local: Local, workspace: str) -> Agent:
    """An agent in that workspace."""
    return Agent(mcp, local, workspace)


@pytest.fixture
def peering(local: Local) -> Iterator[Callable[[], dict[str, Any]]]:
    """A factory of VPC peerings that wait for an answer.

    On Atlas a network's owner asks for one in his cloud; here only the database can be told.
    """
    kept = local.cluster[LOCAL_DATABASE][PEERINGS]

    def ask() -> dict[str, Any]:
        request = {
            "_id": str(ObjectId()),
            "requesterAccountId": "123456789012",
            "requesterVpcId": "vpc-0a1b2c3d",
            "requesterCidr": "10.0.0.0/24",
            "localStatus": "PENDING_ACCEPTANCE",
        }
        kept.insert_one(request)
        return request

    yield ask
    kept.delete_many({})
