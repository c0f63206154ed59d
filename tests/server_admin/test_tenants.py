"""Workspaces over REST."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient

from asp_utils.model.samples import SAMPLE_NAMES, SOLAR
from tests.server_admin.conftest import Api, pipeline
from tests.waiting import until

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]
AWS = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}


def create(api: Api, name: str = "shop", **more: Any) -> Any:
    body = {"name": name, "dataProcessRegion": AWS, **more}
    return api.call("POST", "", body, status=200).json()


def started(api: Api, name: str, workspace: str = "shop", *script: dict[str, Any]) -> str:
    """A processor that runs; its path."""
    body = {"name": name, "pipeline": pipeline(*script)}
    api.call("POST", f"/{workspace}/processor", body, status=200)
    path = f"/{workspace}/processor/{name}"
    api.call("POST", f"{path}:start", status=200)
    return path


def state_of(api: Api, path: str) -> str:
    state: str = api.get(path)["state"]
    return state


def test_a_new_workspace_has_the_shape_of_atlas_and_an_endpoint_that_answers(api: Api) -> None:
    made = create(api, streamConfig={"tier": "SP30"})
    assert made == {
        "_id": made["_id"],
        "dataProcessRegion": AWS,
        "failoverRegions": [],
        "groupId": api.state.project_id,
        "hostnames": made["hostnames"],
        "name": "shop",
        "streamConfig": {"maxTierSize": "SP50", "tier": "SP30"},
    }
    assert f"atlas-stream-{made['_id']}-local.virginia-usa.a." in made["hostnames"][1]
    assert api.get("/shop") == made
    assert made in api.get("")["results"]
    with MongoClient[Any](
        f"mongodb://{made['hostnames'][0]}/?authSource=admin",
        username=api.state.connection_user,
        password=api.state.connection_password,
    ) as client:
        reply = client.admin.command("listWorkspaceDefaults")
    assert (reply["defaultTierSize"], reply["maxTierSize"]) == ("SP30", "SP50")


def connections(api: Api, workspace: str = "shop") -> list[str]:
    return [each["name"] for each in api.get(f"/{workspace}/connections")["results"]]


@pytest.mark.parametrize(
    ("path", "more", "found"),
    [
        ("", {}, []),
        ("", {"sampleConnections": {}}, []),
        ("", {"sampleConnections": {"solar": False}}, []),
        ("", {"sampleConnections": {"solar": True}}, [SOLAR]),
        (":withSampleConnections", {}, [SOLAR]),
        (":withSampleConnections", {"sampleConnections": {"solar": True}}, [SOLAR]),
        (":withSampleConnections", {"sampleConnections": {"solar": False}}, []),
    ],
)
def test_a_new_workspace_is_empty_unless_samples_are_asked_for(
    api: Api, path: str, more: dict[str, Any], found: list[str]
) -> None:
    api.call("POST", path, {"name": "shop", "dataProcessRegion": AWS, **more}, status=200)
    assert connections(api) == found
    assert "local_cluster" in connections(api, "local")


def test_every_sample_can_be_made_and_deleted_in_a_new_workspace(api: Api) -> None:
    create(api)
    for name in SAMPLE_NAMES:
        made = api.call("POST", "/shop/connections", {"name": name, "type": "Sample"}, status=200)
        shown = {"name": name, "type": "Sample", "region": AWS["region"], "state": "READY"}
        assert made.json() == {"id": made.json()["id"], **shown}
    assert connections(api) == sorted(SAMPLE_NAMES)
    taken = api.refused("POST", "/shop/connections", {"name": SOLAR, "type": "Sample"})
    assert (taken["error"], taken["errorCode"]) == (409, "STREAM_CONNECTION_NAME_ALREADY_EXISTS")
    for name in SAMPLE_NAMES:
        assert api.call("DELETE", f"/shop/connections/{name}", status=202).json() == {}
    assert connections(api) == []
    # Of another type too: nothing is reserved here.
    for name in (SOLAR, "local_cluster"):
        body = {"name": name, "type": "Cluster", "clusterName": "C"}
        api.call("POST", "/shop/connections", body, status=200)
        api.call("PATCH", f"/shop/connections/{name}", {"clusterName": "D"}, status=200)
        api.call("DELETE", f"/shop/connections/{name}", status=202)


def test_connections_come_with_it_where_they_are_asked_for(api: Api) -> None:
    assert "connections" not in api.get("/local")
    assert "connections" not in api.get("/local?includeConnections=false")
    found = api.get("/local?includeConnections=true")["connections"]
    assert found == api.get("/local/connections")["results"]
    assert set(api.fields("GET", "/local?includeConnections=1")) == {"includeConnections"}


def test_a_small_largest_tier_makes_a_small_default(api: Api) -> None:
    made = create(api, streamConfig={"maxTierSize": "SP5"})
    assert made["streamConfig"] == {"maxTierSize": "SP5", "tier": "SP5"}
    body = {"name": "p", "pipeline": pipeline(), "tier": "SP30"}
    error = api.refused("POST", "/shop/processor", body)
    assert "largest tier, SP5" in error["detail"]


def test_all_faults_of_a_new_workspace_at_once(api: Api) -> None:
    body = {
        "name": "a b",
        "dataProcessRegion": {"cloudProvider": "AWS", "region": "us-east-1"},
        "failoverRegions": [{"cloudProvider": "GCP", "region": "nowhere"}],
    }
    found = api.fields("POST", "", body)
    assert set(found) == {"name", "dataProcessRegion.region", "failoverRegions[0].region"}
    assert "VIRGINIA_USA" in found["dataProcessRegion.region"]
    shape = {"name": 1, "dataProcessRegion": {"region": "X"}, "streamConfig": {"tier": "SP1"}}
    assert set(api.fields("POST", "", {**shape, "strangeField": 1})) == {
        "name",
        "dataProcessRegion.cloudProvider",
        "streamConfig.tier",
        "strangeField",
    }
    assert set(api.fields("POST", "")) == {"name", "dataProcessRegion"}
    regions = {"name": "x", "dataProcessRegion": AWS, "failoverRegions": [AWS] * 3}
    assert set(api.fields("POST", "", regions)) == {"failoverRegions"}
    for name in ("accountDetails", "privateLinkConnections"):
        assert set(api.fields("POST", "", {"name": name, "dataProcessRegion": AWS})) == {"name"}
    assert len(api.get("")["results"]) == 1


def test_tiers_that_do_not_fit_together(api: Api) -> None:
    body = {"name": "x", "dataProcessRegion": AWS}
    config = {"tier": "SP30", "maxTierSize": "SP10"}
    assert set(api.fields("POST", "", {**body, "streamConfig": config})) == {"streamConfig.tier"}
    create(api)
    assert set(api.fields("PATCH", "/shop", {"streamConfig": config})) == {"streamConfig.tier"}


def test_a_name_is_taken_once(api: Api) -> None:
    create(api)
    error = api.refused("POST", "", {"name": "shop", "dataProcessRegion": AWS})
    assert (error["error"], error["errorCode"]) == (409, "STREAM_TENANT_NAME_ALREADY_EXISTS")


def test_update_changes_what_is_given_and_takes_what_was_shown(api: Api) -> None:
    made = create(api)
    changed = api.call(
        "PATCH", "/shop", {**made, "cloudProvider": "AZURE", "region": "westeurope"}, status=200
    ).json()
    assert changed["dataProcessRegion"] == {"cloudProvider": "AZURE", "region": "westeurope"}
    assert changed["streamConfig"] == made["streamConfig"]
    assert changed["_id"] == made["_id"]
    changed = api.call("PATCH", "/shop", {"failoverRegions": [AWS]}, status=200).json()
    assert changed["failoverRegions"] == [AWS]
    changed = api.call("PATCH", "/shop", {"streamConfig": {"maxTierSize": "SP30"}}).json()
    assert changed["streamConfig"] == {"maxTierSize": "SP30", "tier": "SP10"}
    assert api.get("/shop") == changed
    assert set(api.fields("PATCH", "/shop", {"cloudProvider": "GCP"})) == {"region"}
    failing = {"processorStatus": {"status": "FAILED_OVER", "region": "OHIO_USA"}}
    assert set(api.fields("PATCH", "/shop", failing)) == {"processorStatus.status"}


def test_a_workspace_is_deleted_when_nothing_runs_in_it(api: Api) -> None:
    create(api)
    path = started(api, "busy")
    error = api.refused("DELETE", "/shop")
    assert (error["error"], error["errorCode"]) == (403, "STREAM_TENANT_HAS_STREAM_PROCESSORS")
    assert "busy" in error["detail"]
    api.call("POST", f"{path}:stop", status=200)
    assert api.call("DELETE", "/shop", status=202).json() == {}
    assert api.refused("GET", "/shop")["error"] == 404
    assert api.refused("DELETE", "/local")["errorCode"] == "STREAM_TENANT_IS_BUILT_IN"


def test_all_processors_are_stopped_and_started_with_their_workspace(api: Api) -> None:
    create(api)
    paths = [started(api, name) for name in ("a", "b")]
    api.call("POST", "/shop/processor", {"name": "idle", "pipeline": pipeline()}, status=200)
    api.call("PATCH", "/shop", {"processorStatus": {"status": "STOPPED"}}, status=200)
    assert [state_of(api, path) for path in paths] == ["STOPPED", "STOPPED"]
    api.call("PATCH", "/shop", {"processorStatus": {"status": "STARTED"}}, status=200)
    assert [state_of(api, path) for path in paths] == ["STARTED", "STARTED"]
    assert state_of(api, "/shop/processor/idle") == "CREATED"
    # Again: there is nothing to do.
    api.call("PATCH", "/shop", {"processorStatus": {"status": "STARTED"}}, status=200)


def test_one_that_cannot_be_started_is_named_with_those_that_are(api: Api) -> None:
    create(api)
    good = started(api, "good")
    why = {"code": 420, "codeName": "StreamProcessorInvalidOptions", "message": "no"}
    body = {"name": "bad", "pipeline": pipeline({"fail": {**why, "retryable": False}})}
    api.call("POST", "/shop/processor", body, status=200)
    assert api.refused("POST", "/shop/processor/bad:start")["errorCode"] == (
        "STREAM_PROCESSOR_GENERIC_ERROR"
    )
    until(lambda: state_of(api, "/shop/processor/bad") == "FAILED")
    api.call("POST", f"{good}:stop", status=200)
    error = api.refused("PATCH", "/shop", {"processorStatus": {"status": "STARTED"}})
    assert error["parameters"] == ["bad"]
    assert "Those that are: good." in error["detail"]
    assert state_of(api, good) == "STARTED"
