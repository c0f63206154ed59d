"""Checkpoints: the source's position, open windows and what the sink still holds, of one moment.

A checkpoint is written under a new number, part by part, then its head is switched over in one
write, which may be part of a transaction; what an interrupted one left behind is removed by the
next.

Source: Atlas page "Checkpoints" (asp-reference.md 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import bson

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.synchronous.client_session import ClientSession
    from pymongo.synchronous.collection import Collection
    from pymongo.synchronous.database import Database

    Document = dict[str, Any]

HEADS: Final = "checkpoints"
PARTS: Final = "checkpoint_parts"
COMMITTERS: Final = "committers"
"""Which session each processor commits by, so that the next worker can end it."""
OUTBOX: Final = "outbox"
"""What `engine.delivery.outbox` keeps."""
_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on."""

    position: Any
    stats: Document
    windows: Iterable[Document] = ()
    sink: Iterable[Document] = ()


class CheckpointStore:
    """The checkpoints of one processor, in the local instance's mongod.

    Args:
        database: The local instance's database.
        processor_id: Whose checkpoints.
        uri: Where that mongod is, to tell whether a sink writes to the same; empty: unknown.
    """

    def __init__(self, database: Database[Document], processor_id: str, uri: str = "") -> None:
        self.uri = uri
        self.database = database
        self.processor_id = processor_id
        self._heads = database[HEADS]
        self._parts = database[PARTS]
        self._number: int | None = None
        self._may_have_remains = True

    def load(self) -> Checkpoint | None:
        """The newest whole checkpoint; None when there is none."""
        head = self._heads.find_one({"processorId": self.processor_id})
        if head is None:
            return None
        number = head["number"]
        windows, sink = self._read_parts(number, "windows"), self._read_parts(number, "sink")
        return Checkpoint(head["position"], head["stats"], windows, sink)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; until the last step the one before it stays in force."""
        number = self.write_parts(checkpoint)
        self.switch(number, checkpoint, self._heads)

    def write_parts(self, checkpoint: Checkpoint) -> int:
        """Write what a checkpoint holds beside its head; the number to switch over to."""
        number = self._in_force() + 1
        if self._may_have_remains:
            remains = {"processorId": self.processor_id, "number": {"$ne": number - 1}}
            self._parts.delete_many(remains)
        self._may_have_remains = False
        for kind, documents in (("windows", checkpoint.windows), ("sink", checkpoint.sink)):
            encoded = (bson.encode(document) for document in documents)
            batch: list[Document] = []
            for order, items in enumerate(chunked(encoded)):
                self._may_have_remains = True
                part = {"processorId": self.processor_id, "number": number, "kind": kind}
                batch.append({**part, "order": order, "items": items})
                if len(batch) >= _PARTS_AT_ONCE:
                    self._parts.insert_many(batch)
                    batch = []
            if batch:
                self._parts.insert_many(batch)
        return number

    def switch(
        self,
        number: int,
        checkpoint: Checkpoint,
        heads: Collection[Document],
        session: ClientSession | None = None,
    ) -> None:
        """Put a checkpoint whose parts are written in force.

        Args:
            number: What `write_parts` gave.
            checkpoint: Its position and counters.
            heads: The collection of heads, by the client whose session it is.
            session: A transaction that it is part of; then say `switched` when it is committed.

        Raises:
            ProcessorFailed: Another worker of this processor has taken a checkpoint meanwhile.
        """
        fields = {"number": number, "position": checkpoint.position, "stats": checkpoint.stats}
        owner: Document = {"processorId": self.processor_id}
        first = number == 1
        before = owner if first else {**owner, "number": {"$in": [number - 1, number]}}
        found = heads.update_one(before, {"$set": fields}, upsert=first, session=session)
        if not first and not found.matched_count:
            message = f"checkpoint {number - 1} is no longer in force: another worker has gone on"
            raise ProcessorFailed(1, message, retryable=True)
        if session is None:
            self._number = number

    def keep_stats(
        self, stats: Document, heads: Collection[Document], session: ClientSession
    ) -> None:
        """Keep newer counters with the checkpoint in force."""
        heads.update_one(
            {"processorId": self.processor_id}, {"$set": {"stats": stats}}, session=session
        )

    def switched(self, number: int) -> None:
        """Hear that the transaction was committed."""
        self._number = number

    def claim(self, session_id: Document) -> Document | None:
        """Note the session that commits from now on; the one of the worker before, if any."""
        owner = {"processorId": self.processor_id}
        noted = {"$set": {"lsid": session_id}}
        before = self.database[COMMITTERS].find_one_and_update(owner, noted, upsert=True)
        return before["lsid"] if before else None

    def forget(self) -> None:
        """Drop every checkpoint of the processor."""
        for collection in (self._heads, self._parts, self.database[OUTBOX]):
            collection.delete_many({"processorId": self.processor_id})
        self._number = None

    def _in_force(self) -> int:
        """The number of the checkpoint in force; 0 when there is none."""
        if self._number is None:
            head = self._heads.find_one({"processorId": self.processor_id}, {"number": 1})
            self._number = head["number"] if head else 0
        return self._number

    def _read_parts(self, number: int, kind: str) -> Iterator[Document]:
        wanted = {"processorId": self.processor_id, "number": number, "kind": kind}
        for part in self._parts.find(wanted).sort("order", 1):
            for item in part["items"]:
                yield bson.decode(item, DOCUMENTS)


def chunked(encoded: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Encoded documents in lists of a few megabytes."""
    chunk: list[bytes] = []
    size = 0
    for item in encoded:
        if chunk and size + len(item) > _PART_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += len(item)
    if chunk:
        yield chunk
