"""Connections of a workspace over the Admin API: create, ensure, update, rename, delete.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.preview import raise_faults, would_send
from asp_utils.admin.project import project
from asp_utils.model.local_names import LOCAL
from asp_utils.operation import operation

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.connections import ConnectionChange
    from asp_utils.admin.failovers import FailoverChange
    from asp_utils.admin.renaming import Renaming
    from asp_utils.context import Context
    from asp_utils.errors import Fault
    from asp_utils.model.admin_parameters import (
        CheckDefinition,
        ConnectionDefinition,
        ConnectionFields,
        ConnectionName,
        FailoverId,
        Restart,
        ResumeFromCheckpoint,
    )
    from asp_utils.model.parameters import Atlas, TimeoutSeconds, WorkspaceName

    FailoverDefinition = Annotated[
        dict[str, Any],
        Field(
            description="The same fields as the connection has, leading to another place, and the "
            "`region` in which they hold; the type is the connection's own.",
            examples=[{"region": "OREGON_USA", "clusterName": "standby"}],
        ),
    ]


class AdminConnections(TypedDict):
    """The connections of a workspace as the Admin API shows them."""

    connections: list[dict[str, Any]]
    """name, type, state and the type's own fields, without secrets."""


class FailoverConnections(TypedDict):
    """The failover connections of a connection."""

    failover_connections: list[dict[str, Any]]
    """id, region, state and the type's own fields, without secrets."""


@operation(effect="read")
def connection_list(
    ctx: Context, workspace: WorkspaceName, atlas: Atlas = None
) -> AdminConnections:
    """List all connections of a workspace, with their states and without their secrets.

    Raises:
        NotFound: There is no such workspace.

    Source: Admin API, `GET …/streams/{tenantName}/connections`.
    """
    from asp_utils.admin.connections import list_connections

    with project(ctx, atlas) as target:
        return {"connections": list_connections(target, workspace)}


@operation(effect="read")
def connection_get(
    ctx: Context, workspace: WorkspaceName, name: ConnectionName, atlas: Atlas = None
) -> dict[str, Any]:
    """Show a connection: type, state and fields, without its secrets.

    Raises:
        NotFound: There is no such connection; the hint names those that there are.

    Source: Admin API, `GET …/connections/{connectionName}`.
    """
    from asp_utils.admin.connections import get_connection

    with project(ctx, atlas) as target:
        return get_connection(target, workspace, name)


def _create_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    definition = parameters["connection"]
    local = parameters.get("atlas") == LOCAL
    if parameters.get("check_definition", True):
        _refuse_faulty(definition, local=local)
    from asp_utils.pipeline.connections import for_atlas

    body = dict(definition) if local else for_atlas(definition)
    workspace = parameters["workspace"]
    return [would_send(parameters, "POST", workspace, "connections", body=body)]


