"""`$source: {documents: [...]}`: a fixed list of documents, emitted once.

Their time is that of their ingestion. A running processor idles when they are through; `process`
ends.

Source: Atlas page "$source", section "Document array"; asp-reference.md 2.6, 5 (no. 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.errors import UnexpectedReply
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import Options, TimeField

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]


class DocumentsOptions(Options):
    """An array of documents, or an expression that gives one."""

    documents: list[dict[str, Any]] | dict[str, Any]
    time_field: TimeField | None = None


class DocumentsSource(Source):
    """Gives the documents in order; the position is the count of those given.

    Raises:
        ProcessorFailed: The expression gives no array of documents.
    """

    operator_name = "GeneratedDataSourceOperator"
    source_type = "generated"

    def __init__(
        self, options: DocumentsOptions, surroundings: Surroundings, position: int | None
    ) -> None:
        given = options.documents
        self._documents = given if isinstance(given, list) else _evaluated(given, surroundings)
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        self.position: int = position or 0

    @property
    def drained(self) -> bool:
        """Whether all documents were given."""
        return self.position >= len(self._documents)

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


def _evaluated(expression: Document, surroundings: Surroundings) -> list[Document]:
    """What the expression gives; mongod evaluates it, once for every start."""
    from asp_utils.engine.evaluate import Run

    evaluator, names = surroundings.evaluator, ("GeneratedDataSourceOperator",)
    try:
        kind = Run(({"$project": {"_id": 0, "type": {"$type": expression}}},), names)
        found = evaluator.evaluate_whole(kind, [{}])[0]["type"]
        if found != "array":
            raise _not_documents(f"it gives a value of type {found}")
        stages = (
            {"$project": {"d": expression}},
            {"$unwind": "$d"},
            {"$replaceRoot": {"newRoot": "$d"}},
        )
        return evaluator.evaluate_whole(Run(stages, names * len(stages)), [{}])
    except UnexpectedReply as error:
        raise _not_documents(error.message) from error


def _not_documents(reason: str) -> ProcessorFailed:
    message = f"$source.documents: the expression gives no array of objects: {reason}"
    return ProcessorFailed(CODES["StreamProcessorInvalidOptions"], message, retryable=False)


def _probes(options: Mapping[str, Any]) -> Iterator[Probe]:
    if isinstance(options["documents"], dict):
        yield Probe(".documents", {"$project": {"d": options["documents"]}})


SPEC = StageSpec(
    "$source",
    "source",
    DocumentsOptions,
    marks=frozenset({"documents"}),
    build=DocumentsSource,
    probes=_probes,
)
