"""The files of a local instance: who runs it, where it answers, what stays across restarts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asp_utils.clients.owned_process import OwnedProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

USER: Final = "asp_local"
_PASSWORD_BYTES: Final = 24
_MAX_LOG_BYTES: Final = 5_000_000
_MAX_SOCKET_PATH_BYTES: Final = 108
"""What fits into `struct sockaddr_un`, its ending zero included."""
_Shape = TypeVar("_Shape")


@dataclass(frozen=True)
class InstanceState:
    """A running local instance, as its file `instance.json` (mode 0600) describes it."""

    stream_processor_url: str
    """`mongodb://127.0.0.1:PORT/?authSource=admin`."""
    connection_user: str
    connection_password: str = field(repr=False)
    mongod_uri: str
    """The mongod behind the connection `local_cluster`."""
    ports: dict[str, int]
    """`stream_endpoint`, and `mongod` when the instance started one."""
    pids: dict[str, int]
    """`instance`, and `mongod` when the instance started one."""
    start_ticks: dict[str, int]
    """The start time of each of these processes, which tells it from a later one of that pid."""
    started_at: str
    """ISO 8601, UTC."""
    folder: str

    @property
    def file(self) -> Path:
        """The file that holds all this."""
        return InstanceFolder(Path(self.folder)).state_path

    @property
    def socket_path(self) -> Path | None:
        """The endpoint's Unix socket, for processes of the same user; None when there is none."""
        return InstanceFolder(Path(self.folder)).usable_socket()

    @property
    def supervisor_pid(self) -> int:
        """Process id of the daemon that answers and supervises."""
        return self.pids["instance"]

    def process(self, role: str) -> OwnedProcess | None:
        """The process of that role as it was recorded; None when there was none."""
        if role not in self.pids:
            return None
        return OwnedProcess(self.pids[role], self.start_ticks[role])


@dataclass(frozen=True)
class Settings:
    """What stays the same whenever the instance of this folder is started."""

    connection_user: str
    connection_password: str = field(repr=False)
    ports: dict[str, int]


@dataclass(frozen=True)
class InstanceFolder:
    """Paths and files of one local instance."""

    path: Path

    @property
    def state_path(self) -> Path:
        """The file that exists while the instance answers."""
        return self.path / "instance.json"

    @property
    def log_path(self) -> Path:
        """The daemon's log."""
        return self.path / "instance.log"

    @property
    def lock_path(self) -> Path:
        """The file that the daemon keeps locked as long as it lives."""
        return self.path / "instance.lock"

    def usable_socket(self) -> Path | None:
        """The Unix socket of the endpoint; None where the folder's path is too long for one."""
        path = self.path / "endpoint.sock"
        return path if len(os.fsencode(path)) < _MAX_SOCKET_PATH_BYTES else None

    @property
    def mongod_folder(self) -> Path:
        """The files of the mongod that the instance starts."""
        return self.path / "mongod"

    def create(self) -> None:
        """Create the folder, for its owner only."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin_log(self) -> int:
        """Put a long log aside; the position at which new lines will begin."""
        if not self.log_path.exists():
            return 0
        size = self.log_path.stat().st_size
        if size <= _MAX_LOG_BYTES:
            return size
        self.log_path.replace(self.log_path.with_suffix(".log.old"))
        return 0

    def try_lock(self) -> int | None:
        """Lock the folder; the file descriptor that holds the lock, None if another has it."""
        return self._flock(fcntl.LOCK_EX)

    def is_locked(self) -> bool:
        """Whether a daemon lives, or one is just being started."""
        if not self.lock_path.exists():
            return False
        descriptor = self._flock(fcntl.LOCK_SH)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def read_state(self) -> InstanceState | None:
        """What `instance.json` says, however old; None when there is none that can be read."""
        return _read(self.state_path, InstanceState)

    def write_state(self, state: InstanceState) -> None:
        """Say that the instance answers."""
        _write(self.state_path, asdict(state))

    def remove_state(self) -> None:
        """Say that the instance does not answer."""
        self.state_path.unlink(missing_ok=True)

    def settings(self) -> Settings:
        """The settings of the last time; new ones (with a new password) the first time."""
        kept = _read(self._settings_path, Settings)
        return kept or Settings(USER, secrets.token_urlsafe(_PASSWORD_BYTES), {})

    def keep_settings(self, settings: Settings) -> None:
        """Keep settings for the next time."""
        _write(self._settings_path, asdict(settings))

    @property
    def _settings_path(self) -> Path:
        return self.path / "settings.json"

    def _flock(self, kind: int) -> int | None:
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


def _read(path: Path, shape: type[_Shape]) -> _Shape | None:
    """A dataclass from its JSON file; None when there is no file that fits."""
    try:
        document = json.loads(path.read_bytes())
        return shape(**document)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file of mode 0600 at once."""
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    partial.replace(path)
