"""Start, stop and find the local instance of a folder, from any process.

The daemon holds a lock on a file of the folder as long as it lives, however it ends. Who wants to
start an instance takes that lock and hands it to the daemon: so two starts at once give one
instance. `instance.json` exists while the daemon answers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.local_endpoint import LocalEndpoint
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import (
    ConfigInvalid,
    EnvironmentMissing,
    NotFound,
    PipelineInvalid,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)
from asp_utils.model.local_names import LOCAL
from asp_utils.server.instance_folder import InstanceFolder, InstanceState
from asp_utils.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.clients.endpoint import Endpoint

__all__ = [
    "DAEMON",
    "LOCK_DESCRIPTOR",
    "InstanceState",
    "add_connections",
    "allow_anonymous",
    "connect",
    "set_exactly_once",
    "start",
    "status",
    "stop",
]

DAEMON: Final = (sys.executable, "-P", "-m", "asp_utils.instance")
"""The daemon's command line; `--folder` and `--lock-descriptor` are added."""
LOCK_DESCRIPTOR: Final = 3
"""The file descriptor at which the daemon finds the lock."""

_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 3
_STOP_S: Final = 60.0
_ANSWER_S: Final = 5.0


def start(
    folder: Path,
    *,
    timeout_s: float = 60.0,
    daemon: Sequence[str] = DAEMON,
) -> InstanceState:
    """Start the local instance of `folder`, or find it running; return when it answers.

    Args:
        folder: Holds everything the instance keeps; created when it is missing.
        timeout_s: How long to wait until it answers.
        daemon: The daemon's command line.

    Raises:
        EnvironmentMissing: It did not start; the message ends with its log.
        TimedOut: It did not answer in time.
    """
    place = InstanceFolder(folder.resolve())
    place.create()
    return _start_or_join(place, daemon, time.monotonic() + timeout_s)


def add_connections(
    state: InstanceState, connections: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Add connections to a running instance, or replace them; all of them or none.

    Args:
        state: The instance.
        connections: Each `{name, type, ...}` with the fields of the Admin API.

    Returns:
        The instance's reply: with `warnings` about what works otherwise than on Atlas.

    Raises:
        ConfigInvalid: A connection is wrong.
        Conflict: A running processor uses one that would change.
    """
    with closing(connect(state)) as endpoint:
        try:
            return endpoint.command(
                {"localUpsertConnections": [dict(each) for each in connections]}
            )
        except PipelineInvalid as error:
            raise ConfigInvalid("config", error.faults) from error


def set_exactly_once(state: InstanceState, *, wanted: bool) -> None:
    """Say whether a running instance's workers deliver exactly once where that is possible."""
    with closing(connect(state)) as endpoint:
        endpoint.command({"localConfigureEngine": 1, "exactlyOnce": wanted})


def allow_anonymous(state: InstanceState, *, wanted: bool) -> InstanceState:
    """Say whether a running instance's Admin API answers callers without credentials.

    Returns:
        The state with that.
    """
    with closing(connect(state)) as endpoint:
        endpoint.command({"localConfigureAdminApi": 1, "allowAnonymous": wanted})
    return replace(state, allow_anonymous=wanted)


def status(folder: Path) -> InstanceState | None:
    """The local instance of `folder` if it answers, else None."""
    place = InstanceFolder(folder.resolve())
    state = place.read_state()
    if state is None or not place.is_locked():
        return None
    process = state.process("instance")
    if process is None or not process.is_alive():
        return None
    return state if _answers(state) else None


def stop(folder: Path, timeout_s: float = _STOP_S) -> bool:
    """Stop the local instance of `folder`; False when it did not run.

    Processors that run write a checkpoint and are started again by the next start.
    """
    place = InstanceFolder(folder.resolve())
    state = place.read_state()
    daemon = state.process("instance") if state is not None and place.is_locked() else None
    if daemon is None or not daemon.is_alive():
        return False
    daemon.end(timeout_s)
    with suppress(ChildProcessError):
        os.waitpid(daemon.pid, 0)
    return True


def connect(state: InstanceState, workspace: str = LOCAL) -> Endpoint:
    """A connection to a workspace of a running instance as its own user.

    By its Unix socket, where it has one.

    Raises:
        NotFound: There is no such workspace.
    """
    url, socket_path = state.stream_processor_url, state.socket_path
    if workspace != LOCAL:
        found = next((each for each in state.workspaces if each["name"] == workspace), None)
        if found is None:
            names = [each["name"] for each in state.workspaces] or [LOCAL]
            raise NotFound(
                f"the local instance has no workspace {workspace!r}",
                hint=meant(workspace, names) or f"there are: {', '.join(names)}",
                path="$.stream_processor_url",
            )
        url = found["stream_processor_url"]
        socket_path = InstanceFolder(Path(state.folder)).usable_socket(found["id"])
    if socket_path is not None:
        return LocalEndpoint(socket_path)
    # pymongo takes 90 ms, and is needed only where the folder's path is too long for a socket.
    from asp_utils.clients.stream_endpoint import StreamEndpoint

    return StreamEndpoint(url, state.connection_user, state.connection_password)


def _start_or_join(
    place: InstanceFolder, daemon: Sequence[str], deadline_s: float
) -> InstanceState:
    while time.monotonic() < deadline_s:
        lock = place.try_lock()
        if lock is None:
            state = _wait_for_other(place, deadline_s)
            if state is not None:
                return state
            continue
        try:
            log_start = place.begin_log()
            pid = _spawn(place, daemon, lock)
        finally:
            os.close(lock)
        return _wait_for_own(place, pid, log_start, deadline_s)
    raise _late(place)


def _spawn(place: InstanceFolder, daemon: Sequence[str], lock: int) -> int:
    """Start the daemon in a session of its own, with the lock; its pid."""
    command = [*daemon, "--folder", str(place.path), "--lock-descriptor", str(LOCK_DESCRIPTOR)]
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn, as subprocess.Popen complains about children that outlive it.
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, lock, LOCK_DESCRIPTOR),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(place.log_path), log_flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM),
    )


