"""Kafka connections: an entry of the connection registry as a librdkafka configuration.

Source: Atlas page "Kafka connections" and the Admin API; asp-reference.md 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import KafkaError, KafkaException

CONSUMER_CONFIG: Final = frozenset(
    [
        "allow.auto.create.topics",
        "auto.offset.reset",
        "client.dns.lookup",
        "client.id",
        "connections.max.idle.ms",
        "fetch.max.bytes",
        "fetch.min.bytes",
        "group.id",
        "heartbeat.interval.ms",
        "isolation.level",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "request.timeout.ms",
        "session.timeout.ms",
    ]
)
"""The keys of a connection's `config` that consumers take."""
PRODUCER_CONFIG: Final = frozenset(
    [
        "acks",
        "batch.size",
        "client.dns.lookup",
        "client.id",
        "compression.type",
        "connections.max.idle.ms",
        "delivery.timeout.ms",
        "enable.idempotence",
        "linger.ms",
        "max.in.flight.requests.per.connection",
        "message.max.bytes",
        "queue.buffering.max.messages",
        "request.timeout.ms",
        "retries",
        "transactional.id",
    ]
)
"""The keys of a connection's `config` that producers take."""
ADMIN_CONFIG: Final = frozenset(["client.dns.lookup", "client.id", "connections.max.idle.ms"])
"""The keys of a connection's `config` that clients take which only look at and change topics."""
_PRODUCER_ONLY: Final = frozenset(["request.timeout.ms"])
"""Allowed for consumers, but librdkafka's consumers have no such setting and would warn."""
_MECHANISMS: Final = {"SCRAM-256": "SCRAM-SHA-256", "SCRAM-512": "SCRAM-SHA-512"}
"""Atlas' name of a SASL mechanism to Kafka's, where they differ."""
_CREDENTIALS: Final = {
    "username": "sasl.username",
    "password": "sasl.password",
    "sslCertificate": "ssl.certificate.pem",
    "sslKey": "ssl.key.pem",
    "sslKeyPassword": "ssl.key.password",
}
_OIDC: Final = {
    "tokenEndpointUrl": "sasl.oauthbearer.token.endpoint.url",
    "clientId": "sasl.oauthbearer.client.id",
    "clientSecret": "sasl.oauthbearer.client.secret",
    "scope": "sasl.oauthbearer.scope",
    "saslOauthbearerExtensions": "sasl.oauthbearer.extensions",
}
_QUIET: Final = {"log_level": 2}
"""What goes wrong is told by errors; lines on standard error would come on top of them."""


def consumer_settings(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The librdkafka settings of a consumer; unknown keys of `config` are ignored, as on Atlas."""
    return _settings(connection, CONSUMER_CONFIG - _PRODUCER_ONLY)


def producer_settings(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The librdkafka settings of a producer; unknown keys of `config` are ignored, as on Atlas."""
    return _settings(connection, PRODUCER_CONFIG)


def admin_settings(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The librdkafka settings of a client that looks at topics and groups, and changes them."""
    return _settings(connection, ADMIN_CONFIG)


def reason(error: KafkaError | KafkaException) -> str:
    """What librdkafka says went wrong, in its words and with its name of the error."""
    cause: Any = error.args[0] if isinstance(error, Exception) and error.args else error
    name = getattr(cause, "name", None)
    return f"{cause.str()} ({name()})" if callable(name) else str(cause)


def _settings(connection: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    config: Mapping[str, Any] = connection.get("config") or {}
    return {
        **_QUIET,
        **{name: value for name, value in config.items() if name in allowed},
        "bootstrap.servers": connection["bootstrapServers"],
        **_security(connection),
    }


def _security(connection: Mapping[str, Any]) -> dict[str, Any]:
    authentication: Mapping[str, Any] = connection.get("authentication") or {}
    security: Mapping[str, Any] = connection.get("security") or {}
    protocol = security.get("protocol") or _implied_protocol(authentication)
    settings: dict[str, Any] = {"security.protocol": protocol}
    if security.get("brokerPublicCertificate"):
        settings["ssl.ca.pem"] = security["brokerPublicCertificate"]
    mechanism = authentication.get("mechanism")
    if authentication.get("aws"):
        mechanism = "AWS_MSK_IAM"  # which the client refuses by name: only Atlas can
    if mechanism and protocol.startswith("SASL"):
        settings["sasl.mechanism"] = _MECHANISMS.get(mechanism, mechanism)
    settings |= _renamed(authentication, _CREDENTIALS)
    if mechanism == "OAUTHBEARER":
        settings["sasl.oauthbearer.method"] = (authentication.get("method") or "OIDC").lower()
        settings |= _renamed(authentication, _OIDC)
    return settings


def _implied_protocol(authentication: Mapping[str, Any]) -> str:
    """The protocol where the entry names none."""
    if authentication.get("mechanism"):
        return "SASL_SSL"
    return "SSL" if authentication.get("sslCertificate") else "PLAINTEXT"


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names[key]: value for key, value in values.items() if key in names and value}
