"""A project: found, named, waited for; and what a person sees when it is not there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.admin.project import Project, project
from asp_utils.context import Context
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    ExitCode,
    Interrupted,
    PermissionDenied,
    Temporary,
    TimedOut,
)
from asp_utils.server import lifecycle
from asp_utils.server.instance_folder import InstanceState
from tests.atlas.scripted import (
    CLIENT_ID,
    CLIENT_SECRET,
    ScriptedAtlas,
    failure,
    json_answer,
    page,
)
from tests.operations.conftest import bare_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.operations.conftest import Project as Folder

__all__ = ["bare_project"]

PROJECT = "32b6e34b3d91647abb20e7b8"


@dataclass(slots=True)
class QuickContext(Context):
    """Waiting moves the clock instead of taking time."""

    clock_s: float = 0.0
    secrets: set[str] = field(default_factory=set)

    def now_s(self) -> float:
        return self.clock_s

    def wait(self, seconds: float) -> bool:
        self.clock_s += seconds
        return self.cancelled.is_set()


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QuickContext:
    """A call in an empty home, with no variables of Atlas."""
    for name in os.environ:
        if name.startswith(("MONGODB_ATLAS_", "MCLI_", "MDB_MCP_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    quick = QuickContext(root=tmp_path)
    quick.conceal = quick.secrets.update
    return quick


@pytest.fixture
def atlas() -> Iterator[ScriptedAtlas]:
    with ScriptedAtlas() as server:
        yield server


@pytest.fixture
def target(ctx: QuickContext, atlas: ScriptedAtlas) -> Iterator[Project]:
    with project(ctx, atlas.account) as found:
        yield found


def test_paths(target: Project) -> None:
    streams = f"/api/atlas/v2/groups/{PROJECT}/streams"
    assert target.id == PROJECT
    assert target.streams() == streams
    assert target.streams("a b", "processor", "c/d?", verb="start") == (
        f"{streams}/a%20b/processor/c%2Fd%3F:start"
    )
    assert target.streams(verb="withSampleConnections") == f"{streams}:withSampleConnections"
    for name in ("", ".", ".."):
        with pytest.raises(ConfigInvalid, match="is no name"):
            target.streams(name)


def test_who_asks(target: Project, atlas: ScriptedAtlas, ctx: QuickContext) -> None:
    from asp_utils.session.version import TOOL_VERSION

    atlas.says(json_answer({"name": "ws"}))
    target.api.get(target.streams("ws"), version="2023-02-01")
    assert not target.is_local
    assert str(target.api.found) == "the service account of the config's `atlas`"
    assert atlas.requests[0].headers["user-agent"] == f"asp-toolkit/{TOOL_VERSION}"
    assert ctx.secrets == {CLIENT_SECRET, "token-1"}


def test_no_project_is_named(ctx: QuickContext, atlas: ScriptedAtlas) -> None:
    account = {key: value for key, value in atlas.account.items() if key != "project_id"}
    atlas.says(page([{"id": "1" * 24, "name": "one"}, {"id": "2" * 24, "name": "two"}], 2))
    with project(ctx, account) as target, pytest.raises(ConfigInvalid) as caught:
        target.streams("ws")
    assert caught.value.path == "$.atlas.project_id"
    assert f"there are {'1' * 24} (one), {'2' * 24} (two)" in caught.value.message
    assert "MONGODB_ATLAS_PROJECT_ID" in caught.value.hint
    assert caught.value.details["projects"][1] == {"id": "2" * 24, "name": "two"}
    assert caught.value.exit_code == ExitCode.CONFIG_INVALID
    assert atlas.requests[0].path == "/api/atlas/v2/groups"


@pytest.mark.parametrize(
    ("answer", "said"),
    [(page([], 0), "the credentials see none"), (failure(403, "FORBIDDEN"), "no place names")],
)
def test_no_project_can_be_seen(
    ctx: QuickContext, atlas: ScriptedAtlas, answer: Any, said: str
) -> None:
    account = {key: value for key, value in atlas.account.items() if key != "project_id"}
    atlas.says(answer)
    with project(ctx, account) as target, pytest.raises(ConfigInvalid, match=said):
        _ = target.id


class TestWaiting:
    """The one loop that polls."""

    def looks(self, *states: str | AspError) -> Callable[[], dict[str, str]]:
        left = iter(states)

        def look() -> dict[str, str]:
            state = next(left)
            if isinstance(state, AspError):
                raise state
            return {"state": state}

        return look

    def until(self, target: Project, *states: str | AspError) -> dict[str, str]:
        return target.wait_until(
            "x to be READY",
            self.looks(*states),
            lambda seen: seen["state"] == "READY",
            10,
            failed=lambda seen: "it broke" if seen["state"] == "FAILED" else "",
        )

    def test_it_comes(self, target: Project, ctx: QuickContext) -> None:
        assert self.until(target, "PENDING", "PENDING", "READY") == {"state": "READY"}
        assert 0 < ctx.clock_s < 1

    def test_it_can_never_come(self, target: Project) -> None:
        with pytest.raises(Conflict, match="waited for x to be READY, in vain: it broke") as caught:
            self.until(target, "PENDING", "FAILED")
        assert caught.value.details["state"] == "FAILED"

    def test_it_does_not_come_in_time(self, target: Project, ctx: QuickContext) -> None:
        with pytest.raises(TimedOut, match="waited 10 s for x to be READY, in vain") as caught:
            self.until(target, *["PENDING"] * 100)
        assert caught.value.details == {"last_seen": {"state": "PENDING"}, "state": "PENDING"}
        assert ctx.clock_s == pytest.approx(10)

    def test_a_look_that_fails_for_a_moment(self, target: Project) -> None:
        assert self.until(target, Temporary("down"), "READY") == {"state": "READY"}
        with pytest.raises(TimedOut, match="the last look failed: down"):
            self.until(target, *[Temporary("down")] * 100)

    def test_a_look_that_fails_for_good(self, target: Project) -> None:
        with pytest.raises(PermissionDenied):
            self.until(target, "PENDING", PermissionDenied("revoked"), "READY")

    def test_it_is_cancelled(self, target: Project, ctx: QuickContext) -> None:
        ctx.cancelled.set()
        with pytest.raises(Interrupted, match="cancelled while waiting for x") as caught:
            self.until(target, "PENDING", "READY")
        assert "goes on without us" in caught.value.hint

    def test_nothing_is_something_to_see(self, target: Project) -> None:
        gone = target.wait_until("x to be gone", lambda: None, lambda seen: seen is None, 1)
        assert gone is None


def state(atlas: ScriptedAtlas, tmp_path: Path, **fields: Any) -> InstanceState:
    known = {
        "admin_api_url": atlas.url,
        "project_id": PROJECT,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    return InstanceState(
        stream_processor_url="mongodb://127.0.0.1:1/",
        connection_user="u",
        connection_password="p",
        mongod_uri="mongodb://127.0.0.1:2/",
        ports={},
        pids={},
        start_ticks={},
        started_at="2026-01-20T00:00:00Z",
        folder=str(tmp_path),
        **(known | fields),
    )


class TestLocal:
    """The local instance, by name."""

    @pytest.mark.parametrize("named", ["local", {"url": "local"}])
    @pytest.mark.parametrize("runs", [True, False])
    def test_it_is_found_or_started(
        self,
        ctx: QuickContext,
        atlas: ScriptedAtlas,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        named: Any,
        runs: bool,
    ) -> None:
        found = state(atlas, tmp_path)
        monkeypatch.setattr(lifecycle, "status", lambda _folder: found if runs else None)
        monkeypatch.setattr(lifecycle, "start", lambda _folder: found)
        monkeypatch.setenv("MONGODB_ATLAS_PROJECT_ID", "f" * 24)
        atlas.says(json_answer({"name": "local"}))
        with project(ctx, named) as target:
            assert target.is_local
            assert target.id == PROJECT
            target.api.get(target.streams("local"), version="2023-02-01")
        assert ctx.secrets == {CLIENT_SECRET, "token-1"}
        assert not (tmp_path / ".cache").exists()

    def test_one_that_has_no_admin_api_yet(
        self,
        ctx: QuickContext,
        atlas: ScriptedAtlas,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        old = state(atlas, tmp_path, admin_api_url="")
        monkeypatch.setattr(lifecycle, "status", lambda _folder: old)
        with pytest.raises(Conflict, match="older version") as caught:
            project(ctx, "local")
        assert "cli_local_stop.py" in caught.value.hint


class TestWrapper:
    """What a person sees of it."""

    def variables(self, tmp_path: Path, **more: str) -> dict[str, str]:
        quiet = "keyring.backends.null.Keyring"
        return {"HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": quiet, **more}

    def test_no_credentials(self, bare_project: Folder, ctx: QuickContext, tmp_path: Path) -> None:
        bare_project.environment = {**os.environ, "ASP_HOME": str(bare_project.root)}
        ran = bare_project.run("project_list", {}, **self.variables(tmp_path))
        assert ran.code == ExitCode.PERMISSION
        assert ran.result["code"] == "PERMISSION_DENIED"
        assert "atlas auth login" in ran.err

    def test_what_it_finds_is_shown_nowhere(
        self, bare_project: Folder, ctx: QuickContext, tmp_path: Path, atlas: ScriptedAtlas
    ) -> None:
        atlas.says(page([{"id": PROJECT, "name": f"odd {CLIENT_SECRET} token-1"}], 1))
        found = self.variables(
            tmp_path,
            MONGODB_ATLAS_CLIENT_ID=CLIENT_ID,
            MONGODB_ATLAS_CLIENT_SECRET=CLIENT_SECRET,
            MONGODB_ATLAS_BASE_URL=atlas.url,
        )
        ran = bare_project.run("project_list", {}, **found)
        assert ran.code == 0, ran.err
        assert ran.result["projects"][0]["id"] == PROJECT
        for kept in [*bare_project.session.iterdir()]:
            text = kept.read_text()
            assert CLIENT_SECRET not in text
            assert "token-1" not in text
        assert CLIENT_SECRET not in ran.out + ran.err
