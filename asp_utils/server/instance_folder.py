"""The files of a local instance: who runs it, where it answers, what stays across restarts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar
from uuid import uuid4

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.whole_files import replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import DataclassInstance

USER: Final = "asp_local"
_PASSWORD_BYTES: Final = 24
_ID_BYTES: Final = 12
_PUBLIC_KEY_LENGTH: Final = 8
_MAX_LOG_BYTES: Final = 5_000_000
_MAX_SOCKET_PATH_BYTES: Final = 108
"""What fits into `struct sockaddr_un`, its ending zero included."""
_Shape = TypeVar("_Shape", bound="DataclassInstance")


class WorkspaceAddress(TypedDict):
    """Where a workspace of the local instance answers."""

    name: str
    """Its name."""
    id: str
    """24 hexadecimal digits."""
    stream_processor_url: str
    """`mongodb://127.0.0.1:PORT/?authSource=admin`, without TLS."""
    tls_host: str
    """`atlas-stream-….mongodb.net:PORT`, a name of Atlas's form for the one TLS port."""


@dataclass(frozen=True)
class InstanceState:
    """A running local instance, as its file `instance.json` (mode 0600) describes it.

    What has a default is missing in the file of an older version.
    """

    stream_processor_url: str
    """`mongodb://127.0.0.1:PORT/?authSource=admin` of the workspace `local`."""
    connection_user: str
    connection_password: str = field(repr=False)
    mongod_uri: str
    """The mongod behind the connection `local_cluster`."""
    ports: dict[str, int]
    """`stream_endpoint`, `stream_endpoint_tls`, `admin_api`, `admin_api_https`, and `mongod` when
    the instance started one."""
    pids: dict[str, int]
    """`instance`, and `mongod` when the instance started one."""
    start_ticks: dict[str, int]
    """The start time of each of these processes, which tells it from a later one of that pid."""
    started_at: str
    """ISO 8601, UTC."""
    folder: str
    workspaces: list[WorkspaceAddress] = field(default_factory=list)
    """Every workspace, `local` first."""
    admin_api_url: str = ""
    """`http://127.0.0.1:PORT`."""
    admin_api_https_url: str = ""
    """`https://127.0.0.1:PORT`, with a certificate of the authority in `ca_file`."""
    ca_file: str = ""
    """The authority of both TLS ports, PEM."""
    project_id: str = ""
    """The one project of the Admin API."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    """With `client_id`: the service account."""
    public_key: str = ""
    private_key: str = field(default="", repr=False)
    """With `public_key`: the API key, for digest."""
    allow_anonymous: bool = False
    """Whether the Admin API answers callers that name no credentials."""

    @property
    def file(self) -> Path:
        """The file that holds all this."""
        return InstanceFolder(Path(self.folder)).state_path

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket of the workspace `local`, for processes of the same user, if any."""
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
    project_id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))
    client_id: str = field(default_factory=lambda: f"mdb_sa_id_{secrets.token_hex(_ID_BYTES)}")
    client_secret: str = field(
        default_factory=lambda: f"mdb_sa_sk_{secrets.token_urlsafe(_PASSWORD_BYTES)}", repr=False
    )
    public_key: str = field(default_factory=lambda: _letters(_PUBLIC_KEY_LENGTH))
    private_key: str = field(default_factory=lambda: str(uuid4()), repr=False)
    allow_anonymous: bool = False
    """Whether the Admin API answers callers that name no credentials."""


class KeptSettings:
    """The settings of a running instance: whoever changes one, all see it, and it is kept."""

    def __init__(self, place: InstanceFolder) -> None:
        self._place = place
        self._told: list[Callable[[], None]] = []
        self.current = place.settings()
        """The settings now."""

    def change(self, **changes: Any) -> None:
        """Change some of them; they are on disk when this returns."""
        self.current = replace(self.current, **changes)
        self._place.keep_settings(self.current)
        for tell in self._told:
            tell()

    def on_change(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after every change."""
        self._told.append(tell)


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

    def usable_socket(self, workspace_id: str | None = None) -> Path | None:
        """The Unix socket of a workspace's endpoint; None where its path would be too long.

        Args:
            workspace_id: None for the workspace `local`.
        """
        path = self.path / f"{workspace_id or 'endpoint'}.sock"
        return path if len(os.fsencode(path)) < _MAX_SOCKET_PATH_BYTES else None

    def log_folder(self, workspace_id: str | None = None) -> Path:
        """The logs of a workspace's workers, one file per processor id; None as above."""
        folder = self.path / "workers"
        return folder / workspace_id if workspace_id else folder

    def audit_path(self, workspace_id: str | None = None) -> Path:
        """The audit log of a workspace, beside the logs of its workers."""
        return self.log_folder(workspace_id) / "audit.jsonl"

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
        """The settings of the last time; new ones (with new secrets) where there were none."""
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


def _letters(count: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(count))


def _read(path: Path, shape: type[_Shape]) -> _Shape | None:
    """A dataclass from its JSON file; None when there is no file that fits."""
    try:
        document = json.loads(path.read_bytes())
        return shape(
            **{each.name: document[each.name] for each in fields(shape) if each.name in document}
        )
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file of mode 0600 at once."""
    replace_private(path, json.dumps(document, indent=2).encode() + b"\n")
