"""Stages, one module per kind.

A stage that mongod runs is a row in `stateless.py` or has a `translate`. One that it cannot run
(it asks another server, or waits) is a `Stage`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.evaluate import Outcome

    Document = dict[str, Any]


class Stage(ABC):
    """A stage of our own between source and sink, or inside a window.

    Documents carry hidden fields (`pipeline.rewrite.METADATA_FIELD`, `WINDOW_FIELD`) that a stage
    passes on untouched; the stream metadata of a document is in the former, or in `variables`
    after a window. Whoever declares `writes_metadata` in its spec finds the former always there.
    """

    operator_name: str
    """Its name in stats and dead letters."""

    @abstractmethod
    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """What becomes of a batch: documents that go on, in order, and those that failed.

        Args:
            documents: With hidden fields. May be changed in place. A failure holds the document
                as it entered.
            variables: The window's metadata (`METADATA_VARIABLE`) after a window, else None.

        Raises:
            ProcessorFailed: The processor as a whole cannot go on.
        """

    @property
    def batch_documents(self) -> int | None:
        """The most documents that it wants in one batch; None: it takes any number."""
        return None

    def portion(self, documents: Sequence[Document]) -> int:
        """How many of these documents go on together, one at least.

        What comes behind the stage is done with them before it is given the others.
        """
        return len(documents)

    def stats(self) -> Document:
        """Fields of its own for its `operatorStats` item."""
        return {}

    def close(self) -> None:  # noqa: B027 - most stages hold nothing
        """Release what it holds."""
