"""Every command of a workspace's stream endpoint, and the way to its handler.

Source: asp-reference.md 1.3.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError
from asp_utils.server.arguments import ARRAY, BOOL, read_arguments
from asp_utils.server.audit import CHANGING, Deed
from asp_utils.server.changes import CHANGING_COMMANDS
from asp_utils.server.queries import QUERY_COMMANDS
from asp_utils.server.replies import CommandFailure, failure_of, with_warnings
from asp_utils.server.sampling import SAMPLING_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.server.framing import Request
    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.wire import Caller


_log = logging.getLogger(__name__)


async def answer_command(
    workspace: LocalWorkspace, caller: Caller, request: Request
) -> dict[str, Any]:
    """The reply to a command of an authenticated caller.

    Raises:
        CommandFailure: CommandNotFound, Unauthorized on another database, or its own refusal.
    """
    handler = COMMANDS.get(request.name)
    if handler is None:
        raise CommandFailure("CommandNotFound", f"no such command: '{request.name}'")
    if request.command.get("$db") != "admin":
        raise CommandFailure(
            "Unauthorized", f"{request.name} may only be run against the admin database."
        )
    with _audited(workspace, caller, request):
        return {**await handler(workspace, caller, request.command), "ok": 1.0}


@contextmanager
def _audited(workspace: LocalWorkspace, caller: Caller, request: Request) -> Iterator[None]:
    """Note a command that changes something in the audit log, one that was refused too."""
    if request.name not in CHANGING:
        yield
        return
    error = "InternalError"
    try:
        yield
        error = ""
    except AspError as refusal:
        error = failure_of(refusal).name
        raise
    finally:
        try:
            workspace.audit.note(_deed(caller, request, error))
        except OSError:
            _log.exception("the audit log of %s cannot be written", workspace.record.name)


def _deed(caller: Caller, request: Request, error: str) -> Deed:
    value = next(iter(request.command.values()))
    name = value if isinstance(value, str) else ""
    return Deed(
        operation=request.name,
        activity=CHANGING[request.name],
        user=caller.user or "",
        address=caller.address,
        resource=name,
        processor=name if request.name.endswith("StreamProcessor") else "",
        error=error,
    )


async def _upsert_connections(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Add or replace connections; the local instance's own, as Atlas has its Admin API for it."""
    name, definitions = next(iter(command.items()))
    read_arguments(command, {})
    warnings = await workspace.connections.upsert(
        ARRAY.take(name, definitions), workspace.connection_users()
    )
    return with_warnings({}, warnings)


async def _drop_connections(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Remove connections by name; the local instance's own, as the one above."""
    name, names = next(iter(command.items()))
    read_arguments(command, {})
    await workspace.connections.drop(ARRAY.take(name, names), workspace.connection_users())
    return {}


async def _configure_engine(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Change a setting of the engine; the local instance's own."""
    given = read_arguments(command, {"exactlyOnce": BOOL}, required=("exactlyOnce",))
    await workspace.engine.set_exactly_once(wanted=given["exactlyOnce"])
    return {}


async def _configure_admin_api(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Say whether the instance's Admin API answers callers without credentials."""
    given = read_arguments(command, {"allowAnonymous": BOOL}, required=("allowAnonymous",))
    workspace.settings.change(allow_anonymous=given["allowAnonymous"])
    return {}


COMMANDS: Final[dict[str, Handler]] = {
    **CHANGING_COMMANDS,
    **SAMPLING_COMMANDS,
    **QUERY_COMMANDS,
    "localUpsertConnections": _upsert_connections,
    "localDropConnections": _drop_connections,
    "localConfigureEngine": _configure_engine,
    "localConfigureAdminApi": _configure_admin_api,
}
"""Command name to handler."""
