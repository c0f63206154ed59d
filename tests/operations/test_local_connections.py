"""Connections of the local instance through the wrappers: secrets, faults, what is in use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.enrich.endpoint import Endpoint, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.enrich.endpoint import Seen

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
        {"name": "blob", "type": "AzureBlobStorage", "azure": {"accountKey": SECRET}},
        {"name": "api", "type": "Https", "url": "http://h", "headers": {"Authorization": 5}},
    ]
    ran = project.run("local_start", {"connections": wrong})
    assert ran.code == 64
    paths = [fault["path"] for fault in ran.result["details"]["faults"]]
    assert paths == [
        "$.connections[0].authentication.username",
        "$.connections[1].azure.servicePrincipalId",
        "$.connections[1].azure.storageAccountName",
        "$.connections[1].azure.accountKey",
        "$.connections[2].headers.Authorization",
    ]
    assert SECRET not in recorded(project) + ran.out + ran.err


def test_what_only_atlas_can_reach_is_kept_and_told(project: Any) -> None:
    gcp = {"name": "topics", "type": "GCPPubSub", "gcp": {"serviceAccountId": "s"}}
    own = {"name": "own", "type": "Cluster", "clusterName": "Prod"}
    ran = project.run("local_start", {"connections": [gcp, own]})
    assert ran.code == 0
    assert "warning: $.connections[0].type: the local instance cannot reach GCPPubSub" in ran.err
    assert "warning: $.connections[1].uri: no uri: here it is the local instance's own" in ran.err
    found = listed(project)
    assert {"name": "topics", "type": "gcppubsub"} in found
    assert {"name": "own", "type": "atlas", "cluster": "Prod"} in found
    into = {"connectionName": "own", "db": "own_cluster", "coll": "out"}
    documents = [{"$source": {"documents": [{"n": 1}]}}, {"$merge": {"into": into}}]
    processed = project.run("sp_process", {**LOCAL, "pipeline": documents})
    assert processed.code == 0, processed.err
    emits = [documents[0], {"$emit": {"connectionName": "topics", "topic": "t"}}]
    refused = project.run("sp_process", {**LOCAL, "pipeline": emits, "check_pipeline": False})
    assert refused.code == 65
    assert "does not run $emit with a connection of 'gcppubsub'" in refused.err


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


def test_a_connection_is_tried_out_before_it_is_stored(project: Any) -> None:
    kafka = {**KAFKA, "authentication": {**SASL, "password": {"$env": "BROKER_SECRET"}}}
    config = {"connection": kafka, "timeout_s": 5}
    ran = project.run("connection_test", config, BROKER_SECRET=SECRET)
    assert (ran.code, ran.result["code"]) == (69, "UNREACHABLE")
    assert [check["name"] for check in ran.result["details"]["checks"]] == ["resolve", "connect"]
    assert "127.0.0.1:1 refuses connections" in ran.err
    assert SECRET not in recorded(project) + ran.out + ran.err
    wrong = project.run("connection_test", {"connection": {**KAFKA, "authentication": SASL}})
    assert (wrong.code, wrong.result["path"]) == (64, "$.connection.authentication.password")
    sample = {"name": "samplestock", "type": "Sample"}
    ran = project.run("connection_test", {"connection": sample})
    assert (ran.code, ran.result["ok"]) == (0, True)
    ran = project.run("connection_test", {"connection": sample}, "--dry-run")
    assert ran.code == 0
    assert "nothing was stored" in ran.out


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    yield served
    served.close()


def test_uses_and_new_secrets_on_the_local_instance(project: Any, endpoint: Endpoint) -> None:
    asked = threading.Event()

    def answer(request: Seen) -> Reply:
        if request.headers["X-Key"] == SECRET:
            asked.set()
        return Reply()

    endpoint.answer = answer
    bucket = {"name": "bucket", "type": "S3", "endpointUrl": "http://127.0.0.1:1"}
    keys = {"accessKeyId": "me", "secretAccessKey": {"$env": "KEY"}}
    api = {"name": "api", "type": "Https", "url": endpoint.url, "headers": {"X-Key": "old"}}
    started = project.run("local_start", {"connections": [{**bucket, **keys}, api]}, KEY="old-key")
    assert started.code == 0, started.err
    pipeline = [
        {"$source": {"connectionName": "samplestock"}},
        {"$https": {"connectionName": "api", "as": "r"}},
        {"$merge": {"into": {"connectionName": "local_cluster", "db": "uses", "coll": "out"}}},
    ]
    processor = {**LOCAL, "name": "asks"}
    made = project.run("sp_create_stream_processor", {**processor, "pipeline": pipeline})
    assert made.code == 0, made.err
    assert project.run("sp_start_stream_processor", processor).code == 0
    used = project.run("connection_where_used", {**LOCAL, "name": "api"}).result
    assert used["connections"][0]["uses"] == [
        {
            "processor": "asks",
            "state": "STARTED",
            "role": "https",
            "path": "pipeline[1].$https.connectionName",
        }
    ]
    change = {"workspace": "local", "atlas": "local", "name": "api", "test": False}
    new = {**change, "secrets": {"headers": {"X-Key": {"$env": "NEW"}}}}
    ran = project.run("connection_rotate_secret", new, NEW=SECRET)
    assert ran.code == 73, ran.out
    ran = project.run("connection_rotate_secret", {**new, "restart_processors": True}, NEW=SECRET)
    assert ran.code == 0, ran.err
    assert ran.result["restarted"] == [{"name": "asks", "state": "STARTED"}]
    assert asked.wait(30)
    tested = {**change, "name": "bucket", "test": True}
    keys = {"accessKeyId": "you", "secretAccessKey": {"$env": "NEW"}}
    ran = project.run("connection_rotate_secret", {**tested, "secrets": keys}, NEW=SECRET)
    assert (ran.code, ran.result["details"]["checks"][-1]["name"]) == (69, "connect")
    assert SECRET not in recorded(project) + ran.out + ran.err
