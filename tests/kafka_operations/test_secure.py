"""Every way to sign in, and what is said when it does not work."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import AspError, ConfigInvalid, PermissionDenied, TimedOut, Unreachable
from asp_utils.operations.kafka import kafka_cluster_info, kafka_consume, kafka_produce
from asp_utils.operations.topics import topic_create, topic_list
from tests.kafka_secure import PASSWORD, let_bob

if TYPE_CHECKING:
    from asp_utils.context import Context
    from tests.kafka_secure import SecureKafka
    from tests.operations.conftest import Project

    TokenGiver = tuple[str, list[tuple[str, bytes]]]


def writes_and_reads(ctx: Context, secure: SecureKafka, kafka: dict[str, Any]) -> None:
    topic = secure.plain.topic()
    assert kafka_produce(ctx, kafka, topic, [{"value": {"n": 1}}])["count"] == 1
    assert [it["value"] for it in kafka_consume(ctx, kafka, topic)] == [{"n": 1}]


def refusal(ctx: Context, kafka: dict[str, Any], kind: type[AspError]) -> AspError:
    """What is said about a connection; soon, and nothing secret."""
    began_s = time.monotonic()
    with pytest.raises(kind) as caught:
        kafka_cluster_info(ctx, kafka)
    assert time.monotonic() - began_s < 5
    assert PASSWORD not in json.dumps(caught.value.to_json())
    return caught.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-256", "SCRAM-512"])
def test_user_and_password(ctx: Context, secure_kafka: SecureKafka, mechanism: str) -> None:
    writes_and_reads(ctx, secure_kafka, secure_kafka.sasl(mechanism))


def test_user_and_password_over_tls(ctx: Context, secure_kafka: SecureKafka) -> None:
    who = {"mechanism": "PLAIN", "username": "ann", "password": PASSWORD}
    security = {"protocol": "SASL_SSL", "brokerPublicCertificate": secure_kafka.pem("ca")}
    kafka = secure_kafka.at("SASLS", authentication=who, security=security)
    writes_and_reads(ctx, secure_kafka, kafka)


def with_certificate(secure: SecureKafka, **more: Any) -> dict[str, Any]:
    who = {
        "sslCertificate": secure.pem("client"),
        "sslKey": secure.pem("client_key"),
        "sslKeyPassword": "opensesame",
    }
    security = {"protocol": "SSL", "brokerPublicCertificate": secure.pem("ca")}
    return secure.at("MTLS", authentication={**who, **more}, security=security)


def test_client_certificates(ctx: Context, secure_kafka: SecureKafka) -> None:
    writes_and_reads(ctx, secure_kafka, with_certificate(secure_kafka))


def test_a_key_with_another_password_is_named_at_once(
    ctx: Context, secure_kafka: SecureKafka
) -> None:
    kafka = with_certificate(secure_kafka, sslKeyPassword="sesame")
    error = refusal(ctx, kafka, ConfigInvalid)
    assert "ssl.key.pem" in error.message
    assert "sesame" not in error.message


def by_token(secure: SecureKafka, url: str, secret: str) -> dict[str, Any]:
    who = {
        "mechanism": "OAUTHBEARER",
        "method": "OIDC",
        "tokenEndpointUrl": url,
        "clientId": "me",
        "clientSecret": secret,
        "scope": "streams",
    }
    return secure.at("SASL", authentication=who, security={"protocol": "SASL_PLAINTEXT"})


def test_tokens_of_an_identity_provider(
    ctx: Context, secure_kafka: SecureKafka, token_giver: TokenGiver
) -> None:
    url, seen = token_giver
    writes_and_reads(ctx, secure_kafka, by_token(secure_kafka, url, "mine"))
    who, body = seen[0]
    assert who == f"Basic {base64.b64encode(b'me:mine').decode()}"
    assert b"scope=streams" in body


def test_a_client_that_the_identity_provider_does_not_know(
    ctx: Context, secure_kafka: SecureKafka, token_giver: TokenGiver
) -> None:
    error = refusal(ctx, by_token(secure_kafka, token_giver[0], "guess"), PermissionDenied)
    assert "401" in error.message or "invalid_client" in error.message


def test_an_identity_provider_that_is_not_there(ctx: Context, secure_kafka: SecureKafka) -> None:
    kafka = by_token(secure_kafka, "http://127.0.0.1:1/token", "mine")
    error = refusal(ctx, kafka, Unreachable)
    assert "tokenEndpointUrl" in error.hint


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-512"])
def test_a_wrong_password(ctx: Context, secure_kafka: SecureKafka, mechanism: str) -> None:
    error = refusal(ctx, secure_kafka.sasl(mechanism, password="guess"), PermissionDenied)
    assert "does not accept the credentials" in error.message
    assert "guess" not in json.dumps(error.to_json())


def test_another_authority(ctx: Context, secure_kafka: SecureKafka) -> None:
    for pem in (secure_kafka.pem("other_ca"), None):
        security = {"protocol": "SSL"} | ({"brokerPublicCertificate": pem} if pem else {})
        error = refusal(ctx, secure_kafka.at("TLS", security=security), Unreachable)
        assert "certificate verify failed" in error.message
        assert "brokerPublicCertificate" in error.hint


def test_no_client_certificate(ctx: Context, secure_kafka: SecureKafka) -> None:
    security = {"protocol": "SSL", "brokerPublicCertificate": secure_kafka.pem("ca")}
    error = refusal(ctx, secure_kafka.at("MTLS", security=security), Unreachable)
    assert "sslCertificate" in error.hint, error.message


@pytest.mark.parametrize("listener", ["TLS", "SASL", "SASLS"])
def test_a_plain_client(ctx: Context, secure_kafka: SecureKafka, listener: str) -> None:
    error = refusal(ctx, secure_kafka.at(listener), Unreachable)
    assert "security.protocol" in error.hint, error.message


def test_tls_where_there_is_none(ctx: Context, secure_kafka: SecureKafka) -> None:
    kafka = secure_kafka.at("SASL", security={"protocol": "SSL"})
    error = refusal(ctx, kafka, Unreachable)
    assert "TLS" in error.hint, error.message


def test_a_mechanism_that_the_broker_does_not_offer(
    ctx: Context, secure_kafka: SecureKafka
) -> None:
    who = {"mechanism": "SCRAM-256", "username": "ann", "password": PASSWORD}
    security = {"protocol": "SASL_SSL", "brokerPublicCertificate": secure_kafka.pem("ca")}
    kafka = secure_kafka.at("SASLS", authentication=who, security=security)
    assert "mechanism" in refusal(ctx, kafka, PermissionDenied).message.lower()


def test_no_broker_there(ctx: Context) -> None:
    error = refusal(ctx, {"bootstrapServers": "127.0.0.1:1,127.0.0.1:2"}, Unreachable)
    assert set(error.details["brokers"]) == {"127.0.0.1:1", "127.0.0.1:2"}
    assert "Connection refused" in error.message
    unknown = refusal(ctx, {"bootstrapServers": "no-such-host.invalid:9092"}, Unreachable)
    assert "host name" in unknown.hint


def test_something_that_never_answers(ctx: Context) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises((TimedOut, Unreachable)) as caught:
            topic_list(ctx, f"127.0.0.1:{port}", timeout_s=0.5)
    assert caught.value.retryable


def test_what_a_user_may_not_do(ctx: Context, secure_kafka: SecureKafka) -> None:
    """Bob may look at topics; he may not read, write or make any."""
    bob = secure_kafka.sasl(username="bob", password="bobs-password")
    topic = secure_kafka.plain.topic()
    secure_kafka.plain.send(topic, {"value": b"x"})
    assert topic in {it["name"] for it in topic_list(ctx, bob)["topics"]}
    assert kafka_cluster_info(ctx, bob)["authorized_operations"] is None
    with pytest.raises(PermissionDenied) as caught:
        list(kafka_consume(ctx, bob, topic))
    assert "ACL" in caught.value.hint
    with pytest.raises(PermissionDenied) as unwritten:
        kafka_produce(ctx, bob, topic, [{"value": 1}, {"value": 2}])
    assert "WRITE" in unwritten.value.hint
    assert unwritten.value.details["first_failed"] == "$.records[0]"
    assert unwritten.value.details["failed_count"] == 2
    with pytest.raises(PermissionDenied):
        topic_create(ctx, bob, "bobs-own", 1, 1)


def test_writing_and_reading_need_no_other_rights(ctx: Context, secure_kafka: SecureKafka) -> None:
    """Neither settings of the topic nor any consumer group are open to Bob."""
    bob = secure_kafka.sasl(username="bob", password="bobs-password")
    topic = secure_kafka.plain.topic()
    let_bob(secure_kafka.plain, "WRITE", topic)
    let_bob(secure_kafka.plain, "READ", topic)
    assert kafka_produce(ctx, bob, topic, [{"value": 1}])["count"] == 1
    assert [it["value"] for it in kafka_consume(ctx, bob, topic)] == [1]


@pytest.mark.parametrize(
    ("kafka", "paths"),
    [
        ("nowhere", ["$.kafka"]),
        ({}, ["$.kafka.bootstrapServers"]),
        ({"type": "Cluster"}, ["$.kafka.type"]),
        (
            {
                "bootstrapServers": "a:1",
                "authentication": {"mechanism": "PLAIN", "username": "u"},
                "security": {"protocol": "SSL"},
            },
            ["$.kafka.authentication.password", "$.kafka.security.protocol"],
        ),
        ({"rest": 5, "config": {}}, ["$.kafka.config", "$.kafka.rest"]),
        (
            {"rest": {"endpoint": "pkc:443", "cluster_id": "", "api_key": 5, "api": 1}},
            [
                "$.kafka.rest.api",
                "$.kafka.rest.api_key",
                "$.kafka.rest.api_secret",
                "$.kafka.rest.cluster_id",
                "$.kafka.rest.endpoint",
            ],
        ),
    ],
)
def test_every_fault_of_the_parameter_is_named(
    ctx: Context, kafka: dict[str, Any] | str, paths: list[str]
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        topic_list(ctx, kafka)
    assert sorted(fault.path for fault in caught.value.faults) == paths


def test_a_wrapper_says_it_in_one_sentence(
    kafka_project: Project, secure_kafka: SecureKafka
) -> None:
    """librdkafka itself writes nothing; the password stands in no file."""
    kafka = secure_kafka.sasl(password={"$env": "KAFKA_PASSWORD"})
    right = kafka_project.run("topic_list", {"kafka": kafka}, KAFKA_PASSWORD=PASSWORD)
    assert right.code == 0, right.err
    wrong = kafka_project.run("topic_list", {"kafka": kafka}, KAFKA_PASSWORD="no-such-password")
    assert (wrong.code, wrong.result["code"]) == (77, "PERMISSION_DENIED")
    lines = [line for line in wrong.err.splitlines() if not line.startswith("recorded as")]
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    session = "".join(path.read_text() for path in kafka_project.session.glob("*.json*"))
    assert PASSWORD not in session + right.out + right.err
    assert "no-such-password" not in session + wrong.out + wrong.err
