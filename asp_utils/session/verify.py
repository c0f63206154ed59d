"""Whether a session is as it was written: every line, every file, every number.

The chain cannot show that complete lines were cut off at the end together with their files, nor
that somebody wrote the whole log anew: for that, note down the head's SHA-256 elsewhere.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.session.audit import (
    AUDIT_FILE,
    LOCK_FILE,
    NO_LINE,
    PENDING_PREFIX,
)
from asp_utils.session.files import disk_errors, exclusive, sha256_hex
from asp_utils.session.history import AUDIT_LINE, first_error
from asp_utils.session.lines import is_sealed, split_lines
from asp_utils.session.names import config_number, run_output_name

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.session.records import AuditLine

_OWN_FILES: Final = frozenset((AUDIT_FILE, LOCK_FILE))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and where."""

    file: str
    message: str
    line: int | None = None
    """Line of `audit.jsonl`, from 1."""

    def to_json(self) -> dict[str, Any]:
        """The shape that `verify --json` prints."""
        return {"file": self.file, "line": self.line, "message": self.message}

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass
class Verification:
    """What was found in one session."""

    faults: list[Finding] = field(default_factory=list)
    """What was changed after it was written."""
    notes: list[Finding] = field(default_factory=list)
    """What is no fault: runs that were interrupted, lines that a killed process left unfinished."""
    lines: int = 0
    """Lines of the audit log."""
    files: int = 0
    """Files that the audit log names."""
    head_sha256: str = NO_LINE
    """SHA-256 of the last line."""

    def to_json(self) -> dict[str, Any]:
        """What `verify --json` prints."""
        return {
            "faults": [fault.to_json() for fault in self.faults],
            "notes": [note.to_json() for note in self.notes],
            "files": self.files,
            "head": {"seq": self.lines, "sha256": self.head_sha256},
        }


@dataclass(frozen=True)
class _Snapshot:
    """A session's folder at one moment, between two commits."""

    folder: Path
    lines: list[bytes]
    torn_bytes: int
    entries: list[str]
    pending: frozenset[str]
    """SHA-256 of the files that a killed process did not come to name."""


def verify(folder: Path) -> Verification:
    """Compare a session with its audit log.

    Writers may go on: what they do after the first moment is not looked at.

    Raises:
        EnvironmentMissing: The folder cannot be read.
    """
    result = Verification()
    with disk_errors(folder):
        if not (folder / AUDIT_FILE).is_file():
            result.faults.append(Finding(AUDIT_FILE, "is missing"))
            return result
        snapshot = _take_snapshot(folder)
        result.lines = len(snapshot.lines)
        lines = _check_chain(snapshot, result)
        _check_files(snapshot, lines, result)
        _report_open_runs(lines, result)
    return result


def _take_snapshot(folder: Path) -> _Snapshot:
    with exclusive(folder / LOCK_FILE):
        lines, torn_bytes = split_lines((folder / AUDIT_FILE).read_bytes())
        entries = sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths
        waiting = [name for name in entries if name.startswith(PENDING_PREFIX)]
        pending = frozenset(sha256_hex((folder / name).read_bytes()) for name in waiting)
    return _Snapshot(folder, lines, torn_bytes, entries, pending)


def _check_chain(snapshot: _Snapshot, result: Verification) -> list[tuple[int, AuditLine]]:
    """Follow the lines from the first to the last; the readable ones, each with its number."""
    chain = _Chain(result)
    if not snapshot.lines:
        result.faults.append(Finding(AUDIT_FILE, "is empty"))
    for number, text in enumerate(snapshot.lines, start=1):
        chain.follow(number, text)
    if snapshot.torn_bytes:
        message = f"ends with {snapshot.torn_bytes} bytes of a line that was never finished"
        result.notes.append(Finding(AUDIT_FILE, message))
    result.head_sha256 = chain.before
    return chain.lines


