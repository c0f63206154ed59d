"""Option values that are computed for every document: topics, paths, keys, headers, modes.

Many options of sinks and stages take a constant or an expression (asp-reference.md 2.2, "target
expressions"). Constants stay constants, a single field (`$customer`, the common case) is looked up
here, and all other expressions of a stage are one command per batch.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.evaluate import Failure, Run
from asp_utils.engine.hidden import metadata_base
from asp_utils.engine.value_probes import whole
from asp_utils.pipeline.grammar import is_expression
from asp_utils.pipeline.rewrite import METADATA_FIELD, WINDOW_FIELD, carry, resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

_FIELD: Final = re.compile(r"\$(_id|[A-Za-z]\w*)", re.ASCII)
"""A field of the document itself; a dotted path has mongod's rules for arrays."""


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
        expressions = {name: v for name, v in fields.items() if is_expression(v)}
        self._fields = {name: v[1:] for name, v in expressions.items() if _is_field(v)}
        self._computed = {
            name: whole(v) for name, v in expressions.items() if name not in self._fields
        }
        self._operator_name = operator_name
        self._evaluator = evaluator

    @property
    def is_constant(self) -> bool:
        """Whether no document needs to be looked at."""
        return not self._computed and not self._fields

    def values(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Document | None], list[Failure]]:
        """The values for each document (None where an expression failed), and the failures.

        An expression that gives nothing (a missing field) leaves its name out.
        """
        results, failures = self._evaluated(documents, variables)
        failed = {failure.index for failure in failures}
        values: list[Document | None] = [
            None if index in failed else {**self._constant, **next(results)}
            for index in range(len(documents))
        ]
        for name, field in self._fields.items():
            for document, found in zip(documents, values, strict=True):
                if found is not None and field in document:
                    found[name] = document[field]
        return values, failures

    def _evaluated(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[Iterator[Document], list[Failure]]:
        """What mongod computes for the documents that do not fail."""
        if not self._computed or not documents:
            return repeat({}), []
        stage = resolve_metadata({"$project": self._computed}, metadata_base(documents))
        hidden = [name for name in (METADATA_FIELD, WINDOW_FIELD) if name in documents[0]]
        wanted = {
            name: value
            for name, value in carry(stage, hidden)["$project"].items()
            if name not in hidden
        }
        run = Run(({"$project": {"_id": 0, **wanted}},), (self._operator_name,))
        outcome = self._evaluator.evaluate(run, documents, variables)
        return iter(outcome.documents), outcome.failures


def _is_field(expression: Any) -> bool:
    return isinstance(expression, str) and _FIELD.fullmatch(expression) is not None
