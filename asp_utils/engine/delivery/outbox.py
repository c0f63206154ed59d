"""Output whose position is committed already, on its way to the target: for many refusals.

A refused document ends its transaction, so a commit with many of them would be tried again and
again as a whole. Instead its documents are kept here, in one transaction with the checkpoint, and
from here they go to the target a few at a time, each few in one transaction with their removal.
What is left after a kill is delivered by the next worker, before anything else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import bson

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.delivery.checkpoint import OUTBOX
from asp_utils.engine.delivery.writes import Write
from asp_utils.engine.sizes import by_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo.synchronous.client_session import ClientSession
    from pymongo.synchronous.collection import Collection
    from pymongo.synchronous.database import Database

    Document = dict[str, Any]

_PIECE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """One document that the target has not seen yet."""

    order: int
    write: Write
    metadata: Document
    """Its stream metadata, for a dead letter."""


class Outbox:
    """The entries of one processor.

    Args:
        database: The local instance's database, by the client whose sessions are used.
        processor_id: Whose output it is.
    """

    def __init__(self, database: Database[Document], processor_id: str) -> None:
        self._id = processor_id
        self._entries: Collection[Document] = database[OUTBOX]

    def put(self, entries: Sequence[Entry], session: ClientSession) -> None:
        """Keep entries; large ones in pieces, as a wrapped document may exceed what one holds."""
        for part in by_size(piece for entry in entries for piece in self._pieces(entry)):
            self._entries.insert_many(part, session=session)

    def load(self) -> list[Entry]:
        """Everything that is left, in its order."""
        found = self._entries.find({"processorId": self._id}).sort([("order", 1), ("piece", 1)])
        return [
            _entry(order, b"".join(piece["bytes"] for piece in pieces))
            for order, pieces in groupby(found, key=lambda piece: int(piece["order"]))
        ]

    def remove(self, entries: Sequence[Entry], session: ClientSession) -> None:
        """Let go of neighbouring entries that are delivered, or dead."""
        orders = {"$gte": entries[0].order, "$lte": entries[-1].order}
        self._entries.delete_many({"processorId": self._id, "order": orders}, session=session)

    def _pieces(self, entry: Entry) -> Iterator[Document]:
        encoded = bson.encode({"write": asdict(entry.write), "metadata": entry.metadata})
        for piece, start in enumerate(range(0, len(encoded), _PIECE_BYTES)):
            owner = {"processorId": self._id, "order": entry.order, "piece": piece}
            yield {**owner, "bytes": encoded[start : start + _PIECE_BYTES]}


def _entry(order: int, encoded: bytes) -> Entry:
    found: Document = bson.decode(encoded, DOCUMENTS)
    fields = {**found["write"], "target": tuple(found["write"]["target"])}
    return Entry(order, Write(**fields), found["metadata"])
