"""`$source: {documents: [...]}`: a fixed list of documents, emitted once.

Source: Atlas page "$source", section "Document array" (asp-reference.md 2.6). A running processor
idles when they are through; `process` ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.evaluate import Run
from asp_utils.errors import Fault, PipelineInvalid, UnexpectedReply
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Options, TimeField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.engine.context import Surroundings


class DocumentsOptions(Options):
    """An array of documents, or an expression that gives one."""

    documents: list[dict[str, Any]] | dict[str, Any]
    time_field: TimeField | None = None


class DocumentsSource(Source):
    """Gives the documents in order; the position is the count of those given."""

    operator_name = "GeneratedDataSourceOperator"
    source_type = "generated"

    def __init__(
        self, documents: Sequence[dict[str, Any]], surroundings: Surroundings, position: int
    ) -> None:
        self._documents = documents
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        self.position = position

    @property
    def drained(self) -> bool:
        """Whether all documents were given."""
        return bool(self.position >= len(self._documents))

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The next documents, stamped with the time of reading."""
        chosen = [dict(d) for d in self._documents[self.position : self.position + max_documents]]
        if not chosen:
            self._clock.wait(self._stopping, max_wait_ms)
            return None
        now_ms = self._clock.now_ms()
        self.position += len(chosen)
        return Batch(chosen, [now_ms] * len(chosen), self.position, lambda _: {})

    def close(self) -> None:
        """Nothing to release."""


def open_documents(
    options: DocumentsOptions, surroundings: Surroundings, position: int | None
) -> DocumentsSource:
    """The source, behind `position` documents.

    Raises:
        PipelineInvalid: The expression gives no array of documents.
    """
    documents = options.documents
    if isinstance(documents, dict):
        documents = _evaluated(documents, surroundings)
    return DocumentsSource(documents, surroundings, position or 0)


def _evaluated(expression: dict[str, Any], surroundings: Surroundings) -> list[dict[str, Any]]:
    stages = (
        {"$project": {"d": expression}},
        {"$unwind": "$d"},
        {"$replaceRoot": {"newRoot": "$d"}},
    )
    try:
        return surroundings.evaluator.evaluate_whole(Run(stages, ("documents",) * 3), [{}])
    except UnexpectedReply as error:
        fault = Fault("[0].$source.documents", f"no array of documents: {error.message}")
        raise PipelineInvalid("pipeline", [fault]) from error


SPEC = StageSpec(
    "$source",
    "source",
    DocumentsOptions,
    marks=frozenset({"documents"}),
    build=open_documents,
)
