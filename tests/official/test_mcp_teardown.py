"""atlas-streams-teardown of the MongoDB MCP server: every resource, and what protects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.official.agent import Agent

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]


def test_a_running_processor_is_stopped_and_deleted(agent: Agent) -> None:
    agent.processor("ended", autoStart=True)
    shown = agent.tear_down("processor", "ended")
    assert (shown.is_error, shown.structured) == (False, {"resource": "processor"})
    assert "You are about to delete processor 'ended'" in agent.server.asked[0]
    assert "ended" not in agent.local.processors(agent.workspace)


def test_a_connection_goes(agent: Agent) -> None:
    config = {"url": "https://example.com"}
    agent.build(
        "connection", connectionName="gone", connectionType="Https", connectionConfig=config
    )
    shown = agent.tear_down("connection", "gone")
    assert (shown.is_error, shown.structured) == (False, {"resource": "connection"})
    assert "gone" not in agent.local.connections(agent.workspace)


def test_a_workspace_goes_with_what_is_in_it(agent: Agent) -> None:
    inner = type(agent)(agent.server, agent.local, "doomed")
    inner.build("workspace", cloudProvider="AWS", region="VIRGINIA_USA")
    inner.build(
        "connection",
        connectionName="lake",
        connectionType="Cluster",
        connectionConfig={"clusterName": "Cluster0"},
    )
    inner.processor("last", autoStart=True)
    refused = inner.tear_down("workspace")
    assert refused.is_error
    assert "processor" in refused.text
    assert inner.true("last")["state"] == "STARTED"

    inner.manage("stop-processor", "last")
    connections = agent.local.connections("doomed")
    shown = inner.tear_down("workspace")
    assert not shown.is_error, shown.text
    assert shown.structured["processorsRemoved"] == 1
    assert shown.structured["connectionsRemoved"] == len(connections)
    assert "doomed" not in agent.local.workspaces()
    assert agent.local.rest.get("/streams/doomed").status_code == 404


def test_a_peering_goes(agent: Agent, peering: Callable[[], dict[str, Any]]) -> None:
    gone, kept = peering(), peering()
    shown = agent.tear_down("peering", gone["_id"])
    assert (shown.is_error, shown.structured) == (False, {"resource": "peering"}), shown.text
    assert set(agent.local.peerings()) == {kept["_id"]}


def test_a_private_link_stays_while_a_connection_names_it(agent: Agent) -> None:
    config = {"provider": "AWS", "vendor": "MSK", "arn": "arn:aws:kafka:us-east-1:1:cluster/x/y"}
    agent.build("privatelink", privateLinkConfig=config)
    (link,) = agent.local.rest.get("/streams/privateLinkConnections").json()["results"]
    private = {
        "bootstrapServers": "b.example.com:9092",
        "authentication": {"mechanism": "PLAIN", "username": "kay", "password": "hush"},
        "security": {"protocol": "SASL_SSL"},
        "networking": {"access": {"type": "PRIVATE_LINK", "connectionId": link["_id"]}},
    }
    built = agent.build(
        "connection", connectionName="private", connectionType="Kafka", connectionConfig=private
    )
    assert not built.is_error, built.text
    refused = agent.tear_down("privatelink", link["_id"])
    assert refused.is_error
    assert "private" in refused.text
    (listed,) = agent.discover("get-networking").structured["privateLinks"]
    assert listed["id"] == link["_id"]

    agent.tear_down("connection", "private")
    shown = agent.tear_down("privatelink", link["_id"])
    assert (shown.is_error, shown.structured) == (False, {"resource": "privatelink"})
    assert agent.discover("get-networking").structured["privateLinks"] == []


MISSING = ["processor", "connection", "workspace", "privatelink", "peering"]


@pytest.mark.parametrize("resource", MISSING)
def test_what_is_not_there_is_not_deleted(agent: Agent, resource: str) -> None:
    name = "0" * 24 if resource in ("privatelink", "peering") else "missing"
    if resource == "workspace":
        shown = agent.tear_down(resource, workspaceName=name)
    else:
        shown = agent.tear_down(resource, name)
    assert shown.is_error
    assert shown.text.startswith("Resource not found: [404 ")
    assert name in shown.text
