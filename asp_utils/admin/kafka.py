"""The parameter `kafka`: which cluster, and how it is reached.

A bootstrap string, or an object with the fields of an Atlas connection of type Kafka, or
`{"rest": {…}}` for Confluent's REST API. What is wrong with it is named all at once, before
anything is sent.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from asp_utils.errors import ConfigInvalid, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.clients.kafka_admin import KafkaAdmin
    from asp_utils.clients.kafka_topics import TopicsTransport
    from asp_utils.context import Context

PATH: Final = "$.kafka"
_REST_FIELDS: Final = ("endpoint", "cluster_id", "api_key", "api_secret")
_REST_OPTIONS: Final = ("ca_file",)


@contextmanager
def kafka_cluster(
    ctx: Context, kafka: Mapping[str, Any] | str, timeout_s: float
) -> Iterator[TopicsTransport]:
    """The cluster that a `kafka` parameter names.

    Args:
        ctx: Where warnings about the connection are told.
        kafka: The parameter.
        timeout_s: How long one call to the cluster may take.

    Raises:
        ConfigInvalid: The parameter is wrong; all faults are named.
    """
    if isinstance(kafka, dict) and "rest" in kafka:
        target = rest_target(kafka)
        # httpx costs 100 ms, confluent-kafka 30: each is loaded for its own clusters only.
        from asp_utils.clients.confluent_rest import ConfluentRest

        transport: TopicsTransport = ConfluentRest(target, timeout_s, ctx.wait)
    else:
        transport = _admin(ctx, kafka, timeout_s)
    try:
        yield transport
    finally:
        transport.close()


@contextmanager
def kafka_brokers(
    ctx: Context, kafka: Mapping[str, Any] | str, timeout_s: float, what: str
) -> Iterator[KafkaAdmin]:
    """The same for what only Kafka's own protocol can do.

    Raises:
        ConfigInvalid: The parameter is wrong, or names a REST endpoint.
    """
    if isinstance(kafka, dict) and "rest" in kafka:
        hint = "give bootstrapServers; on Confluent Cloud the same key and secret are username and "
        hint += "password of mechanism PLAIN over SASL_SSL"
        raise ConfigInvalid("config", [Fault(PATH, f"{what} is not in Confluent's REST API", hint)])
    admin = _admin(ctx, kafka, timeout_s)
    try:
        yield admin
    finally:
        admin.close()


def broker_connection(ctx: Context, kafka: Mapping[str, Any] | str) -> dict[str, Any]:
    """The connection to brokers that a `kafka` parameter describes; warnings are told.

    Raises:
        ConfigInvalid: It is wrong; all faults are named.
    """
    # pydantic costs 100 ms.
    from asp_utils.pipeline.connections.kinds import definition_faults, definition_warnings

    fields = {"bootstrapServers": kafka} if isinstance(kafka, str) else dict(kafka)
    definition = {"name": "kafka", "type": "Kafka", **fields}
    if definition["type"] != "Kafka":
        hint = "give bootstrapServers, or a connection of type Kafka"
        raise ConfigInvalid("config", [Fault(f"{PATH}.type", "this is no Kafka connection", hint)])
    faults = definition_faults(definition, "local")
    if faults:
        raise ConfigInvalid("config", [_about_parameter(fault, kafka) for fault in faults])
    for warning in definition_warnings(definition, "local"):
        ctx.progress(f"warning: {PATH}{warning.path}: {warning.message}")
    return definition


def rest_target(kafka: Mapping[str, Any]) -> dict[str, str]:
    """The REST endpoint that a `kafka` parameter describes.

    Raises:
        ConfigInvalid: It is wrong; all faults are named.
    """
    rest, base = kafka["rest"], f"{PATH}.rest"
    faults = [
        Fault(f"{PATH}.{key}", "this does not go with rest", "leave it out, or leave rest out")
        for key in kafka
        if key != "rest"
    ]
    if not isinstance(rest, dict):
        hint = f"{{{', '.join(_REST_FIELDS)}}}"
        raise ConfigInvalid("config", [*faults, Fault(base, "an object is needed", hint)])
    for key in _REST_FIELDS:
        if not isinstance(rest.get(key), str) or not rest[key]:
            faults.append(Fault(f"{base}.{key}", f"{key} is needed, as text"))
    for key, value in rest.items():
        if key not in (*_REST_FIELDS, *_REST_OPTIONS):
            known = ", ".join((*_REST_FIELDS, *_REST_OPTIONS))
            faults.append(Fault(f"{base}.{key}", f"there is no field {key}", f"it has {known}"))
        elif key in _REST_OPTIONS and not isinstance(value, str):
            faults.append(Fault(f"{base}.{key}", "text is needed"))
    endpoint = rest.get("endpoint")
    if isinstance(endpoint, str) and not endpoint.startswith(("https://", "http://")):
        hint = "for instance https://pkc-00000.eu-west-1.aws.confluent.cloud"
        faults.append(Fault(f"{base}.endpoint", "a URL https://… is needed", hint))
    if faults:
        raise ConfigInvalid("config", faults)
    return cast("dict[str, str]", rest)


def _admin(ctx: Context, kafka: Mapping[str, Any] | str, timeout_s: float) -> KafkaAdmin:
    connection = broker_connection(ctx, kafka)
    from asp_utils.clients.kafka_admin import KafkaAdmin

    return KafkaAdmin(connection, timeout_s)


def _about_parameter(fault: Fault, kafka: Mapping[str, Any] | str) -> Fault:
    """A fault of the definition; of a bootstrap string it is the parameter itself."""
    return Fault(PATH, fault.message, fault.hint) if isinstance(kafka, str) else fault.below(PATH)
