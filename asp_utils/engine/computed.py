"""Option values that are computed for every document: topics, paths, keys, headers, modes.

Many options of sinks and stages take a constant or an expression (asp-reference.md 2.2, "target
expressions"). Constants stay constants; all expressions of a stage are one command per batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.evaluate import Failure, Run
from asp_utils.engine.hidden import metadata_base
from asp_utils.pipeline.grammar import is_expression
from asp_utils.pipeline.rewrite import resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]


class Computed:
    """Named values, each a constant or an expression over the document and its metadata.

    Args:
        fields: Name to value. A string that begins with `$` and whatever is no string is an
            expression, as in Atlas; wrap other constants in `{"$literal": …}`.
        operator_name: Who is named when an expression fails.
        evaluator: Evaluates the expressions.
    """

    def __init__(self, fields: Mapping[str, Any], operator_name: str, evaluator: Evaluator) -> None:
        self._constant = {name: v for name, v in fields.items() if not is_expression(v)}
        self._computed = {name: v for name, v in fields.items() if is_expression(v)}
        self._operator_name = operator_name
        self._evaluator = evaluator

    @property
    def is_constant(self) -> bool:
        """Whether no document needs to be looked at."""
        return not self._computed

    def values(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Document | None], list[Failure]]:
        """The values for each document (None where an expression failed), and the failures.

        An expression that gives nothing (a missing field) leaves its name out.
        """
        if not self._computed:
            return [dict(self._constant) for _ in documents], []
        stage = {"$project": {"_id": 0, **self._computed}}
        run = Run((resolve_metadata(stage, metadata_base(documents)),), (self._operator_name,))
        outcome = self._evaluator.evaluate(run, documents, variables)
        failed = {failure.index for failure in outcome.failures}
        results = iter(outcome.documents)
        values: list[Document | None] = [
            None if index in failed else {**self._constant, **next(results)}
            for index in range(len(documents))
        ]
        return values, outcome.failures
