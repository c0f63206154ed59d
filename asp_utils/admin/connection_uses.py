"""Who names which connection of a workspace, over the Admin API or over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.reading import list_connections, list_processors, missing
from asp_utils.pipeline.connections.roles import uses_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import SecretStr

    from asp_utils.context import Context


class ConnectionUses(TypedDict):
    """Who names the connections of a workspace."""

    connections: list[dict[str, Any]]
    """Every connection: name, type, and `uses`: `{processor, state, role, path}` each."""
    unused: list[str]
    """Connections that no stream processor names."""
    missing: list[dict[str, Any]]
    """Uses of connections that do not exist: `{connection, processor, state, role, path}`."""


def over_rest(ctx: Context, workspace: str, atlas: Any) -> tuple[list[Any], list[Any]]:
    """All connections and processors of a workspace over the Admin API."""
    from asp_utils.admin.project import project

    with project(ctx, atlas) as target:
        return list_connections(target, workspace), list_processors(target, workspace)


def over_wire(
    ctx: Context, url: str, user: str | None, password: SecretStr | None
) -> tuple[list[Any], list[Any]]:
    """All connections and processors of a workspace over its endpoint."""
    from asp_utils.workspace import connect

    with connect(ctx, url, user, password) as workspace:
        connections = workspace.listed({"listStreamConnections": 1}, "connections")
        processors = workspace.listed({"listStreamProcessors": 1}, "streamProcessors")
        whole = [
            workspace.command({"getStreamProcessor": each["name"]})
            if each.get("pipelineOmitted")
            else each
            for each in processors
        ]
    return connections, whole


def uses(
    connections: list[dict[str, Any]], processors: Iterable[Mapping[str, Any]], name: str | None
) -> ConnectionUses:
    """The uses of all connections, or of one.

    Raises:
        NotFound: There is none of that name, and nobody names it.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for each in processors:
        options = each.get("options") or ({"dlq": each["dlq"]} if each.get("dlq") else {})
        about = {"processor": each.get("name"), "state": each.get("state")}
        for used, role, path in uses_of(each.get("pipeline"), options):
            by_name.setdefault(used, []).append({**about, "role": role, "path": path})
    known = {str(each["name"]): each for each in connections}
    if name is not None and name not in known and name not in by_name:
        raise missing("connection", name, connections)
    wanted = [each for each in known if name in (None, each)]
    return {
        "connections": [
            {"name": each, "type": known[each].get("type"), "uses": by_name.get(each, [])}
            for each in wanted
        ],
        "unused": [each for each in wanted if each not in by_name],
        "missing": [
            {"connection": used, **use}
            for used, found in by_name.items()
            if used not in known and name in (None, used)
            for use in found
        ],
    }
