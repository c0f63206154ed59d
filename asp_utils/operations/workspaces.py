"""Workspaces: what their pipelines may name, what they run on; made and removed by the Admin API.

Source: Atlas page "Manage stream processing workspaces"; asp-reference.md 1.3, 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.preview import would_send
from asp_utils.admin.project import project
from asp_utils.admin.workspace_parameters import changes_of, created_of, only, our_paths
from asp_utils.errors import UnexpectedReply
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived
from asp_utils.workspace import connect

if TYPE_CHECKING:
    from typing import Annotated, Literal

    from pydantic import Field

    from asp_utils.admin.workspaces import WorkspaceChange
    from asp_utils.context import Context
    from asp_utils.model.admin_parameters import (
        CheckDefinition,
        CloudProvider,
        DefaultTier,
        FailoverRegions,
        MaxTier,
        NewRegion,
        Region,
    )
    from asp_utils.model.parameters import (
        Atlas,
        ConnectionPassword,
        ConnectionUser,
        Filter,
        StreamProcessorUrl,
        TimeoutSeconds,
        WorkspaceName,
    )

    SampleConnections = Annotated[
        bool, Field(description="Whether it gets the connection `sample_stream_solar`.")
    ]

_CREATE: Final = (
    "workspace", "region", "cloud_provider", "tier", "max_tier", "sample_connections",
    "failover_regions", "check_definition",
)  # fmt: skip
_UPDATE: Final = (
    "region", "cloud_provider", "tier", "max_tier", "failover_regions", "processor_status",
    "failover_mode", "failover_region", "check_definition",
)  # fmt: skip


class Workspaces(TypedDict):
    """The workspaces of a project."""

    workspaces: list[dict[str, Any]]
    """As the Admin API shows them: name, dataProcessRegion, streamConfig, hostnames, …"""


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


@operation(effect="read")
def workspace_list(ctx: Context, atlas: Atlas = None) -> Workspaces:
    """List all workspaces of the Atlas project.

    Source: Admin API, `GET /groups/{groupId}/streams`.
    """
    from asp_utils.admin.workspaces import list_workspaces

    with project(ctx, atlas) as target:
        return {"workspaces": list_workspaces(target)}


@operation(effect="read")
def workspace_get(
    ctx: Context,
    workspace: WorkspaceName,
    include_connections: Annotated[
        bool, Field(description="Show its connections too, without their secrets.")
    ] = False,
    atlas: Atlas = None,
) -> dict[str, Any]:
    """Show a workspace: region, tiers, hostnames, and its connections where wanted.

    Raises:
        NotFound: There is no such workspace; the hint names those that there are.

    Source: Admin API, `GET /groups/{groupId}/streams/{tenantName}`.
    """
    from asp_utils.admin.workspaces import get_workspace

    with project(ctx, atlas) as target:
        return get_workspace(target, workspace, connections=include_connections)


def _create_preview(parameters: dict[str, Any]) -> list[str]:
    from asp_utils.admin.workspace_definition import create_body

    body, samples = create_body(created_of(**only(parameters, _CREATE)))
    verb = "withSampleConnections" if samples else ""
    return [would_send(parameters, "POST", verb=verb, body=body)]


@operation(effect="write", preview=_create_preview)
def workspace_create(
    ctx: Context,
    workspace: WorkspaceName,
    region: Region,
    cloud_provider: CloudProvider = None,
    tier: DefaultTier = None,
    max_tier: MaxTier = None,
    sample_connections: SampleConnections = False,
    failover_regions: FailoverRegions = None,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> WorkspaceChange:
    """Create a workspace and wait until it has a hostname; it costs nothing while nothing runs.

    Raises:
        ConfigInvalid: Region or tiers are wrong; all faults are named. Nothing was created.
        Conflict: A workspace of that name exists.
        TimedOut: It was created, and was not complete in time.

    Source: Admin API, `POST /groups/{groupId}/streams`, `…/streams:withSampleConnections`.
    """
    from asp_utils.admin.workspaces import create_workspace

    definition = created_of(
        workspace, region, cloud_provider, tier, max_tier, sample_connections, failover_regions,
        check_definition,
    )  # fmt: skip
    with project(ctx, atlas) as target:
        return create_workspace(target, definition, timeout_s)


def _ensure_preview(parameters: dict[str, Any]) -> list[str]:
    found = _create_preview(parameters)
    return [f"where there is none, {it}" if isinstance(it, str) else it for it in found]


@operation(effect="write", preview=_ensure_preview)
def workspace_ensure(
    ctx: Context,
    workspace: WorkspaceName,
    region: Region,
    cloud_provider: CloudProvider = None,
    tier: DefaultTier = None,
    max_tier: MaxTier = None,
    sample_connections: SampleConnections = False,
    failover_regions: FailoverRegions = None,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> WorkspaceChange:
    """Create a workspace, or change the one of that name until it is so; else change nothing.

    Raises:
        ConfigInvalid: Region or tiers are wrong; all faults are named. Nothing was changed.
        Conflict: It exists in another region.

    Source: Admin API, `POST` and `PATCH /groups/{groupId}/streams`.
    """
    from asp_utils.admin.workspaces import ensure_workspace

    definition = created_of(
        workspace, region, cloud_provider, tier, max_tier, sample_connections, failover_regions,
        check_definition,
    )  # fmt: skip
    with project(ctx, atlas) as target, our_paths():
        return ensure_workspace(target, definition, timeout_s)


def _update_preview(parameters: dict[str, Any]) -> list[str]:
    changes = changes_of(**only(parameters, _UPDATE))
    return [would_send(parameters, "PATCH", parameters["workspace"], body=changes)]


@operation(effect="write", preview=_update_preview)
def workspace_update(
    ctx: Context,
    workspace: WorkspaceName,
    region: NewRegion = None,
    cloud_provider: CloudProvider = None,
    tier: DefaultTier = None,
    max_tier: MaxTier = None,
    failover_regions: FailoverRegions = None,
    processor_status: Annotated[
        Literal["STARTED", "STOPPED", "FAILED_OVER"] | None,
        Field(description="What all its stream processors are to become."),
    ] = None,
    failover_mode: Annotated[
        Literal["GRACEFUL", "FORCED"] | None, Field(description="How they fail over.")
    ] = None,
    failover_region: Annotated[
        str | None, Field(description="Where they fail over to, in Atlas' word.")
    ] = None,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> WorkspaceChange:
    """Change region, tiers or failover regions of a workspace, or start, stop, move all of it.

    Raises:
        ConfigInvalid: Nothing is to change, or something is wrong; all faults are named.
        NotFound: There is no such workspace.
        TimedOut: The change did not show in time; the message has what was seen.

    Source: Admin API, `PATCH /groups/{groupId}/streams/{tenantName}`.
    """
    from asp_utils.admin.workspaces import update_workspace

    changes = changes_of(
        region, cloud_provider, tier, max_tier, failover_regions, processor_status, failover_mode,
        failover_region, check_definition,
    )  # fmt: skip
    with project(ctx, atlas) as target, our_paths():
        return update_workspace(target, workspace, changes, timeout_s)


def _delete_preview(parameters: dict[str, Any]) -> list[str]:
    return [would_send(parameters, "DELETE", parameters["workspace"])]


@operation(effect="destroy", preview=_delete_preview)
def workspace_delete(
    ctx: Context,
    workspace: WorkspaceName,
    delete_processors: Annotated[
        bool, Field(description="Stop and delete its stream processors first.")
    ] = False,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> WorkspaceChange:
    """Delete a workspace with its connections, and wait until it is gone.

    Raises:
        NotFound: There is no such workspace.
        Conflict: Stream processors run; all are named. Nothing was deleted.
        TimedOut: It was still there when the time was up.

    Source: Admin API, `DELETE /groups/{groupId}/streams/{tenantName}`.
    """
    from asp_utils.admin import workspaces

    with project(ctx, atlas) as target:
        return workspaces.delete_workspace(
            target, workspace, timeout_s, delete_processors=delete_processors
        )
