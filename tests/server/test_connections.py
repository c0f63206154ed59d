"""The connection registry: every kind of connection, what is wrong with one, what is in use."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.pipeline.connections.kinds import KINDS, definition_faults
from asp_utils.pipeline.connections.views import registry_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

    Admin = Database[dict[str, Any]]

pytestmark = pytest.mark.server
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
USER = {"username": "u", "password": "hunter22"}
OAUTH = {"tokenEndpointUrl": "https://idp/token", "clientId": "c", "clientSecret": "hunter22"}


def kafka(mechanism: str | None = None, protocol: str | None = None, **auth: Any) -> dict[str, Any]:
    authentication = {**({"mechanism": mechanism} if mechanism else {}), **auth}
    return {
        "name": "k",
        "type": "Kafka",
        "bootstrapServers": "b1:9092, b2:9093",
        **({"authentication": authentication} if authentication else {}),
        **({"security": {"protocol": protocol}} if protocol else {}),
    }


def registry(**authentication: Any) -> dict[str, Any]:
    return {
        "name": "r",
        "type": "SchemaRegistry",
        "provider": "CONFLUENT",
        "schemaRegistryUrls": ["http://r:8081"],
        "schemaRegistryAuthentication": authentication,
    }


GOOD: list[dict[str, Any]] = [
    {"name": "c", "type": "Cluster", "uri": "mongodb://u:hunter22@h:1/?directConnection=true", "clusterName": "Prod", "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"}},
    {"name": "s", "type": "Sample", "sample": "samplestock"},
    kafka(),
    kafka("PLAIN", "SASL_PLAINTEXT", **USER),
    kafka("SCRAM-256", "SASL_SSL", **USER),
    kafka("SCRAM-512", "SASL_SSL", **USER),
    kafka("OAUTHBEARER", "SASL_SSL", **OAUTH),
    kafka("OAUTHBEARER", "SASL_SSL", **OAUTH, method="OIDC", scope="s", saslOauthbearerExtensions="a=b"),
    kafka(None, "SSL", sslCertificate=PEM, sslKey=PEM, sslKeyPassword="hunter22"),
    kafka("AWS_MSK_IAM", "SASL_SSL", aws={"roleArn": "arn"}),
    kafka(None, "SASL_SSL", aws={"roleArn": "arn"}),
    kafka(None, "SSL"),
    kafka(None, "PLAINTEXT"),
    {**kafka(), "config": {"auto.offset.reset": "earliest"}, "networking": {"access": {"type": "PUBLIC"}}},
    {"name": "h", "type": "Https", "url": "https://api.example.com/v1", "headers": {"Authorization": "hunter22"}},
    {"name": "l", "type": "AWSLambda", "aws": {"roleArn": "arn:aws:iam::1:role/r"}, "endpointUrl": "http://127.0.0.1:1", "region": "us-east-1", "accessKeyId": "a", "secretAccessKey": "hunter22"},
    {"name": "b", "type": "S3", "aws": {"roleArn": "arn", "testBucket": "t"}, "networking": {"access": {"type": "PUBLIC"}}, "endpointUrl": "http://127.0.0.1:1"},
    {"name": "d", "type": "AWSKinesisDataStreams", "region": "eu-west-1"},
    {"name": "d", "type": "AWSKinesisDataStreams", "accessKeyId": "a", "secretAccessKey": "hunter22", "sessionToken": "hunter22"},
    registry(type="USER_INFO", username="u", password="hunter22"),
    registry(type="SASL_INHERIT"),
    {"name": "a", "type": "AzureBlobStorage", "azure": {"servicePrincipalId": "p", "storageAccountName": "s"}},
    {"name": "g", "type": "GCPPubSub", "gcp": {"serviceAccountId": "g@p.iam.gserviceaccount.com"}},
]  # fmt: skip

BAD: list[tuple[dict[str, Any], str, int, str]] = [
    ({"name": "c", "type": "Cluster", "uri": "http://u:hunter22@h"}, ".uri", 2, "connection string"),
    ({"name": "c", "type": "Cluster", "uri": 5}, ".uri", 2, "connection string"),
    ({"name": "c", "type": "Cluster", "uri": "mongodb://h", "dbRoleToExecute": {"role": "r", "type": "built_in"}}, ".dbRoleToExecute.type", 2, "BUILT_IN"),
    ({"name": "c", "type": "cluster", "uri": "mongodb://h"}, ".type", 420, "no connection type"),
    ({"name": "c", "type": "AzureBlobStorage"}, ".azure", 40414, "missing"),
    ({"name": "c", "type": "GCPPubSub", "gcp": {}}, ".gcp.serviceAccountId", 40414, "missing"),
    ({"name": "c"}, ".type", 420, "type is missing"),
    ({"name": "mysolar", "type": "Sample"}, ".name", 420, "no sample"),
    ({"name": "x", "type": "Sample", "sample": "nope"}, ".sample", 420, "no such sample"),
    ({"name": "a b", "type": "Sample", "sample": "samplestock"}, ".name", 420, "no name of a connection"),
    ({"name": "local_cluster", "type": "Cluster", "uri": "mongodb://h"}, ".name", 420, "built in"),
    ({"name": "samplestock", "type": "Cluster", "uri": "mongodb://h"}, ".name", 420, "built in"),
    ({**kafka(), "bootstrapServers": "broker"}, ".bootstrapServers", 2, "host:port"),
    ({**kafka(), "bootstrapServers": "b:9092,"}, ".bootstrapServers", 2, "host:port"),
    ({"name": "k", "type": "Kafka"}, ".bootstrapServers", 40414, "missing"),
    ({**kafka(), "bootstrapServer": "b:1"}, ".bootstrapServer", 40415, "unknown field"),
    ({**kafka(), "config": {"acks": 1}}, ".config.acks", 14, "must be a string"),
    (kafka("PLAIN", "SASL_SSL", username="u"), ".authentication.password", 40414, "PLAIN needs password"),
    (kafka("SCRAM-256", "SASL_SSL", password="hunter22"), ".authentication.username", 40414, "SCRAM-256 needs username"),
    (kafka("SCRAM-SHA-256", "SASL_SSL", **USER), ".authentication.mechanism", 2, "SCRAM-256"),
    (kafka("PLAIN", "SASL_SSL", username="u", password=["hunter22"]), ".authentication.password", 14, "must be"),
    ({**kafka(None, "SSL"), "authentication": "u:hunter22"}, ".authentication", 14, "must be"),
    (kafka(None, "SASL_SSL"), ".authentication.mechanism", 40414, "needs a mechanism"),
    (kafka("PLAIN", None, **USER), ".security.protocol", 40414, "needs a protocol"),
    (kafka("PLAIN", "SSL", **USER), ".security.protocol", 420, "does not go with"),
    (kafka("PLAIN", "SASL_TLS", **USER), ".security.protocol", 2, "SASL_SSL"),
    (kafka("PLAIN", "SASL_SSL", **USER, clientId="c"), ".authentication.clientId", 420, "OAUTHBEARER"),
    (kafka(None, "SSL", username="u"), ".authentication.username", 420, "PLAIN"),
    (kafka("OAUTHBEARER", "SASL_SSL", clientId="c", clientSecret="hunter22"), ".authentication.tokenEndpointUrl", 40414, "needs"),
    (kafka("OAUTHBEARER", "SASL_SSL", **OAUTH, username="u"), ".authentication.username", 420, "SCRAM"),
    (kafka("OAUTHBEARER", "SASL_SSL", **OAUTH, method="oidc"), ".authentication.method", 2, "OIDC"),
    (kafka(None, "SSL", sslCertificate=PEM), ".authentication.sslKey", 40414, "needs sslKey"),
    (kafka(None, "SSL", sslKeyPassword="hunter22", sslCertificate=PEM), ".authentication.sslKey", 40414, "needs sslKey"),
    (kafka(None, "PLAINTEXT", sslCertificate=PEM, sslKey=PEM), ".security.protocol", 420, "SSL"),
    (kafka(None, "SSL", sslCertificate="hunter22", sslKey=PEM), ".authentication.sslCertificate", 2, "PEM"),
    ({**kafka(), "security": {"protocol": "SSL", "brokerPublicCertificate": "x"}}, ".security.brokerPublicCertificate", 2, "PEM"),
    (kafka("PLAIN", "SASL_SSL", **USER, aws={"roleArn": "arn"}), ".authentication.mechanism", 420, "IAM role"),
    (kafka("AWS_MSK_IAM", "SASL_SSL"), ".authentication.aws", 40414, "needs aws"),
    ({"name": "h", "type": "Https"}, ".url", 40414, "missing"),
    ({"name": "h", "type": "Https", "url": "ftp://u:hunter22@h"}, ".url", 2, "http://"),
    ({"name": "h", "type": "Https", "url": "http://h", "headers": {"a": 5}}, ".headers.a", 14, "must be a string"),
    ({"name": "b", "type": "S3", "endpointUrl": "minio:9000"}, ".endpointUrl", 2, "http://"),
    ({"name": "b", "type": "S3", "accessKeyId": "a"}, ".secretAccessKey", 40414, "needs secretAccessKey"),
    ({"name": "b", "type": "S3", "secretAccessKey": "hunter22"}, ".accessKeyId", 40414, "needs accessKeyId"),
    ({"name": "b", "type": "S3", "sessionToken": "hunter22"}, ".accessKeyId", 40414, "needs accessKeyId"),
    ({"name": "d", "type": "AWSKinesisDataStreams", "aws": {}}, ".aws.roleArn", 40414, "missing"),
    ({"name": "l", "type": "AWSLambda", "networking": {}}, ".networking", 40415, "unknown field"),
    ({"name": "r", "type": "SchemaRegistry", "provider": "CONFLUENT"}, ".schemaRegistryUrls", 40414, "missing"),
    ({**registry(type="SASL_INHERIT"), "schemaRegistryUrls": []}, ".schemaRegistryUrls", 2, "empty"),
    ({**registry(type="SASL_INHERIT"), "schemaRegistryUrls": ["http://r"] * 11}, ".schemaRegistryUrls", 2, "10"),
    ({**registry(type="SASL_INHERIT"), "schemaRegistryUrls": ["r:8081"]}, ".schemaRegistryUrls[0]", 2, "http://"),
    ({**registry(type="SASL_INHERIT"), "provider": "AWS"}, ".provider", 2, "CONFLUENT"),
    (registry(type="USER_INFO", username="u"), ".schemaRegistryAuthentication.password", 40414, "needs password"),
    (registry(type="SASL_INHERIT", **USER), ".schemaRegistryAuthentication.username", 420, "USER_INFO"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def cleaned(admin: Admin) -> Iterator[None]:
    """Drop what the test has added, after the processors that use it."""
    yield
    for processor in admin.command("listStreamProcessors", 1)["streamProcessors"]:
        admin.command("dropStreamProcessor", processor["name"])
    kept = {"local_cluster", *SAMPLE_NAMES}
    admin.command("localDropConnections", [name for name in names(admin) if name not in kept])


def names(admin: Admin) -> list[str]:
    return [each["name"] for each in admin.command("listStreamConnections", 1)["connections"]]


def refused(admin: Admin, command: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(OperationFailure) as caught:
        admin.command(command)
    assert caught.value.details is not None
    return dict(caught.value.details)


@pytest.mark.parametrize("definition", GOOD, ids=lambda each: each["type"])
def test_every_kind_is_taken_and_listed_without_secrets(
    admin: Admin, definition: dict[str, Any]
) -> None:
    admin.command("localUpsertConnections", [definition])
    criteria = {"name": definition["name"]}
    listed = admin.command("listStreamConnections", 1, filter=criteria)["connections"]
    kind = {"Cluster": "atlas", "Sample": "inmemory"}.get(
        definition["type"], definition["type"].lower()
    )
    cluster = {"cluster": "Prod"} if kind == "atlas" else {}
    assert listed == [{"name": definition["name"], "type": kind, **cluster}]


@pytest.mark.parametrize(("definition", "path", "code", "words"), BAD)
def test_what_is_wrong_is_named_with_its_place_and_without_secrets(
    admin: Admin, definition: dict[str, Any], path: str, code: int, words: str
) -> None:
    details = refused(admin, {"localUpsertConnections": [{**kafka(), "name": "good"}, definition]})
    fault = next(each for each in details["faults"] if each["path"] == f"connections[1]{path}")
    assert (details["code"], fault.get("code")) == (code, code)
    assert words in fault["message"] + fault.get("hint", "")
    assert "hunter22" not in json.dumps(details, default=str)
    assert names(admin) == sorted(["local_cluster", *SAMPLE_NAMES])


def test_wrong_connections_are_refused_together(admin: Admin) -> None:
    wrong = [
        {"name": "good", "type": "Cluster", "uri": "mongodb://h/"},
        {"name": "", "type": "Cluster", "uri": "http://h/"},
        {"name": "local_cluster", "type": "Cluster", "uri": "mongodb://h/", "extra": 1},
        {"name": "k", "type": "Kafkaesque"},
        7,
        {"name": "good", "type": "Https", "url": "http://h"},
    ]
    details = refused(admin, {"localUpsertConnections": wrong})
    assert [fault["path"] for fault in details["faults"]] == [
        "connections[1].name",
        "connections[1].uri",
        "connections[2].name",
        "connections[2].extra",
        "connections[3].type",
        "connections[4]",
        "connections[5].name",
    ]
    assert "good" not in names(admin)


def test_a_type_in_wrong_case_is_guessed(admin: Admin) -> None:
    details = refused(admin, {"localUpsertConnections": [{"name": "k", "type": "KAFKA"}]})
    assert "did you mean 'Kafka'" in details["faults"][0]["hint"]


def test_what_the_admin_api_returns_can_be_given_as_it_is(admin: Admin, tmp_path: Path) -> None:
    recorded = {
        **kafka("SCRAM-256", "SASL_SSL", **USER),
        "id": "65f0",
        "state": "READY",
        "region": "VIRGINIA_USA",
        "links": [],
        "networking": {"access": {"type": "VPC", "connectionId": "65f1"}},
        "config": {"auto.offset.reset": "earliest", "sasl.jaas.config": "x"},
    }
    bucket = {"name": "b", "type": "S3", "aws": {"roleArn": "arn"}, "region": "us-east-1"}
    reply = admin.command("localUpsertConnections", [recorded, bucket])
    assert [(warning["path"], warning["message"].split(":")[0]) for warning in reply["warnings"]] == [
        ("connections[0].config.sasl.jaas.config", "sasl.jaas.config is none of the settings that Atlas lets through"),
        ("connections[0].networking.access.type", "VPC is for Atlas"),
        ("connections[1].aws", "no role is assumed here"),
    ]  # fmt: skip
    seen = entries(admin, tmp_path)
    assert seen["k"].items() >= {"type": "kafka", "bootstrapServers": "b1:9092, b2:9093"}.items()
    assert seen["k"].keys().isdisjoint({"id", "state", "region", "links", "name"})
    assert seen["b"] == {"type": "s3", "aws": {"roleArn": "arn"}, "region": "us-east-1"}


def entries(admin: Admin, folder: Path) -> dict[str, Any]:
    """The registry as a worker gets it."""
    path = folder / "notes"
    script = [{"note": str(path)}, {"started": 1}, {"wait": 1}]
    reply = admin.command("processStreamProcessor", [{"$source": {"script": script}}])
    admin.command("dropStreamProcessor", reply["name"])
    found: dict[str, Any] = json.loads(path.read_text())["connections"]
    return found


def test_a_mechanism_without_effect_is_warned_about(admin: Admin) -> None:
    reply = admin.command("localUpsertConnections", [kafka("SCRAM-256", "PLAINTEXT", **USER)])
    assert reply["warnings"][0]["path"] == "connections[0].security.protocol"


def test_every_sample_is_there_and_another_name_can_stand_for_one(
    admin: Admin, tmp_path: Path
) -> None:
    assert set(SAMPLE_NAMES) < set(names(admin))
    solar = {"name": "sample_stream_solar", "type": "Sample"}
    stock = {"name": "ticks", "type": "Sample", "sample": "samplestock"}
    admin.command("localUpsertConnections", [solar, stock])
    seen = entries(admin, tmp_path)
    assert seen["sample_stream_solar"] == {"type": "inmemory", "sample": "sample_stream_solar"}
    assert seen["ticks"] == {"type": "inmemory", "sample": "samplestock"}


USES: list[Any] = [
    {"$source": {"connectionName": "h"}},
    {"$lookup": {"from": {"connectionName": "h"}, "pipeline": [{"$lookup": {"from": "x"}}]}},
    {"$tumblingWindow": {"pipeline": [{"$https": {"connectionName": "h"}}]}},
    {"$emit": {"connectionName": "z", "schemaRegistry": {"connectionName": "h"}}},
]


@pytest.mark.parametrize("stage", [*USES, None])
def test_what_a_running_processor_uses_cannot_change(admin: Admin, stage: Any) -> None:
    https = {"name": "h", "type": "Https", "url": "http://one"}
    other = {"name": "o", "type": "Https", "url": "http://one"}
    admin.command("localUpsertConnections", [https, other])
    source = {"script": [{"started": 1}, {"wait": 1}], "connectionName": "local_cluster"}
    stages = [{"$source": source}, *([stage] if stage else []), {"$merge": {"into": "x"}}]
    dlq = {} if stage else {"dlq": {"connectionName": "h", "db": "d", "coll": "c"}}
    admin.command("createStreamProcessor", "p", pipeline=stages, options=dlq)
    changed = {**https, "url": "http://two"}
    admin.command("localUpsertConnections", [changed])
    admin.command("startStreamProcessor", "p")

    admin.command("localUpsertConnections", [changed])  # nothing would change
    for command in (
        {"localUpsertConnections": [{**other, "url": "http://x"}, https]},
        {"localDropConnections": ["o", "h"]},
    ):
        details = refused(admin, command)
        assert (details["code"], details["codeName"]) == (125, "CommandFailed")
        assert "'p'" in details["errmsg"]
    admin.command("localUpsertConnections", [{**other, "url": "http://y"}])

    admin.command("stopStreamProcessor", "p")
    admin.command("localUpsertConnections", [https])
    admin.command("localDropConnections", ["h"])
    assert "h" not in names(admin)


def test_a_temporary_processor_uses_its_connections_too(admin: Admin) -> None:
    https = {"name": "h", "type": "Https", "url": "http://one"}
    admin.command("localUpsertConnections", [https])
    source = {"connectionName": "h", "script": [{"started": 1}, {"wait": 1}]}
    name = admin.command("processStreamProcessor", [{"$source": source}])["name"]
    assert refused(admin, {"localDropConnections": ["h"]})["code"] == 125
    admin.command("dropStreamProcessor", name)
    admin.command("localDropConnections", ["h"])


def test_only_what_was_added_can_be_dropped(admin: Admin) -> None:
    details = refused(admin, {"localDropConnections": ["local_cluster", "nope", "samplelog", 5]})
    assert [fault["path"] for fault in details["faults"]] == [
        f"connections[{index}]" for index in range(4)
    ]
    assert details["code"] == 420
    assert refused(admin, {"localDropConnections": "x"})["code"] == 14
    assert refused(admin, {"localUpsertConnections": {}})["code"] == 14
    assert refused(admin, {"localUpsertConnections": [], "force": True})["code"] == 40415


_FIELDS = st.sampled_from(
    ["uri", "url", "headers", "authentication", "security", "networking", "config", "aws"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=4,
)


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(_FIELDS, _VALUES, max_size=4))
def test_whatever_is_said_of_a_connection_is_a_fault_or_an_entry(
    kind: str, fields: dict[str, Any]
) -> None:
    definition = {"name": "x", "type": kind, **fields}
    faults = definition_faults(definition, "local")
    assert all(fault.path.startswith(".") and fault.message for fault in faults)
    if not faults:
        assert registry_entry(definition, "mongodb://own")["type"] == KINDS[kind].entry_type
