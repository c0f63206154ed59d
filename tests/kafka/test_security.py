"""Kafka connections as Atlas describes them, against a broker that asks for each of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.kafka import CONSUMER_CONFIG, consumer_settings, producer_settings
from asp_utils.engine.failures import ProcessorFailed
from tests.kafka_secure import PASSWORD

if TYPE_CHECKING:
    from tests.kafka.conftest import OpenSource
    from tests.kafka_secure import SecureKafka


def reads(secure_kafka: SecureKafka, open_source: OpenSource, connection: dict[str, Any]) -> None:
    topic = secure_kafka.plain.topic()
    secure_kafka.plain.send(topic, {"value": b'{"n": 1}', "partition": 0})
    assert open_source(topic, connection=connection).documents(1) == [{"n": 1}]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-256", "SCRAM-512"])
def test_user_and_password(
    secure_kafka: SecureKafka, open_source: OpenSource, mechanism: str
) -> None:
    reads(secure_kafka, open_source, secure_kafka.sasl(mechanism))


def test_user_and_password_over_tls(secure_kafka: SecureKafka, open_source: OpenSource) -> None:
    security = {"protocol": "SASL_SSL", "brokerPublicCertificate": secure_kafka.pem("ca")}
    authentication = {"mechanism": "PLAIN", "username": "ann", "password": PASSWORD}
    connection = secure_kafka.at("SASLS", authentication=authentication, security=security)
    reads(secure_kafka, open_source, connection)


def test_client_certificates(secure_kafka: SecureKafka, open_source: OpenSource) -> None:
    security = {"protocol": "SSL", "brokerPublicCertificate": secure_kafka.pem("ca")}
    authentication = {
        "sslCertificate": secure_kafka.pem("client"),
        "sslKey": secure_kafka.pem("client_key"),
        "sslKeyPassword": "opensesame",
    }
    connection = secure_kafka.at("MTLS", authentication=authentication, security=security)
    reads(secure_kafka, open_source, connection)


def test_tokens_of_an_identity_provider(
    secure_kafka: SecureKafka,
    open_source: OpenSource,
    token_giver: tuple[str, list[tuple[str, bytes]]],
) -> None:
    url, seen = token_giver
    authentication = {
        "mechanism": "OAUTHBEARER",
        "method": "OIDC",
        "tokenEndpointUrl": url,
        "clientId": "me",
        "clientSecret": "mine",
        "scope": "streams",
    }
    security = {"protocol": "SASL_PLAINTEXT"}
    reads(
        secure_kafka,
        open_source,
        secure_kafka.at("SASL", authentication=authentication, security=security),
    )
    who, body = seen[0]
    assert who == f"Basic {base64.b64encode(b'me:mine').decode()}"
    assert b"scope=streams" in body


def test_a_wrong_password_is_named_at_once(
    secure_kafka: SecureKafka, open_source: OpenSource
) -> None:
    with pytest.raises(ProcessorFailed) as caught:
        open_source("t", connection=secure_kafka.sasl(password="guess"))
    assert (caught.value.code, caught.value.retryable) == (419, True)
    assert "Authentication failed" in caught.value.message
    assert "guess" not in caught.value.message


def test_only_allowed_settings_reach_the_client() -> None:
    config = {
        "client.id": "me",
        "session.timeout.ms": "45000",
        "acks": "1",
        "debug": "all",
        "plugin.library.paths": "evil.so",
        "request.timeout.ms": "1000",
        "bootstrap.servers": "elsewhere:1",
    }
    entry = {"bootstrapServers": "here:1", "config": config}
    base = {"log_level": 2, "bootstrap.servers": "here:1", "security.protocol": "PLAINTEXT"}
    consumer = {"client.id": "me", "session.timeout.ms": "45000"}
    assert consumer_settings(entry) == base | consumer
    producer = {"client.id": "me", "acks": "1", "request.timeout.ms": "1000"}
    assert producer_settings(entry) == base | producer


def test_the_protocol_follows_from_the_authentication_where_none_is_named() -> None:
    cases = [({}, "PLAINTEXT"), ({"mechanism": "PLAIN", "username": "ann"}, "SASL_SSL")]
    cases.append(({"sslCertificate": "c", "sslKey": "k"}, "SSL"))
    for authentication, protocol in cases:
        entry = {"bootstrapServers": "here:1", "authentication": authentication}
        assert consumer_settings(entry)["security.protocol"] == protocol


def test_every_allowed_setting_is_one_that_the_client_knows() -> None:
    from confluent_kafka import Consumer

    values = {
        "allow.auto.create.topics": "true",
        "auto.offset.reset": "earliest",
        "client.dns.lookup": "use_all_dns_ips",
        "client.id": "me",
        "group.id": "g",
        "isolation.level": "read_committed",
        "max.poll.interval.ms": "300000",
        "fetch.max.bytes": "52428800",
    }
    config = {name: values.get(name, "1000") for name in CONSUMER_CONFIG}
    Consumer(consumer_settings({"bootstrapServers": "127.0.0.1:1", "config": config})).close()
