"""A schema registry on loopback that speaks what Confluent documents of its REST API."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Registry:
    """Its content, and how it behaves."""

    url: str = ""
    subjects: dict[str, list[int]] = field(default_factory=dict)
    """The ids of each subject's versions, in order."""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    credentials: tuple[str, str] | None = None
    """What it asks for."""
    incompatible: bool = False
    """Whether it refuses new schemas."""
    broken: bool = False
    """Whether it answers 500 to everything."""
    requests: list[str] = field(default_factory=list)

    @property
    def connection(self) -> dict[str, Any]:
        """Its entry in a connection registry."""
        username, password = self.credentials or ("u", "p")
        login = {"type": "USER_INFO", "username": username, "password": password}
        return {
            "type": "schemaregistry",
            "provider": "CONFLUENT",
            "schemaRegistryUrls": [self.url],
            "schemaRegistryAuthentication": login,
        }

    def add(self, subject: str, schema: Any, **more: Any) -> int:
        """Register a schema; gives its id."""
        text = json.dumps(schema)
        known = [i for i, entry in self.schemas.items() if entry["schema"] == text]
        schema_id = known[0] if known else len(self.schemas) + 1
        self.schemas[schema_id] = {"schema": text, **more}
        versions = self.subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)
        return schema_id

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and reply of a request that is let in."""
        match method, [unquote(part) for part in path.strip("/").split("/")]:
            case "POST", ["subjects", subject, "versions"]:
                if self.incompatible:
                    return 409, {"error_code": 409, "message": "schema is incompatible"}
                return 200, {"id": self.add(subject, json.loads(body["schema"]))}
            case "POST", ["subjects", subject]:
                return self._lookup(subject, json.loads(body["schema"]))
            case "GET", ["subjects"]:
                return 200, sorted(self.subjects)
            case "GET", ["schemas", "ids", number]:
                if int(number) in self.schemas:
                    return 200, self.schemas[int(number)]
                return 404, {"error_code": 40403, "message": "Schema not found"}
            case "GET", ["subjects", subject, "versions", number]:
                schema_id = self.subjects[subject][int(number) - 1]
                numbers = {"subject": subject, "id": schema_id, "version": int(number)}
                return 200, numbers | self.schemas[schema_id]
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _lookup(self, subject: str, schema: Any) -> tuple[int, Any]:
        if subject not in self.subjects:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        for version, schema_id in enumerate(self.subjects[subject], 1):
            if json.loads(self.schemas[schema_id]["schema"]) == schema:
                return 200, {"subject": subject, "id": schema_id, "version": version}
        return 404, {"error_code": 40403, "message": "Schema not found"}


class Server(ThreadingHTTPServer):
    """Serves one registry in a thread."""

    daemon_threads = True

    def __init__(self, registry: Registry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registry = registry
        registry.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, body: Any) -> None:
        registry = self.server.registry
        registry.requests.append(f"{self.command} {self.path}")
        status, reply = self._let_in(registry) or registry.answer(self.command, self.path, body)
        text = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _let_in(self, registry: Registry) -> tuple[int, Any] | None:
        if registry.broken:
            return 500, {"error_code": 50001, "message": "Error in the backend datastore"}
        if registry.credentials is not None:
            wanted = base64.b64encode(":".join(registry.credentials).encode()).decode()
            if self.headers["Authorization"] != f"Basic {wanted}":
                return 401, {"error_code": 401, "message": "Unauthorized"}
        return None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""
