"""What a source hands on, and what a source must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    Document = dict[str, Any]


@dataclass(frozen=True)
class Unreadable:
    """A record that gave no document."""

    document: Any
    """What could be kept of it."""
    reason: str


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
    partitions: Sequence[Hashable] | None = None
    """The partition of each document; None where the source has one only."""
    unreadable: list[Unreadable] = field(default_factory=list)


class Source(Protocol):
    """A stream of documents that can be read again from a position."""

    operator_name: str
    """Its name in stats and dead letters."""
    source_type: str
    """Its `stream.source.type`: kafka, atlas or generated."""
    position: Any
    """Where it stands before the first batch."""

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The next documents; None when there were none within the time."""
        ...

    @property
    def drained(self) -> bool:
        """Whether nothing can ever come any more."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...
