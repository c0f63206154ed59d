"""What a Kafka connection says, and which of its fields go together.

Source: Atlas page "Kafka connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.kafka import CONSUMER_CONFIG, PRODUCER_CONFIG
from asp_utils.errors import Fault
from asp_utils.pipeline.connections.models import Authentication
from asp_utils.pipeline.faults import BAD_VALUE, INVALID_OPTIONS, MISSING_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.pipeline.connections.models import Kafka, Security

CONFIG_KEYS: Final = CONSUMER_CONFIG | PRODUCER_CONFIG
"""What `config` may set; Atlas ignores anything else without a word."""

_SERVER: Final = re.compile(r"[^\s,/:]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")
_PEM: Final = "-----BEGIN "
_SSL_FIELDS: Final = ("ssl_certificate", "ssl_key", "ssl_key_password")
_OAUTH_FIELDS: Final = (
    "method", "token_endpoint_url", "client_id", "client_secret", "scope",
    "sasl_oauthbearer_extensions",
)  # fmt: skip
_OF_ROLE: Final = "AWS_MSK_IAM"
"""The mechanism of MSK that goes with a role: MongoDB's MCP server sends it."""
_STYLES: Final = {
    "PLAIN": ("username", "password"),
    "SCRAM-256": ("username", "password"),
    "SCRAM-512": ("username", "password"),
    "OAUTHBEARER": ("token_endpoint_url", "client_id", "client_secret"),
    _OF_ROLE: ("aws",),
}
"""SASL mechanism to the fields it needs."""


def kafka_faults(options: Kafka) -> Iterator[Fault]:
    """What does not go together; no message holds a value, which may be a secret."""
    servers = [server.strip() for server in options.bootstrap_servers.split(",")]
    if not all(map(_SERVER.fullmatch, servers)):
        hint = "for instance broker1:9092,broker2:9092"
        yield Fault(".bootstrapServers", "a list host:port,… is needed", hint, BAD_VALUE)
    given = options.authentication or Authentication()
    protocol = options.security.protocol if options.security else None
    if given.aws is not None:
        yield from _role_faults(given, protocol)
    yield from _protocol_faults(given, protocol)
    yield from _field_faults(given)
    yield from _certificate_faults(given, options.security, protocol)


def kafka_warnings(definition: Mapping[str, Any], *, local: bool) -> Iterator[Fault]:
    """What has no effect here, or none on Atlas either."""
    if local and (definition.get("authentication") or {}).get("aws"):
        message = "the local instance cannot sign in with an AWS IAM role: it keeps the definition"
        hint = "a pipeline that uses it fails here; reach the broker with SASL or a certificate"
        yield Fault(".authentication.aws", message, hint)
    for key in definition.get("config") or {}:
        if key not in CONFIG_KEYS:
            message = f"{key} is none of the settings that Atlas lets through: it is ignored"
            hint = f"it knows {', '.join(sorted(CONFIG_KEYS))}"
            yield Fault(f".config.{key}", message, hint)
    protocol = (definition.get("security") or {}).get("protocol")
    if protocol == "PLAINTEXT" and (definition.get("authentication") or {}).get("mechanism"):
        message = "PLAINTEXT sends no credentials: the mechanism has no effect"
        yield Fault(".security.protocol", message, "SASL_PLAINTEXT does")


def _role_faults(given: Authentication, protocol: str | None) -> Iterator[Fault]:
    """Faults of signing in to Amazon MSK as an AWS role."""
    if given.mechanism not in (None, _OF_ROLE):
        message = f"mechanism {given.mechanism} does not go with an AWS IAM role"
        yield Fault(".authentication.mechanism", message, "leave it out", INVALID_OPTIONS)
    if protocol is not None and protocol != "SASL_SSL":
        message = f"an AWS IAM role does not go with security.protocol {protocol}"
        yield Fault(".security.protocol", message, "SASL_SSL", INVALID_OPTIONS)


def _protocol_faults(given: Authentication, protocol: str | None) -> Iterator[Fault]:
    """Faults of mechanism and protocol, which depend on each other."""
    sasl = protocol is not None and protocol.startswith("SASL_")
    if sasl and given.mechanism is None and given.aws is None:
        message = f"security.protocol {protocol} needs a mechanism"
        hint = "PLAIN, SCRAM-256, SCRAM-512 or OAUTHBEARER"
        yield Fault(".authentication.mechanism", message, hint, MISSING_FIELD)
    if given.mechanism is not None and protocol is None:
        message = f"mechanism {given.mechanism} needs a protocol"
        hint = "SASL_SSL, or SASL_PLAINTEXT for a broker without TLS"
        yield Fault(".security.protocol", message, hint, MISSING_FIELD)
    elif given.mechanism is not None and protocol == "SSL":
        message = f"mechanism {given.mechanism} does not go with security.protocol SSL"
        hint = "SASL_SSL; SSL alone is for client certificates"
        yield Fault(".security.protocol", message, hint, INVALID_OPTIONS)


def _field_faults(given: Authentication) -> Iterator[Fault]:
    """Fields that the mechanism needs, and fields that belong to another one."""
    needed = _STYLES.get(given.mechanism or "", ())
    for field in needed:
        if getattr(given, field) is None:
            message = f"mechanism {given.mechanism} needs {_camel(field)}"
            yield Fault(f".authentication.{_camel(field)}", message, "", MISSING_FIELD)
    allowed = (*needed, *(_OAUTH_FIELDS if given.mechanism == "OAUTHBEARER" else ()))
    for field in ("username", "password", *_OAUTH_FIELDS):
        if field not in allowed and getattr(given, field) is not None:
            fitting = "OAUTHBEARER" if field in _OAUTH_FIELDS else "PLAIN, SCRAM-256, SCRAM-512"
            message = f"{_camel(field)} goes with mechanism {fitting}"
            yield Fault(f".authentication.{_camel(field)}", message, "", INVALID_OPTIONS)


def _certificate_faults(
    given: Authentication, security: Security | None, protocol: str | None
) -> Iterator[Fault]:
    """Faults of the client's certificate and of the brokers' one."""
    present = [field for field in _SSL_FIELDS if getattr(given, field) is not None]
    if present and protocol not in ("SSL", "SASL_SSL"):
        message = f"{_camel(present[0])} needs security.protocol SSL"
        yield Fault(".security.protocol", message, "", INVALID_OPTIONS)
    if present:
        for field in _SSL_FIELDS[:2]:
            if field not in present:
                message = f"{_camel(present[0])} needs {_camel(field)} too"
                yield Fault(f".authentication.{_camel(field)}", message, "", MISSING_FIELD)
    certificates = {f".authentication.{_camel(f)}": getattr(given, f) for f in _SSL_FIELDS[:2]}
    if security is not None:
        certificates[".security.brokerPublicCertificate"] = security.broker_public_certificate
    for path, text in certificates.items():
        if text is not None and _PEM not in text:
            hint = "the file's whole text, -----BEGIN …"
            yield Fault(path, "it is not in PEM format", hint, BAD_VALUE)


def _camel(field: str) -> str:
    """The field's name as clients write it."""
    return Authentication.model_fields[field].alias or field
