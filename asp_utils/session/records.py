"""The exact shapes of what a session keeps on disk.

Writers import these for annotations only; readers validate with them through pydantic, which
takes `typing_extensions.TypedDict` alone on Python 3.11.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

Event = Literal["session_created", "config_created", "run_started", "run_ended", "run_refused"]


class Policy(TypedDict):
    """What a session asks for before it acts."""

    approval: Literal["none"]
    """Which effects need a person's approval."""


class SessionInfo(TypedDict):
    """`session_info.json`."""

    id: str
    created: str
    """ISO 8601, UTC."""
    policy: Policy
    defaults: dict[str, Any]
    """Values of parameters that a config leaves out."""
    tool_version: str


class AuditLine(TypedDict):
    """One line of `audit.jsonl`; the last one is the state of the session."""

    seq: int
    """1, 2, 3, …"""
    at: str
    """ISO 8601, UTC."""
    event: Event
    configs: int
    """How many configs the session has, this line's included."""
    prev: str
    """SHA-256 of the line before (its bytes without the newline); zeros in the first line."""
    files: dict[str, str]
    """The files that this event brought, each with its SHA-256."""
    sum: str
    """SHA-256 of this line without `sum`: a changed last line shows too."""
    repaired_bytes: NotRequired[int]
    """Length of a line that a killed process had begun and that was cut off before this one."""
    config: NotRequired[str]
    """The config's file name."""
    operation: NotRequired[str | None]
    run: NotRequired[int]
    effect: NotRequired[str]
    config_sha256: NotRequired[str]
    dry_run: NotRequired[bool]
    literal_secrets_allowed: NotRequired[bool]
    pid: NotRequired[int]
    start_ticks: NotRequired[int]
    """When that process began, in the kernel's ticks: tells it from a later one of that pid."""
    exit_code: NotRequired[int]
    reason: NotRequired[str]
    """Why a run was refused."""


class OutputRecord(TypedDict):
    """What a run printed on stdout."""

    file: str | None
    """The file that holds it; null when nothing was printed."""
    count: int
    """Lines printed."""
    bytes: int
    """Bytes printed."""
    sha256: str | None
    """SHA-256 of the file."""
    truncated: bool
    """Whether more was printed than the file holds."""


class RunRecord(TypedDict):
    """`NNN_name.run-K.json`: one run of one config."""

    session: str
    config: str
    config_sha256: str
    run: int
    operation: str
    effect: str
    dry_run: bool
    literal_secrets_allowed: bool
    started_at: str
    """ISO 8601, UTC."""
    ended_at: str
    """ISO 8601, UTC."""
    duration_ms: int
    exit_code: int
    error: dict[str, Any] | None
    """The error object: code, message, hint, path, retryable, details."""
    output: OutputRecord
    summary: dict[str, Any]
    """Facts about the run that the runner adds."""
    tool_version: str
