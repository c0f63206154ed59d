"""Sinks, one module per system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Document = dict[str, Any]

MAX_TARGETS: Final = 10_000
"""Collections that dynamic targets may name; Atlas has such a bound, its figure is not public."""
MAX_SHOWN_TARGETS: Final = 100
"""Targets that stats show (asp-reference.md 3.2)."""


@dataclass(frozen=True)
class Rejected:
    """A document that the target did not take."""

    document: Document
    reason: str
    index: int = -1
    """Its place in the batch just written; -1 when it was in an earlier one."""


class Sink(ABC):
    """Takes the documents that leave a pipeline."""

    operator_name: str
    """Its name in stats and dead letters."""

    @abstractmethod
    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Take a batch; gives the documents that were refused.

        Hidden fields are still in the documents (`engine.hidden.visible` leaves them out);
        `variables` hold the window's metadata after a window.

        Raises:
            ProcessorFailed: The target cannot be reached, or is set up wrongly.
        """

    def poll(self) -> list[Rejected]:
        """Do what is due by the clock; called between batches and while the source is silent.

        Raises:
            ProcessorFailed: As `write`.
        """
        return []

    def flush(self) -> list[Rejected]:
        """Hand over everything before a checkpoint.

        What is not with the target afterwards must be in `snapshot`.

        Raises:
            ProcessorFailed: As `write`.
        """
        return []

    def finish(self) -> list[Rejected]:
        """Hand over everything: nothing comes any more, and no checkpoint keeps what is held.

        Raises:
            ProcessorFailed: As `write`.
        """
        return []

    def snapshot(self) -> Iterable[Document]:
        """What it still holds, for the checkpoint; BSON documents."""
        return ()

    def restore(self, items: Iterable[Document]) -> None:  # noqa: B027 - most sinks hold nothing
        """Take over what `snapshot` gave."""

    def stats(self) -> Document:
        """Fields of its own for its `operatorStats` item, `targetStats` for instance."""
        return {}

    def close(self) -> None:  # noqa: B027 - most sinks hold nothing
        """Release what it holds, without handing anything over."""
