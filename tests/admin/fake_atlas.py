"""An Atlas that keeps state and can be told to fail: the Admin API's paths on loopback.

It answers as the recorded replies of asp-reference.md 4 do: 202 `{}` to deletes, empty bodies to
starts and stops, states that take a few looks to come about, secrets that never come back.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "5f1b2c3d4e5f60718293a4b5"
CLIENT_ID = "mdb_sa_id_0123456789abcdef01234567"
CLIENT_SECRET = "mdb_sa_sk_of_the_tests"
_SECRETS = ("password", "clientSecret", "sslKey", "sslKeyPassword")
_STREAMS = f"/api/atlas/v2/groups/{PROJECT}/streams"


_ROUTES = (
    (r"/?|:withSampleConnections", "workspaces"),
    (r"/privateLinkConnections", "links"),
    (r"/privateLinkConnections/[^/]+", "link"),
    (r"/vpcPeeringConnections", "peerings"),
    (r"/vpcPeeringConnections/[^/]+", "peering"),
    (r"/activeVpcPeeringConnections", "active"),
    (r"/accountDetails", "account"),
    (r"/[^/]+/auditLogs|/[^/]+:downloadOperationalLogs", "log"),
    (r"/[^/]+", "workspace"),
    (r"/[^/]+/connections", "connections"),
    (r"/[^/]+/connections/[^/]+", "connection"),
    (r"/[^/]+/connections/[^/]+/failoverConnections", "failovers"),
    (r"/[^/]+/connections/[^/]+/failoverConnections/[^/]+", "failover"),
    (r"/[^/]+/processors?", "processors"),
    (r"/[^/]+/processor/[^/:]+:[a-zA-Z]+", "verb"),
    (r"/[^/]+/processor/[^/]+", "processor"),
)
"""Paths below `/streams`, and what they are about."""


def _route(path: str) -> str:
    return next((name for pattern, name in _ROUTES if re.fullmatch(pattern, path)), "nothing")


@dataclass
class Reply:
    """What the server answers."""

    status: int
    body: Any = None
    raw: bytes | None = None
    media: str = "json"
    headers: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    """How many bytes the server promises and does not send."""
    dropped: bool = False
    """The connection is closed, and nothing is sent."""


def problem(status: int, code: str, detail: str) -> Reply:
    """A refusal as Atlas writes it."""
    return Reply(
        status,
        {"error": status, "errorCode": code, "detail": detail, "reason": "R", "parameters": []},
    )


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    """Below `/streams`, unquoted."""
    query: dict[str, str]
    body: Any
    accept: str


@dataclass
class Resource:
    """A thing with a state that changes as it is looked at."""

    shown: dict[str, Any]
    ahead: list[str] = field(default_factory=list)
    """States to come, one a look; GONE takes the thing away."""

    def look(self) -> dict[str, Any]:
        """The thing as it is shown now."""
        if self.ahead:
            self.shown["state"] = self.ahead.pop(0)
        return self.shown


class FakeAtlas:
    """The state of one project, and what was asked of it."""

    def __init__(self) -> None:
        self.workspaces: dict[str, dict[str, Any]] = {}
        self.connections: dict[str, dict[str, Resource]] = {}
        self.processors: dict[str, dict[str, Resource]] = {}
        self.failovers: dict[str, Resource] = {}
        self.links: dict[str, Resource] = {}
        self.peerings: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.refusals: list[tuple[str, str, Reply]] = []
        self.script: dict[str, list[str]] = {}
        """By `start`, `stop`, `connection`, `link`: the states to come, in place of the usual."""
        self.secrets: dict[str, Any] = {}
        self.log = b""
        self.page = 2
        self.lock = threading.Lock()
        self._count = 0

    def refuse(self, method: str, path: str, reply: Reply) -> None:
        """Answer the next such request (path: a pattern below /streams) otherwise."""
        self.refusals.append((method, path, reply))

    def sent(self, method: str) -> list[Request]:
        """The requests of a method."""
        return [request for request in self.requests if request.method == method]

    def changes(self) -> list[str]:
        """Method and path of every request that changes something."""
        return [f"{it.method} {it.path}" for it in self.requests if it.method != "GET"]

    def add_workspace(self, name: str, **config: Any) -> None:
        """A workspace that is there."""
        self._create_workspace({"name": name, **config})

    def add_connection(self, workspace: str, **definition: Any) -> None:
        """A connection that is there."""
        shown = {"id": self._id(), "state": "READY", "region": "VIRGINIA_USA", **definition}
        self.connections[workspace][definition["name"]] = Resource(shown)

    def add_processor(self, workspace: str, name: str, pipeline: Any, **more: Any) -> None:
        """A processor that is there."""
        shown = {"_id": self._id(), "name": name, "pipeline": pipeline, "state": "CREATED", **more}
        self.processors[workspace][name] = Resource(shown)

    def answer(self, request: Request) -> Reply:
        """What one request gets."""
        self.requests.append(request)
        for index, (method, pattern, refusal) in enumerate(self.refusals):
            if method == request.method and re.fullmatch(pattern, request.path):
                del self.refusals[index]
                return refusal
        steps = [step for step in request.path.split("/") if step]
        name = f"_{request.method.lower()}_{_route(request.path)}"
        handler = getattr(self, name, None)
        if handler is None:
            return problem(404, "RESOURCE_NOT_FOUND", f"nothing at {request.path}")
        reply: Reply = handler(request, *steps)
        return reply

    def _page(self, request: Request, items: list[dict[str, Any]]) -> Reply:
        number = int(request.query.get("pageNum", "1"))
        size = min(self.page, int(request.query.get("itemsPerPage", "100")))
        results = items[(number - 1) * size : number * size]
        links = [{"href": "http://x/?pageNum=1", "rel": "self"}]
        if number * size < len(items):
            links.append({"href": f"http://x/?pageNum={number + 1}", "rel": "next"})
        return Reply(200, {"links": links, "results": results, "totalCount": len(items)})

    # workspaces

    def _get_workspaces(self, request: Request, *_: str) -> Reply:
        return self._page(request, list(self.workspaces.values()))

    def _post_workspaces(self, request: Request, *steps: str) -> Reply:
        if request.body["name"] in self.workspaces:
            return problem(409, "STREAM_TENANT_ALREADY_EXISTS", "it exists")
        shown = self._create_workspace(request.body)
        if steps:
            self.add_connection(shown["name"], name="sample_stream_solar", type="Sample")
        return Reply(200, shown)

    def _create_workspace(self, body: dict[str, Any]) -> dict[str, Any]:
        ident = self._id()
        shown = {
            "_id": ident,
            "dataProcessRegion": {"cloudProvider": "AWS", "region": "VIRGINIA_USA"},
            "failoverRegions": [],
            "groupId": PROJECT,
            "hostnames": [f"atlas-stream-{ident}-abcdef.virginia-usa.a.query.mongodb.net"],
            "streamConfig": {"tier": "SP10", "maxTierSize": "SP50"},
            **body,
        }
        self.workspaces[body["name"]] = shown
        self.connections[body["name"]] = {}
        self.processors[body["name"]] = {}
        return shown

    def _get_workspace(self, request: Request, name: str) -> Reply:
        shown = self.workspaces.get(name)
        if shown is None:
            return problem(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", f"no {name}")
        if request.query.get("includeConnections") == "true":
            shown = {**shown, "connections": [it.shown for it in self.connections[name].values()]}
        return Reply(200, shown)

    def _patch_workspace(self, request: Request, name: str) -> Reply:
        shown, body = self.workspaces[name], dict(request.body)
        place = {key: body.pop(key) for key in ("cloudProvider", "region") if key in body}
        status = body.pop("processorStatus", None)
        shown["dataProcessRegion"] = {**shown["dataProcessRegion"], **place}
        shown.update(body)
        if status:
            for processor in self.processors[name].values():
                states = {"STARTED": ["PROVISIONING", "STARTED"], "STOPPED": ["STOPPED"]}
                processor.ahead = list(states.get(status["status"], ["PROVISIONING", "STARTED"]))
        return Reply(200, shown)

    def _delete_workspace(self, _request: Request, name: str) -> Reply:
        del self.workspaces[name]
        return Reply(202, {})

    def _get_log(self, _request: Request, *_: str) -> Reply:
        return Reply(200, raw=gzip.compress(self.log), media="gzip")

    # connections

    def _get_connections(self, request: Request, workspace: str, *_: str) -> Reply:
        if workspace not in self.connections:
            return problem(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", "no")
        return self._page(request, [it.shown for it in self.connections[workspace].values()])

    def _post_connections(self, request: Request, workspace: str, *_: str) -> Reply:
        if workspace not in self.connections:
            return problem(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", "no")
        name = request.body["name"]
        if name in self.connections[workspace]:
            return problem(409, "STREAM_CONNECTION_NAME_ALREADY_EXISTS", f"{name} exists")
        shown = self._shown(request.body)
        ahead = list(self.script.get("connection", ["PENDING", "READY"]))
        self.connections[workspace][name] = Resource(shown, ahead)
        return Reply(200, shown)

    def _shown(self, body: dict[str, Any]) -> dict[str, Any]:
        self.secrets = json.loads(json.dumps(body))
        shown: dict[str, Any] = json.loads(json.dumps(body))
        for holder in (shown.get("authentication"), shown.get("schemaRegistryAuthentication")):
            for key in _SECRETS:
                (holder or {}).pop(key, None)
        return {"id": self._id(), "region": "VIRGINIA_USA", "state": "PENDING", **shown}

    def _get_connection(self, _request: Request, workspace: str, _: str, name: str) -> Reply:
        found = self.connections.get(workspace, {}).get(name)
        if found is None:
            return problem(404, "STREAM_CONNECTION_NOT_FOUND_FOR_NAME", f"no {name}")
        return self._looked_at(self.connections[workspace], name)

    def _patch_connection(self, request: Request, workspace: str, _: str, name: str) -> Reply:
        given = {key: value for key, value in request.body.items() if value is not None}
        shown = {**self._shown(given), "state": "READY"}
        self.connections[workspace][name] = Resource(shown, ["PENDING", "READY"])
        return Reply(200, shown)

    def _delete_connection(self, _request: Request, workspace: str, _: str, name: str) -> Reply:
        self.connections[workspace][name].ahead = ["DELETING", "GONE"]
        return Reply(202, {})

    def _get_failovers(self, request: Request, *_: str) -> Reply:
        return self._page(request, [it.shown for it in self.failovers.values()])

    def _post_failovers(self, request: Request, *_: str) -> Reply:
        shown = self._shown(request.body) | {"region": request.body["region"]}
        self.failovers[shown["id"]] = Resource(shown, ["READY"])
        return Reply(201, shown)

    def _get_failover(self, _request: Request, *steps: str) -> Reply:
        return self._looked_at(self.failovers, steps[-1])

    def _patch_failover(self, request: Request, *steps: str) -> Reply:
        shown = {**self._shown(request.body), "id": steps[-1], "region": request.body["region"]}
        self.failovers[steps[-1]] = Resource(shown, ["READY"])
        return Reply(200, shown)

    def _delete_failover(self, _request: Request, *steps: str) -> Reply:
        del self.failovers[steps[-1]]
        return Reply(204)

    # processors

    def _get_processors(self, request: Request, workspace: str, *_: str) -> Reply:
        if workspace not in self.processors:
            return problem(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", "no")
        return self._page(request, [it.look() for it in self.processors[workspace].values()])

    def _post_processors(self, request: Request, workspace: str, *_: str) -> Reply:
        name = request.body["name"]
        if name in self.processors[workspace]:
            return problem(409, "STREAM_PROCESSOR_ALREADY_EXISTS", f"{name} exists")
        shown = {"_id": self._id(), "state": "CREATING", **request.body}
        self.processors[workspace][name] = Resource(shown, ["CREATED"])
        return Reply(200, shown)

    def _get_processor(self, _request: Request, workspace: str, _: str, name: str) -> Reply:
        return self._looked_at(self.processors.get(workspace, {}), name)

    def _patch_processor(self, request: Request, workspace: str, _: str, name: str) -> Reply:
        found = self.processors[workspace].pop(name)
        if found.shown["state"] == "STARTED":
            self.processors[workspace][name] = found
            return problem(400, "STREAM_PROCESSOR_GENERIC_ERROR", "it must be stopped")
        body = dict(request.body)
        options = {**found.shown.get("options", {}), **body.pop("options", {})}
        options.pop("resumeFromCheckpoint", None)
        found.shown.update(body, options={key: it for key, it in options.items() if it})
        self.processors[workspace][found.shown["name"]] = found
        return Reply(200, found.shown)

    def _delete_processor(self, _request: Request, workspace: str, _: str, name: str) -> Reply:
        del self.processors[workspace][name]
        return Reply(204)

    def _post_verb(self, _request: Request, workspace: str, _: str, name: str) -> Reply:
        name, _, verb = name.partition(":")
        usual = {"start": ["PROVISIONING", "STARTED"], "stop": ["STOPPING", "STOPPED"]}
        kind = "start" if verb.startswith("start") else verb
        found = self.processors[workspace][name]
        found.ahead = list(self.script.get(kind, usual[kind]))
        return Reply(200)

    # networks

    def _get_links(self, request: Request, *_: str) -> Reply:
        return self._page(request, [it.shown for it in self.links.values()])

    def _post_links(self, request: Request, *_: str) -> Reply:
        shown = {"_id": self._id(), **request.body}
        ahead = list(self.script.get("link", ["IDLE", "WORKING", "DONE"]))
        self.links[shown["_id"]] = Resource({"state": "IDLE", **shown}, ahead)
        return Reply(200, shown)

    def _get_link(self, _request: Request, _: str, ident: str) -> Reply:
        return self._looked_at(self.links, ident)

    def _patch_link(self, request: Request, _: str, ident: str) -> Reply:
        self.links[ident].shown.update(request.body)
        self.links[ident].ahead = ["WORKING", "DONE"]
        return Reply(200, self.links[ident].shown)

    def _delete_link(self, _request: Request, _: str, ident: str) -> Reply:
        self.links[ident].ahead = ["DELETING", "GONE"]
        return Reply(202, {})

    def _get_peerings(self, request: Request, *_: str) -> Reply:
        account = request.query["requesterAccountId"]
        found = [it for it in self.peerings.values() if it["requesterAccountId"] == account]
        return self._page(request, found)

    def _get_active(self, request: Request, *_: str) -> Reply:
        found = [it for it in self.peerings.values() if it["cloudStatus"] == "active"]
        return self._page(request, found)

    def _post_peering(self, _request: Request, _: str, step: str) -> Reply:
        ident, _, verb = step.partition(":")
        self.peerings[ident]["cloudStatus"] = "active" if verb == "accept" else "rejected"
        return Reply(202, {})

    def _delete_peering(self, _request: Request, _: str, ident: str) -> Reply:
        del self.peerings[ident]
        return Reply(202, {})

    def _get_account(self, request: Request, *_: str) -> Reply:
        return Reply(200, {"awsAccountId": "123456789012", "cidrBlock": "10.0.0.0/16"})

    def _looked_at(self, things: dict[str, Resource], name: str) -> Reply:
        found = things.get(name)
        if found is None or found.look().get("state") == "GONE":
            things.pop(name, None)
            return problem(404, "RESOURCE_NOT_FOUND", f"no {name}")
        return Reply(200, found.shown)

    def _id(self) -> str:
        self._count += 1
        return f"{self._count:024x}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    atlas: FakeAtlas

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.atlas.lock:
            reply = self._reply(text)
        self._write(reply)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _reply(self, text: bytes) -> Reply:
        url = urlsplit(self.path)
        if url.path.startswith("/api/oauth/"):
            return Reply(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
        if self.headers.get("Authorization") != "Bearer t":
            return problem(401, "UNAUTHORIZED", "who are you?")
        if not url.path.startswith(_STREAMS):
            return self._project(url.path)
        request = Request(
            self.command,
            unquote(url.path.removeprefix(_STREAMS)),
            {key: values[0] for key, values in parse_qs(url.query).items()},
            json.loads(text) if text else None,
            self.headers.get("Accept", ""),
        )
        return self.atlas.answer(request)

    def _project(self, path: str) -> Reply:
        groups = [{"id": PROJECT, "name": "Tests", "links": []}]
        if path == "/api/atlas/v2/groups":
            return Reply(200, {"results": groups, "totalCount": 1, "links": []})
        if path == f"/api/atlas/v2/groups/{PROJECT}":
            return Reply(200, groups[0])
        return problem(404, "GROUP_NOT_FOUND", "no such group")

    def _write(self, reply: Reply) -> None:
        if reply.dropped or reply.missing:
            self.close_connection = True
        if reply.dropped:
            return
        data = reply.raw
        if data is None:
            data = b"" if reply.body is None else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            media = f"application/vnd.atlas.2023-02-01+{reply.media}"
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(data) + reply.missing))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(atlas: FakeAtlas) -> Iterator[str]:
    """The base URL at which it answers."""
    handler = type("Handler", (_Handler,), {"atlas": atlas})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
