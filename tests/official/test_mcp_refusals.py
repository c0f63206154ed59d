"""The MongoDB MCP server where it may not: wrong secrets, no trust, no consent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.official.agent import copying
from tests.official.mcp import account_environment, mcp_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.official.agent import Agent
    from tests.official.local import Local

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]


def test_a_wrong_secret_is_an_error_and_changes_nothing(
    clients: None, local: Local, tmp_path: Path
) -> None:
    state = local.state
    environment = account_environment(
        state.admin_api_https_url, state.ca_file, state.client_id, "mdb_sa_sk_wrong"
    )
    before = local.workspaces()
    where = {"projectId": state.project_id, "workspaceName": "unauthorized"}
    with mcp_server(tmp_path / "home", environment) as server:
        listed = server.call("atlas-streams-discover", action="list-workspaces", **where)
        built = server.call(
            "atlas-streams-build",
            resource="workspace",
            cloudProvider="AWS",
            region="VIRGINIA_USA",
            **where,
        )
        deleted = server.call(
            "atlas-streams-teardown",
            resource="workspace",
            projectId=state.project_id,
            workspaceName="local",
        )
    for shown in (listed, built, deleted):
        assert shown.is_error, "an empty body would be shown as success"
        assert "401" in shown.text
    assert local.workspaces() == before
    assert "mdb_sa_sk_wrong" not in (tmp_path / "home" / "server.log").read_text()


def test_without_trust_in_the_authority_nothing_is_sent(
    clients: None, local: Local, tmp_path: Path
) -> None:
    state = local.state
    environment = account_environment(
        state.admin_api_https_url, state.ca_file, state.client_id, state.client_secret
    )
    del environment["SSL_CERT_FILE"], environment["NODE_EXTRA_CA_CERTS"]
    with mcp_server(tmp_path / "home", environment) as server:
        shown = server.call("atlas-list-projects")
    assert shown.is_error


def test_without_consent_nothing_changes(agent: Agent) -> None:
    agent.processor("guarded")
    agent.server.consent = "decline"
    for shown in (
        agent.manage("start-processor", "guarded"),
        agent.manage("modify-processor", "guarded", pipeline=copying("x")),
        agent.tear_down("processor", "guarded"),
        agent.tear_down("workspace"),
    ):
        assert "not" in shown.text.lower(), shown.text
    assert len(agent.server.asked) == 4
    assert agent.true("guarded")["state"] == "CREATED"
    agent.server.consent = "accept"
    agent.forget("processor/guarded")
