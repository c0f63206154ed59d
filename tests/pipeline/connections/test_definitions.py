"""Definitions of connections: every type and form of authentication, for Atlas and for here."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.pipeline.connections import (
    definition_faults,
    definition_warnings,
    for_atlas,
    secret_fields,
    without_secrets,
)
from asp_utils.pipeline.connections.kinds import KINDS, Target, parsed, schema
from asp_utils.pipeline.connections.merging import merged
from asp_utils.pipeline.connections.views import concealed, registry_entry, secret_values

SECRET = "s3cr3t-Zq9"
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
KEY = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"
ROLE = "arn:aws:iam::123456789012:role/streams"
HEX = "32b6e34b3d91647abb20e7b8"
OWN = "mongodb://own/"


def kafka(protocol: str | None = None, **authentication: Any) -> dict[str, Any]:
    return {
        "name": "k",
        "type": "Kafka",
        "bootstrapServers": "b1.example.com:9092",
        **({"authentication": authentication} if authentication else {}),
        **({"security": {"protocol": protocol}} if protocol else {}),
    }


def sasl(mechanism: str, protocol: str = "SASL_SSL") -> dict[str, Any]:
    return kafka(protocol, mechanism=mechanism, username="u", password=SECRET)


OIDC = {
    "mechanism": "OAUTHBEARER",
    "method": "OIDC",
    "tokenEndpointUrl": "https://idp.example.com/token",
    "clientId": "c",
    "clientSecret": SECRET,
    "scope": "s",
    "saslOauthbearerExtensions": "logicalCluster=lkc",
}
REGISTRY = {
    "name": "r",
    "type": "SchemaRegistry",
    "provider": "CONFLUENT",
    "schemaRegistryUrls": ["https://r.example.com"],
}
KEYS = {
    "endpointUrl": "http://127.0.0.1:9000",
    "region": "us-east-1",
    "accessKeyId": "me",
    "secretAccessKey": SECRET,
    "sessionToken": SECRET,
}

BOTH: dict[str, tuple[dict[str, Any], list[str], dict[str, Any]]] = {
    "cluster": ({"name": "c", "type": "Cluster", "clusterName": "Prod", "clusterGroupId": HEX, "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"}, "uri": f"mongodb://u:{SECRET}@h:1/"}, ["uri"], {"uri": ...}),
    "custom role": ({"name": "c", "type": "Cluster", "clusterName": "Prod", "dbRoleToExecute": {"role": "mine", "type": "CUSTOM"}}, [], {}),
    "sample": ({"name": "sample_stream_solar", "type": "Sample"}, [], {}),
    "kafka": (kafka(), [], {}),
    "plain": (sasl("PLAIN"), ["authentication.password"], {}),
    "scram 256": (sasl("SCRAM-256", "SASL_PLAINTEXT"), ["authentication.password"], {}),
    "scram 512": (sasl("SCRAM-512"), ["authentication.password"], {}),
    "oidc": (kafka("SASL_SSL", **OIDC), ["authentication.clientSecret"], {}),
    "mtls": (kafka("SSL", sslCertificate=PEM, sslKey=KEY, sslKeyPassword=SECRET), ["authentication.sslKey", "authentication.sslKeyPassword"], {}),
    "own authority": ({**kafka("SSL"), "security": {"protocol": "SSL", "brokerPublicCertificate": PEM}, "config": {"auto.offset.reset": "earliest"}}, [], {}),
    "private link": ({**sasl("PLAIN"), "networking": {"access": {"type": "PRIVATE_LINK", "connectionId": HEX}}}, ["authentication.password"], {}),
    "peering": ({**kafka(), "networking": {"access": {"type": "VPC"}}}, [], {}),
    "gateway": ({**kafka(), "networking": {"access": {"type": "TRANSIT_GATEWAY", "tgwRouteId": "tgw-1"}}}, [], {}),
    "https": ({"name": "h", "type": "Https", "url": "https://api.example.com/v1", "headers": {"Authorization": SECRET}}, ["headers"], {}),
    "url with a user": ({"name": "h", "type": "Https", "url": f"https://u:{SECRET}@api.example.com/a@b"}, ["url"], {}),
    "url with a key": ({"name": "h", "type": "Https", "url": f"https://api.example.com/v1?api-key={SECRET}"}, ["url"], {}),
    "lambda": ({"name": "l", "type": "AWSLambda", "aws": {"roleArn": ROLE}, "publicPrivateNetworking": {"access": {"type": "PRIVATE_LINK", "connectionId": HEX}}, **KEYS}, ["secretAccessKey", "sessionToken"], dict.fromkeys(KEYS, ...)),
    "s3": ({"name": "s", "type": "S3", "aws": {"roleArn": ROLE, "testBucket": "b"}, "networking": {"access": {"type": "PUBLIC"}}, **KEYS}, ["secretAccessKey", "sessionToken"], dict.fromkeys(KEYS, ...)),
    "kinesis": ({"name": "k", "type": "AWSKinesisDataStreams", "aws": {"roleArn": ROLE}, "networking": {"access": {"type": "PUBLIC"}}}, [], {}),
    "user info": ({**REGISTRY, "schemaRegistryAuthentication": {"type": "USER_INFO", "username": "u", "password": SECRET}}, ["schemaRegistryAuthentication.password"], {}),
    "inherit": ({**REGISTRY, "schemaRegistryAuthentication": {"type": "SASL_INHERIT"}, "schemaRegistryUrls": [f"https://u:{SECRET}@r.example.com", "http://r2.example.com"]}, ["schemaRegistryUrls[0]"], {}),
    "azure": ({"name": "a", "type": "AzureBlobStorage", "azure": {"servicePrincipalId": "p", "storageAccountName": "s", "region": "eastus"}, "publicPrivateNetworking": {"access": {"type": "PUBLIC"}}}, [], {}),
    "pub/sub": ({"name": "g", "type": "GCPPubSub", "gcp": {"serviceAccountId": "x@p.iam.gserviceaccount.com"}}, [], {}),
}  # fmt: skip
"""Definition, its secrets, and what Atlas is not sent."""
MSK = kafka("SASL_SSL", aws={"roleArn": ROLE})


@pytest.mark.parametrize("case", BOTH)
def test_one_definition_serves_atlas_and_this_machine(case: str) -> None:
    definition, secrets, dropped = BOTH[case]
    before = copy.deepcopy(definition)
    assert definition_faults(definition, "atlas") == definition_faults(definition, "local") == []
    assert parsed(definition).name == definition["name"]
    assert secret_fields(definition) == secrets
    assert for_atlas({**definition, "id": HEX, "state": "READY", "links": []}) == {
        key: value for key, value in definition.items() if key not in dropped
    }
    shown = json.dumps(without_secrets(definition))
    assert SECRET not in shown and definition["name"] in shown
    assert any(SECRET in value for value in secret_values(definition)) == bool(secrets)
    assert definition_faults({**definition, "id": HEX, "region": "VIRGINIA_USA"}, "atlas") == []
    assert definition == before
    if "region" not in definition:
        entry = registry_entry({**definition, "region": "VIRGINIA_USA"}, OWN)
        assert "region" not in entry
        assert entry["type"] == KINDS[definition["type"]].entry_type


@pytest.mark.parametrize("case", BOTH)
def test_secrets_are_taken_out_of_texts(case: str) -> None:
    definition = BOTH[case][0]
    urls = [str(definition.get(field, "")) for field in ("url", "uri")]
    parts = [*secret_values(definition), *urls]
    text = concealed(f"before {' and '.join(parts)} after", [definition, {}])
    assert SECRET not in text
    assert text.startswith("before ") and text.endswith(" after")


FAULTS: list[tuple[dict[str, Any], Target, list[str], str]] = [
    ({"name": "c", "type": "Cluster", "uri": "mongodb://h"}, "atlas", [".clusterName"], "Atlas needs clusterName"),
    ({"name": "c", "type": "Cluster", "clusterName": "x", "clusterGroupId": "x"}, "atlas", [".clusterGroupId"], "24 digits"),
    ({"name": "c", "type": "Cluster", "clustername": "x"}, "atlas", [".clustername", ".clusterName"], "did you mean 'clusterName'"),
    ({"name": "s", "type": "S3"}, "atlas", [".aws.roleArn"], "needs a role"),
    ({"name": "s", "type": "S3", "aws": {"testBucket": "b"}}, "atlas", [".aws.roleArn"], "needs a role"),
    ({"name": "l", "type": "AWSLambda"}, "atlas", [".aws.roleArn"], "needs a role"),
    ({"name": "d", "type": "AWSKinesisDataStreams", "aws": {"roleArn": "streams"}}, "atlas", [".aws.roleArn"], "no ARN"),
    ({"name": "ticks", "type": "Sample", "sample": "samplestock"}, "atlas", [".name"], "it must be samplestock"),
    ({"name": "sample_stream_solr", "type": "Sample"}, "atlas", [".name"], "did you mean 'sample_stream_solar'"),
    (kafka("SSL", aws={"roleArn": "x"}, mechanism="PLAIN"), "atlas", [".authentication.mechanism", ".security.protocol", ".security.protocol", ".authentication.username", ".authentication.password", ".authentication.aws.roleArn"], "SASL_SSL"),
    ({**kafka(), "networking": {"access": {"type": "PRIVATE_LINK"}}}, "atlas", [".networking.access.connectionId"], "PRIVATE_LINK needs"),
    ({**kafka(), "networking": {"access": {"type": "PRIVATE_LINK", "connectionId": "1"}}}, "atlas", [".networking.access.connectionId"], "an id of Atlas"),
    ({**kafka(), "networking": {"access": {"type": "TRANSIT_GATEWAY"}}}, "atlas", [".networking.access.tgwRouteId"], "needs tgwRouteId"),
    ({**BOTH["lambda"][0], "publicPrivateNetworking": {"access": {"type": "VPC"}}}, "atlas", [".publicPrivateNetworking.access.type"], "PUBLIC"),
    ({**kafka(), "bootstrapServers": "b", "Config": {}, "security": {"protocol": "SSl"}}, "local", [".security.protocol", ".Config", ".bootstrapServers"], "did you mean 'SSL'"),
    (kafka("SASL_SSL", mechanism="plain", username="u", password=SECRET), "local", [".authentication.mechanism"], "did you mean 'PLAIN'"),
    ({"name": "a b", "type": "Https"}, "local", [".name", ".url"], "letters, digits"),
    ({"name": "a/b", "type": "http"}, "local", [".name", ".type"], "did you mean 'Https'"),
    ({"name": "a\n", "type": "KAFKA"}, "local", [".name", ".type"], "did you mean 'Kafka'"),
    ({"name": "a", "type": {"password": SECRET}}, "local", [".type"], "no connection type"),
    ({"name": "a"}, "local", [".type"], "type is missing"),
    ({"name": "a", "type": "AzureBlobStorage", "azure": {"servicePrincipalID": "x"}}, "local", [".azure.servicePrincipalId", ".azure.storageAccountName", ".azure.servicePrincipalID"], "misspelled"),
    ({"name": "g", "type": "GCPPubSub", "gcp": {}}, "atlas", [".gcp.serviceAccountId"], "missing"),
    ({"name": "h", "type": "Https", "url": "https://", "headers": {"X-Key": 5}}, "local", [".headers.X-Key", ".url"], "must be a string"),
    ({"name": "h", "type": "Https", "url": "http://[", "uri": "x"}, "local", [".uri", ".url"], "a URL http://"),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "target", "paths", "words"), FAULTS)
def test_every_fault_is_named_at_once(
    definition: dict[str, Any], target: Target, paths: list[str], words: str
) -> None:
    faults = definition_faults(definition, target)
    assert sorted(fault.path for fault in faults) == sorted(paths)
    told = " ".join(fault.message + " " + fault.hint for fault in faults)
    assert words in told
    assert SECRET not in told


@pytest.mark.parametrize("value", [None, 5, "Kafka", [], [["name", "k"]]])
def test_what_is_no_object_is_a_fault(value: Any) -> None:
    assert [fault.path for fault in definition_faults(value, "atlas")] == [""]


def test_what_atlas_needs_is_not_needed_here() -> None:
    for definition in (
        {"name": "c", "type": "Cluster"},
        {"name": "s", "type": "S3"},
        {"name": "ticks", "type": "Sample", "sample": "samplestock"},
    ):
        assert definition_faults(definition, "local") == []
        assert definition_faults(definition, "atlas") != []


WARNINGS: list[tuple[dict[str, Any], Target, list[str]]] = [
    (MSK, "local", [".authentication.aws"]),
    (MSK, "atlas", []),
    (kafka("SASL_SSL", mechanism="AWS_MSK_IAM", aws={"roleArn": ROLE}), "atlas", []),
    ({"name": "c", "type": "Cluster", "clusterName": "x"}, "local", [".uri"]),
    ({"name": "c", "type": "Cluster", "clusterName": "x"}, "atlas", []),
    (BOTH["azure"][0], "local", [".type"]),
    (BOTH["azure"][0], "atlas", []),
    (BOTH["private link"][0], "local", [".networking.access.type"]),
    (BOTH["lambda"][0], "local", [".publicPrivateNetworking.access.type"]),
    (BOTH["kinesis"][0], "local", [".aws"]),
    ({**kafka(), "bootstrapServers": "localhost:1,b:2"}, "atlas", [".bootstrapServers"]),
    ({**kafka(), "bootstrapServers": "localhost:1"}, "local", []),
    ({**kafka(), "bootstrapServers": "10.0.0.1:1"}, "atlas", [".bootstrapServers"]),
    ({**kafka(), "bootstrapServers": "10.0.0.1:1", "networking": {"access": {"type": "VPC"}}}, "atlas", []),
    ({**kafka(), "bootstrapServers": "[::1]:1"}, "atlas", [".bootstrapServers"]),
    ({"name": "h", "type": "Https", "url": "http://127.0.0.1:8080/"}, "atlas", [".url"]),
    ({**REGISTRY, "schemaRegistryAuthentication": {"type": "SASL_INHERIT"}, "schemaRegistryUrls": ["http://r", "http://192.168.1.1"]}, "atlas", [".schemaRegistryUrls[1]"]),
    (kafka("SASL_SSL", **{**OIDC, "tokenEndpointUrl": "http://localhost/token"}), "atlas", [".authentication.tokenEndpointUrl"]),
    ({**kafka("PLAINTEXT", mechanism="PLAIN", username="u", password="p"), "config": {"a.b": "c"}}, "atlas", [".config.a.b", ".security.protocol"]),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "target", "paths"), WARNINGS)
def test_what_works_otherwise_is_a_warning(
    definition: dict[str, Any], target: Target, paths: list[str]
) -> None:
    assert definition_faults(definition, target) == []
    assert [each.path for each in definition_warnings(definition, target)] == paths


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/v1", "https://h/v1"),
        ("https://u:p@h/v1", "https://h/v1"),
        ("https://token@h", "https://h"),
        ("https://h/a@b?x=c@d", "https://h/a@b?x=c@d"),
        ("https://h/f?code=abc&x=1", "https://h/f"),
        ("https://h/f?api-version=2", "https://h/f?api-version=2"),
    ],
)
def test_urls_are_shown_without_what_is_secret(url: str, shown: str) -> None:
    definition = {"name": "h", "type": "Https", "url": url}
    assert without_secrets(definition)["url"] == shown
    assert secret_fields(definition) == (["url"] if shown != url else [])


@pytest.mark.parametrize("uri", ["mongodb://u:p@ss/w?rd@h:1,i:2/db", "mongodb+srv://u:p@h/"])
def test_a_password_may_hold_what_it_should_not(uri: str) -> None:
    definition = {"name": "c", "type": "Cluster", "uri": uri}
    assert without_secrets(definition)["uri"] == f"{uri.partition('u:')[0]}{uri.rpartition('@')[2]}"


def test_changes_are_merged_and_secrets_stay() -> None:
    before = {**sasl("PLAIN"), "config": {"a": "1"}}
    assert merged(before, {"bootstrapServers": "b:1", "config": {"b": "2"}}) == {
        **before, "bootstrapServers": "b:1", "config": {"b": "2"},
    }  # fmt: skip
    assert merged(before, {"authentication": {"username": "v"}})["authentication"] == {
        "mechanism": "PLAIN", "username": "v", "password": SECRET,
    }  # fmt: skip
    assert merged(before, {"authentication": OIDC})["authentication"] == OIDC
    assert "config" not in merged(before, {"config": None})
    assert merged(before, without_secrets(before)) == before


@pytest.mark.parametrize("case", BOTH)
def test_what_was_shown_can_be_given_back(case: str) -> None:
    definition = BOTH[case][0]
    shown = without_secrets(definition)
    assert merged(definition, shown) == definition


def test_the_schema_tells_types_apart() -> None:
    found = schema()
    assert set(found["discriminator"]["mapping"]) == set(KINDS)
    for name, kind in KINDS.items():
        assert kind.model.model_fields["type"].annotation.__args__ == (name,)  # type: ignore[union-attr]


_LEAVES = st.sampled_from(
    [SECRET, f"mongodb://u:{SECRET}@h", f"{SECRET}://{SECRET}", 5, None, True]
)
_FIELDS = st.sampled_from(
    ["uri", "url", "headers", "authentication", "security", "networking", "config", "aws",
     "password", "mechanism", "protocol", "sslKey", "roleArn", "access", "type", "username",
     "schemaRegistryUrls", "schemaRegistryAuthentication", "bootstrapServers", "endpointUrl",
     "azure", "gcp", "brokerPublicCertificate", "sslCertificate", "tokenEndpointUrl", "passwort"]
)  # fmt: skip
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_FIELDS, inner, max_size=3),
    max_leaves=6,
)
_CHANGED = st.sampled_from([case[0] for case in BOTH.values()])


@given(_CHANGED, st.dictionaries(_FIELDS.filter(lambda f: f != "type"), _VALUES, max_size=4))
def test_no_definition_raises_and_no_fault_tells_a_secret(
    base: dict[str, Any], fields: dict[str, Any]
) -> None:
    definition = {**base, **fields}
    for target in ("atlas", "local"):
        faults = definition_faults(definition, target)
        told = json.dumps([fault.to_json() for fault in faults])
        assert SECRET not in told
        assert all(fault.path.startswith(".") for fault in faults)
        if not faults:
            told = json.dumps([w.to_json() for w in definition_warnings(definition, target)])
            assert SECRET not in told
    json.dumps(without_secrets(definition))
    secret_fields(definition)
    secret_values(definition)


@given(_VALUES)
def test_any_value_is_a_fault_or_a_definition(value: Any) -> None:
    for target in ("atlas", "local"):
        faults = definition_faults(value, target)
        assert faults
        assert SECRET not in json.dumps([fault.to_json() for fault in faults])
