"""Trying out Kafka: every kind of authentication, and what each step says when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.connections.conftest import SECRET
from tests.kafka_secure import PASSWORD

if TYPE_CHECKING:
    from tests.connections.conftest import Try
    from tests.kafka_secure import SecureKafka

    TokenGiver = tuple[str, list[tuple[str, bytes]]]


def kafka(fields: dict[str, Any] | str) -> dict[str, Any]:
    given = {"bootstrapServers": fields} if isinstance(fields, str) else fields
    return {"name": "k", "type": "Kafka", **given}


def plain_over_tls(secure: SecureKafka, authority: str = "ca", **who: Any) -> dict[str, Any]:
    given = {"mechanism": "PLAIN", "username": "ann", "password": PASSWORD, **who}
    security = {"protocol": "SASL_SSL", "brokerPublicCertificate": secure.pem(authority)}
    return kafka(secure.at("SASLS", authentication=given, security=security))


def with_certificate(secure: SecureKafka, **who: Any) -> dict[str, Any]:
    security = {"protocol": "SSL", "brokerPublicCertificate": secure.pem("ca")}
    return kafka(secure.at("MTLS", security=security, **({"authentication": who} if who else {})))


def test_a_broker_where_nobody_signs_in(attempt: Try, secure_kafka: SecureKafka) -> None:
    topic = secure_kafka.plain.topic()
    servers = f"127.0.0.1:1,{secure_kafka.plain.bootstrap}"
    found = attempt(kafka(servers), topic=topic)
    assert found["ok"] is True
    assert found["steps"] == dict.fromkeys(
        ("resolve", "connect", "sign_in", "brokers", "topic"), True
    )
    connect = found["checks"][1]["message"]
    assert "accepts connections (but 127.0.0.1:1 refuses connections)" in connect


def test_a_topic_that_is_not_there(attempt: Try, secure_kafka: SecureKafka) -> None:
    found = attempt(kafka(secure_kafka.plain.bootstrap), topic="never-made")
    assert (found["exit"], found["steps"]["topic"]) == (66, False)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-256", "SCRAM-512"])
def test_user_and_password(attempt: Try, secure_kafka: SecureKafka, mechanism: str) -> None:
    found = attempt(kafka(secure_kafka.sasl(mechanism)))
    assert found["ok"] is True
    assert f"{mechanism} accepted" in found["checks"][2]["message"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-256"])
def test_a_wrong_password(attempt: Try, secure_kafka: SecureKafka, mechanism: str) -> None:
    found = attempt(kafka(secure_kafka.sasl(mechanism, password=SECRET)))
    assert (found["exit"], found["steps"]) == (
        77,
        {"resolve": True, "connect": True, "sign_in": False},
    )
    assert "does not accept the credentials" in found["message"]
    assert found["hint"].startswith("check authentication")


def test_who_may_not_see_a_topic(attempt: Try, secure_kafka: SecureKafka) -> None:
    from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
    from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

    topic = secure_kafka.plain.topic()
    bob = kafka(secure_kafka.sasl(username="bob", password="bobs-password"))
    assert attempt(bob, topic=topic)["ok"] is True
    rule = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:bob", "*",
        AclOperation.DESCRIBE, AclPermissionType.DENY,
    )  # fmt: skip
    secure_kafka.plain.admin().create_acls([rule])[rule].result(20)
    found = attempt(bob, topic=topic)
    assert (found["exit"], found["steps"]["sign_in"], found["steps"]["topic"]) == (77, True, False)
    assert "ACL" in found["hint"]


def test_tls_and_its_authority(attempt: Try, secure_kafka: SecureKafka) -> None:
    found = attempt(plain_over_tls(secure_kafka))
    assert found["steps"] == dict.fromkeys(
        ("resolve", "connect", "tls", "sign_in", "brokers"), True
    )
    found = attempt(plain_over_tls(secure_kafka, "other_ca"))
    assert (found["exit"], found["steps"]["tls"]) == (69, False)
    assert "brokerPublicCertificate" in found["hint"]
    found = attempt(plain_over_tls(secure_kafka, password=SECRET))
    assert (found["exit"], found["steps"]["sign_in"]) == (77, False)


def test_client_certificates(attempt: Try, secure_kafka: SecureKafka) -> None:
    who = {
        "sslCertificate": secure_kafka.pem("client"),
        "sslKey": secure_kafka.pem("client_key"),
        "sslKeyPassword": "opensesame",
    }
    assert attempt(with_certificate(secure_kafka, **who))["ok"] is True
    found = attempt(with_certificate(secure_kafka))
    assert (found["exit"], found["steps"]["sign_in"]) == (69, False)
    found = attempt(with_certificate(secure_kafka, **{**who, "sslKeyPassword": SECRET}))
    assert (found["exit"], found["steps"]["sign_in"]) == (64, False)


@pytest.mark.parametrize(("listener", "protocol"), [("SASL", "SASL_SSL"), ("SASLS", None)])
def test_a_protocol_that_the_port_does_not_speak(
    attempt: Try, secure_kafka: SecureKafka, listener: str, protocol: str | None
) -> None:
    more: dict[str, Any] = {}
    if protocol:
        who = {"mechanism": "PLAIN", "username": "ann", "password": PASSWORD}
        more = {"authentication": who, "security": {"protocol": protocol}}
    found = attempt(kafka(secure_kafka.at(listener, **more)), timeout_s=4)
    assert found["exit"] in (69, 124)
    assert found["steps"].popitem() == ("tls" if protocol else "sign_in", False)


def oidc(secure: SecureKafka, url: str, **more: Any) -> dict[str, Any]:
    who = {
        "mechanism": "OAUTHBEARER",
        "tokenEndpointUrl": url,
        "clientId": "me",
        "clientSecret": "mine",
        **more,
    }
    security = {"protocol": "SASL_PLAINTEXT"}
    return kafka(secure.at("SASL", authentication=who, security=security))


def test_tokens(
    attempt: Try, secure_kafka: SecureKafka, token_giver: TokenGiver, closed_port: int
) -> None:
    found = attempt(oidc(secure_kafka, token_giver[0]))
    assert found["ok"] is True
    assert found["steps"]["token_endpoint"] is True
    found = attempt(oidc(secure_kafka, token_giver[0], clientSecret=SECRET))
    assert (found["exit"], found["steps"]["sign_in"]) == (77, False)
    found = attempt(oidc(secure_kafka, f"http://127.0.0.1:{closed_port}/token"))
    assert (found["exit"], found["steps"]["token_endpoint"]) == (69, False)


@pytest.mark.parametrize(
    ("servers", "step", "words"),
    [
        ("no-such-broker.invalid:9092", "resolve", "cannot be resolved"),
        ("127.0.0.1:1", "connect", "refuses connections"),
    ],
)
def test_where_no_broker_is(attempt: Try, servers: str, step: str, words: str) -> None:
    found = attempt(kafka(servers))
    assert (found["exit"], found["steps"][step]) == (69, False)
    assert words in found["message"]


def test_a_server_that_says_nothing(attempt: Try, relay_to_nowhere: str) -> None:
    found = attempt(kafka(relay_to_nowhere), timeout_s=1)
    assert found["exit"] == 124
    assert found["steps"]["sign_in"] is False
