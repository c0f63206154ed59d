"""Checkpoints: the source's position and the open windows, as of one moment between batches.

A checkpoint is written under a new number, part by part, then its head is switched over in one
write; what an interrupted one left behind is removed by the next.

Source: Atlas page "Checkpoints" (asp-reference.md 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import bson

from asp_utils.clients.op_msg import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.synchronous.database import Database

    Document = dict[str, Any]

HEADS: Final = "checkpoints"
PARTS: Final = "checkpoint_parts"
_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on."""

    position: Any
    stats: Document
    windows: Iterable[Document] = ()


class CheckpointStore:
    """The checkpoints of one processor, in the local instance's mongod."""

    def __init__(self, database: Database[Document], processor_id: str) -> None:
        self._heads = database[HEADS]
        self._parts = database[PARTS]
        self._id = processor_id

    def load(self) -> Checkpoint | None:
        """The newest whole checkpoint; None when there is none."""
        head = self._heads.find_one({"processorId": self._id})
        if head is None:
            return None
        return Checkpoint(head["position"], head["stats"], self._read_parts(head["number"]))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; until the last step the one before it stays in force."""
        head = self._heads.find_one({"processorId": self._id}, {"number": 1})
        number = head["number"] + 1 if head else 1
        current = {"processorId": self._id, "number": {"$ne": number - 1}}
        self._parts.delete_many(current)
        batch: list[Document] = []
        for order, items in enumerate(_chunked(checkpoint.windows)):
            part = {"processorId": self._id, "number": number, "order": order, "items": items}
            batch.append(part)
            if len(batch) >= _PARTS_AT_ONCE:
                self._parts.insert_many(batch)
                batch = []
        if batch:
            self._parts.insert_many(batch)
        fields = {"number": number, "position": checkpoint.position, "stats": checkpoint.stats}
        self._heads.update_one({"processorId": self._id}, {"$set": fields}, upsert=True)

    def forget(self) -> None:
        """Drop every checkpoint of the processor."""
        self._heads.delete_many({"processorId": self._id})
        self._parts.delete_many({"processorId": self._id})

    def _read_parts(self, number: int) -> Iterator[Document]:
        found = self._parts.find({"processorId": self._id, "number": number}).sort("order", 1)
        for part in found:
            for item in part["items"]:
                yield bson.decode(item, DOCUMENTS)


def _chunked(items: Iterable[Document]) -> Iterator[list[bytes]]:
    """Encoded documents in lists of a few megabytes."""
    chunk: list[bytes] = []
    size = 0
    for item in items:
        encoded = bson.encode(item)
        if chunk and size + len(encoded) > _PART_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(encoded)
        size += len(encoded)
    if chunk:
        yield chunk
