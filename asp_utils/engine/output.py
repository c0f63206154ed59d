"""What becomes of documents that have come through a pipeline: sink, samples, counters.

At least once: documents go to the sink as they come, and the checkpoint follows. Exactly once,
where the sink's collections and the checkpoint live in one server: documents wait for the next
checkpoint, and both are committed in one transaction.

Source: Atlas page "Checkpoints" (asp-reference.md 3.4); exactly-once is the local instance's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.checkpoint import HEADS
from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.engine.sinks import Rejected
from asp_utils.engine.sizes import documents_bytes
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.synchronous.client_session import ClientSession

    from asp_utils.engine.checkpoint import Checkpoint, CheckpointStore
    from asp_utils.engine.clock import Clock
    from asp_utils.engine.dead_letters import DeadLetters
    from asp_utils.engine.sinks import Sink
    from asp_utils.engine.stats import Stats
    from asp_utils.engine.transactions import Committer
    from asp_utils.engine.writes import Write

    Document = dict[str, Any]

_WAITING_BYTES: Final = 8 * 1024 * 1024
"""What waits for a transaction at most before one is due at once."""
AT_LEAST_ONCE: Final = "atLeastOnce"
EXACTLY_ONCE: Final = "exactlyOnce"


@dataclass(frozen=True)
class Emitted:
    """A batch of output documents, hidden fields included."""

    documents: list[Document]
    variables: Mapping[str, Any] | None
    """The window's metadata, after a window."""
    read_us: int | None
    """When the batch was read, for the latency; None after a window."""
    size_bytes: int | None = None
    """Its BSON size, where it is known without counting."""


@dataclass
class Output:
    """Takes the documents that leave a pipeline.

    Args:
        sink: Where they go; None for a temporary processor without one.
        path: The sink's JSON path.
        metadata_field: `streamMetaFieldName`: the output field that shows the stream metadata.
        dead_letters: Where refused documents go.
        stats: Where they are counted.
        clock: For latencies.
        show: Is given every batch that was written (for samples).
        committer: Writes documents and checkpoint in one transaction; None: at least once.
    """

    sink: Sink | None
    path: str
    metadata_field: str | None
    dead_letters: DeadLetters
    stats: Stats
    clock: Clock
    show: Callable[[list[Document]], None]
    committer: Committer | None = None
    _waiting: list[Emitted] = field(default_factory=list, init=False)
    _waiting_bytes: int = field(default=0, init=False)

    @property
    def guarantee(self) -> str:
        """How often a document reaches the sink when something is killed."""
        return EXACTLY_ONCE if self.committer else AT_LEAST_ONCE

    @property
    def operator_name(self) -> str:
        """The sink's name in stats and dead letters."""
        return self.sink.operator_name if self.sink else "SinkOperator"

    @property
    def waits(self) -> bool:
        """Whether documents or dead letters wait for a checkpoint."""
        return bool(self._waiting or (self.committer and self.dead_letters.waits))

    @property
    def is_full(self) -> bool:
        """Whether so much waits that a checkpoint is due at once."""
        return self._waiting_bytes >= _WAITING_BYTES

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
            return
        rejected = self.sink.write(documents, variables) if self.sink else []
        self._refuse(rejected, emitted)
        self.show(self._counted(emitted, {item.index for item in rejected}))

    def poll(self) -> None:
        """Let the sink do what is due by the clock, and hear of late refusals."""
        if self.sink is not None:
            self._refuse(self.sink.poll(), None)

    def finish(self) -> None:
        """Hand over everything: nothing comes any more, and no checkpoint keeps what is held.

        Raises:
            ProcessorFailed: The sink cannot be reached.
        """
        if self.sink is not None:
            self._refuse(self.sink.finish(), None)
        self.dead_letters.flush()

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
            self._refuse(self.sink.flush(), None)
        self.dead_letters.flush()
        if store is not None:
            store.save(make())

    def _commit(
        self, committer: Committer, store: CheckpointStore, make: Callable[[], Checkpoint]
    ) -> None:
        """Write what waits and the checkpoint in one transaction."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        checkpoint = make()
        number = store.write_parts(checkpoint)
        heads = committer.sink.client[store.database.name][HEADS]
        writes: list[Write] = []
        owner: dict[int, tuple[Emitted, set[int]]] = {}
        for emitted in waiting:
            prepared, rejected = committer.sink.prepare(emitted.documents, emitted.variables)
            self._refuse(rejected, emitted)
            batch = (emitted, {item.index for item in rejected})
            owner |= {id(write): batch for write in prepared}
            writes += prepared

        def refused(write: Write, reason: str) -> None:
            emitted, left_out = owner[id(write)]
            left_out.add(write.index)
            self._refuse([Rejected(write.document, reason, write.index)], emitted)

        counted: list[list[Document]] = []

        def finish(session: ClientSession) -> None:
            if not counted:
                batches = {id(batch): batch for batch in owner.values()}.values()
                counted.extend(self._counted(*batch) for batch in batches)
            self.dead_letters.write(session)
            now = replace(checkpoint, stats=self.stats.snapshot())
            store.switch(number, now, heads, session)

        committer.commit(writes, refused, finish)
        store.switched(number)
        self.dead_letters.written()
        for documents in counted:
            self.show(documents)

    def _counted(self, emitted: Emitted, refused: set[int]) -> list[Document]:
        """Count what the sink took, and give it as it is shown."""
        documents = emitted.documents
        if refused:
            documents = [d for index, d in enumerate(documents) if index not in refused]
        if documents and METADATA_FIELD in documents[0]:
            for document in documents:
                document.pop(METADATA_FIELD, None)
        size_bytes = emitted.size_bytes
        if size_bytes is None or refused:
            size_bytes = documents_bytes(documents)
        self.stats.count_output(self.operator_name, self.path, len(documents), size_bytes)
        if emitted.read_us is not None:
            now_us = self.clock.now_us()
            duration_us = now_us - emitted.read_us
            self.stats.latency.add(duration_us, len(documents), now_us // 1000)
        return documents

    def _refuse(self, rejected: list[Rejected], emitted: Emitted | None) -> None:
        """Dead letters for what the sink refused: of this batch, or of an earlier one (None)."""
        for item in rejected:
            document, variables = item.document, None
            if emitted is not None and item.index >= 0:
                document, variables = emitted.documents[item.index], emitted.variables
            self.dead_letters.add(
                visible(document),
                item.reason,
                self.operator_name,
                metadata_of(document, variables),
                path=self.path,
            )
