"""What a session holds, read back from its audit log and run records and checked as it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import UnexpectedReply
from asp_utils.session.audit import AUDIT_FILE
from asp_utils.session.files import disk_errors, sha256_hex
from asp_utils.session.lines import split_lines
from asp_utils.session.names import config_number, run_record_name
from asp_utils.session.records import AuditLine, RunRecord

if TYPE_CHECKING:
    from pathlib import Path

_Shape = TypeVar("_Shape")

AUDIT_LINE: Final = TypeAdapter(AuditLine)
RUN_RECORD: Final = TypeAdapter(RunRecord)


@dataclass
class RunHistory:
    """One run of a config."""

    number: int
    operation: str
    started_at: str
    """ISO 8601, UTC."""
    pid: int
    start_ticks: int
    ended_at: str | None = None
    exit_code: int | None = None
    output_count: int | None = None
    """Lines printed; None while the run has no record."""

    @property
    def state(self) -> str:
        """`ended`, `running`, or `interrupted` when its process is gone without a record."""
        if self.ended_at is not None:
            return "ended"
        return "running" if OwnedProcess(self.pid, self.start_ticks).is_alive() else "interrupted"

    def to_json(self) -> dict[str, Any]:
        """The shape that `show --json` prints."""
        return {
            "run": self.number,
            "state": self.state,
            "operation": self.operation,
            "exit_code": self.exit_code,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "output_count": self.output_count,
        }


@dataclass
class ConfigHistory:
    """One config and its runs."""

    number: int
    file: str
    operation: str | None
    created_at: str
    """ISO 8601, UTC."""
    runs: dict[int, RunHistory] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The shape that `show --json` prints."""
        return {
            "number": self.number,
            "file": self.file,
            "operation": self.operation,
            "created_at": self.created_at,
            "runs": [run.to_json() for run in self.runs.values()],
        }


@dataclass
class History:
    """All that happened in one session."""

    configs: dict[str, ConfigHistory]
    seq: int
    """Lines of the audit log."""
    head_sha256: str
    """SHA-256 of the last line; noted down elsewhere, it pins the session as it is now."""


def read_history(folder: Path) -> History:
    """Read a session's audit log and run records.

    Raises:
        UnexpectedReply: A line or a record is not one of ours.
    """
    with disk_errors(folder):
        lines, _ = split_lines((folder / AUDIT_FILE).read_bytes())
    configs: dict[str, ConfigHistory] = {}
    for number, text in enumerate(lines, start=1):
        _take(configs, _checked(AUDIT_LINE, text, f"{folder / AUDIT_FILE}:{number}"))
    for config in configs.values():
        for run in config.runs.values():
            if run.ended_at is not None:
                run.output_count = _output_count(folder / run_record_name(config.file, run.number))
    return History(configs, len(lines), sha256_hex(lines[-1]) if lines else "")


def _take(configs: dict[str, ConfigHistory], line: AuditLine) -> None:
    file = line.get("config", "")
    if line["event"] == "config_created":
        number = config_number(file) or 0
        configs[file] = ConfigHistory(number, file, line.get("operation"), line["at"])
    elif file not in configs:
        return
    elif line["event"] == "run_started":
        operation = line.get("operation") or ""
        configs[file].operation = configs[file].operation or operation
        configs[file].runs[line["run"]] = RunHistory(
            line["run"], operation, line["at"], line["pid"], line["start_ticks"]
        )
    elif line["event"] == "run_ended" and line["run"] in configs[file].runs:
        run = configs[file].runs[line["run"]]
        run.ended_at, run.exit_code = line["at"], line["exit_code"]


def _output_count(record_path: Path) -> int | None:
    """What the record says; None when the record was taken away (`verify` says so)."""
    if not record_path.exists():
        return None
    record = _checked(RUN_RECORD, record_path.read_bytes(), str(record_path))
    return record["output"]["count"]


def _checked(adapter: TypeAdapter[_Shape], text: bytes, place: str) -> _Shape:
    try:
        return adapter.validate_json(text)
    except ValidationError as exc:
        raise UnexpectedReply(
            f"{place} cannot be read: {first_error(exc)}",
            hint="see what was changed: python session_manager.py verify",
        ) from exc


def first_error(error: ValidationError) -> str:
    """What pydantic found first, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
