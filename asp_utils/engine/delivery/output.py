"""What becomes of documents that have come through a pipeline: sink, samples, counters.

At least once: documents go to the sink as they come, and the checkpoint follows. Exactly once,
where the sink's collections and the checkpoint live in one server: documents wait for the next
checkpoint, and both are committed in one transaction.

Source: Atlas page "Checkpoints" (asp-reference.md 3.4); exactly-once is the local instance's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.delivery.commit import Commit
from asp_utils.engine.delivery.ledger import Emitted, Ledger
from asp_utils.engine.hidden import metadata_of
from asp_utils.engine.sizes import documents_bytes
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.engine.delivery.checkpoint import Checkpoint, CheckpointStore
    from asp_utils.engine.delivery.transactions import Committer
    from asp_utils.engine.sinks import Sink

    Document = dict[str, Any]

_WAITING_BYTES: Final = 8 * 1024 * 1024
"""What waits for a transaction at most before one is due at once."""
_WAITING_DOCUMENTS: Final = 10_000
"""How many documents do."""
AT_LEAST_ONCE: Final = "atLeastOnce"
EXACTLY_ONCE: Final = "exactlyOnce"


@dataclass
class Output:
    """Takes the documents that leave a pipeline.

    Args:
        sink: Where they go; None for a temporary processor without one.
        metadata_field: `streamMetaFieldName`: the output field that shows the stream metadata.
        ledger: Counts, shows and dead-letters them.
        committer: Writes documents and checkpoint in one transaction; None: at least once.
    """

    sink: Sink | None
    metadata_field: str | None
    ledger: Ledger
    committer: Committer | None = None
    _waiting: list[Emitted] = field(default_factory=list, init=False)
    _waiting_bytes: int = field(default=0, init=False)
    _waiting_count: int = field(default=0, init=False)
    _has_begun: bool = field(default=False, init=False)
    """Whether what a worker before this one left behind is delivered."""

    @property
    def guarantee(self) -> str:
        """How often a document reaches the sink when something is killed."""
        return EXACTLY_ONCE if self.committer else AT_LEAST_ONCE

    @property
    def waits(self) -> bool:
        """Whether documents or dead letters wait for a checkpoint."""
        return bool(self._waiting or (self.committer and self.ledger.dead_letters.waits))

    @property
    def is_full(self) -> bool:
        """Whether so much waits that a checkpoint is due at once."""
        return self._waiting_bytes >= _WAITING_BYTES or self._waiting_count >= _WAITING_DOCUMENTS

    def take(
        self,
        documents: list[Document],
        variables: Mapping[str, Any] | None,
        read_us: int | None = None,
        size_bytes: int | None = None,
    ) -> None:
        """Take documents that have come through.

        Args:
            documents: With hidden fields.
            variables: The window's metadata, after a window.
            read_us: When they were read; None after a window.
            size_bytes: Their BSON size, where it is known.

        Raises:
            ProcessorFailed: The sink cannot be reached.
        """
        if not documents:
            return
        if METADATA_FIELD in documents[0]:
            size_bytes = None
        if self.metadata_field:
            size_bytes = None
            for document in documents:
                document[self.metadata_field] = metadata_of(document, variables)
        emitted = Emitted(documents, variables, read_us, size_bytes)
        if self.committer is not None:
            self._waiting.append(emitted)
            if size_bytes is None:
                size_bytes = documents_bytes(documents)
            self._waiting_bytes += size_bytes
            self._waiting_count += len(documents)
            return
        rejected = self.sink.write(documents, variables) if self.sink else []
        self.ledger.refuse(rejected, emitted)
        self.ledger.show(self.ledger.counted(emitted, {item.index for item in rejected}))

    def poll(self) -> None:
        """Let the sink do what is due by the clock, and hear of late refusals."""
        if self.sink is not None:
            self.ledger.refuse(self.sink.poll(), None)

    def finish(self) -> None:
        """Hand over everything: nothing comes any more, and no checkpoint keeps what is held.

        Raises:
            ProcessorFailed: The sink cannot be reached.
        """
        if self.sink is not None:
            self.ledger.refuse(self.sink.finish(), None)
        self.ledger.dead_letters.flush()

    def checkpoint(self, store: CheckpointStore | None, make: Callable[[], Checkpoint]) -> None:
        """Hand everything over and keep a checkpoint of it.

        Args:
            store: Where; None where nothing is kept.
            make: Gives the checkpoint when everything has been counted.

        Raises:
            ProcessorFailed: The sink, or the dead letter queue, cannot be written.
        """
        if self.committer is not None and store is not None:
            self._commit(self.committer, store, make)
            return
        if self.sink is not None:
            self.ledger.refuse(self.sink.flush(), None)
        self.ledger.dead_letters.flush()
        if store is not None:
            store.save(make())

    def _commit(
        self, committer: Committer, store: CheckpointStore, make: Callable[[], Checkpoint]
    ) -> None:
        """Write what waits and the checkpoint in one transaction."""
        if not self._has_begun:
            Commit(self.ledger, committer, store).deliver_rest()
            self._has_begun = True
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = self._waiting_count = 0
        Commit(self.ledger, committer, store).run(waiting, make)