def _wait_for_own(
    place: InstanceFolder, pid: int, log_start: int, deadline_s: float
) -> InstanceState:
    """Wait until the daemon that was just started answers; say why if it ends instead."""
    while time.monotonic() < deadline_s:
        ended, wait_status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(wait_status)
            raise EnvironmentMissing(
                f"the local instance did not start (exit code {code}): "
                f"{_log_tail(place, log_start)}",
                hint=f"read {place.log_path}",
            )
        state = place.read_state()
        if state is not None and state.supervisor_pid == pid:
            return state
        time.sleep(_POLL_S)
    process = OwnedProcess.find(pid)
    if process is not None:
        process.end(_STOP_S)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    raise _late(place)


def _wait_for_other(place: InstanceFolder, deadline_s: float) -> InstanceState | None:
    """Wait until the daemon that holds the lock answers; None when it lets go of the lock."""
    while time.monotonic() < deadline_s:
        state = status(place.path)
        if state is not None:
            return state
        if not place.is_locked():
            return None
        time.sleep(_POLL_S)
    raise _late(place)


def _answers(state: InstanceState) -> bool:
    """Whether the endpoint answers: a process that was just killed still seems to live."""
    try:
        link = MongodSocket.to(state.stream_processor_url, timeout_s=_ANSWER_S)
        try:
            return bool(link.command({"ping": 1}).get("ok"))
        finally:
            link.close()
    except (Unreachable, UnexpectedReply):
        return False


def _late(place: InstanceFolder) -> TimedOut:
    return TimedOut(
        f"the local instance did not answer in time: {_log_tail(place, 0)}",
        hint=f"read {place.log_path}; give it more time with timeout_s",
    )


def _log_tail(place: InstanceFolder, start: int) -> str:
    """The last lines that the daemon wrote after byte `start` of its log."""
    try:
        written = place.log_path.read_bytes()[start:]
    except FileNotFoundError:
        return "it wrote no log"
    lines = [line for line in written.decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_TAIL_LINES:]) or "its log is empty"
