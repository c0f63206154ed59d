"""One run of a config: begun in the audit log, captured line by line, ended with its record."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import Conflict, NotFound
from asp_utils.session.files import disk_errors, sha256_hex, write_all
from asp_utils.session.names import run_output_name, run_record_name
from asp_utils.session.version import TOOL_VERSION
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from asp_utils.session.audit import AuditLog
    from asp_utils.session.records import OutputRecord, RunRecord

MAX_CAPTURED_BYTES: Final = 10 * 1024 * 1024
"""How much of a run's output is kept; what comes after it is only counted."""


class Capture:
    """The lines that a run printed, kept up to a bound and counted beyond it."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._descriptor: int | None = None
        self._kept_bytes = self._count = self._bytes = 0
        self._truncated = False

    def write(self, line: bytes) -> None:
        """Take one line, its newline included."""
        self._count += 1
        self._bytes += len(line)
        # Nothing is kept after the first line that does not fit: the file is a beginning.
        if self._truncated or self._kept_bytes + len(line) > self._max_bytes:
            self._truncated = True
            return
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o644)
        write_all(self._descriptor, line)
        self._kept_bytes += len(line)
        self._digest.update(line)

    def close(self) -> OutputRecord:
        """End the file and say what came."""
        written = self._kept_bytes > 0
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        return {
            "file": self._path.name if written else None,
            "count": self._count,
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest() if written else None,
            "truncated": self._truncated,
        }


class Run:
    """A run that has begun; `finish` ends it.

    Attributes:
        number: 1 for the first run of a config, then 2, 3, …
        record_path: Where the record will be.
        output_path: Where the captured output is, if anything is printed.
    """

    def __init__(
        self, log: AuditLog, config_path: Path, started: Mapping[str, Any], max_bytes: int
    ) -> None:
        folder, config = config_path.parent, config_path.name
        self.number: int = started["run"]
        self.record_path = folder / run_record_name(config, self.number)
        self.output_path = folder / run_output_name(config, self.number)
        self._log = log
        self._started = started
        self._started_at = datetime.now(UTC)
        self._began_s = time.monotonic()
        self._capture = Capture(self.output_path, max_bytes)
        self._output: OutputRecord | None = None

    def write_output(self, line: bytes) -> None:
        """Keep one line of stdout, as it was printed and with its newline.

        Raises:
            EnvironmentMissing: The disk refuses it.
        """
        with disk_errors(self.output_path):
            self._capture.write(line)

    def finish(
        self,
        exit_code: int,
        *,
        error: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        duration_ms: int | None = None,
    ) -> Path:
        """Write the run record and audit the end; a second call changes nothing.

        Args:
            exit_code: What the process exits with.
            error: The error object, its secrets redacted.
            summary: Further facts for the record, their secrets redacted.
            duration_ms: How long it took; since `begin_run` when None.

        Returns:
            The path of the record.

        Raises:
            EnvironmentMissing: The disk refuses it.
        """
        ended_earlier = self._output is not None
        self._output = self._output or self._capture.close()
        record = self._record(exit_code, self._output, error, summary, duration_ms)
        content = ejson.dumps(record, pretty=True) + b"\n"
        output = self._output
        written = {output["file"]: output["sha256"]} if output["file"] and output["sha256"] else {}
        with self._log.appending() as log:
            # A signal may have come after the line was written and before the caller knew it.
            if ended_earlier and self.record_path.exists():
                return self.record_path
            log.commit(
                "run_ended",
                {"config": record["config"], "run": self.number, "exit_code": int(exit_code)},
                new_files={self.record_path.name: content},
                written_files=written,
            )
        return self.record_path

    def _record(
        self,
        exit_code: int,
        output: OutputRecord,
        error: Mapping[str, Any] | None,
        summary: Mapping[str, Any] | None,
        duration_ms: int | None,
    ) -> RunRecord:
        started = self._started
        if duration_ms is None:
            duration_ms = round((time.monotonic() - self._began_s) * 1000)
        return {
            "session": self.record_path.parent.name,
            "config": started["config"],
            "config_sha256": started["config_sha256"],
            "run": self.number,
            "operation": started["operation"],
            "effect": started["effect"],
            "dry_run": started["dry_run"],
            "literal_secrets_allowed": started["literal_secrets_allowed"],
            "started_at": iso_utc(self._started_at),
            "ended_at": iso_utc(datetime.now(UTC)),
            "duration_ms": duration_ms,
            "exit_code": int(exit_code),
            "error": dict(error) if error is not None else None,
            "output": output,
            "summary": dict(summary or {}),
            "tool_version": TOOL_VERSION,
        }


def begin(
    log: AuditLog,
    config_path: Path,
    *,
    operation: str,
    effect: str,
    dry_run: bool,
    literal_secrets_allowed: bool,
    max_captured_bytes: int = MAX_CAPTURED_BYTES,
) -> Run:
    """Reserve the next run number of a config and audit it, before anything is done.

    Raises:
        NotFound: It is no config of this session, or its file is gone.
        Conflict: The config was edited after it was recorded.
        EnvironmentMissing: The disk refuses it.
    """
    config = config_path.name
    with log.appending() as held:
        created = held.find_last("config_created", config)
        if created is None or not config_path.exists():
            raise NotFound(f"{config_path} is not a config of this session")
        sha256 = sha256_hex(config_path.read_bytes())
        if sha256 != created["files"][config]:
            held.commit("run_refused", {"config": config, "reason": "the config was edited"})
            raise Conflict(
                f"{config_path} was edited after it was recorded",
                hint="leave numbered configs as they are; write a new one: "
                "python session_manager.py config OPERATION --from FILE",
            )
        process = OwnedProcess.find(os.getpid())
        before = held.find_last("run_started", config)
        started: dict[str, Any] = {
            "config": config,
            "run": before["run"] + 1 if before else 1,
            "operation": operation,
            "effect": effect,
            "dry_run": dry_run,
            "literal_secrets_allowed": literal_secrets_allowed,
            "config_sha256": sha256,
            "pid": os.getpid(),
            "start_ticks": process.start_ticks if process else 0,
        }
        held.commit("run_started", started)
    return Run(log, config_path, started, max_captured_bytes)
