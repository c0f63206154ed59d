"""What a source hands on, and what a source must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, Any]


@dataclass(frozen=True)
class Unreadable:
    """A record that gave no document."""

    document: Any
    """What could be kept of it."""
    reason: str
    metadata: Document = field(default_factory=dict)
    """Its `stream.source` metadata, as far as it is known."""


@dataclass
class Batch:
    """Documents of a source in their order, and the source's position behind them."""

    documents: list[Document]
    times_ms: Sequence[int]
    """The source's own timestamp of each document, ms since the epoch."""
    position: Any
    """Where to go on after this batch; BSON-safe."""
    metadata: Callable[[int], Document]
    """The `stream.source` metadata of the document at an index."""
    partitions: Sequence[str] | None = None
    """The partition of each document; None where the source has one only."""
    unreadable: list[Unreadable] = field(default_factory=list)
    size_bytes: int | None = None
    """What the source read, in its own form; None: the documents' BSON size counts."""


class Source(ABC):
    """A stream of documents that can be read again from a position."""

    operator_name: str
    """Its name in stats and dead letters."""
    source_type: str
    """Its `stream.source.type`: kafka, atlas or generated."""
    position: Any
    """Where it stands before the first batch."""
    partition_idle_timeout_ms: int | None = None
    """A partition that is silent this long no longer holds the watermark back; None: it does."""

    @abstractmethod
    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The next documents; None when there were none within the time.

        Raises:
            ProcessorFailed: The source cannot go on.
        """

    @property
    def drained(self) -> bool:
        """Whether nothing can ever come any more."""
        return False

    @property
    def partitions(self) -> Sequence[str] | None:
        """The partitions read now, silent ones too; None where the source has one only.

        The watermark is the minimum over them, so one that has given nothing yet holds it.
        """
        return None

    def committed(self, position: Any) -> None:  # noqa: B027 - most sources need nothing
        """Hear that everything up to `position` is safe (a checkpoint holds it)."""

    def stats(self) -> Document:
        """Fields of its own for the processor's stats (asp-reference.md 3.2)."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Release what it holds."""
