"""One workspace of the local instance that answers: its parts, its endpoint, its workers."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from asp_utils.clients.mongod import free_port
from asp_utils.server.commands import answer_command
from asp_utils.server.handshake import Doorkeeper
from asp_utils.server.wire import LOOPBACK, Endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.server.framing import Request
    from asp_utils.server.instance_folder import WorkspaceAddress
    from asp_utils.server.local_workspace import LocalWorkspace
    from asp_utils.server.scram import Authenticator
    from asp_utils.server.wire import Caller
    from asp_utils.server.workspace_record import WorkspaceRecord


class OpenWorkspace:
    """A workspace that answers.

    Args:
        parts: What its commands work with.
        authenticator: Knows the user.
        tls_port: The instance's TLS port.
    """

    def __init__(self, parts: LocalWorkspace, authenticator: Authenticator, tls_port: int) -> None:
        self.parts = parts
        """What its commands work with; another object after an update."""
        self.port = 0
        """Its port on 127.0.0.1, without TLS."""
        self._tls_port = tls_port
        self.answer = Doorkeeper(authenticator, self._answer_command, ObjectId()).answer
        """Answers a command, on whichever port it came."""
        self._endpoint = Endpoint(self.answer, owner=authenticator.user)

    @property
    def record(self) -> WorkspaceRecord:
        """What it is."""
        return self.parts.record

    @property
    def hostnames(self) -> list[str]:
        """`127.0.0.1:PORT`, and the name of Atlas's form with the TLS port."""
        return [f"{LOOPBACK}:{self.port}", f"{self.record.host}:{self._tls_port}"]

    @property
    def address(self) -> WorkspaceAddress:
        """Where it answers."""
        plain, tls = self.hostnames
        return {
            "name": self.record.name,
            "id": self.record.id,
            "stream_processor_url": f"mongodb://{plain}/?authSource=admin",
            "tls_host": tls,
        }

    async def open(self, preferred_port: int | None, socket_path: Path | None) -> None:
        """Start what was meant to run, then answer."""
        await self.parts.supervisor.resume_all()
        self.port = free_port(preferred_port)
        await self._endpoint.open(self.port, socket_path)

    async def close(self) -> None:
        """Stop answering; end every worker after a last checkpoint."""
        await self._endpoint.close()
        await asyncio.gather(self.parts.supervisor.suspend_all(), self.parts.temporaries.drop_all())

    async def end(self, socket_path: Path | None, log_folder: Path) -> None:
        """Stop answering, end every worker at once and forget every processor."""
        await self._endpoint.close()
        await self.parts.temporaries.drop_all()
        processors = await self.parts.supervisor.all()
        await asyncio.gather(*(self.parts.supervisor.drop(each) for each in processors))
        if socket_path is not None:
            socket_path.unlink(missing_ok=True)
        shutil.rmtree(log_folder, ignore_errors=True)

    async def _answer_command(self, caller: Caller, request: Request) -> dict[str, Any]:
        return await answer_command(self.parts, caller, request)
