"""What an agent does with the MCP server's four streams tools, in the project under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.official.local import Local
    from tests.official.mcp import McpServer, Shown

    Document = dict[str, Any]

SOLAR: Final = {"$source": {"connectionName": "sample_stream_solar"}}


@dataclass
class Agent:
    """A user of the server who works in one workspace."""

    server: McpServer
    local: Local
    workspace: str

    def discover(self, action: str, **arguments: Any) -> Shown:
        """Look at something; it must not fail."""
        return self.server.expect(
            "atlas-streams-discover", **self._where(action=action), **arguments
        )

    def build(self, resource: str, **arguments: Any) -> Shown:
        """Build something; whether it failed is for the caller to see."""
        where = self._where(resource=resource)
        return self.server.call("atlas-streams-build", **{**where, **arguments})

    def manage(self, action: str, name: str | None = None, **arguments: Any) -> Shown:
        """Change something; whether it failed is for the caller to see."""
        where = self._where(action=action)
        named = {} if name is None else {"resourceName": name}
        return self.server.call("atlas-streams-manage", **{**where, **named, **arguments})

    def tear_down(self, resource: str, name: str | None = None, **arguments: Any) -> Shown:
        """Delete something; whether it failed is for the caller to see."""
        where = self._where(resource=resource)
        named = {} if name is None else {"resourceName": name}
        return self.server.call("atlas-streams-teardown", **{**where, **named, **arguments})

    def processor(self, name: str, **arguments: Any) -> Document:
        """Build a processor that copies the solar sample; what the workspace keeps of it."""
        given = {"pipeline": copying(name), **arguments}
        shown = self.build("processor", processorName=name, **given)
        assert not shown.is_error, shown.text
        assert shown.structured == {"resource": "processor"}
        return self.true(name)

    def forget(self, path: str, workspace: str | None = None) -> None:
        """Delete something behind the server's back: each call of it costs Node 40 ms."""
        below = f"/streams/{workspace or self.workspace}"
        reply = self.local.rest.delete(f"{below}/{path}" if path else below)
        assert reply.status_code < 300, reply.text

    def true(self, name: str) -> Document:
        """What the workspace says of a processor."""
        return self.local.processors(self.workspace)[name]

    def _where(self, **mode: str) -> Document:
        project = self.local.state.project_id
        return {"projectId": project, "workspaceName": self.workspace, **mode}


def into(collection: str) -> Document:
    """A sink in the database that `Local.count` looks at."""
    return {"$merge": {"into": {"connectionName": "lake", "db": "official", "coll": collection}}}


def copying(collection: str) -> list[Document]:
    """The solar sample into a collection."""
    return [SOLAR, into(collection)]
