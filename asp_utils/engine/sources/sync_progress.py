"""How far an initial sync has come: its collections, and ranges of `_id` in each.

The set of collections and ranges is fixed at the start; a checkpoint holds all of it.

Source: Atlas page "Configure Multi-Collection Initial Sync"; asp-reference.md 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson import Int64, Timestamp

if TYPE_CHECKING:
    from datetime import datetime

    Document = dict[str, Any]


@dataclass
class Part:
    """A range of `_id` of one collection, copied in the order of `_id`."""

    bounds: Document = field(default_factory=dict)
    """`from` (inclusive), `until` (exclusive), `last` (the newest copied); absent: open, none.
    Null is a value of `_id` like any other, so absence cannot be written as None."""
    done: bool = False


@dataclass
class Target:
    """A collection to copy."""

    db: str
    coll: str
    estimated: int
    parts: list[Part] = field(default_factory=lambda: [Part()])
    copied: int = 0
    failed: bool = False

    @property
    def status(self) -> str:
        """`pending`, `in_progress`, `completed` or `failed`."""
        if self.failed:
            return "failed"
        if all(part.done for part in self.parts):
            return "completed"
        begun = any(part.done or "last" in part.bounds for part in self.parts)
        return "in_progress" if begun else "pending"

    def stats(self) -> Document:
        """The `initialSync` field of the target's stats."""
        return {
            "estimatedDocs": Int64(self.estimated),
            "copiedDocs": Int64(self.copied),
            "status": self.status,
        }


@dataclass
class Progress:
    """A sync begun at one moment, and what of it the engine has taken."""

    started_at: Timestamp
    """The cluster's operation time before the first document was read."""
    wall_time: datetime
    """The cluster's clock at that moment."""
    targets: list[Target]
    """In the order in which they are copied."""

    @property
    def tail_from(self) -> Timestamp:
        """Where tailing begins: what was written up to the start is in the copy."""
        return Timestamp(self.started_at.time, self.started_at.inc + 1)

    @property
    def finished(self) -> bool:
        """Whether every document has been taken."""
        return all(part.done for target in self.targets for part in target.parts)

    def took(self, target: int, part: int, last: Any) -> None:
        """Note that the engine has taken the document of this `_id`."""
        self.targets[target].copied += 1
        self.targets[target].parts[part].bounds["last"] = last

    def done(self, target: int, part: int) -> None:
        """Note that there is no further document in a range."""
        self.targets[target].parts[part].done = True

    def stats(self) -> Document:
        """The summed `initialSync` field of the source operator's stats."""
        return {
            "estimatedDocs": Int64(sum(target.estimated for target in self.targets)),
            "copiedDocs": Int64(sum(target.copied for target in self.targets)),
        }

    def to_position(self) -> Document:
        """The form that a checkpoint keeps; a copy, so later progress does not show in it."""
        return {
            "startedAt": self.started_at,
            "wallTime": self.wall_time,
            "targets": [
                {
                    "db": target.db,
                    "coll": target.coll,
                    "estimated": target.estimated,
                    "copied": target.copied,
                    "parts": [{**part.bounds, "done": part.done} for part in target.parts],
                }
                for target in self.targets
            ],
        }

    @classmethod
    def from_position(cls, position: Document) -> Progress:
        """What `to_position` gave."""
        targets = [
            Target(
                item["db"],
                item["coll"],
                item["estimated"],
                [_part(part) for part in item["parts"]],
                item["copied"],
            )
            for item in position["targets"]
        ]
        return cls(position["startedAt"], position["wallTime"], targets)


def _part(item: Document) -> Part:
    return Part({key: value for key, value in item.items() if key != "done"}, item["done"])
