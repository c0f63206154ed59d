"""atlas-streams-manage of the MongoDB MCP server: every action, on processors that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.official.agent import SOLAR, copying, into
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.official.agent import Agent

    Document = dict[str, Any]

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]


def test_start_and_stop(agent: Agent) -> None:
    agent.processor("turned")
    started = agent.manage("start-processor", "turned")
    assert (started.is_error, started.structured) == (False, {"processorState": "STARTED"})
    assert agent.true("turned")["state"] == "STARTED"
    assert len(agent.server.asked) == 1
    assert "You are about to start processor 'turned'" in agent.server.asked[0]
    until(lambda: agent.local.count("turned") > 0)

    twice = agent.manage("start-processor", "turned")
    assert twice.is_error
    assert "already running" in twice.text

    for refused in (
        agent.manage("update-connection", "lake", connectionConfig={"clusterName": "Other"}),
        agent.tear_down("connection", "lake"),
    ):
        assert refused.is_error
        assert "turned" in refused.text, "it names who uses the connection"
    assert agent.local.connections(agent.workspace)["lake"]["clusterName"] == "Cluster0"

    stopped = agent.manage("stop-processor", "turned")
    assert (stopped.is_error, stopped.structured) == (False, {"processorState": "STOPPED"})
    assert agent.true("turned")["state"] == "STOPPED"
    again = agent.manage("stop-processor", "turned")
    assert "is not running (state: STOPPED)" in again.text
    agent.forget("processor/turned")


def changes(agent: Agent, collection: str, target: str) -> list[Document]:
    """From a change stream of a collection that has images, into another."""
    source = {"connectionName": "lake", "db": "official", "coll": collection}
    return [
        {"$source": source},
        {"$replaceRoot": {"newRoot": "$fullDocument"}},
        into(target),
    ]


def test_start_with_options(agent: Agent) -> None:
    entered = agent.local.cluster["official"]["entered"]
    entered.insert_one({"n": 0})
    moment = agent.local.cluster.admin.command("hello")["lastWrite"]["lastWriteDate"]
    entered.insert_one({"n": 1})
    agent.processor("since", pipeline=changes(agent, "entered", "since"))
    shown = agent.manage(
        "start-processor",
        "since",
        tier="SP5",
        autoscaling={"enabled": True, "maxTier": "SP10"},
        resumeFromCheckpoint=False,
        startAtOperationTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    assert (shown.is_error, shown.structured) == (False, {"processorState": "STARTED"}), shown.text
    assert "WARNING: resumeFromCheckpoint is false" in agent.server.asked[0]
    until(lambda: agent.local.count("since") > 0)
    assert agent.local.cluster["official"]["since"].find_one({"n": 1}) is not None
    inspected = agent.discover("inspect-processor", resourceName="since").structured
    assert inspected["effectiveTier"] == "SP5"
    agent.manage("stop-processor", "since")
    agent.forget("processor/since")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"startAtOperationTime": "yesterday"}, "startAtOperationTime"),
        ({"tier": "SP50"}, "SP50"),
        ({"autoscaling": {"enabled": True, "minTier": "SP30", "maxTier": "SP5"}}, "maxTier"),
    ],
)
def test_start_with_options_that_cannot_be(agent: Agent, options: Document, said: str) -> None:
    lowered = agent.local.rest.patch(
        f"/streams/{agent.workspace}", json={"streamConfig": {"maxTierSize": "SP30"}}
    )
    assert lowered.status_code == 200, lowered.text
    agent.processor("unstarted")
    shown = agent.manage("start-processor", "unstarted", **options)
    assert shown.is_error
    assert said in shown.text
    assert agent.true("unstarted")["state"] == "CREATED"
    agent.forget("processor/unstarted")


def test_modify_everything_of_a_processor(agent: Agent) -> None:
    agent.processor("modified", autoStart=True)
    running = agent.manage("modify-processor", "modified", pipeline=copying("elsewhere"))
    assert running.is_error
    assert "must be stopped" in running.text
    agent.manage("stop-processor", "modified")

    dead = {"connectionName": "lake", "db": "official", "coll": "modified_dead"}
    stages = [SOLAR, {"$match": {"device_id": "device_2"}}, into("elsewhere")]
    shown = agent.manage(
        "modify-processor",
        "modified",
        pipeline=stages,
        dlq=dead,
        newName="renamed",
        tier="SP5",
        autoscaling={"enabled": True, "minTier": "SP2", "maxTier": "SP30"},
    )
    assert not shown.is_error, shown.text
    assert shown.structured["tier"] == "SP5"
    assert shown.structured["autoscaling"] == {"enabled": True, "minTier": "SP2", "maxTier": "SP30"}
    assert "modified" not in agent.local.processors(agent.workspace)
    true = agent.true("renamed")
    assert (true["state"], true["tier"], true["pipeline"]) == ("STOPPED", "SP5", stages)
    assert true["options"]["dlq"] == dead

    reset = agent.manage("modify-processor", "renamed", autoscaling={"maxTier": None})
    assert not reset.is_error, reset.text
    assert reset.structured["autoscaling"] == {"enabled": True, "minTier": "SP2"}
    off = agent.manage("modify-processor", "renamed", autoscaling={"enabled": False})
    assert not off.is_error, off.text
    assert "autoscaling" not in off.structured
    assert "autoscaling" not in agent.true("renamed")["options"]

    agent.manage("start-processor", "renamed")
    found = agent.local.cluster["official"]["elsewhere"]
    until(lambda: found.count_documents({}) > 0)
    assert found.distinct("device_id") == ["device_2"]
    agent.forget("processor/renamed")


def test_a_modification_that_cannot_be(agent: Agent) -> None:
    agent.processor("kept")
    nothing = agent.manage("modify-processor", "kept")
    assert nothing.is_error
    assert "No modifications specified" in nothing.text

    for pipeline, said in (
        ([SOLAR, {"$limit": 1}, into("x")], "$limit"),
        ([into("x")], "$source"),
        ([{"$source": {"connectionName": "nowhere"}}, into("x")], "nowhere"),
    ):
        shown = agent.manage("modify-processor", "kept", pipeline=pipeline)
        assert shown.is_error, "the server checks nothing here: the instance has to"
        assert shown.text.startswith("Bad Request: [400 ")
        assert said in shown.text
    assert agent.true("kept")["pipeline"] == copying("kept")

    agent.processor("other")
    taken = agent.manage("modify-processor", "kept", newName="other")
    assert taken.is_error
    assert {"kept", "other"} <= set(agent.local.processors(agent.workspace))
    agent.forget("processor/kept")
    agent.forget("processor/other")


def test_update_workspace(agent: Agent) -> None:
    name = "moved"
    agent.build("workspace", workspaceName=name, cloudProvider="AWS", region="VIRGINIA_USA")
    shown = agent.manage(
        "update-workspace", workspaceName=name, newRegion="DUBLIN_IRL", newTier="SP5"
    )
    assert not shown.is_error, shown.text
    assert (shown.structured["region"], shown.structured["tier"]) == ("AWS/DUBLIN_IRL", "SP5")
    true = agent.local.rest.get(f"/streams/{name}").json()
    assert true["dataProcessRegion"] == {"cloudProvider": "AWS", "region": "DUBLIN_IRL"}
    assert true["streamConfig"]["tier"] == "SP5"
    assert ".dublin-irl." in agent.local.address(name)["tls_host"]

    wrong = agent.manage("update-workspace", workspaceName=name, newRegion="ATLANTIS")
    assert wrong.is_error
    assert "ATLANTIS" in wrong.text
    assert agent.local.rest.get(f"/streams/{name}").json() == true
    missing = agent.manage("update-workspace", workspaceName="missing", newTier="SP5")
    assert missing.is_error
    agent.forget("", name)


def test_update_connection(agent: Agent) -> None:
    config = {"url": "https://example.com/one"}
    agent.build(
        "connection", connectionName="hook", connectionType="Https", connectionConfig=config
    )
    shown = agent.manage(
        "update-connection", "hook", connectionConfig={"url": "https://example.com/two"}
    )
    assert (shown.is_error, shown.structured) == (False, {"connectionState": "READY"}), shown.text
    assert agent.local.connections(agent.workspace)["hook"]["url"] == "https://example.com/two"

    wrong = agent.manage("update-connection", "hook", connectionConfig={"url": "no url"})
    assert wrong.is_error
    assert wrong.text.startswith("Bad Request: [400 ")
    missing = agent.manage("update-connection", "missing", connectionConfig=config)
    assert missing.is_error
    assert missing.text.startswith("Resource not found: [404 ")
    agent.forget("connections/hook")


def test_peerings_are_accepted_and_rejected(agent: Agent, peering: Callable[[], Document]) -> None:
    wanted, unwanted = peering(), peering()
    requester = {name: wanted[name] for name in ("requesterAccountId", "requesterVpcId")}
    wrong = {**requester, "requesterVpcId": "vpc-other", "peeringId": wanted["_id"]}
    refused = agent.manage("accept-peering", **wrong)
    assert refused.is_error
    assert "requesterVpcId" in refused.text

    accepted = agent.manage("accept-peering", peeringId=wanted["_id"], **requester)
    assert (accepted.is_error, accepted.structured) == (False, {"peeringState": "ACCEPTED"})
    rejected = agent.manage("reject-peering", peeringId=unwanted["_id"])
    assert (rejected.is_error, rejected.structured) == (False, {"peeringState": "REJECTED"})
    assert agent.local.peerings() == {wanted["_id"]: "ACCEPTED", unwanted["_id"]: "REJECTED"}
    active = agent.local.rest.get("/streams/activeVpcPeeringConnections").json()["results"]
    assert [each["_id"] for each in active] == [wanted["_id"]]

    missing = agent.manage("reject-peering", peeringId="0" * 24)
    assert missing.is_error
    assert missing.text.startswith("Resource not found: [404 ")


@pytest.mark.parametrize("action", ["start-processor", "stop-processor", "modify-processor"])
def test_a_processor_that_is_not_there(agent: Agent, action: str) -> None:
    given = {"pipeline": copying("x")} if action == "modify-processor" else {}
    shown = agent.manage(action, "missing", **given)
    assert shown.is_error
    assert shown.text.startswith("Resource not found: [404 ")
    assert "missing" in shown.text
