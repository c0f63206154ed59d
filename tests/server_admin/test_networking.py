"""Private links, peerings, account details: kept and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.server_admin.conftest import Api

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]
AT = "/privateLinkConnections"


def test_a_private_link_is_kept_and_idle(api: Api) -> None:
    body = {"provider": "aws", "region": "us-east-1", "serviceEndpointId": "s"}
    made = api.call("POST", AT, body, status=200).json()
    assert made == {
        "_id": made["_id"],
        "provider": "AWS",
        "region": "us-east-1",
        "serviceEndpointId": "s",
        "vendor": "GENERIC",
        "state": "IDLE",
    }
    one = f"{AT}/{made['_id']}"
    assert api.get(one) == made
    assert api.get(AT)["results"] == [made]
    changed = api.call("PATCH", one, {**made, "dnsDomain": "x.y"}, status=200).json()
    assert changed == {**made, "dnsDomain": "x.y"}
    assert set(api.fields("PATCH", one, {"provider": "GCP", "region": "r"})) == {
        "provider",
        "region",
    }
    assert api.call("DELETE", one, status=202).json() == {}
    assert api.refused("DELETE", one)["error"] == 404


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"provider"}),
        ({"provider": "IBM"}, {"provider"}),
        ({"provider": "AWS"}, {"region"}),
        ({"provider": "AWS", "vendor": "EVENTHUB"}, {"vendor", "region"}),
        ({"provider": "AWS", "vendor": "MSK", "arn": "arn:aws:s3"}, {"arn"}),
        ({"provider": "GCP", "gcpConnectionIds": list("abcd"), "x": 1}, {"gcpConnectionIds", "x"}),
    ],
)
def test_all_faults_of_a_private_link(api: Api, body: Any, fields: set[str]) -> None:
    assert set(api.fields("POST", AT, body)) == fields
    assert api.get(AT)["results"] == []


def test_a_private_link_in_use_stays(api: Api) -> None:
    link = {"provider": "AWS", "vendor": "MSK", "arn": "arn:aws:kafka:x"}
    made = api.call("POST", AT, link, status=200).json()
    connection = {
        "name": "broker",
        "type": "Kafka",
        "bootstrapServers": "h:9",
        "security": {"protocol": "SASL_PLAINTEXT"},
        "authentication": {"mechanism": "PLAIN", "username": "u", "password": "p"},
        "networking": {"access": {"type": "PRIVATE_LINK", "connectionId": made["_id"]}},
    }
    api.call("POST", "/local/connections", connection, status=200)
    error = api.refused("DELETE", f"{AT}/{made['_id']}")
    assert (error["error"], error["errorCode"]) == (409, "STREAM_PRIVATE_LINK_IN_USE")
    assert "local/broker" in error["detail"]


def test_account_details_say_that_there_is_no_account(api: Api) -> None:
    at = "/accountDetails?cloudProvider="
    assert api.get(f"{at}AWS&regionName=VIRGINIA_USA") == {
        "awsAccountId": "000000000000",
        "cidrBlock": "127.0.0.0/8",
        "cloudProvider": "AWS",
        "vpcId": "vpc-local",
    }
    assert "azureSubscriptionId" in api.get(f"{at}azure&regionName=westeurope")
    assert "gcpProjectId" in api.get(f"{at}GCP&regionName=US_EAST4")
    assert set(api.fields("GET", "/accountDetails")) == {"cloudProvider", "regionName"}


def test_nobody_asks_a_local_instance_for_a_peering(api: Api) -> None:
    for path in ("/vpcPeeringConnections", "/activeVpcPeeringConnections"):
        assert api.get(path)["results"] == []
    assert api.get("/vpcPeeringConnections?requesterAccountId=1")["totalCount"] == 0


def test_a_peering_that_was_put_in(api: Api, database: Any) -> None:
    peering = {"name": "pcx", "requesterAccountId": "1", "requesterVpcId": "vpc-1"}
    database.vpcPeerings.insert_many([{"_id": each * 24, **peering} for each in "abc"])
    at = "/vpcPeeringConnections"
    asked = {"requesterAccountId": "1", "requesterVpcId": "vpc-1"}
    assert set(api.fields("POST", f"{at}/{'a' * 24}:accept")) == set(asked)
    wrong = {**asked, "requesterVpcId": "other"}
    assert set(api.fields("POST", f"{at}/{'a' * 24}:accept", wrong)) == {"requesterVpcId"}
    assert api.call("POST", f"{at}/{'a' * 24}:accept", asked, status=202).json() == {}
    assert api.call("POST", f"{at}/{'b' * 24}:reject", status=202).json() == {}
    statuses = [each.get("localStatus") for each in api.get(at)["results"]]
    assert statuses == ["ACCEPTED", "REJECTED", None]
    assert [each["_id"] for each in api.get("/activeVpcPeeringConnections")["results"]] == [
        "a" * 24
    ]
    assert api.get(f"{at}?requesterAccountId=2")["results"] == []
    for each in "abc":
        assert api.call("DELETE", f"{at}/{each * 24}", status=202).json() == {}
    assert api.get(at)["results"] == []
