"""An Atlas on loopback that says what a test wrote down, and keeps what it was asked.

Answers come in order, one for each request of the Admin API; tokens are handed out without one.

Example:
    with ScriptedAtlas(json_answer({"name": "ws"})) as atlas:
        ...  # ask atlas.url
    assert atlas.requests[-1].path == "/api/atlas/v2/groups"
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping
    from typing import Self

CLIENT_ID = "mdb_sa_id_0123456789abcdef01234567"
CLIENT_SECRET = "mdb_sa_sk_never-shown"
TOKEN_PATHS = ("/api/oauth/token", "/api/private/unauth/account/device/token")
_STATE = "application/vnd.atlas.2023-02-01+json;charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """One reply, or what comes in its place."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """What Content-Length says, where that is a lie."""
    silent: bool = False
    """Nothing comes, and the connection stays open."""
    dropped: bool = False
    """Nothing comes, and the connection is closed."""


@dataclass(frozen=True)
class Recorded:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode()))


def json_answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """A reply with JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": _STATE, **named})


def failure(
    status: int, code: str, detail: str = "no", fields: Mapping[str, str] | None = None, **more: str
) -> Answer:
    """A refusal in Atlas's own form."""
    body: dict[str, Any] = {
        "detail": detail,
        "error": status,
        "errorCode": code,
        "parameters": [],
        "reason": HTTPStatus(status).phrase,
    }
    if fields:
        listed = [{"field": name, "description": said} for name, said in fields.items()]
        body["badRequestDetail"] = {"fields": listed}
    return json_answer(body, status, **more)


def page(
    items: Iterable[Mapping[str, Any]], total: int | None = None, *, more: bool = False
) -> Answer:
    """A page of a list."""
    links = [{"href": "https://x/?pageNum=1", "rel": "self"}]
    if more:
        links.append({"href": "https://x/?pageNum=2", "rel": "next"})
    body: dict[str, Any] = {"links": links, "results": list(items)}
    return json_answer(body if total is None else {**body, "totalCount": total})


def html(status: int, title: str = "Bad gateway") -> Answer:
    """What a proxy says."""
    body = f"<html><head><title>{title}</title></head><body>nginx</body></html>"
    return Answer(status, body.encode(), {"Content-Type": "text/html"})


def gzip_answer(content: bytes, cut: int | None = None) -> Answer:
    """A file; `cut` bytes of it, if given, as if that were all."""
    body = gzip.compress(content)[:cut]
    return Answer(200, body, {"Content-Type": "application/vnd.atlas.2023-02-01+gzip"})


class ScriptedAtlas:
    """The server; a context manager.

    Args:
        answers: What it says, in order; one more request is answered 599.
        tls: A certificate for 127.0.0.1; None for plain HTTP.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.token_answers: list[Answer] = []
        """What token endpoints say before they hand out tokens."""
        self.token_life_s = 3600
        self.requests: list[Recorded] = []
        """What the Admin API was asked."""
        self.token_requests: list[Recorded] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def says(self, *answers: Answer) -> None:
        """Say these next."""
        self.answers.extend(answers)

    @property
    def account(self) -> dict[str, str]:
        """The `atlas` parameter of its service account."""
        return {
            "url": self.url,
            "project_id": "32b6e34b3d91647abb20e7b8",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }

    def answer(self, request: Recorded) -> Answer:
        """What comes for a request."""
        with self._lock:
            if request.path in TOKEN_PATHS:
                self.token_requests.append(request)
                return self.token_answers.pop(0) if self.token_answers else self._token(request)
            self.requests.append(request)
            return self.answers.pop(0) if self.answers else Answer(599)

    def hang(self) -> None:
        """Wait until the test is over."""
        self._over.wait()

    def _token(self, request: Recorded) -> Answer:
        number = len(self.token_requests)
        granted: dict[str, Any] = {
            "access_token": f"token-{number}",
            "expires_in": self.token_life_s,
            "token_type": "Bearer",
        }
        if request.form.get("grant_type") == "refresh_token":
            granted["refresh_token"] = f"refresh-{number}"
        elif request.headers.get("authorization") != basic(CLIENT_ID, CLIENT_SECRET):
            said = {"error": "invalid_client", "error_description": "no such service account"}
            return json_answer(said, 401)
        return json_answer(granted)


def basic(user: str, password: str) -> str:
    """The header of basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


def _handler(atlas: ScriptedAtlas) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            body = self.rfile.read(length)
            self._send(atlas.answer(Recorded(self.command, parts.path, query, headers, body)))

        def _send(self, answer: Answer) -> None:
            if answer.silent or answer.dropped:
                self.close_connection = True
                if answer.silent:
                    atlas.hang()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            if answer.status != 204:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            if length != len(answer.body):
                self.close_connection = True

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing: a test's output is its own."""

    return Handler
