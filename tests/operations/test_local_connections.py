"""Connections of the local instance through the wrappers: secrets, faults, what is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

LOCAL = {"stream_processor_url": "local"}
SECRET = "s3cret-of-the-broker"
SASL = {"mechanism": "PLAIN", "username": "me"}
KAFKA = {
    "name": "events",
    "type": "Kafka",
    "bootstrapServers": "127.0.0.1:1",
    "security": {"protocol": "SASL_PLAINTEXT"},
}


@pytest.fixture(autouse=True)
def instance_log(project: Any) -> Iterator[Any]:
    """The instance's own log and its workers': they hold no secrets either."""
    yield
    local = project.root / "temp" / "local"
    logs = [local / "instance.log", *local.glob("workers/*.log")]
    assert not any(SECRET in log.read_text() for log in logs)


def recorded(project: Any) -> str:
    """Everything that the session keeps."""
    return "".join(path.read_text() for path in project.session.iterdir() if path.is_file())


def listed(project: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("sp_list_connections", LOCAL).result["connections"]
    return found


def test_a_secret_by_reference_reaches_the_registry_alone(project: Any) -> None:
    kafka = {**KAFKA, "authentication": {**SASL, "password": {"$env": "BROKER_SECRET"}}}
    ran = project.run("local_start", {"connections": [kafka]}, BROKER_SECRET=SECRET)
    assert ran.code == 0, ran.err
    assert {"name": "events", "type": "kafka"} in listed(project)
    assert SECRET not in recorded(project) + ran.out + ran.err
    assert '"$env": "BROKER_SECRET"' in recorded(project)


@pytest.mark.parametrize(
    "connection",
    [
        {**KAFKA, "authentication": {**SASL, "password": SECRET}},
        {
            **KAFKA,
            "authentication": {
                "mechanism": "OAUTHBEARER",
                "tokenEndpointUrl": "https://idp/token",
                "clientId": "c",
                "clientSecret": SECRET,
            },
        },
        {
            **KAFKA,
            "authentication": {
                "sslCertificate": "-----BEGIN CERTIFICATE-----",
                "sslKey": f"-----BEGIN PRIVATE KEY-----{SECRET}",
                "sslKeyPassword": SECRET,
            },
            "security": {"protocol": "SSL"},
        },
        {
            "name": "api",
            "type": "Https",
            "url": "http://127.0.0.1:1",
            "headers": {"Authorization": f"Bearer {SECRET}", "x-api-key": SECRET, "Cookie": SECRET},
        },
        {"name": "files", "type": "S3", "accessKeyId": "me", "secretAccessKey": SECRET},
        {
            "name": "schemas",
            "type": "SchemaRegistry",
            "provider": "CONFLUENT",
            "schemaRegistryUrls": ["http://127.0.0.1:1"],
            "schemaRegistryAuthentication": {
                "type": "USER_INFO",
                "username": "u",
                "password": SECRET,
            },
        },
    ],
    ids=["sasl", "oauth", "mtls", "https", "s3", "schemas"],
)
def test_a_literal_secret_is_used_and_not_kept(project: Any, connection: dict[str, Any]) -> None:
    ran = project.run("local_start", {"connections": [connection]})
    assert ran.code == 0, ran.err
    assert connection["name"] in [each["name"] for each in listed(project)]
    assert SECRET not in recorded(project) + ran.out + ran.err
    assert "$redacted" in recorded(project)
    assert project.verify() == 0


def test_a_url_with_a_password_is_refused_unless_it_is_allowed(project: Any) -> None:
    orders = {"name": "orders", "type": "Cluster", "uri": f"mongodb://u:{SECRET}@127.0.0.1:1/"}
    ran = project.run("local_start", {"connections": [orders]})
    assert (ran.code, ran.result["path"]) == (64, "$.connections[0].uri")
    allowed = project.run("local_start", {"connections": [orders]}, "--allow-literal-secrets")
    assert allowed.code == 0, allowed.err
    assert SECRET not in recorded(project) + ran.out + ran.err + allowed.out + allowed.err


def test_all_faults_are_named_by_path_and_without_secrets(project: Any) -> None:
    wrong = [
        {**KAFKA, "authentication": {"mechanism": "PLAIN", "password": SECRET}},
        {"name": "blob", "type": "AzureBlobStorage"},
        {"name": "api", "type": "Https", "url": "http://h", "headers": {"Authorization": 5}},
    ]
    ran = project.run("local_start", {"connections": wrong})
    assert ran.code == 64
    paths = [fault["path"] for fault in ran.result["details"]["faults"]]
    assert paths == [
        "$.connections[0].authentication.username",
        "$.connections[1].type",
        "$.connections[2].headers.Authorization",
    ]
    assert SECRET not in recorded(project) + ran.out + ran.err


def test_what_works_otherwise_is_told(project: Any) -> None:
    kafka = {**KAFKA, "security": {"protocol": "PLAINTEXT"}, "config": {"security.protocol": "x"}}
    ran = project.run("local_start", {"connections": [kafka]})
    assert ran.code == 0
    assert "warning: $.connections[0].config.security.protocol: " in ran.err


def test_a_connection_in_use_is_a_conflict(project: Any) -> None:
    ticks = {"name": "ticks", "type": "Sample", "sample": "samplestock"}
    assert project.run("local_start", {"connections": [ticks]}).code == 0
    into = {"connectionName": "local_cluster", "db": "in_use", "coll": "out"}
    pipeline = [{"$source": {"connectionName": "ticks"}}, {"$merge": {"into": into}}]
    processor = {**LOCAL, "name": "uses_ticks"}
    made = project.run("sp_create_stream_processor", {**processor, "pipeline": pipeline})
    assert made.code == 0, made.err
    assert project.run("sp_start_stream_processor", processor).code == 0
    assert project.run("local_start", {"connections": [ticks]}).code == 0
    other = {**ticks, "sample": "samplelog"}
    ran = project.run("local_start", {"connections": [other]})
    assert ran.code == 73
    assert "'uses_ticks'" in ran.err
