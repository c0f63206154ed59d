"""A batch on its way in: event times, windows, hidden fields, and what fails before any stage.

Nothing is counted or dead-lettered here: a batch counts when it has come through, so that a
checkpoint in between knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asp_utils.engine.hidden import metadata_of, visible
from asp_utils.engine.sizes import documents_bytes
from asp_utils.pipeline.rewrite import METADATA_FIELD, WINDOW_FIELD, mark_metadata
from asp_utils.units import bson_date_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.engine.batch import Batch, Source
    from asp_utils.engine.chain import Chains
    from asp_utils.engine.clock import Clock
    from asp_utils.engine.evaluate import Failure
    from asp_utils.engine.event_time import TimeReader
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.windows.open_windows import OpenWindows
    from asp_utils.engine.windows.window import Late

    Document = dict[str, Any]

_LATE: Final = "Input document arrived late."


class Letter(NamedTuple):
    """A document for the dead letter queue."""

    document: Any
    reason: str
    operator_name: str
    metadata: Document
    missed_starts_ms: Sequence[int] = ()
    path: str = ""


@dataclass
class Arrival:
    """A batch as it goes into the stages."""

    batch: Batch
    documents: list[Document]
    """With hidden fields."""
    indexes: Sequence[int]
    """The place in the source's batch of each of them."""
    letters: list[Letter]
    """What did not get that far."""
    size_bytes: int
    read_us: int

    @property
    def count(self) -> int:
        """How many records came."""
        return len(self.batch.documents) + len(self.batch.unreadable)


@dataclass
class Intake:
    """Takes batches in.

    Args:
        source: Where they come from.
        source_path: Its JSON path.
        time_reader: Gives event times; None: the source's own count.
        windows: The pipeline's windows, if it has some.
        steps: Whose stages before the window late documents go through.
        chains: Runs them.
        clock: For windows of processing time.
    """

    source: Source
    source_path: str
    time_reader: TimeReader | None
    windows: OpenWindows | None
    steps: Steps
    chains: Chains
    clock: Clock
    _letters: list[Letter] = field(default_factory=list, init=False)

    def take(self, batch: Batch) -> Arrival:
        """Give documents their times, windows and metadata."""
        self._letters = []
        read_us = self.clock.now_us()
        size_bytes = batch.size_bytes
        if size_bytes is None:
            size_bytes = documents_bytes(batch.documents)
        self._put_aside(batch)
        documents, times_ms, indexes = self._timed(batch)
        if self.steps.carries_metadata:
            for document, index in zip(documents, indexes, strict=True):
                document[METADATA_FIELD] = mark_metadata(self.metadata(batch, index))
        if self.windows is not None:
            documents, indexes = self._marked(self.windows, batch, documents, times_ms, indexes)
        return Arrival(batch, documents, indexes, self._letters, size_bytes, read_us)

    def metadata(self, batch: Batch, index: int) -> Document:
        """The stream metadata of one document of a batch."""
        base = {"type": self.source.source_type, "ts": bson_date_of(batch.times_ms[index])}
        return {"source": base | batch.metadata(index)}

    def metadata_of_failure(self, failure: Failure, arrival: Arrival | None) -> Document:
        """The stream metadata of a document that failed: its own, its place's, or the constant."""
        if METADATA_FIELD in failure.document:
            return metadata_of(failure.document, None)
        if arrival is not None and failure.index >= 0:
            return self.metadata(arrival.batch, arrival.indexes[failure.index])
        return self.constant()

    def late(self, document: Document, missed_starts_ms: list[int], metadata: Document) -> Letter:
        """The dead letter of a document that came too late."""
        assert self.windows is not None  # noqa: S101 - only windows are missed
        self.windows.late_count += 1
        path = self.windows.path
        return Letter(visible(document), _LATE, "WindowOperator", metadata, missed_starts_ms, path)

    def constant(self) -> Document:
        """What is known of every document."""
        return {"source": {"type": self.source.source_type}}

    def _put_aside(self, batch: Batch) -> None:
        """Records that gave no document."""
        name, path = self.source.operator_name, self.source_path
        for bad in batch.unreadable:
            metadata = {"source": {"type": self.source.source_type, **bad.metadata}}
            self._letters.append(Letter(bad.document, bad.reason, name, metadata, path=path))

    def _timed(self, batch: Batch) -> tuple[list[Document], Sequence[int], Sequence[int]]:
        """The documents with their event times; those without one go to the dead letters."""
        everything = range(len(batch.documents))
        if self.windows is not None and self.windows.shape.processing_time:
            now_ms = self.clock.now_ms()
            return batch.documents, [now_ms] * len(everything), everything
        if self.time_reader is None:
            return batch.documents, batch.times_ms, everything
        times_ms, failures = self.time_reader.read(batch.documents)
        for failure in failures:
            metadata = self.metadata(batch, failure.index)
            name, path = failure.operator_name, self.source_path
            self._letters.append(
                Letter(failure.document, failure.reason, name, metadata, path=path)
            )
        kept = [index for index in everything if times_ms[index] is not None]
        times = [time for time in times_ms if time is not None]
        if not failures:
            batch.times_ms = times
            return batch.documents, times, everything
        batch.times_ms = [0 if time is None else time for time in times_ms]
        return [batch.documents[index] for index in kept], times, kept

    def _marked(
        self,
        windows: OpenWindows,
        batch: Batch,
        documents: list[Document],
        times_ms: Sequence[int],
        indexes: Sequence[int],
    ) -> tuple[list[Document], Sequence[int]]:
        """Documents marked with their windows; those that are late go their own way."""
        partitions = None
        if batch.partitions is not None:
            partitions = [batch.partitions[index] for index in indexes]
        now_ms = self.clock.now_ms()
        in_time, late = windows.mark(self.source, documents, times_ms, partitions, now_ms)
        if late:
            for item in late:
                metadata = self.metadata(batch, indexes[item.index])
                item.document[METADATA_FIELD] = mark_metadata(metadata)
            self._send_late(late)
        if len(in_time) == len(documents):
            return documents, indexes
        return [documents[i] for i in in_time], [indexes[i] for i in in_time]

    def _send_late(self, late: Sequence[Late]) -> None:
        """Send late documents through the stages before the window; what is left was late."""
        outcome = self.chains.aside(self.steps.before, [item.document for item in late])
        for failure in outcome.failures:
            metadata = self.metadata_of_failure(failure, None)
            shown, name = visible(failure.document), failure.operator_name
            self._letters.append(Letter(shown, failure.reason, name, metadata, path=failure.path))
        for document in outcome.documents:
            missed = document[WINDOW_FIELD]
            starts_ms = missed if isinstance(missed, list) else [missed]
            self._letters.append(self.late(document, starts_ms, metadata_of(document, None)))
