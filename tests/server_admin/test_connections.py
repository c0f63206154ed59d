"""Connections over REST: every fault at once, and no secret that comes back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server_admin.conftest import Api, pipeline

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]

KAFKA = {
    "name": "broker",
    "type": "Kafka",
    "bootstrapServers": "127.0.0.1:9",
    "security": {"protocol": "SASL_PLAINTEXT"},
    "authentication": {"mechanism": "SCRAM-256", "username": "u", "password": "open-sesame"},
    "config": {"auto.offset.reset": "earliest"},
}
IN_USE = "STREAM_CONNECTION_HAS_STREAM_PROCESSORS"
SECRET_HEADERS = {"k": "open-sesame"}
AT = "/local/connections"


def test_a_kafka_connection_is_answered_as_atlas_does(api: Api) -> None:
    made = api.call("POST", AT, KAFKA, status=200).json()
    assert made == {
        "authentication": {"mechanism": "SCRAM-256", "username": "u"},
        "bootstrapServers": "127.0.0.1:9",
        "config": {"auto.offset.reset": "earliest"},
        "id": made["id"],
        "name": "broker",
        "networking": {"access": {"type": "PUBLIC"}},
        "region": "VIRGINIA_USA",
        "security": {"protocol": "SASL_PLAINTEXT"},
        "state": "READY",
        "type": "Kafka",
    }
    assert api.get(f"{AT}/broker") == made
    assert made in api.get(AT)["results"]


ROLE = {"roleArn": "arn:aws:iam::123456789012:role/streams"}
ODD_HERE: list[tuple[dict[str, Any], str]] = [
    (
        {
            **KAFKA,
            "security": {"protocol": "SASL_SSL"},
            "authentication": {"mechanism": "AWS_MSK_IAM", "aws": ROLE, "username": None},
            "networking": None,
        },
        "IAM role",
    ),
    ({**KAFKA, "config": {"sasl.username": "x"}}, "sasl.username"),
    ({**KAFKA, "networking": {"access": {"type": "VPC"}}}, "VPC"),
    ({"name": "c", "type": "Cluster", "clusterName": "C"}, "own mongod"),
    ({"name": "s", "type": "S3", "aws": ROLE}, "role"),
    ({"name": "g", "type": "GCPPubSub", "gcp": {"serviceAccountId": "x@p.iam"}}, "cannot reach"),
]


@pytest.mark.parametrize(("definition", "said"), ODD_HERE)
def test_what_is_otherwise_here_is_said_and_no_reply_holds_a_null(
    api: Api, definition: dict[str, Any], said: str
) -> None:
    one = f"{AT}/{definition['name']}"
    for reply in (
        api.call("POST", AT, definition, status=200),
        api.call("PATCH", one, definition, status=200),
    ):
        warnings = reply.json()["warnings"]
        assert any(said in each["message"] for each in warnings), warnings
        assert all({"path", "message"} <= set(each) for each in warnings)
        assert "null" not in reply.text
    for path in (one, AT):
        shown = api.call("GET", path, status=200).text
        assert "null" not in shown and "warnings" not in shown


def test_a_cluster_without_an_address_is_the_instances_own(api: Api) -> None:
    body = {
        "name": "main",
        "type": "Cluster",
        "clusterName": "Cluster0",
        "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"},
    }
    made = api.call("POST", AT, body, status=200).json()
    assert {key: made[key] for key in body} == body
    assert "own mongod" in made["warnings"][0]["message"]
    assert "warnings" not in api.get(f"{AT}/main")


def test_secrets_never_come_back(api: Api) -> None:
    bodies = [
        {"name": "c", "type": "Cluster", "uri": "mongodb://u:open-sesame@127.0.0.1:1/"},
        {"name": "w", "type": "Https", "url": "http://x:open-sesame@h/", "headers": SECRET_HEADERS},
        {"name": "l", "type": "AWSLambda", "accessKeyId": "i", "secretAccessKey": "open-sesame"},
    ]
    for body in bodies:
        reply = api.call("POST", AT, body, status=200)
        assert "open-sesame" not in reply.text
    assert "open-sesame" not in api.call("GET", AT).text
    assert "open-sesame" not in api.call("GET", "/local?includeConnections=true").text
    wrong = {"name": "q", "type": "Kafka", "authentication": {"password": ["open-sesame"]}}
    assert "open-sesame" not in api.call("POST", AT, wrong).text


def test_all_faults_of_a_connection_at_once(api: Api) -> None:
    found = api.fields("POST", AT, {"name": "a b", "type": "Kafka", "securty": {}})
    assert {"name", "bootstrapServers", "securty"} <= set(found)
    assert "'Kafka'" in api.fields("POST", AT, {"name": "x", "type": "kafka"})["type"]
    assert set(api.fields("POST", AT)) >= {"name", "type"}
    error = api.refused("POST", AT, {"type": "Kafka"})
    assert error["errorCode"] == "VALIDATION_ERROR"


def test_a_name_is_taken_once_and_built_in_ones_stay(api: Api) -> None:
    api.call("POST", AT, KAFKA, status=200)
    error = api.refused("POST", AT, KAFKA)
    assert (error["error"], error["errorCode"]) == (409, "STREAM_CONNECTION_NAME_ALREADY_EXISTS")
    for method, body in (("PATCH", {"clusterName": "x"}), ("DELETE", None)):
        assert api.refused(method, f"{AT}/local_cluster", body)["error"] in (400, 409)
    assert api.get(f"{AT}/local_cluster")["clusterName"] == "local"


def test_an_update_keeps_what_is_not_given(api: Api) -> None:
    made = api.call("POST", AT, KAFKA, status=200).json()
    changed = api.call("PATCH", f"{AT}/broker", {**made, "bootstrapServers": "h:1"}, status=200)
    assert changed.json() == {**made, "bootstrapServers": "h:1"}
    assert set(api.fields("PATCH", f"{AT}/broker", {"type": "Https"})) >= {"type"}


def using(connection: str) -> dict[str, Any]:
    stages = pipeline()
    stages[-1]["$merge"]["into"]["connectionName"] = connection
    return {"name": "user", "pipeline": stages}


def test_what_a_running_processor_uses_is_left_alone(api: Api) -> None:
    body = {"name": "used", "type": "Cluster", "uri": "mongodb://127.0.0.1:1/"}
    api.call("POST", AT, body, status=200)
    api.call("POST", "/local/processor", using("used"), status=200)
    api.call("POST", "/local/processor/user:start", status=200)
    for method, change in (("PATCH", {"uri": "mongodb://127.0.0.1:2/"}), ("DELETE", None)):
        error = api.refused(method, f"{AT}/used", change)
        assert (error["error"], error["errorCode"]) == (403, IN_USE)
        assert error["parameters"] == ["used", "local"]
        assert "'user'" in error["detail"]
    api.call("POST", "/local/processor/user:stop", status=200)
    api.call("PATCH", f"{AT}/used", {"uri": "mongodb://127.0.0.1:2/"}, status=200)
    assert api.call("DELETE", f"{AT}/used", status=202).json() == {}
    assert api.refused("GET", f"{AT}/used")["error"] == 404


def test_failover_connections_one_for_each_region(api: Api) -> None:
    api.call("POST", AT, KAFKA, status=200)
    at = f"{AT}/broker/failoverConnections"
    body = {
        "type": "Kafka",
        "region": "OHIO_USA",
        "bootstrapServers": "h:9",
        "security": {"protocol": "SASL_PLAINTEXT"},
        "authentication": KAFKA["authentication"],
    }
    made = api.call("POST", at, body, status=201)
    assert "open-sesame" not in made.text
    assert made.json()["region"] == "OHIO_USA"
    error = api.refused("POST", at, body)
    assert error["errorCode"] == "STREAM_FAILOVER_CONNECTION_ALREADY_EXISTS"
    assert "region" in str(api.fields("POST", at, {**body, "region": "nowhere"}))
    one = f"{at}/{made.json()['id']}"
    assert api.get(one) == made.json()
    changed = api.call("PATCH", one, {"bootstrapServers": "h:10"}, status=200).json()
    assert changed == {**made.json(), "bootstrapServers": "h:10"}
    api.call("DELETE", one, status=204)
    for method in ("GET", "PATCH", "DELETE"):
        assert api.refused(method, one)["errorCode"] == "STREAM_FAILOVER_CONNECTION_NOT_FOUND"
    assert api.get(at)["results"] == []
