"""Start, stop and find an instance: at once, twice, after a kill, and when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import ConfigInvalid, EnvironmentMissing, TimedOut
from asp_utils.server import lifecycle
from asp_utils.server.instance_folder import InstanceFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pymongo.database import Database

    from asp_utils.clients.mongod import Mongod
    from asp_utils.server.lifecycle import InstanceState

    Start = Callable[..., InstanceState]
    Connect = Callable[[InstanceState], AbstractContextManager[Database[dict[str, Any]]]]

pytestmark = pytest.mark.server
SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_instance.py")))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends only when it is ended."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


def test_starts_at_once_give_one_instance(start_scripted: Start, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        states = list(pool.map(lambda _: start_scripted(tmp_path / "i"), range(6)))
    assert len({state.supervisor_pid for state in states}) == 1
    assert lifecycle.status(tmp_path / "i") == states[0]


def test_a_second_start_finds_the_first(start_scripted: Start, tmp_path: Path) -> None:
    assert start_scripted(tmp_path / "i") == start_scripted(tmp_path / "i")


def test_stop_ends_everything_and_says_whether_it_ran(
    start_scripted: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "i"
    assert not lifecycle.stop(folder)
    state = start_scripted(folder)
    assert lifecycle.stop(folder)
    assert not lifecycle.stop(folder)
    assert lifecycle.status(folder) is None
    assert all(OwnedProcess.find(pid) is None for pid in state.pids.values())


def test_only_the_owner_can_read_the_password(instance: InstanceState) -> None:
    assert stat.S_IMODE(instance.file.stat().st_mode) == 0o600
    assert stat.S_IMODE((instance.file.parent / "settings.json").stat().st_mode) == 0o600
    assert instance.connection_password not in repr(instance)


@pytest.mark.slow
def test_a_start_right_after_a_kill_works(start_scripted: Start, tmp_path: Path) -> None:
    folder = tmp_path / "i"
    first = start_scripted(folder)
    os.kill(first.supervisor_pid, signal.SIGKILL)
    second = start_scripted(folder)
    assert second.supervisor_pid != first.supervisor_pid
    assert second.connection_password == first.connection_password


def test_a_stale_state_of_a_reused_pid_is_no_running_instance(
    instance: InstanceState, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    place = InstanceFolder(tmp_path)
    pids = {"instance": sleeper.pid, "mongod": sleeper.pid}
    place.write_state(type(instance)(**{**vars(instance), "pids": pids}))
    lock = place.try_lock()
    assert lock is not None
    assert lifecycle.status(tmp_path) is None
    assert not lifecycle.stop(tmp_path)
    os.close(lock)
    assert sleeper.poll() is None


@pytest.mark.slow
def test_a_stale_mongod_lock_never_ends_a_stranger(
    start_scripted: Start, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    data = tmp_path / "i" / "mongod" / "data"
    data.mkdir(parents=True)
    (data / "mongod.lock").write_text(f"{sleeper.pid}\n")
    start_scripted(tmp_path / "i")
    assert sleeper.poll() is None


@pytest.mark.slow
def test_a_taken_port_is_replaced(start_scripted: Start, tmp_path: Path) -> None:
    folder = tmp_path / "i"
    first = start_scripted(folder)
    lifecycle.stop(folder)
    with socket.create_server(("127.0.0.1", first.ports["stream_endpoint"])):
        second = start_scripted(folder)
    assert second.ports["stream_endpoint"] != first.ports["stream_endpoint"]
    assert second.ports["mongod"] == first.ports["mongod"]


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "mongod").write_text("no folder")
    with pytest.raises(EnvironmentMissing, match="did not start") as caught:
        lifecycle.start(tmp_path, daemon=SCRIPTED)
    assert "mongod" in caught.value.message
    assert str(tmp_path / "instance.log") in caught.value.hint
    assert lifecycle.status(tmp_path) is None


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    sleeping = (sys.executable, "-c", "import time; time.sleep(600)")
    with pytest.raises(TimedOut):
        lifecycle.start(tmp_path, daemon=sleeping, timeout_s=0.3)
    assert not InstanceFolder(tmp_path).is_locked()


def test_a_running_mongod_can_be_used(
    start_scripted: Start,
    connect: Connect,
    mongod: Mongod,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ASP_MONGOD_URI", mongod.uri)
    state = start_scripted(tmp_path / "i")
    assert (state.mongod_uri, set(state.pids)) == (mongod.uri, {"instance"})
    with connect(state) as admin:
        assert admin.command("listStreamProcessors", 1)["streamProcessors"] == []
    with pytest.raises(EnvironmentMissing, match="already serves"):
        start_scripted(tmp_path / "other")


def test_an_unreachable_mongod_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASP_MONGOD_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    with pytest.raises(EnvironmentMissing, match="does not answer"):
        lifecycle.start(tmp_path, daemon=SCRIPTED)


def test_connections_are_added_to_a_running_instance(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    state = start_scripted(tmp_path)
    orders = {"name": "orders", "type": "Cluster", "uri": "mongodb://127.0.0.1:9/"}
    assert "warnings" not in lifecycle.add_connections(state, [orders])
    with connect(state) as admin:
        found = admin.command("listStreamConnections", 1, filter={"name": "orders"})
    assert found["connections"] == [{"name": "orders", "type": "atlas", "cluster": "orders"}]
    with pytest.raises(ConfigInvalid) as caught:
        lifecycle.add_connections(state, [{"name": "x", "type": "y"}])
    assert caught.value.faults[0].path == "$.connections[0].type"
