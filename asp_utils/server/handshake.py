"""The commands by which a driver or a shell gets to know a server and proves who it is.

Source: https://github.com/mongodb/specifications (mongodb-handshake, auth, load-balancers)
"""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.op_msg import MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES, OP_QUERY
from asp_utils.server.replies import CommandFailure
from asp_utils.server.scram import MECHANISM

if TYPE_CHECKING:
    from bson import ObjectId

    from asp_utils.server.framing import Request
    from asp_utils.server.scram import Authenticator
    from asp_utils.server.wire import Answer, Caller

_WIRE_VERSION: Final = 21
"""The wire protocol of MongoDB 7.0, which every driver of today speaks."""
_SERVER_VERSION: Final = (7, 0, 0, 0)
_SESSION_MINUTES: Final = 30
_AUTHENTICATION_DATABASE: Final = "admin"
_HELLO: Final = frozenset({"hello", "isMaster", "ismaster"})


@dataclass(frozen=True)
class Doorkeeper:
    """Answers the handshake itself and lets an authenticated caller through to `inner`."""

    authenticator: Authenticator
    inner: Answer
    service_id: ObjectId

    async def answer(self, caller: Caller, request: Request) -> dict[str, Any]:
        """The reply to any command; everything but the handshake needs authentication.

        Raises:
            CommandFailure: Unauthorized before authentication, or the command's own refusal.
        """
        name = request.name
        if request.op_code == OP_QUERY and name not in _HELLO:
            raise CommandFailure(
                "UnsupportedOpQueryCommand",
                f"Unsupported OP_QUERY command: {name}. The client driver may require an upgrade.",
            )
        if name in _OPEN:
            return await _OPEN[name](self, caller, request.command)
        if caller.user is None:
            raise CommandFailure("Unauthorized", f"Command {name} requires authentication")
        if name in _CLOSED:
            return await _CLOSED[name](self, caller, request.command)
        return await self.inner(caller, request)


_Handler = Callable[[Doorkeeper, "Caller", dict[str, Any]], Awaitable[dict[str, Any]]]


