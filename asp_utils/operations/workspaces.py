"""Workspaces: what their pipelines may name, and what they run on.

Source: Atlas page "Manage stream processing workspaces"; asp-reference.md 1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.errors import UnexpectedReply
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived
from asp_utils.workspace import connect

if TYPE_CHECKING:
    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        ConnectionPassword,
        ConnectionUser,
        Filter,
        StreamProcessorUrl,
    )


class Connections(TypedDict):
    """The connection registry of a workspace."""

    connections: list[dict[str, Any]]
    """One object each: name, type, and cluster for a cluster connection."""


class WorkspaceDefaults(TypedDict):
    """The tiers of a workspace."""

    default_tier: str
    """The tier of a processor that names none."""
    max_tier: str
    """The largest tier that may be asked for."""


@operation(effect="read")
def sp_list_connections(
    ctx: Context,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    filter: Filter = None,  # noqa: A002 - the command's own word
) -> Connections:
    """List the connection registry of a workspace: what sources and sinks may name.

    Source: Atlas page "sp.listConnections()".
    """
    command: dict[str, Any] = {"listStreamConnections": 1}
    if filter is not None:
        command["filter"] = revived(filter, "filter")
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        return {"connections": workspace.listed(command, "connections")}


@operation(effect="read")
def sp_list_workspace_defaults(
    ctx: Context,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
) -> WorkspaceDefaults:
    """Show the default and the largest tier of a workspace.

    Source: Atlas page "sp.listWorkspaceDefaults()".
    """
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        reply = workspace.command({"listWorkspaceDefaults": 1})
    tiers = (reply.get("defaultTierSize"), reply.get("maxTierSize"))
    if not all(isinstance(tier, str) for tier in tiers):
        raise UnexpectedReply(f"the endpoint's reply names no tiers: {reply}"[:300])
    return {"default_tier": str(tiers[0]), "max_tier": str(tiers[1])}
