"""Run limits: a process of its own stops a stream processor when its time is up.

Atlas bills a started processor by the second and has no such setting. The keeper of a limit is
detached from the call that set it. When the time is up it calls the wrapper of
`sp_stop_stream_processor`, so that the stop is a numbered config with a record in the session, as
any other. What a limit is and what came of it stands in `temp/run_limits/`, without secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import ExitCode
from asp_utils.session.files import disk_errors, replace_file
from asp_utils.session.urls import password_spans
from asp_utils.session.wrappers import Wrappers
from asp_utils.units import iso_utc
from asp_utils.workspace import is_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from asp_utils.context import Context

    Caller = tuple[str, str | None, SecretStr | None]
    """URL of the endpoint, database user and password."""

_STOP: Final = "sp_stop_stream_processor"
_KEEPER: Final = (sys.executable, "-P", "-m", "asp_utils.run_limits")
_VARIABLE: Final = "ASP_RUN_LIMIT"
"""Prefix of what the keeper hands to the stop that it calls; set, it says who calls."""
_LONGEST_WAIT_S: Final = 5.0
"""A machine that sleeps wakes up to a later hour: the clock is looked at this often."""
_RETRY_S: Final = 30.0
_SAID_CHARS: Final = 500
_GIVE_UP_S: Final = 7 * 86_400.0
_DOES_NOT_RUN: Final = (ExitCode.NOT_FOUND, ExitCode.CONFLICT)


@dataclass(frozen=True)
class RunLimit:
    """One limit, as its file in `temp/run_limits/` keeps it."""

    name: str
    """Name of the stream processor."""
    stream_processor_url: str
    """The endpoint, without a password."""
    stop_at: str
    """When it is stopped, ISO 8601 UTC."""
    state: str
    """`waiting`, `stopped`, `not_running` (there was nothing to stop), or `failed`."""
    error: str = ""
    """Why it could not be stopped, so far."""
    pid: int = 0
    start_ticks: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether the process that is to stop it lives."""
        return self.state == "waiting" and OwnedProcess(self.pid, self.start_ticks).is_alive()

    @property
    def is_lost(self) -> bool:
        """Whether nobody will stop it: its keeper has ended, or has given up."""
        return self.state == "failed" or (self.state == "waiting" and not self.is_kept)


def check_possible(ctx: Context, max_runtime_s: float | None) -> None:
    """Refuse a limit that nobody could keep, before anything is started.

    Raises:
        NotFound: The wrapper that is to stop processors has not been generated.
    """
    if max_runtime_s is not None:
        Wrappers(ctx.root / "temp").require(_STOP)


def set_limit(
    ctx: Context, name: str, caller: Caller, max_runtime_s: float | None
) -> RunLimit | None:
    """Have a processor stopped after `max_runtime_s` seconds; an earlier limit ends.

    Args:
        ctx: Whose project folder keeps the limit.
        name: The stream processor.
        caller: The endpoint, and who stops it there.
        max_runtime_s: None sets no new limit.

    Raises:
        NotFound: The wrapper that is to stop it has not been generated.
        EnvironmentMissing: The disk refuses it, or no process can be started.
    """
    url, user, password = caller
    end_limit(ctx, name, url)
    if max_runtime_s is None:
        return None
    check_possible(ctx, max_runtime_s)
    secret = password.get_secret_value() if password is not None else None
    path = _path(ctx.root, name, url)
    stop_at = datetime.fromtimestamp(time.time() + max_runtime_s, UTC)
    limit = RunLimit(name, _shown(url), iso_utc(stop_at), "waiting")
    given = {"NAME": name, "URL": url, "USER": user, "PASSWORD": secret}
    order = {f"{_VARIABLE}_{key}": value for key, value in given.items() if value is not None}
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        pid, go = _spawn(path, order)
        try:
            process = OwnedProcess.find(pid)
            limit = replace(limit, pid=pid, start_ticks=process.start_ticks if process else 0)
            _write(path, limit)
        finally:
            os.close(go)
    return limit


def end_limit(ctx: Context, name: str, url: str) -> None:
    """Forget the limit of a processor that was stopped or dropped; without one nothing happens."""
    path = _path(ctx.root, name, url)
    limit = _read(path)
    if limit is None or f"{_VARIABLE}_NAME" in os.environ:
        return
    if limit.is_kept:
        OwnedProcess(limit.pid, limit.start_ticks).end(_LONGEST_WAIT_S)
    path.unlink(missing_ok=True)