async def _hello(door: Doorkeeper, caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """Describe a standalone server; topologyVersion is left out, so that drivers poll."""
    writable = "isWritablePrimary" if "hello" in command else "ismaster"
    reply: dict[str, Any] = {
        writable: True,
        "helloOk": True,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000,
        "localTime": datetime.now(UTC),
        "logicalSessionTimeoutMinutes": _SESSION_MINUTES,
        "connectionId": caller.connection_id,
        "minWireVersion": 0,
        "maxWireVersion": _WIRE_VERSION,
        "readOnly": False,
        "ok": 1.0,
    }
    if command.get("loadBalanced"):
        reply["serviceId"] = door.service_id
    if "saslSupportedMechs" in command:
        reply["saslSupportedMechs"] = [MECHANISM]
    speculative = command.get("speculativeAuthenticate")
    if isinstance(speculative, dict):
        reply |= await _speculate(door, caller, speculative)
    return reply


async def _speculate(
    door: Doorkeeper, caller: Caller, command: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The first SCRAM exchange inside hello; a fault leaves it out and the driver starts anew."""
    start = {"$db": command.get("db"), **command}
    try:
        return {"speculativeAuthenticate": await _sasl_start(door, caller, start)}
    except CommandFailure:
        return {}


async def _sasl_start(door: Doorkeeper, caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    caller.conversation = None
    if command.get("mechanism") != MECHANISM:
        raise CommandFailure(
            "MechanismUnavailable",
            f"Received authentication for mechanism {command.get('mechanism')!r}; "
            f"only {MECHANISM} is enabled",
        )
    if command.get("$db") != _AUTHENTICATION_DATABASE:
        raise CommandFailure("AuthenticationFailed", "Authentication failed.")
    options = command.get("options")
    skip = isinstance(options, dict) and bool(options.get("skipEmptyExchange"))
    conversation = door.authenticator.start(command.get("payload"), skip_empty_exchange=skip)
    caller.conversation = conversation
    return conversation.reply


async def _sasl_continue(
    door: Doorkeeper, caller: Caller, command: dict[str, Any]
) -> dict[str, Any]:
    conversation, caller.conversation = caller.conversation, None
    if conversation is None:
        raise CommandFailure("ProtocolError", "No SASL session state found")
    conversation.advance(command.get("conversationId"), command.get("payload"))
    if conversation.done:
        caller.user = door.authenticator.user
    else:
        caller.conversation = conversation
    return conversation.reply


async def _logout(_door: Doorkeeper, caller: Caller, _command: dict[str, Any]) -> dict[str, Any]:
    caller.user = None
    return {"ok": 1.0}


async def _connection_status(
    _door: Doorkeeper, caller: Caller, command: dict[str, Any]
) -> dict[str, Any]:
    users = [{"user": caller.user, "db": _AUTHENTICATION_DATABASE}] if caller.user else []
    roles = [{"role": "atlasAdmin", "db": "admin"}] if caller.user else []
    info: dict[str, Any] = {"authenticatedUsers": users, "authenticatedUserRoles": roles}
    if command.get("showPrivileges"):
        info["authenticatedUserPrivileges"] = []
    return {"authInfo": info, "ok": 1.0}


async def _build_info(
    _door: Doorkeeper, _caller: Caller, _command: dict[str, Any]
) -> dict[str, Any]:
    return {
        "version": ".".join(map(str, _SERVER_VERSION[:3])),
        "versionArray": list(_SERVER_VERSION),
        "gitVersion": "asp-toolkit",
        "modules": [],
        "bits": 64,
        "debug": False,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "ok": 1.0,
    }


async def _whatsmyuri(
    _door: Doorkeeper, caller: Caller, _command: dict[str, Any]
) -> dict[str, Any]:
    return {"you": caller.address, "ok": 1.0}


async def _acknowledge(
    _door: Doorkeeper, _caller: Caller, _command: dict[str, Any]
) -> dict[str, Any]:
    return {"ok": 1.0}


async def _get_parameter(
    _door: Doorkeeper, _caller: Caller, command: dict[str, Any]
) -> dict[str, Any]:
    """The one parameter that shells ask for."""
    if command["getParameter"] == "*" or "featureCompatibilityVersion" in command:
        major, minor, *_ = _SERVER_VERSION
        return {"featureCompatibilityVersion": {"version": f"{major}.{minor}"}, "ok": 1.0}
    raise CommandFailure("InvalidOptions", "no option found to get")


async def _get_log(_door: Doorkeeper, _caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """No lines: the instance's log is a file, and shells ask for start-up warnings only."""
    if command["getLog"] == "*":
        return {"names": ["global", "startupWarnings"], "ok": 1.0}
    return {"totalLinesWritten": 0, "log": [], "ok": 1.0}


async def _host_info(
    _door: Doorkeeper, _caller: Caller, _command: dict[str, Any]
) -> dict[str, Any]:
    system = {
        "currentTime": datetime.now(UTC),
        "hostname": platform.node(),
        "cpuAddrSize": 64,
        "numCores": os.cpu_count() or 1,
        "cpuArch": platform.machine(),
    }
    operating_system = {"type": platform.system(), "version": platform.release()}
    return {"system": system, "os": operating_system, "extra": {}, "ok": 1.0}


_OPEN: Final[dict[str, _Handler]] = {
    **dict.fromkeys(_HELLO, _hello),
    "ping": _acknowledge,
    "buildInfo": _build_info,
    "buildinfo": _build_info,
    "connectionStatus": _connection_status,
    "endSessions": _acknowledge,
    "logout": _logout,
    "saslContinue": _sasl_continue,
    "saslStart": _sasl_start,
    "whatsmyuri": _whatsmyuri,
}
"""Commands that are answered before authentication, as mongod does."""

_CLOSED: Final[dict[str, _Handler]] = {
    "getLog": _get_log,
    "getParameter": _get_parameter,
    "hostInfo": _host_info,
    "killSessions": _acknowledge,
    "refreshSessions": _acknowledge,
}
