"""The foreign documents that a pipeline finds for each local document: `$lookup` with `pipeline`.

A batch of request documents, the values of `let` and what stands at `localField`, is one command;
mongod runs its own `$lookup` on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.evaluate import Failure, Run
from asp_utils.engine.lookup.equality_join import REQUEST, RESULT
from asp_utils.engine.lookup.foreign import local_part
from asp_utils.pipeline.rewrite import METADATA_VARIABLE, resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

LET: Final = "v"
"""The field of a request document that holds the values of `let`."""


class PipelineJoin:
    """Runs a pipeline for every request document.

    Args:
        evaluator: Of the cluster that the pipeline reads.
        lookup: The `$lookup` that mongod is to run, with a plain collection name in `from` or
            without one; `let` and `as` are replaced.
        variables: The names that every request has a value for, or lacks it.
        operator_name: Who is named in failures.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        lookup: Document,
        variables: Iterable[str],
        operator_name: str,
    ) -> None:
        self._evaluator = evaluator
        self._local_field: str | None = lookup.get("localField")
        stage = {
            **lookup,
            "let": {name: f"${LET}.{name}" for name in variables},
            "pipeline": [
                resolve_metadata(stage, f"$${METADATA_VARIABLE}") for stage in lookup["pipeline"]
            ],
            "as": RESULT,
        }
        if self._local_field is not None:
            stage["localField"] = f"{REQUEST}.{self._local_field}"
        self._run = Run(
            ({"$lookup": stage}, {"$project": {"_id": 0, RESULT: 1}}), (operator_name,) * 2
        )

    def prove(self) -> None:
        """Let the cluster parse the stage, on no documents.

        Raises:
            UnexpectedReply: It refuses; the message is its own.
        """
        self._evaluator.evaluate_whole(self._run, [])

    def request(self, document: Document, values: Document) -> Document:
        """What is sent for a document."""
        if self._local_field is None:
            return {LET: values}
        return {REQUEST: local_part(document, self._local_field), LET: values}

    def look_up(self, requests: Sequence[Document]) -> list[list[Document] | Failure]:
        """What the pipeline finds for each request.

        Raises:
            Unreachable: The cluster does not answer.
            PermissionDenied: It refuses.
        """
        outcome = self._evaluator.evaluate(self._run, requests)
        failures = {failure.index: failure for failure in outcome.failures}
        answers = iter(outcome.documents)
        return [
            failures[index] if index in failures else next(answers)[RESULT]
            for index in range(len(requests))
        ]
