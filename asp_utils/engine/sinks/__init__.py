"""Sinks, one module per system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Rejected:
    """A document that the target did not take."""

    document: dict[str, Any]
    reason: str
    index: int
    """Its place in the batch."""


class Sink(Protocol):
    """Takes the documents that leave a pipeline."""

    operator_name: str

    def write(
        self, documents: Sequence[dict[str, Any]], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Write a batch; gives the documents that the target refused.

        Hidden fields are still in the documents; `variables` hold the window's metadata.
        """
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...
