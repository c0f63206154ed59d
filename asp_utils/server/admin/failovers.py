"""Failover connections: what a connection is in another region. Kept, as nothing fails over here.

Source: asp-reference.md 4.2 and 4.5.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asp_utils.errors import Conflict, NotFound
from asp_utils.server.admin.connections import connection_document, connection_not_found
from asp_utils.server.admin.failures import ApiFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.server.admin.exchange import Call
    from asp_utils.server.connections import ConnectionRegistry

_TAKEN = "STREAM_FAILOVER_CONNECTION_ALREADY_EXISTS"


async def list_failovers(call: Call) -> list[dict[str, Any]]:
    """Every failover connection of a connection."""
    return [connection_document(call.workspace, each) for each in await _failovers(call)]


async def get_failover(call: Call) -> dict[str, Any]:
    """One failover connection."""
    wanted = call.path["failoverId"]
    for each in await _failovers(call):
        if each["id"] == wanted:
            return connection_document(call.workspace, each)
    raise _not_found(wanted)


async def create_failover(call: Call) -> dict[str, Any]:
    """Add a failover connection for one region."""
    name = call.path["connectionName"]
    body = await call.body()
    with _refusals_named(call):
        added = await _registry(call).add_failover(name, body)
    return connection_document(call.workspace, added)


async def update_failover(call: Call) -> dict[str, Any]:
    """Change fields of a failover connection."""
    await get_failover(call)
    name, failover_id = call.path["connectionName"], call.path["failoverId"]
    body = await call.body()
    with _refusals_named(call):
        updated = await _registry(call).update_failover(name, failover_id, body)
    return connection_document(call.workspace, updated)


async def delete_failover(call: Call) -> None:
    """Forget a failover connection."""
    await get_failover(call)
    name, failover_id = call.path["connectionName"], call.path["failoverId"]
    await _registry(call).drop_failover(name, failover_id)


def _registry(call: Call) -> ConnectionRegistry:
    return call.workspace.parts.connections


async def _failovers(call: Call) -> list[dict[str, Any]]:
    name = call.path["connectionName"]
    try:
        return await _registry(call).failovers(name)
    except NotFound as error:
        raise connection_not_found(call) from error


@contextmanager
def _refusals_named(call: Call) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise connection_not_found(call) from error
    except Conflict as error:
        parameters = [call.path["connectionName"]]
        raise ApiFailure(409, _TAKEN, error.message, parameters=parameters) from error


def _not_found(failover_id: str) -> ApiFailure:
    return ApiFailure(
        404,
        "STREAM_FAILOVER_CONNECTION_NOT_FOUND",
        f"No failover connection with ID {failover_id} exists.",
        parameters=[failover_id],
    )
