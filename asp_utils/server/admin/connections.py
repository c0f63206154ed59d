"""Connections of a workspace over REST. Secrets go in, and never come back.

Source: asp-reference.md 4.5; peers.md 2.2 (recorded replies).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Conflict, NotFound
from asp_utils.pipeline.connections import definition_warnings, without_secrets
from asp_utils.server.admin.bodies import without_nothing
from asp_utils.server.admin.failures import ApiFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.server.admin.exchange import Call
    from asp_utils.server.workspaces import OpenWorkspace

_PUBLIC: Final = {"access": {"type": "PUBLIC"}}


async def list_connections(call: Call) -> list[dict[str, Any]]:
    """Every connection."""
    return await connection_documents(call.workspace)


async def get_connection(call: Call) -> dict[str, Any]:
    """One connection."""
    name = call.path["connectionName"]
    definition = await call.workspace.parts.connections.definition(name)
    if definition is None:
        raise connection_not_found(call)
    return connection_document(call.workspace, definition)


async def create_connection(call: Call) -> dict[str, Any]:
    """Add a connection; it is READY at once."""
    body = await call.body()
    try:
        created = await call.workspace.parts.connections.create(body)
    except Conflict as error:
        name = str(body["name"])
        raise ApiFailure(
            409,
            "STREAM_CONNECTION_NAME_ALREADY_EXISTS",
            f"A Stream connection with the name {name} already exists.",
            parameters=[name],
        ) from error
    return {**connection_document(call.workspace, created), **_warnings(created)}


async def update_connection(call: Call) -> dict[str, Any]:
    """Change fields of a connection that no running processor uses."""
    name, parts = call.path["connectionName"], call.workspace.parts
    body = await call.body()
    with refusals_named(call):
        updated = await parts.connections.update(name, body, parts.connection_users())
    return {**connection_document(call.workspace, updated), **_warnings(updated)}


async def delete_connection(call: Call) -> dict[str, Any]:
    """Forget a connection that no running processor uses."""
    name, parts = call.path["connectionName"], call.workspace.parts
    if await parts.connections.definition(name) is None:
        raise connection_not_found(call)
    with refusals_named(call):
        await parts.connections.drop([name], parts.connection_users())
    return {}


async def connection_documents(workspace: OpenWorkspace) -> list[dict[str, Any]]:
    """The replies that show every connection of a workspace."""
    found = await workspace.parts.connections.definitions()
    return [connection_document(workspace, each) for each in found]


def connection_document(workspace: OpenWorkspace, definition: Mapping[str, Any]) -> dict[str, Any]:
    """The reply that shows a connection: no secret, its region, and for Kafka its network."""
    shown = {"region": workspace.record.region, **without_secrets(definition)}
    if definition["type"] == "Kafka":
        shown.setdefault("networking", _PUBLIC)
    reply: dict[str, Any] = without_nothing(dict(sorted(shown.items())))
    return reply


def connection_not_found(call: Call) -> ApiFailure:
    """The refusal of a path whose name no connection has."""
    name, workspace = call.path["connectionName"], call.path["tenantName"]
    return ApiFailure(
        404,
        "STREAM_CONNECTION_NOT_FOUND_FOR_NAME",
        f"Stream connection with name {name} for project {call.group_id} and name {workspace} not "
        "found.",
        parameters=[name, call.group_id, workspace],
    )


@contextmanager
def refusals_named(call: Call) -> Iterator[None]:
    """Put the registry's refusals to change the connection of the path into Atlas' words."""
    name, workspace = call.path["connectionName"], call.path["tenantName"]
    try:
        yield
    except NotFound as error:
        raise connection_not_found(call) from error
    except Conflict as error:
        raise ApiFailure(
            403,
            "STREAM_CONNECTION_HAS_STREAM_PROCESSORS",
            f"Stream connection with name {name} in stream workspace {workspace} has active "
            f"processors, and cannot be changed: {error.message}.",
            parameters=[name, workspace],
        ) from error


def _warnings(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What works otherwise than on Atlas; Atlas has no such field."""
    found = [each.to_json() for each in definition_warnings(definition, "local")]
    return {"warnings": found} if found else {}