@operation(effect="write", preview=_create_preview)
def connection_create(
    ctx: Context,
    workspace: WorkspaceName,
    connection: ConnectionDefinition,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> ConnectionChange:
    """Create a connection and wait until it is ready.

    Raises:
        ConfigInvalid: The definition is wrong; all faults are named. Nothing was sent.
        Conflict: It exists; or it was created and failed, which the message says with the reason.
        TimedOut: It was created, and was not ready in time.

    Source: Admin API, `POST …/streams/{tenantName}/connections`.
    """
    from asp_utils.admin.connections import checked, create_connection

    with project(ctx, atlas) as target:
        warnings = checked(target, connection, "$.connection") if check_definition else []
        return create_connection(target, workspace, connection, timeout_s, warnings=warnings)


def _ensure_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    found = _create_preview(parameters)
    return [f"where there is none, {it}" if isinstance(it, str) else it for it in found]


@operation(effect="write", preview=_ensure_preview)
def connection_ensure(
    ctx: Context,
    workspace: WorkspaceName,
    connection: ConnectionDefinition,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> ConnectionChange:
    """Create a connection, or change the one of that name until it is so; else change nothing.

    Secrets cannot be compared, as Atlas never shows them: a warning says so.

    Raises:
        ConfigInvalid: The definition is wrong; all faults are named. Nothing was sent.
        Conflict: It exists with another type or network, or a processor that runs uses it.

    Source: Admin API, `POST` and `PATCH …/streams/{tenantName}/connections`.
    """
    from asp_utils.admin.connections import checked, ensure_connection

    with project(ctx, atlas) as target:
        warnings = checked(target, connection, "$.connection") if check_definition else []
        return ensure_connection(target, workspace, connection, timeout_s, warnings=warnings)


def _update_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    where = (parameters["workspace"], "connections", parameters["name"])
    changes = parameters["changes"]
    sentence = would_send(parameters, "PATCH", *where, body=changes)
    return [f"{sentence}, with the fields that stay as they are"]


@operation(effect="write", preview=_update_preview)
def connection_update(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    changes: ConnectionFields,
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> ConnectionChange:
    """Change fields of a connection that no running processor uses; also to rotate its secrets.

    Raises:
        ConfigInvalid: The changed connection is wrong, or would lose a secret, which is named.
        Conflict: Its type or network would change, or a processor that runs uses it.
        NotFound: There is no such connection.

    Source: Admin API, `PATCH …/connections/{connectionName}`.
    """
    from asp_utils.admin.connections import update_connection

    with project(ctx, atlas) as target:
        return update_connection(
            target, workspace, name, changes, timeout_s, check=check_definition
        )


def _rename_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    workspace, name = parameters["workspace"], parameters["name"]
    body = {"name": parameters["new_name"], **parameters.get("secrets", {})}
    return [
        f"{would_send(parameters, 'POST', workspace, 'connections', body=body)}, with the fields "
        f"of {name!r}",
        f"would then modify each stream processor that names {name!r}",
        would_send(parameters, "DELETE", workspace, "connections", name),
    ]


@operation(effect="destroy", preview=_rename_preview)
def connection_rename(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    new_name: Annotated[str, Field(min_length=1, description="What it is to be called.")],
    secrets: Annotated[
        dict[str, Any] | None,
        Field(
            description="The fields that Atlas never shows, by reference: the new connection "
            "needs them.",
            examples=[{"authentication": {"password": "…"}}],
        ),
    ] = None,
    restart: Restart = False,
    resume_from_checkpoint: ResumeFromCheckpoint = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> Renaming:
    """Create a connection under a new name, rewire its processors to it, delete the old one.

    Atlas itself cannot rename. When a step fails, the error says what exists and what is rewired.

    Raises:
        ConfigInvalid: A secret is missing; all are named. Nothing was changed.
        Conflict: The new name is taken, or a processor runs and `restart` is not given.
        PipelineInvalid: Atlas does not let a processor keep its position with another source.

    Source: Admin API, connections and processors.
    """
    from asp_utils.admin.renaming import rename_connection

    with project(ctx, atlas) as target:
        return rename_connection(
            target,
            workspace,
            name,
            new_name,
            secrets or {},
            timeout_s,
            restart=restart,
            resume_from_checkpoint=resume_from_checkpoint,
        )


def _delete_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    where = (parameters["workspace"], "connections", parameters["name"])
    return [would_send(parameters, "DELETE", *where)]


@operation(effect="destroy", preview=_delete_preview)
def connection_delete(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    even_if_used: Annotated[
        bool, Field(description="Delete it although stream processors name it.")
    ] = False,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> ConnectionChange:
    """Delete a connection that no stream processor names, and wait until it is gone.

    Raises:
        NotFound: There is no such connection.
        Conflict: Stream processors name it; all are said, with the places in their pipelines.
        TimedOut: It was still there when the time was up.

    Source: Admin API, `DELETE …/connections/{connectionName}`.
    """
    from asp_utils.admin.connections import delete_connection

    with project(ctx, atlas) as target:
        return delete_connection(target, workspace, name, timeout_s, even_if_used=even_if_used)


@operation(effect="read")
def failover_connection_list(
    ctx: Context, workspace: WorkspaceName, name: ConnectionName, atlas: Atlas = None
) -> FailoverConnections:
    """List where a connection leads when its workspace has failed over to another region.

    Source: Admin API, `GET …/connections/{connectionName}/failoverConnections`.
    """
    from asp_utils.admin.failovers import list_failovers

    with project(ctx, atlas) as target:
        return {"failover_connections": list_failovers(target, workspace, name)}


def _failover_preview(method: str) -> Any:
    def preview(parameters: dict[str, Any]) -> list[str | Fault]:
        path = [parameters["workspace"], "connections", parameters["name"], "failoverConnections"]
        path += [parameters["failover_id"]] if "failover_id" in parameters else []
        body = parameters.get("failover", parameters.get("changes"))
        return [would_send(parameters, method, *path, body=body)]

    return preview


@operation(effect="write", preview=_failover_preview("POST"))
def failover_connection_create(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    failover: FailoverDefinition,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> FailoverChange:
    """Say where a Kafka or Cluster connection leads in another region; wait until it is ready.

    Raises:
        ConfigInvalid: The definition is wrong, or the connection's type has no failover.
        NotFound: There is no such connection.

    Source: Admin API, `POST …/connections/{connectionName}/failoverConnections`.
    """
    from asp_utils.admin.failovers import create_failover

    with project(ctx, atlas) as target:
        return create_failover(target, workspace, name, failover, timeout_s)


@operation(effect="write", preview=_failover_preview("PATCH"))
def failover_connection_update(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    failover_id: FailoverId,
    changes: ConnectionFields,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> FailoverChange:
    """Change fields of a failover connection; secrets must be given again.

    Raises:
        ConfigInvalid: The changed definition is wrong, or would lose a secret.
        NotFound: There is no such failover connection; the hint names those that there are.

    Source: Admin API, `PATCH …/failoverConnections/{failoverConnectionId}`.
    """
    from asp_utils.admin.failovers import update_failover

    with project(ctx, atlas) as target:
        return update_failover(target, workspace, name, failover_id, changes, timeout_s)


@operation(effect="destroy", preview=_failover_preview("DELETE"))
def failover_connection_delete(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    failover_id: FailoverId,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> FailoverChange:
    """Delete a failover connection, and wait until it is gone.

    Raises:
        NotFound: There is no such failover connection; the hint names those that there are.

    Source: Admin API, `DELETE …/failoverConnections/{failoverConnectionId}`.
    """
    from asp_utils.admin.failovers import delete_failover

    with project(ctx, atlas) as target:
        return delete_failover(target, workspace, name, failover_id, timeout_s)


def _refuse_faulty(definition: dict[str, Any], *, local: bool) -> None:
    from asp_utils.pipeline.connections import definition_faults

    faults = definition_faults(definition, "local" if local else "atlas")
    raise_faults(fault.below("$.connection") for fault in faults)
