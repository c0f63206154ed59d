"""Kafka Connect's MongoDB connectors on their way to stream processors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.operation import operation
from asp_utils.session.secrets import is_secret_key
from asp_utils.session.urls import url_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.operations.pipelines import PipelineFinding
    from asp_utils.pipeline.connectors.convert import Connector
    from asp_utils.pipeline.connectors.draft import Draft

    ConnectorConfig = Annotated[
        dict[str, Any] | None,
        Field(
            description="The configuration: `{name, config}` as Kafka Connect gives it, or the "
            "properties alone. One with secrets is better given as `connector_file`."
        ),
    ]
    ConnectorFile = Annotated[
        str | None,
        Field(min_length=1, description="A file with it: JSON, or Java properties."),
    ]
    Topics = Annotated[
        list[str] | None,
        Field(min_length=1, description="A sink's topics, where it has `topics.regex`."),
    ]
    Brokers = Annotated[
        str | None, Field(min_length=1, description="`host:port,…`; the connector rarely says it.")
    ]
    ClusterConnection = Annotated[
        str, Field(min_length=1, description="Name for the connection to the cluster.")
    ]
    KafkaConnection = Annotated[
        str, Field(min_length=1, description="Name for the connection to the brokers.")
    ]
    RegistryConnection = Annotated[
        str, Field(min_length=1, description="Name for the connection to a schema registry.")
    ]


class MappedField(TypedDict):
    """A property that became something."""

    field: str
    """Its name."""
    became: str
    """Where it went."""


class UnmappedField(TypedDict):
    """A property that became nothing."""

    field: str
    """Its name."""
    value: Any
    """What it said; `[redacted]` where that may be a secret."""
    reason: str
    """Why."""
    what_to_do: str
    """What to do about it; `nothing` where nothing is lost."""


class ConvertedConnector(TypedDict):
    """A connector as connections, topics and a pipeline; nothing was created."""

    name: str
    """A name for the stream processor."""
    kind: str
    """`source` (MongoDB to Kafka) or `sink` (Kafka to MongoDB)."""
    connections: list[dict[str, Any]]
    """Definitions for the connection registry; secrets are references to environment variables."""
    topics: list[dict[str, Any]]
    """The topics: `topic` (a name, or the expression that gives it), `role`, and what the
    connector says of partitions and replication."""
    pipeline: list[dict[str, Any]]
    """The stages, ready for `sp_create_stream_processor`."""
    options: dict[str, Any]
    """`dlq`, where the connector tolerated errors."""
    indexes: list[dict[str, Any]]
    """Indexes that the pipeline needs: `mongodb_ensure_index`."""
    collections: list[dict[str, Any]]
    """Collections that want options of their own: `mongodb_ensure_collection`."""
    secrets: list[dict[str, str]]
    """The environment variables to set: `env`, and what it must `hold`."""
    mapped: list[MappedField]
    """Every property that became something."""
    unmapped: list[UnmappedField]
    """Every other property."""
    notes: list[dict[str, str]]
    """Where the meaning differs: `topic` and `text`."""
    to_fill_in: list[dict[str, str]]
    """What the connector does not say and the pipeline needs: `path` and `what`."""
    faults: list[PipelineFinding]
    """What keeps the pipeline from being accepted; none, unless a value of the connector is odd."""
    warnings: list[PipelineFinding]
    """What is allowed, and often not meant."""


@operation(effect="read")
def kafka_connector_to_pipeline(
    ctx: Context,
    connector: ConnectorConfig = None,
    connector_file: ConnectorFile = None,
    topics: Topics = None,
    kafka_bootstrap_servers: Brokers = None,
    cluster_connection_name: ClusterConnection = "mongodb",
    kafka_connection_name: KafkaConnection = "kafka",
    schema_registry_connection_name: RegistryConnection = "schema_registry",
) -> ConvertedConnector:
    """Convert a Kafka Connect MongoDB source or sink connector into connections and a pipeline.

    Takes `MongoSourceConnector` and `MongoSinkConnector` of MongoDB, `MongoDbAtlasSource` and
    `MongoDbAtlasSink` of Confluent Cloud. Every property is accounted for, in `mapped` or in
    `unmapped`; `notes` say where the meaning differs. Secrets are never shown: they become
    references. Nothing is asked of any server and nothing is created.

    Raises:
        ConfigInvalid: It is no configuration of such a connector.
    """
    # The conversion costs bson; nothing else needs it.
    from asp_utils.pipeline.connectors.convert import convert
    from asp_utils.pipeline.connectors.draft import Draft, Names

    found = _connector(connector, connector_file)
    kind = found.kind
    ctx.conceal(_secrets(found))
    names = Names(cluster_connection_name, kafka_connection_name, schema_registry_connection_name)
    draft = Draft(found.config, names, is_secret_key)
    pipeline = convert(draft, kind, kafka_bootstrap_servers, topics)
    faults, warnings = _checked(draft, pipeline)
    return {
        "name": re.sub(r"[^\w-]+", "_", found.name) or f"from_{kind}_connector",
        "kind": kind,
        "connections": draft.connections,
        "topics": draft.topics,
        "pipeline": pipeline,
        "options": {"dlq": draft.dlq} if draft.dlq else {},
        "indexes": draft.indexes,
        "collections": draft.collections,
        "secrets": [{"env": name, "hold": what} for name, what in draft.secrets.items()],
        "mapped": [{"field": name, "became": to} for name, to in draft.mapped.items()],
        "unmapped": [
            {"field": name, "value": draft.shown(name), "reason": why, "what_to_do": todo}
            for name, (why, todo) in draft.unmapped.items()
        ],
        "notes": draft.notes,
        "to_fill_in": draft.to_fill_in,
        "faults": [_finding(fault) for fault in faults],
        "warnings": [_finding(warning) for warning in warnings],
    }


def _connector(given: dict[str, Any] | None, file: str | None) -> Connector:
    """The configuration, however it was given.

    Raises:
        ConfigInvalid: It was given twice or not at all, or the file cannot be read.
    """
    from asp_utils.pipeline.connectors.convert import connector_of, parsed_file

    if (given is None) == (file is None):
        fault = Fault("$.connector", "give either connector or connector_file")
        raise ConfigInvalid("config", [fault])
    if given is not None:
        return connector_of(given, "$.connector")
    path = Path(str(file)).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        fault = Fault("$.connector_file", f"cannot read {path}: {why}")
        raise ConfigInvalid("config", [fault]) from error
    return parsed_file(text, "$.connector_file")


def _secrets(connector: Connector) -> Iterator[str]:
    """What of the configuration must never be shown."""
    for name, value in connector.config.items():
        if not isinstance(value, str):
            continue
        if is_secret_key(name) and value:
            yield value
        yield from url_passwords(value)
        if name.endswith("jaas.config"):
            yield from re.findall(r'password\s*=\s*"([^"]+)"', value)


def _checked(draft: Draft, pipeline: list[dict[str, Any]]) -> tuple[list[Fault], list[Fault]]:
    """Faults and warnings of the pipeline with its connections."""
    from asp_utils.engine.check import check_offline, check_traps

    types = {"Cluster": "atlas", "Kafka": "kafka", "SchemaRegistry": "schemaregistry"}
    registry = {each["name"]: {"type": types[each["type"]]} for each in draft.connections}
    faults = check_offline(pipeline, persistent=True, connections=registry, dlq=draft.dlq)
    if faults:
        parts = [("$.options." if it.path.startswith("dlq") else "$.pipeline") for it in faults]
        return [fault.below(part) for fault, part in zip(faults, parts, strict=True)], []
    traps = check_traps(pipeline, registry, dlq=draft.dlq)
    return [], [trap.below("$.pipeline") for trap in traps]


def _finding(fault: Fault) -> PipelineFinding:
    shape: PipelineFinding = {"path": fault.path, "message": fault.message}
    if fault.hint:
        shape["hint"] = fault.hint
    if fault.code is not None:
        shape["code"] = fault.code
    return shape
