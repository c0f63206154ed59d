"""`max_runtime_s`: a processor is stopped when its time is up, and the stop is on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from asp_utils import run_limits
from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.context import Context
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

LOCAL = {"stream_processor_url": "local"}
PIPELINE = [
    {"$source": {"connectionName": "sample_stream_solar"}},
    {"$merge": {"into": {"connectionName": "local_cluster", "db": "limits", "coll": "out"}}},
]


@pytest.fixture
def created(project: Any) -> Iterator[Any]:
    """A project with a processor `p` that does not run."""
    made = project.run("sp_create_stream_processor", {**LOCAL, "name": "p", "pipeline": PIPELINE})
    assert made.code == 0, made.err
    yield project
    for limit in run_limits.limits(project.root):
        run_limits.end_limit(Context(project.root), limit.name, limit.stream_processor_url)


def limits(project: Any) -> list[run_limits.RunLimit]:
    return run_limits.limits(project.root)


def start(project: Any, **more: Any) -> dict[str, Any]:
    started = project.run("sp_start_stream_processor", {**LOCAL, "name": "p", **more})
    assert started.code == 0, started.err
    result: dict[str, Any] = started.result
    return result


def state(project: Any) -> str:
    listed = project.run("sp_list_stream_processors", LOCAL).result["stream_processors"]
    return str(listed[0]["state"])


def test_it_is_stopped_when_the_time_is_up_and_the_stop_is_a_numbered_config(created: Any) -> None:
    assert start(created, max_runtime_s=0.5)["stops_at"] is not None
    until(lambda: limits(created)[0].state == "stopped")
    assert state(created) == "STOPPED"
    stops = list(created.session.glob("*_sp_stop_stream_processor.json"))
    assert [json.loads(path.read_text())["name"] for path in stops] == ["p"]
    assert created.verify() == 0


def test_stopping_it_by_hand_ends_the_limit_and_its_keeper(created: Any) -> None:
    start(created, max_runtime_s=600)
    [limit] = limits(created)
    assert limit.is_kept
    assert not limit.is_lost
    assert created.run("sp_stop_stream_processor", {**LOCAL, "name": "p"}).code == 0
    assert limits(created) == []
    assert not limit.is_kept


def test_starting_it_anew_replaces_the_limit(created: Any) -> None:
    start(created, max_runtime_s=600)
    created.run("sp_stop_stream_processor", {**LOCAL, "name": "p"})
    assert start(created)["stops_at"] is None
    assert limits(created) == []


def test_a_limit_whose_keeper_was_killed_is_lost(created: Any) -> None:
    start(created, max_runtime_s=600)
    [limit] = limits(created)
    OwnedProcess(limit.pid, limit.start_ticks).end(5)
    until(lambda: not limit.is_kept)
    assert limits(created)[0].is_lost


def test_no_secret_is_written_down(bare_project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context(bare_project.root)
    url = "mongodb://me:pa55word@127.0.0.1:1/"
    run_limits.set_limit(ctx, "q", (url, "me", SecretStr("pa55word")), 600)
    try:
        written = "".join(path.read_text() for path in folder(bare_project.root).iterdir())
        assert "127.0.0.1" in written
        assert "pa55word" not in written
    finally:
        run_limits.end_limit(ctx, "q", url)
    assert list(folder(bare_project.root).iterdir()) == []


def test_without_the_wrapper_that_stops_nothing_is_started(tmp_path: Path) -> None:
    from asp_utils.errors import NotFound

    with pytest.raises(NotFound, match="sp_stop_stream_processor"):
        run_limits.check_possible(Context(tmp_path), 1.0)


def folder(root: Path) -> Path:
    return root / "temp" / "run_limits"
