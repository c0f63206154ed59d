"""One document on its way into a collection, and the refusal of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One document with everything that was computed for it."""

    index: int
    """Its place in the sink's batch."""
    document: Document
    target: tuple[str, str]
    """Database and collection."""
    when_matched: str
    """merge, replace, keepExisting, delete or pipeline."""
    when_not_matched: str
    """insert or discard."""
    let: Document
    """The variables of a pipeline."""


class WriteRefused(Exception):
    """The target refused one document inside a transaction."""

    def __init__(self, write: Write, reason: str) -> None:
        super().__init__(reason)
        self.write = write
        self.reason = reason
