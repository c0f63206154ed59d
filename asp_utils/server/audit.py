"""Who changed what in a workspace, over REST or on the stream endpoint: one JSON line for each.

The lines have the form of OCSF's class "API Activity", which is what Atlas writes. They name what
was changed and never hold what was given, as that may be a secret.

Source: asp-reference.md 3.7 and 4.2; https://schema.ocsf.io/1.3.0/classes/api_activity
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from pathlib import Path

_CATEGORY: Final = 6
_CLASS: Final = 6003
_MAX_BYTES: Final = 20_000_000
_ACTIVITIES: Final = ("Create", "Read", "Update", "Delete")
"""In the order of their ids, which begin at 1; any other has the id 99."""
_OTHER: Final = 99
CHANGING: Final = {
    "createStreamProcessor": "Create",
    "modifyStreamProcessor": "Update",
    "startStreamProcessor": "Start",
    "stopStreamProcessor": "Stop",
    "dropStreamProcessor": "Delete",
    "processStreamProcessor": "Process",
    "localUpsertConnections": "Update",
    "localDropConnections": "Delete",
    "localConfigureEngine": "Update",
    "localConfigureAdminApi": "Update",
}
"""The commands of the stream endpoint that are noted, and what each does."""


@dataclass(frozen=True)
class Deed:
    """One change, or a try at one."""

    operation: str
    """The command, or the method and path."""
    activity: str
    """Create, Update, Delete, Start …"""
    user: str
    address: str
    resource: str = ""
    """The name of what was changed."""
    processor: str = ""
    """The same, where it is a processor."""
    error: str = ""
    """The code of the refusal; empty when it was done."""

    def to_line(self, workspace: str) -> bytes:
        """The line that is kept, with its line end."""
        known = self.activity in _ACTIVITIES
        activity_id = _ACTIVITIES.index(self.activity) + 1 if known else _OTHER
        kind = "stream_processor" if self.processor else "other"
        line: dict[str, Any] = {
            "time": time.time_ns() // 1_000_000,
            "category_uid": _CATEGORY,
            "category_name": "Application Activity",
            "class_uid": _CLASS,
            "class_name": "API Activity",
            "activity_id": activity_id,
            "activity_name": self.activity,
            "type_uid": _CLASS * 100 + activity_id,
            "severity_id": 1,
            "status_id": 2 if self.error else 1,
            "status": "Failure" if self.error else "Success",
            **({"status_code": self.error} if self.error else {}),
            "actor": {"user": {"name": self.user}},
            "src_endpoint": {"name": self.address},
            "api": {"operation": self.operation, "group": {"name": workspace}},
            "resources": [{"type": kind, "name": self.resource}] if self.resource else [],
            "metadata": {
                "version": "1.3.0",
                "product": {"name": "ASP toolkit local instance", "vendor_name": "ASP toolkit"},
            },
        }
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


class AuditLog:
    """The file of one workspace; a long one is put aside, and the one before it forgotten.

    Args:
        path: The file.
        workspace: The workspace's name.
    """

    def __init__(self, path: Path, workspace: str) -> None:
        self._path = path
        self._workspace = workspace

    def note(self, deed: Deed) -> None:
        """Add a line; a line is written at once and whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = deed.to_line(self._workspace)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size_bytes = os.fstat(descriptor).st_size
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if size_bytes > _MAX_BYTES:
            self._path.replace(self._older)

    def files(self) -> list[Path]:
        """The files that hold lines, the oldest first."""
        return [path for path in (self._older, self._path) if path.exists()]

    @property
    def _older(self) -> Path:
        return self._path.with_suffix(".jsonl.old")