class _Chain:
    """What each line must continue from the line before."""

    def __init__(self, result: Verification) -> None:
        self.lines: list[tuple[int, AuditLine]] = []
        self.before = NO_LINE
        self._result = result
        self._configs = 0
        self._is_sound = True

    def follow(self, number: int, text: bytes) -> None:
        """Check one line; a fault in it is not told again at the line after it."""
        was_sound, self._is_sound = self._is_sound, True
        before, self.before = self.before, sha256_hex(text)
        try:
            line = AUDIT_LINE.validate_json(text)
        except ValidationError as exc:
            self._fault(number, f"is not a line of an audit log: {first_error(exc)}")
            return
        self.lines.append((number, line))
        if not is_sealed(text):
            self._fault(number, "was edited")
        if line["prev"] != before and was_sound:
            self._fault(number, "does not follow the line before: lines were removed or moved")
        elif line["seq"] != number and was_sound:
            self._fault(number, f"has seq {line['seq']}, and is line {number}")
        self._count(number, line)
        if "repaired_bytes" in line:
            message = f"cut off {line['repaired_bytes']} bytes that a killed process had begun"
            self._result.notes.append(Finding(AUDIT_FILE, message, number))

    def _count(self, number: int, line: AuditLine) -> None:
        expected = self._configs + (line["event"] == "config_created")
        if line["configs"] != expected and self._is_sound:
            self._fault(number, f"counts {line['configs']} configs, and there are {expected}")
        elif line["event"] == "config_created" and self._is_sound:
            config = line.get("config", "")
            if config_number(config) != expected:
                self._fault(number, f"names {config} as config number {expected}")
        self._configs = line["configs"]

    def _fault(self, number: int, message: str) -> None:
        self._is_sound = False
        self._result.faults.append(Finding(AUDIT_FILE, message, number))


def _check_files(
    snapshot: _Snapshot, lines: list[tuple[int, AuditLine]], result: Verification
) -> None:
    named: set[str] = set()
    for number, line in lines:
        for name, sha256 in line["files"].items():
            named.add(name)
            # The last event's files may still wait for their names; the next writer gives them.
            waits = number == len(snapshot.lines) and sha256 in snapshot.pending
            message = _fault_of_file(snapshot.folder, name, sha256, waits=waits)
            if message:
                result.faults.append(Finding(name, f"{message} (audit line {number})"))
    result.files = len(named)
    expected = (
        named | _OWN_FILES | {run_output_name(config, run) for config, run in _open_runs(lines)}
    )
    for name in snapshot.entries:
        if name not in expected and not name.startswith(PENDING_PREFIX):
            result.faults.append(Finding(name, "no audit line names it"))


def _fault_of_file(folder: Path, name: str, sha256: str, *, waits: bool) -> str | None:
    path = folder / name
    if os.sep in name:
        return "is not a file name"
    if not os.path.lexists(path):
        return None if waits else "is missing"
    if not stat.S_ISREG(path.lstat().st_mode):
        return "is no longer a file"
    return None if sha256_hex(path.read_bytes()) == sha256 else "was edited"


def _open_runs(lines: list[tuple[int, AuditLine]]) -> dict[tuple[str, int], tuple[int, AuditLine]]:
    """By config and run, the lines of runs that began and did not end."""
    runs: dict[tuple[str, int], tuple[int, AuditLine]] = {}
    for number, line in lines:
        key = (line.get("config", ""), line.get("run", 0))
        if line["event"] == "run_started":
            runs[key] = (number, line)
        elif line["event"] == "run_ended":
            runs.pop(key, None)
    return runs


def _report_open_runs(lines: list[tuple[int, AuditLine]], result: Verification) -> None:
    for (config, run), (number, line) in _open_runs(lines).items():
        alive = OwnedProcess(line.get("pid", 0), line.get("start_ticks", 0)).is_alive()
        message = f"run {run} of {config} " + ("is running" if alive else "was interrupted")
        result.notes.append(Finding(AUDIT_FILE, message, number))
