"""What becomes of documents that have come through a pipeline: sink, samples, counters.

At least once: documents go to the sink as they come, and the checkpoint follows. Exactly once,
where the sink's collections and the checkpoint live in one server: documents wait for the next
checkpoint, and both are committed in one transaction.

Source: Atlas page "Checkpoints" (asp-reference.md 3.4); exactly-once is the local instance's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.commit import Commit
from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.engine.sizes import documents_bytes
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.engine.checkpoint import Checkpoint, CheckpointStore
    from asp_utils.engine.clock import Clock
    from asp_utils.engine.dead_letters import DeadLetters
    from asp_utils.engine.sinks import Rejected, Sink
    from asp_utils.engine.stats import Stats
    from asp_utils.engine.transactions import Committer

    Document = dict[str, Any]

_WAITING_BYTES: Final = 8 * 1024 * 1024
"""What waits for a transaction at most before one is due at once."""
_WAITING_DOCUMENTS: Final = 10_000
"""How many documents do."""
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
    _waiting_count: int = field(default=0, init=False)
    _has_begun: bool = field(default=False, init=False)
    """Whether what a worker before this one left behind is delivered."""

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
        self.refuse(rejected, emitted)
        self.show(self.counted(emitted, {item.index for item in rejected}))

    def poll(self) -> None:
        """Let the sink do what is due by the clock, and hear of late refusals."""
        if self.sink is not None:
            self.refuse(self.sink.poll(), None)

    def finish(self) -> None:
        """Hand over everything: nothing comes any more, and no checkpoint keeps what is held.

        Raises:
            ProcessorFailed: The sink cannot be reached.
        """
        if self.sink is not None:
            self.refuse(self.sink.finish(), None)
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
            self.refuse(self.sink.flush(), None)
        self.dead_letters.flush()
        if store is not None:
            store.save(make())

    def _commit(
        self, committer: Committer, store: CheckpointStore, make: Callable[[], Checkpoint]
    ) -> None:
        """Write what waits and the checkpoint in one transaction."""
        if not self._has_begun:
            Commit(self, committer, store).deliver_rest()
            self._has_begun = True
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = self._waiting_count = 0
        Commit(self, committer, store).run(waiting, make)

    def counted(self, emitted: Emitted, refused: set[int]) -> list[Document]:
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
        self.count(documents, size_bytes)
        if emitted.read_us is not None:
            now_us = self.clock.now_us()
            duration_us = now_us - emitted.read_us
            self.stats.latency.add(duration_us, len(documents), now_us // 1000)
        return documents

    def count(self, documents: list[Document], size_bytes: int | None = None) -> None:
        """Count documents that the sink took."""
        if size_bytes is None:
            size_bytes = documents_bytes(documents)
        self.stats.count_output(self.operator_name, self.path, len(documents), size_bytes)

    def uncount(self, documents: list[Document]) -> None:
        """Take a count back: the sink did not take them after all."""
        size_bytes = documents_bytes(documents)
        self.stats.count_output(self.operator_name, self.path, -len(documents), -size_bytes)

    def metadata(self, document: Document, variables: Mapping[str, Any] | None) -> Document:
        """The stream metadata of an output document, as its dead letter shows it."""
        return metadata_of(document, variables)

    def refuse_late(self, document: Document, reason: str, metadata: Document) -> None:
        """A dead letter for one document whose metadata is known."""
        name, path = self.operator_name, self.path
        self.dead_letters.add(visible(document), reason, name, metadata, path=path)

    def refuse(self, rejected: list[Rejected], emitted: Emitted | None) -> None:
        """Dead letters for what the sink refused: of this batch, or of an earlier one (None)."""
        for item in rejected:
            document, variables = item.document, None
            if emitted is not None and item.index >= 0:
                document, variables = emitted.documents[item.index], emitted.variables
            self.refuse_late(document, item.reason, self.metadata(document, variables))
