"""docs/official-clients.md lists what the MCP server under test really has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.official.npm import VERSIONS

if TYPE_CHECKING:
    from tests.official.mcp import McpServer

PAGE = (Path(__file__).parents[2] / "docs" / "official-clients.md").read_text()
MODE = re.compile(r"^\| (atlas-streams-\w+) \| ([\w-]+) \| (.*?) ?\| (.*?) ?\|$", re.MULTILINE)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.xdist_group("official")
def test_every_mode_is_listed_with_arguments_that_exist(mcp: McpServer) -> None:
    tools = {each["name"]: each for each in mcp.request("tools/list", {})["result"]["tools"]}
    schemas = {
        name: tool["inputSchema"]["properties"]
        for name, tool in tools.items()
        if name.startswith("atlas-streams-")
    }
    modes = {
        (name, mode)
        for name, fields in schemas.items()
        for mode in (fields.get("action") or fields["resource"])["enum"]
    }
    assert {(tool, mode) for tool, mode, *_ in MODE.findall(PAGE)} == modes
    assert len(modes) == 24
    for tool, _mode, *cells in MODE.findall(PAGE):
        named = set(re.findall(r"`(\w+)`", " ".join(cells)))
        assert named <= set(schemas[tool])


def test_the_versions_are_those_that_are_fetched() -> None:
    for name, version in VERSIONS.items():
        assert f"`{name}`" in PAGE
        assert re.search(rf"\| {re.escape(version)} \|", PAGE)
        assert set(re.findall(rf"npx -y {name}@([\d.]+)", PAGE)) == {version}
