"""Which type of connection may stand where in a pipeline, and where one stands in it.

Source: Atlas page "Manage connections" and those of the stages; asp-reference.md 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.catalogue import connection_name
from asp_utils.pipeline.connections.kinds import TYPE_OF_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.pipeline.catalogue import Catalogue

ROLES: Final[dict[str, frozenset[str]]] = {
    "Sample": frozenset({"source"}),
    "Cluster": frozenset(
        {"source", "merge", "emit", "lookup", "cachedLookup", "vectorSearch", "dlq"}
    ),
    "Kafka": frozenset({"source", "emit"}),
    "Https": frozenset({"https"}),
    "AWSLambda": frozenset({"externalFunction"}),
    "S3": frozenset({"emit", "iceberg"}),
    "AWSKinesisDataStreams": frozenset({"source", "emit"}),
    "SchemaRegistry": frozenset({"registry"}),
    "AzureBlobStorage": frozenset({"emit"}),
    "GCPPubSub": frozenset({"emit"}),
}
"""Connection type (the Admin API's word) to the roles that Atlas has for it."""

PLACES: Final[dict[str, str]] = {
    "source": "$source",
    "merge": "$merge",
    "emit": "$emit",
    "lookup": "$lookup",
    "cachedLookup": "$cachedLookup",
    "vectorSearch": "$vectorSearch",
    "https": "$https",
    "externalFunction": "$externalFunction",
    "iceberg": "$iceberg",
    "registry": "schemaRegistry of $source and $emit",
    "dlq": "options.dlq",
}
"""Role to where it stands."""

_INSIDE: Final = {"schemaRegistry": "registry"}
"""A field of a stage whose connection has a role of its own."""


def place_role(stage: str, below: str) -> str:
    """The role of the connection that a stage names.

    Example:
        >>> place_role("$merge", ".into.connectionName")
        'merge'
        >>> place_role("$emit", ".schemaRegistry.connectionName")
        'registry'
    """
    return _INSIDE.get(below.removeprefix(".").partition(".")[0], stage.removeprefix("$"))


def is_atlas_use(entry_type: str, role: str) -> bool:
    """Whether Atlas takes a connection of that type (the registry's word) in that role."""
    return role in ROLES.get(TYPE_OF_ENTRY.get(entry_type, ""), ())


def local_roles(catalogue: Catalogue) -> dict[str, set[str]]:
    """The registry's word for a type to the roles in which an engine with these stages runs it."""
    found: dict[str, set[str]] = {"atlas": {"dlq"}}
    for name, kinds in catalogue.by_name.items():
        for kind in kinds:
            if kind.connection_type is not None:
                found.setdefault(kind.connection_type, set()).add(place_role(name, ""))
            for path, wanted in kind.further_connections.items():
                found.setdefault(wanted, set()).add(place_role(name, path))
    return found


def uses_of(pipeline: Any, options: Mapping[str, Any] | None = None) -> list[tuple[str, str, str]]:
    """Every use of a connection by a processor: name, role, JSON path from the processor.

    Args:
        pipeline: The stages, right or wrong.
        options: The processor's, with `dlq` if it has one.

    Returns:
        In the order of the pipeline; the path is that of the name,
        `pipeline[0].$source.connectionName`, `options.dlq.connectionName`.
    """
    stages = pipeline if isinstance(pipeline, list) else []
    found = [use for index, s in enumerate(stages) for use in _in_stage(s, f"pipeline[{index}]")]
    dlq = (options or {}).get("dlq")
    if isinstance(dlq, Mapping) and isinstance(dlq.get("connectionName"), str):
        found.append((dlq["connectionName"], "dlq", "options.dlq.connectionName"))
    return found


def _in_stage(stage: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """The uses of one stage and of those inside it, as in a window or a lookup."""
    if not isinstance(stage, Mapping):
        return
    for name, options in stage.items():
        if not isinstance(options, Mapping):
            continue
        where = f"{path}.{name}"
        below, connection = connection_name(dict(options))
        role = place_role(str(name), below)
        if isinstance(connection, str) and role in PLACES:
            yield connection, role, where + below
        for field, role_inside in _INSIDE.items():
            inner = options.get(field) if role in PLACES else None
            if isinstance(inner, Mapping) and isinstance(inner.get("connectionName"), str):
                yield inner["connectionName"], role_inside, f"{where}.{field}.connectionName"
        stages = options.get("pipeline")
        for index, inner in enumerate(stages if isinstance(stages, list) else []):
            yield from _in_stage(inner, f"{where}.pipeline[{index}]")
