"""Other sides of connections on loopback, and the operation that tries them out."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.context import Context
from asp_utils.errors import AspError
from asp_utils.operations.connection_help import connection_test
from tests.aws.conftest import kinesis as kinesis
from tests.aws.conftest import moto_url as moto_url
from tests.aws.conftest import s3 as s3
from tests.enrich.conftest import endpoint as endpoint
from tests.mongodb.conftest import guarded as guarded
from tests.mongodb.conftest import silent as silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.mongodb.conftest import Relay

    Try = Callable[..., dict[str, Any]]

SECRET = "s3cret-of-a-connection"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """The surroundings of a call."""
    return Context(root=tmp_path)


@pytest.fixture
def attempt(ctx: Context) -> Try:
    """Tries a connection out: the result, or the error object with `exit`; checks by name."""

    def run(connection: dict[str, Any], **more: Any) -> dict[str, Any]:
        try:
            found: dict[str, Any] = {**connection_test(ctx, connection, **more), "exit": 0}
        except AspError as error:
            shown = error.to_json()
            found = {**shown["details"], **shown, "exit": int(error.exit_code)}
        assert SECRET not in json.dumps(found)
        found["steps"] = {check["name"]: check["ok"] for check in found.get("checks", ())}
        return found

    return run


@pytest.fixture
def closed_port() -> int:
    """A port at which nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def relay_to_nowhere(silent: Relay) -> str:
    """The address of a server that takes connections and says nothing."""
    return f"127.0.0.1:{silent.port}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate hangs up."""


@pytest.fixture(scope="session")
def tls_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web server with a certificate that nobody knows."""
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = _Quiet(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()
