"""The logs of a workspace: downloaded, taken apart line by line, filtered.

Atlas gives them as one gzip file of lines, mostly JSON, up to five minutes late.

Source: asp-reference.md 3.7, 4.2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.admin.reading import WORKSPACES, get_workspace
from asp_utils.errors import ConfigInvalid, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asp_utils.admin.project import Project

LogKind = Literal["operational", "audit"]
LEVELS: Final = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""From least to most severe."""

_OPERATIONAL: Final = "2025-03-12"
_LEVEL_KEYS: Final = ("level", "severity", "logLevel", "s", "severity_id")
_SPELLINGS: Final = {
    "TRACE": "DEBUG", "D": "DEBUG", "D1": "DEBUG", "DEBUG": "DEBUG",
    "I": "INFO", "INFO": "INFO", "INFORMATIONAL": "INFO", "INFORMATION": "INFO", "NOTICE": "INFO",
    "1": "INFO", "2": "INFO", "LOW": "INFO",
    "W": "WARN", "WARN": "WARN", "WARNING": "WARN", "MEDIUM": "WARN", "3": "WARN",
    "E": "ERROR", "ERR": "ERROR", "ERROR": "ERROR", "HIGH": "ERROR", "4": "ERROR",
    "F": "FATAL", "FATAL": "FATAL", "CRITICAL": "FATAL", "SEVERE": "FATAL", "5": "FATAL",
    "6": "FATAL",
}  # fmt: skip
"""Words and numbers for a level, mongod's and OCSF's among them."""
_PROCESSOR_KEYS: Final = ("processorName", "spName", "streamProcessor", "processor", "name")
_LINE: Final = "line"
_LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024


def log_lines(
    project: Project,
    workspace: str,
    kind: LogKind,
    *,
    from_s: int | None,
    to_s: int | None,
    processor: str | None,
) -> Iterator[str]:
    """The lines of a log as they come.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        kind: What the stream processors did, or what was done to them.
        from_s: Begin, in seconds since 1970.
        to_s: End, in seconds since 1970.
        processor: Only of this stream processor.

    Raises:
        NotFound: There is no such workspace.
        UnexpectedReply: What came is no gzip file, or is cut short.
    """
    get_workspace(project, workspace)
    given = {"startDate": from_s, "endDate": to_s, "spName": processor}
    query = {key: str(value) for key, value in given.items() if value is not None}
    if kind == "audit":
        path, version = project.streams(workspace, "auditLogs"), WORKSPACES
    else:
        path, version = project.streams(workspace, verb="downloadOperationalLogs"), _OPERATIONAL
    yield from lines_of(project.api.download(path, version=version, query=query))


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""The lines that are not empty of a text that comes in pieces.

    Example:
        >>> list(lines_of([b"one\nt", b"wo\n\nthree"]))
        ['one', 'two', 'three']
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (_text(line) for line in whole if line.strip())
        if len(rest) > _LONGEST_LINE_BYTES:
            yield _text(rest)
            rest = b""
    if rest.strip():
        yield _text(rest)


def entry_of(line: str) -> dict[str, Any]:
    """A line as a document: what its JSON says, or `{line}`."""
    try:
        value = json.loads(line)
    except ValueError:
        return {_LINE: line}
    return value if isinstance(value, dict) else {_LINE: value}


def level_of(entry: Mapping[str, Any]) -> str | None:
    """The level of a log entry, one of `LEVELS`; None when it says none.

    Example:
        >>> level_of({"severity": "Informational"})
        'INFO'
    """
    found = (_SPELLINGS.get(str(entry[key]).upper()) for key in _LEVEL_KEYS if key in entry)
    return next((level for level in found if level), None)


def is_about(value: Any, processor: str, key: str = "") -> bool:
    """Whether an entry names a stream processor, at whatever depth.

    Args:
        value: The entry, or a part of it.
        processor: The name.
        key: Where the part stands.
    """
    if isinstance(value, dict):
        return any(is_about(item, processor, inner) for inner, item in value.items())
    if isinstance(value, list):
        return any(is_about(item, processor, key) for item in value)
    return (key in _PROCESSOR_KEYS and value == processor) or (
        key == _LINE and processor in str(value)
    )


def second_of(moment: str | int | None, path: str) -> int | None:
    """A moment as seconds since 1970.

    Args:
        moment: ISO 8601 (UTC where it says no zone), or seconds since 1970.
        path: Where it stands, for the fault.

    Raises:
        ConfigInvalid: It is neither.
    """
    if moment is None or isinstance(moment, int):
        return moment
    from datetime import UTC, datetime

    try:
        read = datetime.fromisoformat(moment)
    except ValueError as error:
        hint = "for instance 2026-01-20T14:30:15Z, or seconds since 1970"
        raise ConfigInvalid("config", [Fault(path, f"{moment!r} is no time", hint)]) from error
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
