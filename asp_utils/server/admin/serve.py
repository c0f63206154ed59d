"""The Admin API's two servers, http and https, inside the daemon's event loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from asp_utils.server.admin.access import Access
from asp_utils.server.admin.exchange import Services
from asp_utils.server.admin.rate import RateLimiter
from asp_utils.server.admin.resource import Gate
from asp_utils.server.admin.routes import build_app
from asp_utils.server.wire import LOOPBACK

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from starlette.applications import Starlette

    from asp_utils.server.certificates import Certificates
    from asp_utils.server.instance_folder import KeptSettings
    from asp_utils.server.workspaces import Workspaces

_KEEP_ALIVE_S: Final = 30
_SHUTDOWN_S: Final = 5
"""How long requests under way may take when the instance stops."""


@asynccontextmanager
async def serve_admin(
    workspaces: Workspaces,
    settings: KeptSettings,
    certificates: Certificates,
    *,
    http_port: int,
    https_port: int,
    requests_per_minute: int,
) -> AsyncIterator[dict[str, int]]:
    """Answer on both ports of 127.0.0.1 for as long as the context is open; gives the ports.

    Args:
        workspaces: What callers see and change.
        settings: Credentials, and whether anonymous callers are let in: `settings.current`.
        certificates: `certificates.context()` is the TLS context, kept up to date.
        http_port: The wished port; another one where that is taken.
        https_port: The same, with TLS.
        requests_per_minute: How much one caller may ask.
    """
    services = Services(workspaces, settings, workspaces.store, workspaces.place)
    access = Access(lambda: settings.current)
    app = build_app(Gate(access, RateLimiter(requests_per_minute), services), access)
    servers = [_Server(app, http_port, None), _Server(app, https_port, certificates.context())]
    tasks = [asyncio.get_running_loop().create_task(server.run_here()) for server in servers]
    try:
        for server, task in zip(servers, tasks, strict=True):
            await server.wait_started(task)
        plain, tls = (server.port for server in servers)
        yield {"admin_api": plain, "admin_api_https": tls}
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """A server on a port of loopback that leaves signals and logging to the daemon.

    Args:
        app: What answers.
        port: The wished one.
        tls: Without, it speaks plain http.
    """

    def __init__(self, app: Starlette, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                # A caller could name any address in X-Forwarded-For.
                proxy_headers=False,
                server_header=False,
                backlog=1024,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_SHUTDOWN_S,
                ssl_context_factory=(lambda _config, _default: tls) if tls else None,
            )
        )
        # Bound now, so that nobody else can take it before it is listened on. With the protocol
        # named, asyncio turns Nagle's algorithm off: else a reply, whose head and body are written
        # apart, waits 40 ms for the client's delayed acknowledgement.
        self._listener = socket.socket(proto=socket.IPPROTO_TCP)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((LOOPBACK, port))
        except OSError:
            self._listener.bind((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._up = asyncio.Event()

    async def run_here(self) -> None:
        """Serve until `should_exit` is set."""
        with self._listener:
            await self.serve([self._listener])

    async def wait_started(self, task: asyncio.Task[None]) -> None:
        """Wait until it answers; raise what kept it from that."""
        up = asyncio.get_running_loop().create_task(self._up.wait())
        await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if task.done():
            task.result()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it answers."""
        await super().startup(sockets)
        self._up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: they are the daemon's."""
        yield
