"""A stand-in for the AWS Lambda service: HTTP on loopback, functions are Python functions.

It answers as the Lambda API reference says: `POST /2015-03-31/functions/{name}/invocations`, 200
with what the function returned (and `X-Amz-Function-Error` when it raised), 202 for an `Event`,
404 for a function that is not there; `GET /2015-03-31/functions/{name}/configuration`.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Invocation:
    """One call as it came."""

    function: str
    kind: str
    event: Any
    region: str
    """From the signature, as AWS reads it."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class LambdaService:
    """Functions by name, and every call that was made."""

    functions: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """A function gives its value, `bytes` for a raw payload; what it raises is a function error."""
    refusals: list[tuple[int, str]] = field(default_factory=list)
    """Statuses and error types for the next calls, before any function is asked."""
    calls: list[Invocation] = field(default_factory=list)
    timeout_s: int = 3
    offers_configuration: bool = True
    url: str = ""

    def invoke(self, call: Invocation) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one call."""
        self.calls.append(call)
        if self.refusals:
            status, kind = self.refusals.pop(0)
            return refusal(status, kind)
        function = self.functions.get(call.function)
        if function is None:
            return refusal(404, "ResourceNotFoundException")
        if call.kind == "Event":
            return 202, {}, b""
        try:
            value = function(call.event)
        except ValueError as error:
            raised = {"errorMessage": str(error), "errorType": "ValueError", "stackTrace": []}
            return 200, {"X-Amz-Function-Error": "Unhandled"}, json.dumps(raised).encode()
        return 200, {}, value if isinstance(value, bytes) else json.dumps(value).encode()


def refusal(status: int, kind: str) -> tuple[int, dict[str, str], bytes]:
    """An answer that is an error of the service."""
    body = json.dumps({"Message": f"{kind} happened", "Type": "User"}).encode()
    return status, {"X-Amzn-ErrorType": kind}, body


def serve(service: LambdaService) -> Iterator[LambdaService]:
    """Run the service on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name = self.path_name()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
            region = self.headers["Authorization"].split("/")[2]
            event = json.loads(body)
            call = Invocation(name, kind, event, region, dict(self.headers))
            self.answer(*service.invoke(call))

        def do_GET(self) -> None:
            name = self.path_name()
            if not service.offers_configuration or name not in service.functions:
                self.answer(*refusal(404, "ResourceNotFoundException"))
                return
            found = {"FunctionName": name, "Timeout": service.timeout_s}
            self.answer(200, {}, json.dumps(found).encode())

        def path_name(self) -> str:
            return unquote(self.path.split("/")[3])

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield service
    server.shutdown()
    server.server_close()
    thread.join()
