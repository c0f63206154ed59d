"""The connections that a connector needs: cluster, brokers, schema registry. Secrets stay outside.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.kafka import CONSUMER_CONFIG, PRODUCER_CONFIG
from asp_utils.pipeline.connectors.draft import is_reference

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

_JAAS: Final = re.compile(r'\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')
_HOST: Final = re.compile(r"mongodb(?:\+srv)?://(?:[^@/]*@)?([^/?]*)")
_HOLDS_SECRETS: Final = re.compile(r"@|\$\{|password|token", re.IGNORECASE)
_MECHANISMS: Final = {
    "PLAIN": "PLAIN",
    "SCRAM-SHA-256": "SCRAM-256",
    "SCRAM-SHA-512": "SCRAM-512",
}
_PROTOCOLS: Final = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")


def cluster(draft: Draft, role: str) -> None:
    """The Cluster connection, from `connection.uri` or Confluent's host, user and password."""
    name = draft.names.cluster
    uri = draft.text("connection.uri")
    host = draft.take("connection.host", f"connections.{name}.clusterName")
    if not uri and host:
        # Confluent takes a bare host, some write a whole string.
        uri = host if "://" in host else f"mongodb+srv://{host}/"
    found = _HOST.match(uri)
    hosts = found.group(1) if found and not is_reference(uri) else ""
    definition: Document = {
        "name": name,
        "type": "Cluster",
        "clusterName": _cluster_name(hosts) or name,
        "dbRoleToExecute": {"role": role, "type": "BUILT_IN"},
    }
    if not uri or _HOLDS_SECRETS.search(uri) or _has_user(draft):
        definition["uri"] = draft.secret_or_value(
            "connection.uri", "MONGODB_URI", "the connection string of the cluster, with its user"
        )
    else:
        definition["uri"] = uri
    draft.take("connection.uri", f"connections.{name}.uri")
    for field in ("connection.user", "connection.password"):
        draft.take(field, f"connections.{name}.uri, by reference")
    draft.connections.append(definition)
    draft.note(
        "cluster",
        f"On Atlas the connection {name!r} names a cluster of the project and acts in the role "
        f"{role}: check clusterName; `uri` is for the local instance only.",
    )


def kafka(draft: Draft, bootstrap: str | None, client: str) -> None:
    """The Kafka connection, from what the user says or what the connector overrides.

    Args:
        draft: The conversion.
        bootstrap: The brokers, where the user says them.
        client: `consumer` for a sink, `producer` for a source.
    """
    name = draft.names.kafka
    definition: Document = {"name": name, "type": "Kafka"}
    definition["bootstrapServers"] = bootstrap or _bootstrap(draft, client)
    if draft.has("kafka.auth.mode") or draft.has("kafka.api.key"):
        definition |= _confluent(draft)
    else:
        definition |= _overridden(draft, client)
    config = _settings(draft, client)
    if config:
        definition["config"] = config
    draft.connections.append(definition)


def registry(draft: Draft, converter: str) -> str:
    """The connection to the schema registry that a converter uses; its name."""
    name = draft.names.registry
    prefix = f"{converter}.converter."
    url = draft.take(f"{prefix}schema.registry.url", f"connections.{name}.schemaRegistryUrls")
    for field in ("schema.registry.basic.auth.user.info", "basic.auth.user.info"):
        draft.take(prefix + field, f"connections.{name}, by reference")
    draft.take(f"{prefix}basic.auth.credentials.source", f"connections.{name}")
    urls = [each.strip() for each in url.split(",") if each.strip()]
    is_open = bool(urls) and not any("@" in each or is_reference(each) for each in urls)
    definition: Document = {
        "name": name,
        "type": "SchemaRegistry",
        "provider": "CONFLUENT",
        "schemaRegistryUrls": urls
        if is_open
        else [draft.reference("SCHEMA_REGISTRY_URL", "the URL of the schema registry")],
        "schemaRegistryAuthentication": {
            "type": "USER_INFO",
            "username": draft.reference("SCHEMA_REGISTRY_USER", "user (API key) of the registry"),
            "password": draft.reference("SCHEMA_REGISTRY_PASSWORD", "its password (API secret)"),
        },
    }
    if all(each["name"] != name for each in draft.connections):
        draft.connections.append(definition)
    return name


def dead_letters(draft: Draft, database: str) -> None:
    """A dead letter queue where the connector tolerates errors or names a topic for them."""
    names = ("mongo.errors.deadletterqueue.topic.name", "errors.deadletterqueue.topic.name")
    tolerances = ("mongo.errors.tolerance", "errors.tolerance")
    topic = next((draft.text(name) for name in names if draft.has(name)), "")
    tolerance = next((draft.text(name) for name in tolerances if draft.has(name)), "none")
    for name in (*names, *tolerances):
        draft.take(name, "options.dlq")
    if not topic and tolerance.lower() != "all":
        draft.note(
            "errors",
            "The connector stopped at the first record it could not take; a stream processor goes "
            "on without it, so give it a dead letter queue (options.dlq) to see such records.",
        )
        return
    collection = re.sub(r"[^\w-]+", "_", topic) or "dead_letters"
    draft.dlq = {"connectionName": draft.names.cluster, "db": database, "coll": collection}
    draft.note("errors", "Dead letters go to a collection, not to a topic.")


