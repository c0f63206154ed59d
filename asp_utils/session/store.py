"""The sessions of a project: begun, found, added to.

temp/current_session.txt
temp/sessions/2026-01-20_14-30-15/
  session_info.json  audit.jsonl  .lock
  001_sample_data.json  001_sample_data.run-1.json  001_sample_data.run-1.ndjson
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import NotFound, UsageError
from asp_utils.session.audit import LOCK_FILE, AuditLog
from asp_utils.session.files import disk_errors, exclusive, replace_file
from asp_utils.session.names import config_number, session_order
from asp_utils.session.secrets import refuse_literals
from asp_utils.session.session import INFO_FILE, Session, encoded, replace_secrets
from asp_utils.session.version import TOOL_VERSION
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Session", "Store", "find_root"]

APPROVALS: Final = ("none",)
_UNFINISHED: Final = ".new"


def find_root() -> Path:
    """The project: ASP_HOME, else the folder upward that holds `temp` and a project, else cwd."""
    home = os.environ.get("ASP_HOME")
    if home:
        return Path(home).absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        is_project = (folder / "pyproject.toml").exists() or (folder / ".asp").exists()
        if is_project and (folder / "temp").is_dir():
            return folder
    return here


class Store:
    """All sessions of one project.

    Args:
        root: The folder that holds `temp`; `find_root()` when None.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root.absolute() if root is not None else find_root()
        self.temp = self.root / "temp"
        self._folder = self.temp / "sessions"
        self._current_path = self.temp / "current_session.txt"

    def current(self) -> Session | None:
        """The session that work goes to; None when there is none."""
        try:
            session_id = self._current_path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if session_order(session_id) is None or not (self._folder / session_id).is_dir():
            return None
        return Session(self._folder / session_id)

    def current_or_new(self) -> Session:
        """The current session; of several processes that find none, one begins it.

        Raises:
            EnvironmentMissing: The disk refuses it.
        """
        session = self.current()
        if session is not None:
            return session
        with self._locked():
            return self.current() or self._create("none", {})

    def new(self, policy: str = "none", defaults: Mapping[str, Any] | None = None) -> Session:
        """Begin a session and make it the current one.

        Args:
            policy: Which effects need an approval: `none` so far.
            defaults: Values of parameters that its configs may leave out.

        Raises:
            UsageError: There is no such policy.
            ConfigInvalid: A default is a literal secret, or has no JSON form.
            EnvironmentMissing: The disk refuses it.
        """
        if policy not in APPROVALS:
            raise UsageError(
                f"there is no policy {policy!r}", hint=f"there is: {', '.join(APPROVALS)}"
            )
        replaced = replace_secrets(self.temp, defaults or {}, ())
        refuse_literals("session defaults", replaced)
        with self._locked():
            return self._create(policy, replaced.config)

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        if not self._folder.is_dir():
            return []
        ids = [
            (order, path) for path in self._folder.iterdir() if (order := session_order(path.name))
        ]
        return [Session(path) for _, path in sorted(ids)]

    def open(self, session_id: str) -> Session:
        """A session by its id.

        Raises:
            NotFound: There is none of that id.
        """
        if session_order(session_id) is None or not (self._folder / session_id).is_dir():
            raise NotFound(
                f"there is no session {session_id!r}",
                hint="see the sessions: python session_manager.py list",
            )
        return Session(self._folder / session_id)

    def locate(self, config_path: Path) -> tuple[Session, int] | None:
        """The session and number of a config; None when no session of ours names that file."""
        path = config_path.resolve()
        number = config_number(path.name)
        if number is None or path.parent.parent != self._folder.resolve():
            return None
        if session_order(path.parent.name) is None:
            return None
        session = Session(self._folder / path.parent.name)
        return (session, number) if session.has_config(path.name) else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with disk_errors(self.temp):
            self._folder.mkdir(parents=True, exist_ok=True)
            with exclusive(self._folder / LOCK_FILE):
                yield

    def _create(self, policy: str, defaults: Mapping[str, Any]) -> Session:
        """Make a session's folder out of sight, then give it its name."""
        created = datetime.now(UTC)
        session_id = self._free_id(f"{created:%Y-%m-%d_%H-%M-%S}")
        info = {
            "id": session_id,
            "created": iso_utc(created),
            "policy": {"approval": policy},
            "defaults": dict(defaults),
            "tool_version": TOOL_VERSION,
        }
        unfinished = self._folder / _UNFINISHED
        unfinished.mkdir(exist_ok=True)
        for left_over in unfinished.iterdir():
            left_over.unlink()
        with AuditLog(unfinished).creating() as log:
            log.commit("session_created", {}, new_files={INFO_FILE: encoded(info)})
        unfinished.rename(self._folder / session_id)
        replace_file(self._current_path, f"{session_id}\n".encode())
        return Session(self._folder / session_id)

    def _free_id(self, stamp: str) -> str:
        session_id, attempt = stamp, 1
        while (self._folder / session_id).exists():
            attempt += 1
            session_id = f"{stamp}-{attempt}"
        return session_id
