"""atlas-streams-discover of the MongoDB MCP server: every action, beside what is true."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.official.agent import SOLAR, copying, into
from tests.waiting import until

if TYPE_CHECKING:
    from tests.official.agent import Agent
    from tests.official.mcp import Shown

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]


def document_in(shown: Shown) -> Any:
    """The JSON that the text holds, between the server's warnings about untrusted data."""
    found = re.search(r"^[\[{].*^[\]}]$", shown.text, re.DOTALL | re.MULTILINE)
    assert found is not None, shown.text
    return json.loads(found[0])


def test_list_workspaces(agent: Agent) -> None:
    shown = agent.discover("list-workspaces")
    workspaces = {each["name"]: each for each in shown.structured["workspaces"]}
    assert set(workspaces) == set(agent.local.workspaces())
    assert workspaces["by-mcp"]["region"] == "AWS/VIRGINIA_USA"
    assert workspaces["by-mcp"]["tier"] == "SP10"
    assert f"(total: {len(workspaces)})" in shown.text

    detailed = document_in(agent.discover("list-workspaces", responseFormat="detailed"))
    (own,) = [each for each in detailed if each["name"] == "by-mcp"]
    assert own["_id"] == agent.local.address("by-mcp")["id"]
    assert own["groupId"] == agent.local.state.project_id


def test_inspect_workspace(agent: Agent) -> None:
    shown = agent.discover("inspect-workspace")
    true = agent.local.connections("by-mcp")
    assert shown.structured["workspace"]["connectionCount"] == len(true)
    assert shown.structured["workspace"]["region"] == "AWS/VIRGINIA_USA"
    document = document_in(shown)
    address = agent.local.address("by-mcp")
    hosts = set(document["hostnames"])
    assert address["tls_host"] in hosts
    assert any(host in address["stream_processor_url"] for host in hosts)
    assert {each["name"] for each in document["connections"]} == set(true)


def test_list_connections_page_by_page(agent: Agent) -> None:
    true = set(agent.local.connections("by-mcp"))
    listed = agent.discover("list-connections").structured["connections"]
    assert {each["name"] for each in listed} == true
    assert {each["state"] for each in listed} == {"READY"}

    pages = [
        agent.discover("list-connections", limit=1, pageNum=number).structured["connections"]
        for number in (1, 2, 3)
    ]
    assert [len(page) for page in pages] == [1, 1, 0]
    assert {each["name"] for page in pages for each in page} == true
    detailed = document_in(agent.discover("list-connections", responseFormat="detailed"))
    assert {each["name"] for each in detailed} == true


def test_inspect_connection(agent: Agent) -> None:
    shown = agent.discover("inspect-connection", resourceName="lake")
    connection = shown.structured["connection"]
    assert (connection["type"], connection["state"]) == ("Cluster", "READY")
    assert connection["clusterName"] == "Cluster0"
    assert "differs from its target cluster name" in shown.text
    assert document_in(shown)["dbRoleToExecute"]["role"] == "readWriteAnyDatabase"


def test_processors_are_listed_inspected_and_diagnosed(agent: Agent) -> None:
    dead = {"connectionName": "lake", "db": "official", "coll": "seen_dead"}
    broken = {"$addFields": {"x": {"$toInt": "$device_id"}}}
    agent.processor("seen", autoStart=True)
    agent.processor("sick", pipeline=[SOLAR, broken, into("sick")], dlq=dead, autoStart=True)
    agent.processor("idle")
    until(lambda: agent.local.count("seen") > 0 and agent.local.count("seen_dead") > 0)

    listed = agent.discover("list-processors").structured["processors"]
    assert {each["name"]: each["state"] for each in listed} == {
        name: each["state"] for name, each in agent.local.processors("by-mcp").items()
    }
    states = {each["name"]: (each["state"], each["tier"]) for each in listed}
    assert states["seen"] == ("STARTED", "SP10")
    assert states["idle"][0] == "CREATED"
    names = [agent.discover("list-processors", limit=2, pageNum=page) for page in (1, 2)]
    assert [len(shown.structured["processors"]) for shown in names] == [2, 1]

    shown = agent.discover("inspect-processor", resourceName="seen")
    assert shown.structured["processorState"] == "STARTED"
    assert shown.structured["effectiveTier"] == "SP10"
    assert shown.structured["pipeline"] == copying("seen")
    assert shown.structured["stats"]["outputMessageCount"] > 0
    assert shown.structured["stats"]["dlqMessageCount"] == 0

    diagnosed = agent.discover("diagnose-processor", resourceName="sick")
    assert diagnosed.structured["processorState"] == "STARTED"
    assert diagnosed.structured["stats"]["dlqMessageCount"] > 0
    assert "All " in diagnosed.text
    assert "input messages went to DLQ" in diagnosed.text
    health = {each["name"]: each["state"] for each in diagnosed.structured["connectionHealth"]}
    assert health == dict.fromkeys(agent.local.connections("by-mcp"), "READY")

    for name in ("seen", "sick", "idle"):
        agent.forget(f"processor/{name}")
    assert agent.discover("list-processors").structured == {"processors": []}


@pytest.mark.parametrize(
    ("provider", "region", "field"),
    [
        ("AWS", "VIRGINIA_USA", "awsAccountId"),
        ("AZURE", "westeurope", "azureSubscriptionId"),
        ("GCP", "US_CENTRAL1", "gcpProjectId"),
    ],
)
def test_get_networking(agent: Agent, provider: str, region: str, field: str) -> None:
    shown = agent.discover("get-networking", cloudProvider=provider, region=region)
    details = shown.structured["accountDetails"]
    asked = {"cloudProvider": provider, "regionName": region}
    true = agent.local.rest.get("/streams/accountDetails", params=asked).json()
    assert details[field] == true[field]
    assert details["cidrBlock"] == true["cidrBlock"]
    assert shown.structured["privateLinks"] == []


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("inspect-workspace", {"workspaceName": "missing"}),
        ("list-connections", {"workspaceName": "missing"}),
        ("list-processors", {"workspaceName": "missing"}),
        ("inspect-connection", {"workspaceName": "by-mcp", "resourceName": "missing"}),
        ("inspect-processor", {"workspaceName": "by-mcp", "resourceName": "missing"}),
    ],
)
def test_what_is_not_there(agent: Agent, action: str, arguments: dict[str, str]) -> None:
    project = agent.local.state.project_id
    given = {"projectId": project, "action": action, **arguments}
    shown = agent.server.call("atlas-streams-discover", **given)
    assert shown.is_error
    assert shown.text.startswith("Resource not found: [404 ")
    assert "missing" in shown.text
    shown = agent.server.call("atlas-streams-discover", **{**given, "projectId": "0" * 24})
    assert shown.is_error


def test_diagnosing_what_is_not_there_says_so(agent: Agent) -> None:
    shown = agent.discover("diagnose-processor", resourceName="missing")
    assert "Error fetching processor" in shown.text
    assert "missing" in shown.text