def _bootstrap(draft: Draft, client: str) -> Any:
    for key in ("kafka.endpoint", *_spelt(client, "bootstrap.servers")):
        text = draft.take(key, f"connections.{draft.names.kafka}.bootstrapServers")
        if text and not is_reference(text):
            return re.sub(r"\w+://", "", text)
    draft.note(
        "brokers",
        "The connector does not say where the brokers are; the Connect worker (or Confluent Cloud) "
        "does. Put that into KAFKA_BOOTSTRAP_SERVERS, or give kafka_bootstrap_servers.",
    )
    return draft.reference("KAFKA_BOOTSTRAP_SERVERS", "host:port of the brokers, no secret")


def _confluent(draft: Draft) -> Document:
    """Confluent Cloud takes an API key as user and password."""
    name = draft.names.kafka
    draft.take("kafka.auth.mode", f"connections.{name}.authentication")
    if draft.text("kafka.auth.mode") == "SERVICE_ACCOUNT":
        draft.note("brokers", "A service account needs an API key to be used from outside.")
    draft.take("kafka.api.key", f"connections.{name}.authentication.username, by reference")
    draft.take("kafka.api.secret", f"connections.{name}.authentication.password, by reference")
    return {
        "authentication": {
            "mechanism": "PLAIN",
            "username": draft.secret_or_value("kafka.api.key", "KAFKA_API_KEY", "the API key"),
            "password": draft.secret_or_value(
                "kafka.api.secret", "KAFKA_API_SECRET", "the secret of the API key"
            ),
        },
        "security": {"protocol": "SASL_SSL"},
    }


def _overridden(draft: Draft, client: str) -> Document:
    """Authentication and security as far as `consumer.override.…` says them."""
    name = draft.names.kafka
    found: Document = {}
    protocol = _first(draft, client, "security.protocol")
    if protocol[1] in _PROTOCOLS:
        draft.take(protocol[0], f"connections.{name}.security.protocol")
        found["security"] = {"protocol": protocol[1]}
    mechanism = _first(draft, client, "sasl.mechanism")
    known = _MECHANISMS.get(mechanism[1])
    jaas = _first(draft, client, "sasl.jaas.config")
    if known and found and protocol[1].startswith("SASL_"):
        draft.take(mechanism[0], f"connections.{name}.authentication.mechanism")
        draft.take(jaas[0], f"connections.{name}.authentication, by reference")
        user = dict(_JAAS.findall(jaas[1])).get("username")
        found["authentication"] = {
            "mechanism": known,
            "username": user
            if user and not is_reference(user)
            else draft.reference("KAFKA_USERNAME", "user of the brokers"),
            "password": draft.reference("KAFKA_PASSWORD", "password of that user"),
        }
    elif protocol[1].startswith("SASL_"):
        found.pop("security")
        draft.miss(
            protocol[0], "its mechanism is not known here", "complete the Kafka connection by hand"
        )
    return found


def _settings(draft: Draft, client: str) -> dict[str, str]:
    """Client settings that Atlas lets through, of the connection's `config`."""
    allowed = CONSUMER_CONFIG if client == "consumer" else PRODUCER_CONFIG
    of_stage = {"auto.offset.reset", "group.id", "acks", "compression.type"}
    config = {}
    for setting in sorted(allowed - of_stage):
        key, text = _first(draft, client, setting)
        if text:
            draft.take(key, f"connections.{draft.names.kafka}.config")
            config[setting] = text
    return config


def _first(draft: Draft, client: str, setting: str) -> tuple[str, str]:
    """The key under which a client setting is given, and its value; empty when it is not."""
    for key in _spelt(client, setting):
        if draft.has(key):
            return key, draft.text(key)
    return "", ""


def _spelt(client: str, setting: str) -> tuple[str, str]:
    return f"{client}.override.{setting}", f"{client}.{setting}"


def client_setting(draft: Draft, client: str, setting: str, became: str) -> str:
    """A client setting that the pipeline itself says; empty when it is not given."""
    key, text = _first(draft, client, setting)
    if key:
        draft.take(key, became)
    return text


def _has_user(draft: Draft) -> bool:
    return draft.has("connection.user") or draft.has("connection.password")


def _cluster_name(hosts: str) -> str:
    """`Cluster0` of `cluster0.ab1cd.mongodb.net`, as far as a host tells; Atlas writes it small."""
    first = hosts.split(",")[0]
    if not first.endswith((".mongodb.net", ".mongodb-dev.net")):
        return ""
    return re.sub(r"-shard-\d\d-\d\d$", "", first.split(".")[0])
