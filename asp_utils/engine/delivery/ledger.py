"""What became of documents at the sink: counted, shown to whoever samples, or dead-lettered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.engine.sizes import documents_bytes
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.delivery.dead_letters import DeadLetters
    from asp_utils.engine.reporting.stats import Stats
    from asp_utils.engine.sinks import Rejected

    Document = dict[str, Any]


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
class Ledger:
    """Keeps account of the sink's documents.

    Args:
        operator_name: The sink's name in stats and dead letters.
        path: Its JSON path.
        dead_letters: Where refused documents go.
        stats: Where they are counted.
        clock: For latencies.
        show: Is given every batch that was written (for samples).
    """

    operator_name: str
    path: str
    dead_letters: DeadLetters
    stats: Stats
    clock: Clock
    show: Callable[[list[Document]], None]

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

    def refuse_late(self, document: Document, reason: str, metadata: Document) -> None:
        """A dead letter for one document whose metadata is known."""
        name, path = self.operator_name, self.path
        self.dead_letters.add(visible(document), reason, name, metadata, path=path)

    def refuse(self, rejected: Sequence[Rejected], emitted: Emitted | None) -> None:
        """Dead letters for what the sink refused: of this batch, or of an earlier one (None)."""
        for item in rejected:
            document, variables = item.document, None
            if emitted is not None and item.index >= 0:
                document, variables = emitted.documents[item.index], emitted.variables
            self.refuse_late(document, item.reason, metadata_of(document, variables))
