"""The official MongoDB MCP server as a subprocess, and a client that talks to it over stdio."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.mongod import die_with_parent
from tests.official.npm import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Document = dict[str, Any]

_PROTOCOL: Final = "2025-06-18"
_ANSWER_S: Final = 60.0


@dataclass(frozen=True)
class Shown:
    """What a tool call showed."""

    text: str
    """Its text parts, one after the other."""
    structured: Document
    """Its structuredContent; empty where it has none."""
    is_error: bool
    """Whether the tool says that it failed."""


@dataclass
class McpServer:
    """A running server. It asks before what changes anything; `consent` is the answer."""

    process: subprocess.Popen[str]
    consent: str = "accept"
    """The answer to questions: accept, decline or cancel."""
    answers: dict[str, str] = field(default_factory=dict)
    """What is filled into its forms, by field."""
    asked: list[str] = field(default_factory=list)
    """The questions that it has asked."""
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _number: int = 0

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, tool: str, **arguments: Any) -> Shown:
        """Call a tool, answer what it asks, and give what it shows."""
        reply = self.request("tools/call", {"name": tool, "arguments": arguments})
        if "error" in reply:
            return Shown(str(reply["error"]["message"]), {}, is_error=True)
        result = reply["result"]
        texts = [part["text"] for part in result["content"] if part["type"] == "text"]
        shown = "\n".join(texts)
        is_error = bool(result.get("isError", False))
        return Shown(shown, result.get("structuredContent") or {}, is_error=is_error)

    def expect(self, tool: str, **arguments: Any) -> Shown:
        """Call a tool that must not fail."""
        shown = self.call(tool, **arguments)
        assert not shown.is_error, shown.text
        return shown

    def request(self, method: str, params: Document) -> Document:
        """Send a request; the reply to it, when all questions in between are answered."""
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = json.loads(self._lines.get(timeout=_ANSWER_S))
            if message.get("method") == "elicitation/create":
                self._answer(message)
            elif message.get("id") == number and "method" not in message:
                return dict(message)

    def greet(self) -> Document:
        """Say who calls, and that it can be asked; what the server says of itself."""
        client = {"name": "asp-toolkit-tests", "version": "1"}
        capabilities: Document = {"elicitation": {}}
        params = {"protocolVersion": _PROTOCOL, "capabilities": capabilities, "clientInfo": client}
        reply = self.request("initialize", params)
        self._send({"method": "notifications/initialized"})
        return dict(reply["result"])

    def _answer(self, question: Document) -> None:
        self.asked.append(question["params"]["message"])
        properties = question["params"]["requestedSchema"]["properties"]
        filled = {"confirmation": "Yes", **self.answers}
        content = {name: filled[name] for name in properties if name in filled}
        given = {"action": self.consent}
        if self.consent == "accept":
            given = {**given, "content": content}  # type: ignore[dict-item]
        self._send({"id": question["id"], "result": given})

    def _send(self, message: Document) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextlib.contextmanager
def mcp_server(folder: Path, environment: Mapping[str, str]) -> Iterator[McpServer]:
    """Run the server with its home and log in `folder`, until the block ends."""
    folder.mkdir(exist_ok=True)
    private = {
        "HOME": str(folder),
        "MDB_MCP_TELEMETRY": "disabled",
        "MDB_MCP_LOGGERS": "stderr",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            program("mongodb-mcp-server"),
            env={**os.environ, **private, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=die_with_parent,
        )
    with process:
        server = McpServer(process)
        try:
            server.greet()
            yield server
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def account_environment(
    url: str, ca_file: str, client_id: str, client_secret: str
) -> dict[str, str]:
    """The environment that points the server at an Admin API with a certificate of its own."""
    return {
        "MDB_MCP_API_BASE_URL": url,
        "MDB_MCP_API_CLIENT_ID": client_id,
        "MDB_MCP_API_CLIENT_SECRET": client_secret,
        "SSL_CERT_FILE": ca_file,
        "NODE_EXTRA_CA_CERTS": ca_file,
    }
