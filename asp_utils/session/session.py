"""One session: numbered configs, their runs, and the audit log that names them all."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.errors import ConfigInvalid, Fault, NotFound, UnexpectedReply
from asp_utils.session import runs
from asp_utils.session.audit import AuditLog
from asp_utils.session.names import config_file_name, config_number, config_title
from asp_utils.session.redaction_key import RedactionKey
from asp_utils.session.secrets import Replaced, replace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from asp_utils.session.records import SessionInfo

INFO_FILE: Final = "session_info.json"


class Session:
    """One session: numbered configs, their runs, and the audit log that names them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = AuditLog(folder)

    @property
    def id(self) -> str:
        """The name of its folder, such as `2026-01-20_14-30-15`."""
        return self.folder.name

    @cached_property
    def info(self) -> SessionInfo:
        """What `session_info.json` says.

        Raises:
            UnexpectedReply: It cannot be read.
        """
        try:
            info: SessionInfo = json.loads((self.folder / INFO_FILE).read_bytes())
            _ = info["defaults"].items(), info["policy"]["approval"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UnexpectedReply(
                f"{self.folder / INFO_FILE} cannot be read: {exc}",
                hint="begin a new session: python session_manager.py new",
            ) from exc
        return info

    @property
    def defaults(self) -> dict[str, Any]:
        """Values of parameters that a config leaves out."""
        return self.info["defaults"]

    def replace_secrets(
        self, config: Mapping[str, Any], secret_parameters: Collection[str] = ()
    ) -> Replaced:
        """The config as it may be stored, its literal secrets tagged with this project's key."""
        return replace_secrets(self.folder.parents[1], config, secret_parameters)

    def add_config(
        self, config: Mapping[str, Any], name: str, operation: str | None = None
    ) -> Path:
        """Write the next numbered config; what looks like a literal secret is taken out.

        Any number of processes may do this at once: numbers are unique and have no gaps.

        Args:
            config: The parameters, JSON or BSON values.
            name: What the file is called after its number; made safe.
            operation: The operation that the config is for, when it is known.

        Raises:
            ConfigInvalid: A value has no JSON form.
            EnvironmentMissing: The disk refuses it.
        """
        content = encoded(self.replace_secrets(config).config)
        with self.log.appending() as log:
            number = log.head.configs + 1
            file_name = self._free_name(number, name)
            log.commit(
                "config_created",
                {"config": file_name, "operation": operation},
                new_files={file_name: content},
                added_configs=1,
            )
        return self.folder / file_name

    def begin_run(
        self,
        config_path: Path,
        operation: str,
        effect: str,
        *,
        dry_run: bool = False,
        literal_secrets_allowed: bool = False,
        max_captured_bytes: int = runs.MAX_CAPTURED_BYTES,
    ) -> runs.Run:
        """Reserve the next run of a config and audit it, before anything is done.

        Raises:
            NotFound: It is no config of this session.
            Conflict: The config was edited after it was recorded.
            EnvironmentMissing: The disk refuses it.
        """
        return runs.begin(
            self.log,
            self.folder / config_path.name,
            operation=operation,
            effect=effect,
            dry_run=dry_run,
            literal_secrets_allowed=literal_secrets_allowed,
            max_captured_bytes=max_captured_bytes,
        )

    def find_config(self, number: int) -> Path:
        """The file of a config by its number.

        Raises:
            NotFound: The session has no config of that number.
        """
        for path in sorted(self.folder.glob(f"{number:03d}_*.json")):
            if config_number(path.name) == number and self.has_config(path.name):
                return path
        raise NotFound(
            f"session {self.id} has no config {number:03d}",
            hint="see its configs: python session_manager.py show",
        )

    def newest_config(self, name: str) -> Path | None:
        """The last config of that name (`environment_apply`); None when there is none."""
        found = [
            (number, path)
            for path in self.folder.glob(f"*_{name}.json")
            if (number := config_number(path.name)) and config_title(path.name) == name
        ]
        return max(found)[1] if found else None

    def has_config(self, file_name: str) -> bool:
        """Whether the audit log names that config."""
        return self.log.find_last("config_created", file_name) is not None

    def operation_of(self, file_name: str) -> str | None:
        """The operation of a config: what it was made for, else what it last ran with."""
        created = self.log.find_last("config_created", file_name)
        operation: str | None = created["operation"] if created else None
        if operation is None:
            started = self.log.find_last("run_started", file_name)
            operation = started["operation"] if started else None
        return operation

    def _free_name(self, number: int, name: str) -> str:
        """A file name that nobody took by hand."""
        file_name, attempt = config_file_name(number, name), 1
        while os.path.lexists(self.folder / file_name):
            attempt += 1
            file_name = config_file_name(number, f"{name[:40]}-{attempt}")
        return file_name


def replace_secrets(
    temp: Path, config: Mapping[str, Any], secret_parameters: Collection[str]
) -> Replaced:
    """The config as it may be stored in the project of that `temp` folder."""
    return replace(config, secret_parameters, RedactionKey(temp).tag)


def encoded(document: Mapping[str, Any]) -> bytes:
    """The text of a stored file.

    Raises:
        ConfigInvalid: A value has no JSON form.
    """
    try:
        return ejson.dumps(document, pretty=True) + b"\n"
    except (TypeError, ValueError, RecursionError) as exc:
        fault = Fault("$", f"it cannot be written as JSON: {exc}", "use JSON and BSON values only")
        raise ConfigInvalid("config", [fault]) from exc