def limits(root: Path) -> list[RunLimit]:
    """Every limit of a project that has not been ended, the next one first."""
    found = [_read(path) for path in sorted(_folder(root).glob("*.json"))]
    return sorted((each for each in found if each is not None), key=lambda each: each.stop_at)


def keep(path: Path, root: Path, may_stop: Callable[[], bool]) -> RunLimit:
    """Wait until the time is up, stop the processor, and say what came of it.

    Args:
        path: The file of the limit.
        root: The project folder.
        may_stop: Whether the workspace can run anything at all now.
    """
    limit = _read(path)
    if limit is None:
        raise SystemExit(ExitCode.NOT_FOUND)
    stop_at_s = datetime.fromisoformat(limit.stop_at).timestamp()
    while (left_s := stop_at_s - time.time()) > 0:
        time.sleep(min(left_s, _LONGEST_WAIT_S))
    # A limit whose file is gone was ended, or went with its project.
    while limit.state == "waiting" and path.exists():
        if may_stop():
            code, said = _stop(root)
            limit = replace(limit, state=_state_after(code), error="" if code == 0 else said)
            _write(path, limit)
        if limit.state == "waiting":
            if time.time() > stop_at_s + _GIVE_UP_S:
                limit = replace(limit, state="failed")
                _write(path, limit)
                break
            time.sleep(_RETRY_S)
    return limit


def main() -> int:
    """Keep one limit: `python -m asp_utils.run_limits FILE`."""
    path = Path(sys.argv[1]).absolute()
    root = path.parents[2]
    sys.stdin.buffer.read()  # ends when the file names this process
    os.chdir(root)
    return int(keep(path, root, lambda: _can_run(root)).state == "failed")


def _can_run(root: Path) -> bool:
    """Whether its workspace runs: a local instance that is down must not be started for this."""
    if not is_local(os.environ[f"{_VARIABLE}_URL"]):
        return True
    # Needed at the end only, and not for Atlas.
    from asp_utils.server import lifecycle

    return lifecycle.status(root / "temp" / "local") is not None


def _stop(root: Path) -> tuple[int, str]:
    """Exit code of the stop, and what it said last on stderr."""
    parameters = {
        "NAME": "name",
        "URL": "stream_processor_url",
        "USER": "connection_user",
        "PASSWORD": "connection_password",
    }
    config = {
        parameter: {"$env": f"{_VARIABLE}_{key}"} if key in ("URL", "PASSWORD") else value
        for key, parameter in parameters.items()
        if (value := os.environ.get(f"{_VARIABLE}_{key}")) is not None
    }
    if is_local(os.environ[f"{_VARIABLE}_URL"]):
        config["stream_processor_url"] = os.environ[f"{_VARIABLE}_URL"]
    import subprocess  # the keeper alone needs it, whoever sets a limit does not

    wrapper = Wrappers(root / "temp").require(_STOP)
    done = subprocess.run(
        [sys.executable, str(wrapper), "-"],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.strip()[-_SAID_CHARS:]


def _state_after(code: int) -> str:
    """The state of a limit after its stop ended with that exit code."""
    if code == ExitCode.OK:
        return "stopped"
    return "not_running" if code in _DOES_NOT_RUN else "waiting"


def _spawn(path: Path, order: dict[str, str]) -> tuple[int, int]:
    """Start a keeper, detached; its pid, and the descriptor that it waits to see closed."""
    wait, go = os.pipe()
    try:
        null = os.devnull
        # posix_spawn, as subprocess.Popen complains about children that outlive it.
        pid = os.posix_spawn(
            _KEEPER[0],
            [*_KEEPER, str(path)],
            {**os.environ, **order},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, wait, 0),
                (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
            ],
            setsid=True,
            setsigdef=(signal.SIGINT, signal.SIGTERM),
        )
    except OSError:
        os.close(go)
        raise
    finally:
        os.close(wait)
    return pid, go


def _folder(root: Path) -> Path:
    return root / "temp" / "run_limits"


def _path(root: Path, name: str, url: str) -> Path:
    identity = hashlib.sha256(f"{_shown(url)}\n{name}".encode()).hexdigest()
    return _folder(root) / f"{identity[:16]}.json"


def _shown(url: str) -> str:
    """The URL without a password."""
    for start, end, _ in reversed(password_spans(url)):
        url = url[:start] + "***" + url[end:]
    return url


def _write(path: Path, limit: RunLimit) -> None:
    replace_file(path, json.dumps(asdict(limit), indent=2).encode() + b"\n")


def _read(path: Path) -> RunLimit | None:
    """The limit of a file; None when there is none that can be read."""
    try:
        return RunLimit(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


if __name__ == "__main__":
    sys.exit(main())
