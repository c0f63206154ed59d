"""Every path of the Admin API: what it does, and that nobody gets more than they should."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.server.admin.routes import TABLE
from tests.server_admin.conftest import LATEST, PER_MINUTE, ROOT, Api, client_of, pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from asp_utils.server.lifecycle import InstanceState

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]

GROUP = "/groups/{groupId}"
STREAMS = f"{GROUP}/streams"
NO_ID = "0123456789abcdef01234567"
GZIP = {"Accept": "application/vnd.atlas.2025-03-12+gzip"}
ACTIONS = [(method, path) for path, actions in TABLE.items() for method in actions]
OPEN = "/unauth/controlPlaneIPAddresses"
PEERING = {
    "_id": "a" * 24,
    "name": "pcx-1",
    "requesterAccountId": "123456789012",
    "requesterVpcId": "vpc-1",
    "cloudStatus": "PENDING_ACCEPTANCE",
}


def filled(path: str, state: InstanceState, **names: str) -> str:
    """A path of the table with names in it, by default those of things that are not there."""
    own = {"groupId": state.project_id, "tenantName": "local"}
    parts = {**own, **names}
    return ROOT + re.sub(r"{(\w+)}", lambda found: parts.get(found[1], NO_ID), path)


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_nobody_gets_in_without_credentials(state: InstanceState, method: str, path: str) -> None:
    with client_of(state) as http:
        reply = http.request(method, filled(path, state))
    if path == OPEN:
        assert reply.status_code == 200
    else:
        assert (reply.status_code, reply.json()["errorCode"]) == (401, "USER_UNAUTHORIZED")
        assert reply.headers["www-authenticate"].startswith("Digest ")


@pytest.mark.parametrize("path", list(TABLE))
def test_other_methods_are_refused(api: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if method not in TABLE[path]:
            reply = api.call(method, filled(path, api.state))
            assert reply.status_code == 405
            assert reply.headers["allow"] == ", ".join(TABLE[path])
            assert reply.json()["errorCode"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(("method", "path"), [each for each in ACTIONS if "{groupId}" in each[1]])
@pytest.mark.parametrize("project", [NO_ID, "none", "%20"])
def test_other_projects_are_not_there(api: Api, method: str, path: str, project: str) -> None:
    error = api.refused(method, filled(path, api.state, groupId=project))
    assert (error["error"], error["errorCode"]) == (404, "GROUP_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"), [each for each in ACTIONS if "{tenantName}" in each[1]]
)
def test_other_workspaces_are_not_there(api: Api, method: str, path: str) -> None:
    headers = GZIP if TABLE[path][method].suffix == "gzip" else {}
    url = filled(path, api.state, tenantName="none")
    error = api.refused(method, url, VALID_BODIES.get((method, path)), headers=headers)
    assert (error["error"], error["errorCode"]) == (404, "STREAM_TENANT_NOT_FOUND_FOR_NAME")
    assert error["parameters"] == [api.state.project_id, "none"]


VALID_BODIES: dict[tuple[str, str], Any] = {
    ("POST", f"{STREAMS}/{{tenantName}}/processor"): {"name": "p", "pipeline": pipeline()},
    ("POST", f"{STREAMS}/vpcPeeringConnections/{{id}}:accept"): {
        "requesterAccountId": "1",
        "requesterVpcId": "2",
    },
}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        (method, path, code)
        for part, code in (
            ("{connectionName}", "STREAM_CONNECTION_NOT_FOUND_FOR_NAME"),
            ("{processorName}", "STREAM_PROCESSOR_NOT_FOUND"),
            ("{connectionId}", "STREAM_PRIVATE_LINK_NOT_FOUND"),
            ("{id}", "STREAM_VPC_PEERING_NOT_FOUND"),
            ("{groupName}", "GROUP_NAME_NOT_FOUND"),
            ("{orgId}", "ORG_NOT_FOUND"),
        )
        for method, path in ACTIONS
        if part in path
    ],
)
def test_what_is_not_there(api: Api, method: str, path: str, code: str) -> None:
    error = api.refused(method, filled(path, api.state), VALID_BODIES.get((method, path)))
    assert (error["error"], error["errorCode"]) == (404, code)


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_too_old_a_version_is_not_acceptable(api: Api, method: str, path: str) -> None:
    headers = {"Accept": "application/vnd.atlas.2022-12-31+json"}
    error = api.refused(method, filled(path, api.state), headers=headers)
    assert (error["error"], error["errorCode"]) == (406, "INVALID_VERSION_DATE")
    assert TABLE[path][method].version in error["detail"]


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_unknown_parameters_are_refused_before_anything_is_done(
    api: Api, method: str, path: str
) -> None:
    error = api.refused(method, filled(path, api.state) + "?itemPerPage=1")
    assert (error["errorCode"], error["parameters"]) == ("INVALID_QUERY_PARAMETER", ["itemPerPage"])
    assert set(api.fields(method, filled(path, api.state) + "?envelope=1&pretty=no")) == {
        "envelope",
        "pretty",
    }


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/private/v1.0/telemetry/events", "/api/atlas/v1.0/groups", "/x/../y"]
)
def test_paths_of_others_are_not_there(state: InstanceState, path: str) -> None:
    with client_of(state) as http:
        for method in ("GET", "POST"):
            reply = http.request(method, path)
            assert (reply.status_code, reply.json()["errorCode"]) == (404, "RESOURCE_NOT_FOUND")


def test_which_paths_there_are_is_told_to_those_who_may_know(api: Api) -> None:
    path = f"{ROOT}/groups/{api.state.project_id}/clusters"
    assert api.refused("GET", path)["errorCode"] == "RESOURCE_NOT_FOUND"
    assert api.refused("GET", path, headers={"Authorization": ""})["error"] == 401


def test_every_path_does_its_work(api: Api, database: Any) -> None:
    """Each method of each path once, with success; the table says which version answers."""
    database.vpcPeerings.insert_many([{**PEERING, "_id": letter * 24} for letter in "ab"])
    left = set(ACTIONS)
    for method, path, names, body in scenario(api):
        left.discard((method, path))
        action = TABLE[path][method]
        query = QUERIES.get(path, "") if method == "GET" else ""
        headers = {"Accept": LATEST.replace("json", action.suffix)}
        reply = api.call(method, filled(path, api.state, **names) + query, body, headers=headers)
        assert reply.status_code == action.status, (method, path, reply.text)
        check_reply(reply, method, path)
    database.vpcPeerings.delete_many({})
    assert left == {("POST", "/groups")}  # there is one project
    assert api.refused("POST", f"{ROOT}/groups", {"name": "x"})["error"] == 403


QUERIES = {f"{STREAMS}/accountDetails": "?cloudProvider=AWS&regionName=VIRGINIA_USA"}
KAFKA = {
    "name": "broker",
    "type": "Kafka",
    "bootstrapServers": "127.0.0.1:9",
    "security": {"protocol": "SASL_PLAINTEXT"},
    "authentication": {"mechanism": "PLAIN", "username": "u", "password": "open-sesame"},
}


def check_reply(reply: httpx.Response, method: str, path: str) -> None:
    action = TABLE[path][method]
    if path != OPEN:
        assert reply.headers["ratelimit-limit"] == str(PER_MINUTE)
        assert int(reply.headers["ratelimit-remaining"]) > 0
    if action.status == 204:
        assert reply.content == b""
        return
    ending = ";charset=utf-8" if action.suffix == "json" else ""
    wanted = f"application/vnd.atlas.{action.version}+{action.suffix}{ending}"
    assert reply.headers["content-type"] == wanted
    if action.suffix == "gzip":
        assert gzip.decompress(reply.content)
    elif action.status == 202:
        assert reply.json() == {}
    elif reply.content:
        assert "null" not in reply.text
        assert "open-sesame" not in reply.text
        document = reply.json()
        assert document
        if action.is_list:
            assert document["totalCount"] == len(document["results"])
            assert document["links"][0]["rel"] == "self"
    else:
        assert re.search(r":(start|startWith|stop)$", path)


def scenario(api: Api) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    """Method, path, names, body of every request, in an order in which all succeed."""
    tenant = {"tenantName": "shop"}
    region = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}
    yield "GET", OPEN, {}, None
    yield "GET", "/groups", {}, None
    yield "GET", GROUP, {}, None
    yield "GET", "/groups/byName/{groupName}", {"groupName": "local"}, None
    yield "GET", "/orgs/{orgId}/groups", {"orgId": api.state.project_id}, None
    yield "POST", STREAMS, {}, {"name": "shop", "dataProcessRegion": region}
    samples = {"name": "samples", "dataProcessRegion": region, "sampleConnections": {"solar": True}}
    yield "POST", f"{STREAMS}:withSampleConnections", {}, samples
    yield "GET", STREAMS, {}, None
    at = f"{STREAMS}/{{tenantName}}"
    yield "GET", at, tenant, None
    yield "PATCH", at, tenant, {"streamConfig": {"tier": "SP5"}}
    yield "GET", f"{STREAMS}/accountDetails", {}, None
    yield from _networking()
    links = f"{STREAMS}/privateLinkConnections"
    yield "POST", links, {}, {"provider": "AWS", "vendor": "S3", "region": "us-east-1"}
    yield "GET", links, {}, None
    link = {"connectionId": api.get("/privateLinkConnections")["results"][0]["_id"]}
    for method, body in (("GET", None), ("PATCH", {"dnsDomain": "x"}), ("DELETE", None)):
        yield method, f"{links}/{{connectionId}}", link, body
    yield "GET", f"{at}/connections", tenant, None
    yield "POST", f"{at}/connections", tenant, KAFKA
    broker = {**tenant, "connectionName": "broker"}
    one = f"{at}/connections/{{connectionName}}"
    yield "GET", one, broker, None
    yield "PATCH", one, broker, {"bootstrapServers": "127.0.0.1:10"}
    failover = {**{k: v for k, v in KAFKA.items() if k != "name"}, "region": "OHIO_USA"}
    yield "POST", f"{one}/failoverConnections", broker, failover
    yield "GET", f"{one}/failoverConnections", broker, None
    found = api.get("/shop/connections/broker/failoverConnections")["results"][0]
    second = {**broker, "failoverId": found["id"]}
    for method, body in (("GET", None), ("PATCH", {"bootstrapServers": "h:1"}), ("DELETE", None)):
        yield method, f"{one}/failoverConnections/{{failoverId}}", second, body
    yield "DELETE", one, broker, None
    yield from _processors(at, tenant)
    yield "GET", f"{at}/auditLogs", tenant, None
    yield "DELETE", at, tenant, None


def _networking() -> Iterator[tuple[str, str, dict[str, str], Any]]:
    peerings = f"{STREAMS}/vpcPeeringConnections"
    asked = {key: PEERING[key] for key in ("requesterAccountId", "requesterVpcId")}
    yield "GET", peerings, {}, None
    yield "POST", f"{peerings}/{{id}}:accept", {"id": "a" * 24}, asked
    yield "POST", f"{peerings}/{{id}}:reject", {"id": "b" * 24}, None
    yield "GET", f"{STREAMS}/activeVpcPeeringConnections", {}, None
    yield "DELETE", f"{peerings}/{{id}}", {"id": "b" * 24}, None


def _processors(at: str, tenant: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    names = {**tenant, "processorName": "p"}
    one = f"{at}/processor/{{processorName}}"
    yield "POST", f"{at}/processor", tenant, {"name": "p", "pipeline": pipeline()}
    yield "GET", f"{at}/processors", tenant, None
    yield "PATCH", one, names, {"tier": "SP2"}
    yield "POST", f"{one}:start", names, None
    yield "GET", one, names, None
    yield "POST", f"{one}:stop", names, None
    yield "POST", f"{one}:startWith", names, {"resumeFromCheckpoint": False}
    yield "POST", f"{one}:stop", names, None
    yield "GET", f"{at}:downloadOperationalLogs", tenant, None
    yield "DELETE", one, names, None
