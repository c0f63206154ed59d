"""The stream endpoint: a MongoDB wire protocol server on loopback and on a Unix socket.

It frames messages and carries replies; what a command means is up to the `Answer` it is given. On
the Unix socket the kernel says who calls: the instance's own user needs no password there. With
TLS the caller says by which host name it came.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from asp_utils.errors import AspError, UnexpectedReply
from asp_utils.server.framing import Framer, Request, encode_reply
from asp_utils.server.replies import CommandFailure, failure_of

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.server.scram import Conversation

LOOPBACK: Final = "127.0.0.1"
_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid."""
_READ_BYTES: Final = 256 * 1024
_HANDSHAKE_S: Final = 10.0
"""How long a client may take for its part of the TLS handshake."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Caller:
    """One connection of a client, and who it has proved to be."""

    connection_id: int
    address: str
    user: str | None = None
    """The authenticated user; None before authentication."""
    server_name: str | None = None
    """The host name that it asked for; None without TLS, or for a bare address."""
    conversation: Conversation | None = field(default=None, repr=False)
    """The SCRAM exchange under way."""


Answer = Callable[[Caller, Request], Awaitable[dict[str, Any]]]


class Endpoint:
    """Accepts connections and answers their commands, one at a time each.

    Args:
        answer: Gives the reply to a command.
        owner: The user that a caller on the Unix socket is, if the process runs as our user.
    """

    def __init__(self, answer: Answer, owner: str | None = None) -> None:
        self._answer = answer
        self._owner = owner
        self._connection_ids = itertools.count(1)
        self._reply_ids = itertools.count(1)
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._asked_names: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()

    async def open(self, port: int, socket_path: Path | None = None) -> None:
        """Listen on a port of 127.0.0.1 and, where given, on a Unix socket."""
        listen = asyncio.start_server(self._accept, LOOPBACK, port, backlog=1024)
        self._servers.append(await listen)
        if socket_path is not None:
            self._servers.append(await asyncio.start_unix_server(self._accept, socket_path))

    async def open_tls(self, port: int, context: ssl.SSLContext) -> None:
        """Listen with TLS on a port of 127.0.0.1.

        Args:
            port: A free one.
            context: For this endpoint alone.
        """

        def note(link: Any, name: str | None, _context: ssl.SSLContext) -> None:
            self._asked_names[link] = name

        context.sni_callback = note
        listen = asyncio.start_server(
            self._accept, LOOPBACK, port, ssl=context, ssl_handshake_timeout=_HANDSHAKE_S
        )
        self._servers.append(await listen)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        caller = Caller(next(self._connection_ids), ":".join(map(str, peer or ("local",))))
        if _runs_as_us(writer.get_extra_info("socket")):
            caller.user = self._owner
        tls = writer.get_extra_info("ssl_object")
        caller.server_name = self._asked_names.get(tls) if tls else None
        framer = Framer()
        try:
            while chunk := await reader.read(_READ_BYTES):
                for request in framer.feed(chunk):
                    reply = await self._reply(caller, request)
                    if request.wants_reply:
                        writer.write(encode_reply(request, reply, next(self._reply_ids)))
                        await writer.drain()
        except UnexpectedReply as error:
            _log.warning("connection %d closed: %s", caller.connection_id, error)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass  # the client went away; nobody is left to tell
        finally:
            writer.close()

    async def _reply(self, caller: Caller, request: Request) -> dict[str, Any]:
        """The reply to one command; a fault of ours is logged and answered as InternalError."""
        answering = asyncio.ensure_future(self._answer(caller, request))
        try:
            await asyncio.wait({answering})
        finally:
            answering.cancel()
        error = answering.exception()
        if error is None:
            return answering.result()
        if not isinstance(error, AspError):
            _log.error("command %s failed", request.name, exc_info=error)
            error = CommandFailure("InternalError", f"{request.name}: {error!r}")
        return failure_of(error).reply()


def _runs_as_us(link: socket.socket) -> bool:
    """Whether the other end of a Unix socket is a process of our own user."""
    if link.family != socket.AF_UNIX:
        return False
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user_id, _ = _CREDENTIALS.unpack(credentials)
    return bool(user_id == os.getuid())
