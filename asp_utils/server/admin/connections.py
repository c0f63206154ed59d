"""Connections of a workspace over REST. Secrets go in, and never come back.

Source: asp-reference.md 4.5; peers.md 2.2 (recorded replies).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Conflict, NotFound
from asp_utils.pipeline.connections import definition_warnings, without_secrets
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
        raise connection_not_found(name)
    return connection_document(call.workspace, definition)


async def create_connection(call: Call) -> dict[str, Any]:
    """Add a connection; it is READY at once."""
    body = await call.body()
    name = str(body.get("name"))
    with conflicts_named(name, "STREAM_CONNECTION_NAME_ALREADY_EXISTS"):
        created = await call.workspace.parts.connections.create(body)
    return {**connection_document(call.workspace, created), **_warnings(created)}


async def update_connection(call: Call) -> dict[str, Any]:
    """Change fields of a connection that no running processor uses."""
    name, parts = call.path["connectionName"], call.workspace.parts
    body = await call.body()
    with conflicts_named(name):
        updated = await parts.connections.update(name, body, parts.connection_users())
    return {**connection_document(call.workspace, updated), **_warnings(updated)}


async def delete_connection(call: Call) -> dict[str, Any]:
    """Forget a connection that no running processor uses."""
    name, parts = call.path["connectionName"], call.workspace.parts
    if await parts.connections.definition(name) is None:
        raise connection_not_found(name)
    with conflicts_named(name):
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
    return {key: shown[key] for key in sorted(shown) if shown[key] is not None}


def connection_not_found(name: str) -> ApiFailure:
    """The refusal of a name that no connection has."""
    return ApiFailure(
        404,
        "STREAM_CONNECTION_NOT_FOUND_FOR_NAME",
        f"No stream connection with name {name} exists in the workspace.",
        parameters=[name],
    )


@contextmanager
def conflicts_named(name: str, conflict: str = "STREAM_CONNECTION_IN_USE") -> Iterator[None]:
    """Put the registry's refusals into the Admin API's words.

    Args:
        name: The connection.
        conflict: The `errorCode` of a conflict.
    """
    try:
        yield
    except NotFound as error:
        raise connection_not_found(name) from error
    except Conflict as error:
        detail = f"{error.message} ({error.hint})" if error.hint else error.message
        raise ApiFailure(409, conflict, detail, parameters=[name]) from error


def _warnings(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What works otherwise than on Atlas; Atlas has no such field."""
    found = [each.to_json() for each in definition_warnings(definition, "local")]
    return {"warnings": found} if found else {}
