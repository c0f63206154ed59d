"""The audit log of a session: write-ahead log, counter and hash chain in one file.

`audit.jsonl` holds one line per event. The last line is the state, found at the tail at constant
cost. A commit, under the session's lock: write the new files under pending names, append ONE line
that names the final files with their SHA-256, rename. Whoever holds the lock next completes what
a killed process left behind, so that numbers have no gaps and no file is ever half written.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Conflict, UnexpectedReply
from asp_utils.session.files import (
    disk_errors,
    exclusive,
    sha256_hex,
    write_all,
    write_whole,
)
from asp_utils.session.lines import cut_torn_line, is_sealed, last_line, rfind, seal
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from asp_utils.session.records import Event

AUDIT_FILE: Final = "audit.jsonl"
LOCK_FILE: Final = ".lock"
PENDING_PREFIX: Final = ".pending-"
NO_LINE: Final = "0" * 64
"""What the first line names as the SHA-256 of the line before."""


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a session, as its last audit line says."""

    seq: int = 0
    configs: int = 0
    sha256: str = NO_LINE
    """Of the last line's bytes; noted down elsewhere, it pins the whole session."""
    files: Mapping[str, str] = field(default_factory=dict)


class AuditLog:
    """The audit log of one session folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / AUDIT_FILE

    @contextmanager
    def creating(self) -> Iterator[Appender]:
        """Begin the log of a folder that nobody else uses yet.

        Raises:
            EnvironmentMissing: The disk refuses it.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with disk_errors(self._folder):
            descriptor = os.open(self._path, flags, 0o644)
            try:
                yield Appender(self._folder, descriptor, Head(), 0)
            finally:
                os.close(descriptor)

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Hold the session's lock, with all that a killed process left behind completed.

        Raises:
            EnvironmentMissing: The disk refuses it.
            UnexpectedReply: The last line is not one of ours.
        """
        with disk_errors(self._folder), exclusive(self._folder / LOCK_FILE):
            descriptor = self._open()
            try:
                repaired_bytes = cut_torn_line(descriptor)
                appender = Appender(
                    self._folder, descriptor, self._head(descriptor), repaired_bytes
                )
                appender.complete_last()
                yield appender
            finally:
                os.close(descriptor)

    def head(self) -> Head:
        """The state as of now.

        Raises:
            EnvironmentMissing: The disk refuses it.
            UnexpectedReply: The last line is not one of ours.
        """
        with self.appending() as log:
            return log.head

    def find_last(self, event: Event, config: str) -> dict[str, Any] | None:
        """The last line about that config with that event, sought from the end.

        Raises:
            EnvironmentMissing: The disk refuses it.
            UnexpectedReply: The last line, or the one sought, is not one of ours.
        """
        with self.appending() as log:
            return log.find_last(event, config)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise UnexpectedReply(
                f"{self._path} is gone: the session cannot go on",
                hint="begin a new session: python session_manager.py new",
            ) from exc

    def _head(self, descriptor: int) -> Head:
        line = last_line(descriptor)
        try:
            if not is_sealed(line):
                raise ValueError("changed since it was written")
            state = json.loads(line)
            return Head(state["seq"], state["configs"], sha256_hex(line), state["files"])
        except (ValueError, KeyError, TypeError) as exc:
            raise UnexpectedReply(
                f"the last line of {self._path} is not one that a session wrote: {exc}",
                hint="see what was changed: python session_manager.py verify; "
                "then begin a new session: python session_manager.py new",
            ) from exc


class Appender:
    """The log, held by its lock."""

    def __init__(self, folder: Path, descriptor: int, head: Head, repaired_bytes: int) -> None:
        self.head = head
        self._folder = folder
        self._descriptor = descriptor
        self._repaired_bytes = repaired_bytes

    def commit(
        self,
        event: Event,
        fields: Mapping[str, Any],
        *,
        new_files: Mapping[str, bytes] | None = None,
        written_files: Mapping[str, str] | None = None,
        added_configs: int = 0,
    ) -> Head:
        """Append one event together with its files: all of it happens, or nothing.

        Args:
            event: What happened.
            fields: What the line says about it, `config` first.
            new_files: Files to write, by name.
            written_files: SHA-256 of files that are complete under their names already.
            added_configs: How many of the new files are configs.

        Raises:
            Conflict: A file of that name is there although the session never wrote it.
            OSError: The disk refuses it.
        """
        new_files = new_files or {}
        for index, (name, content) in enumerate(new_files.items()):
            self._refuse_taken(name)
            write_whole(self._folder / f"{PENDING_PREFIX}{index}", content)
        digests = {name: sha256_hex(content) for name, content in new_files.items()}
        files = {**digests, **(written_files or {})}
        configs = self.head.configs + added_configs
        line = self._line(event, fields, configs, files)
        self._append(line)
        for index, name in enumerate(new_files):
            (self._folder / f"{PENDING_PREFIX}{index}").rename(self._folder / name)
        self.head = Head(self.head.seq + 1, configs, sha256_hex(line), files)
        return self.head

    def find_last(self, event: Event, config: str) -> dict[str, Any] | None:
        """The last line about that config with that event, sought from the end.

        Raises:
            UnexpectedReply: It was changed.
        """
        line = rfind(self._descriptor, event, config)
        if line is None:
            return None
        if not is_sealed(line):
            raise UnexpectedReply(
                f"the {event} line of {config} in {self._folder / AUDIT_FILE} was changed",
                hint="see what was changed: python session_manager.py verify",
            )
        fields: dict[str, Any] = json.loads(line)
        return fields

    def complete_last(self) -> None:
        """Give files of the last event their names, if a process was killed before it did."""
        for index, (name, sha256) in enumerate(self.head.files.items()):
            path, pending = self._folder / name, self._folder / f"{PENDING_PREFIX}{index}"
            if path.exists() or not pending.exists():
                continue
            if sha256_hex(pending.read_bytes()) == sha256:
                pending.rename(path)

    def _line(
        self, event: Event, fields: Mapping[str, Any], configs: int, files: Mapping[str, str]
    ) -> bytes:
        repaired_bytes, self._repaired_bytes = self._repaired_bytes, 0
        return seal(
            {
                "seq": self.head.seq + 1,
                "at": iso_utc(datetime.now(UTC)),
                "event": event,
                **fields,
                "configs": configs,
                "files": files,
                **({"repaired_bytes": repaired_bytes} if repaired_bytes else {}),
                "prev": self.head.sha256,
            }
        )

    def _append(self, line: bytes) -> None:
        size_before = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, line + b"\n")
        except OSError:
            os.ftruncate(self._descriptor, size_before)
            raise

    def _refuse_taken(self, name: str) -> None:
        if os.path.lexists(self._folder / name):
            raise Conflict(
                f"{self._folder / name} exists although this session never wrote it",
                hint="move it out of the session's folder, then run the config again",
            )
