"""One commit: the output that waits, its dead letters and the checkpoint, in one transaction.

Source: the local instance's own; Atlas delivers at least once (asp-reference.md 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.delivery.checkpoint import HEADS
from asp_utils.engine.delivery.outbox import Entry, Outbox
from asp_utils.engine.delivery.transactions import ManyRefused
from asp_utils.engine.hidden import metadata_of
from asp_utils.engine.sinks import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.synchronous.client_session import ClientSession

    from asp_utils.engine.delivery.checkpoint import Checkpoint, CheckpointStore
    from asp_utils.engine.delivery.ledger import Emitted, Ledger
    from asp_utils.engine.delivery.transactions import Committer
    from asp_utils.engine.delivery.writes import Write

    Document = dict[str, Any]

_AT_ONCE: Final = 32
"""Entries of the outbox in one transaction: each that is refused makes it begin again."""


@dataclass
class Commit:
    """Commits output and checkpoint together.

    Args:
        ledger: Counts, shows and refuses documents.
        committer: Runs transactions.
        store: The checkpoints.
    """

    ledger: Ledger
    committer: Committer
    store: CheckpointStore
    _writes: list[Write] = field(default_factory=list, init=False)
    _owners: dict[int, tuple[Emitted, set[int]]] = field(default_factory=dict, init=False)
    """The batch of each write, and what of that batch was refused."""
    _counted: list[list[Document]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        database = self.committer.sink.client[self.store.database.name]
        self._heads = database[HEADS]
        self._outbox = Outbox(database, self.store.processor_id)

    def deliver_rest(self) -> None:
        """Take over from the worker before this one, and deliver what it left in the outbox."""
        self.committer.take_over(self.store)
        self._deliver(self._outbox.load())

    def run(self, waiting: Sequence[Emitted], make: Callable[[], Checkpoint]) -> None:
        """Write what waits and the checkpoint.

        Raises:
            ProcessorFailed: The target, or the dead letter queue, cannot be written.
        """
        checkpoint = make()
        number = self.store.write_parts(checkpoint)
        for emitted in waiting:
            self._prepare(emitted)

        def switch(session: ClientSession) -> None:
            now = replace(checkpoint, stats=self.ledger.stats.snapshot())
            self.store.switch(number, now, self._heads, session)

        def finish(session: ClientSession) -> None:
            self._count()
            self.ledger.dead_letters.write(session)
            switch(session)

        try:
            self.committer.commit(self._writes, self._refused, finish)
        except ManyRefused:
            self._take_to_outbox(switch)
            self.store.switched(number)
            self._deliver(self._outbox.load())
            return
        self.store.switched(number)
        self._committed()

    def _prepare(self, emitted: Emitted) -> None:
        prepared, rejected = self.committer.sink.prepare(emitted.documents, emitted.variables)
        self.ledger.refuse(rejected, emitted)
        batch = (emitted, {item.index for item in rejected})
        self._owners |= {id(write): batch for write in prepared}
        self._writes += prepared

    def _refused(self, write: Write, reason: str) -> None:
        self._uncount()
        emitted, left_out = self._owners[id(write)]
        left_out.add(write.index)
        self.ledger.refuse([Rejected(write.document, reason, write.index)], emitted)

    def _count(self) -> None:
        if not self._counted:
            batches = {id(batch): batch for batch in self._owners.values()}.values()
            self._counted = [self.ledger.counted(*batch) for batch in batches]

    def _uncount(self) -> None:
        """Take back the count of an attempt that met a conflict behind the last document."""
        for documents in self._counted:
            self.ledger.uncount(documents)
        self._counted = []

    def _committed(self) -> None:
        self.ledger.dead_letters.written()
        for documents in self._counted:
            self.ledger.show(documents)
        self._counted = []

    def _take_to_outbox(self, switch: Callable[[ClientSession], None]) -> None:
        """Commit the checkpoint with everything that is still to be written."""
        entries = []
        for order, write in enumerate(self._writes):
            emitted, _ = self._owners[id(write)]
            metadata = metadata_of(emitted.documents[write.index], emitted.variables)
            entries.append(Entry(order, write, metadata))

        def finish(session: ClientSession) -> None:
            self._outbox.put(entries, session)
            self.ledger.dead_letters.write(session)
            switch(session)

        self.committer.commit([], self._refused, finish)
        self.ledger.dead_letters.written()

    def _deliver(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), _AT_ONCE):
            self._deliver_few(entries[start : start + _AT_ONCE])

    def _deliver_few(self, entries: Sequence[Entry]) -> None:
        """Write entries of the outbox and take them out of it."""
        ledger, left = self.ledger, [entry.write for entry in entries]
        metadata = {id(entry.write): entry.metadata for entry in entries}

        def refused(write: Write, reason: str) -> None:
            self._uncount()
            ledger.refuse_late(write.document, reason, metadata[id(write)])

        def finish(session: ClientSession) -> None:
            if not self._counted:
                documents = [write.document for write in left]
                ledger.count(documents)
                self._counted = [documents]
            self._outbox.remove(entries, session)
            ledger.dead_letters.write(session)
            self.store.keep_stats(ledger.stats.snapshot(), self._heads, session)

        self.committer.commit(left, refused, finish, patience=len(entries))
        self._committed()
