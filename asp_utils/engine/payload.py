"""The `payload` of `$https` and `$externalFunction`: what is sent for each document.

An inner pipeline of stages that make one document of one; without it the whole document is sent.

Source: Atlas pages "$https" and "$externalFunction"; asp-reference.md 2.1 and 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator

from asp_utils.engine.evaluate import Failure, Run
from asp_utils.engine.hidden import metadata_base, visible
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.rewrite import METADATA_FIELD, WINDOW_FIELD, carry, resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

PAYLOAD_STAGES: Final = ("$addFields", "$project", "$replaceRoot", "$set")


def _payload_stage(stage: dict[str, Any]) -> dict[str, Any]:
    if len(stage) != 1 or next(iter(stage)) not in PAYLOAD_STAGES:
        raise ValueError(f"a payload stage is one of {', '.join(PAYLOAD_STAGES)}")
    return stage


PayloadStages = list[Annotated[dict[str, Any], AfterValidator(_payload_stage)]]
"""Type of the option; a stage that is not allowed is a fault at `.payload[i]`."""


class Payload:
    """What to send for each document of a batch, evaluated in mongod.

    Args:
        stages: The option as given; None or empty: the whole document.
        operator_name: Who is named when an expression fails.
        evaluator: Evaluates the stages.
    """

    def __init__(
        self, stages: Sequence[Document] | None, operator_name: str, evaluator: Evaluator
    ) -> None:
        self._stages = list(stages or ())
        self._operator_name = operator_name
        self._evaluator = evaluator

    def of(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Document | None], list[Failure]]:
        """The body for each document (None where it failed), and the failures.

        Args:
            documents: With hidden fields; they are left as they are.
            variables: The window's metadata after a window, else None.
        """
        if not self._stages or not documents:
            return [visible(document) for document in documents], []
        outcome = self._evaluator.evaluate(self._run(documents), documents, variables)
        failed = {failure.index for failure in outcome.failures}
        results = iter(outcome.documents)
        bodies = [
            None if index in failed else visible(next(results)) for index in range(len(documents))
        ]
        failures = [
            Failure(documents[f.index], f.reason, f.operator_name, f.index)
            for f in outcome.failures
        ]
        return bodies, failures

    def _run(self, documents: Sequence[Document]) -> Run:
        """The stages with `$meta` resolved; hidden fields stay out of `$$ROOT` and last."""
        base = metadata_base(documents)
        hidden = [name for name in (METADATA_FIELD, WINDOW_FIELD) if name in documents[0]]
        stages = tuple(carry(resolve_metadata(stage, base), hidden) for stage in self._stages)
        return Run(stages, (self._operator_name,) * len(stages))


def payload_probes(options: Document) -> Iterator[Probe]:
    """What mongod has to parse of the option."""
    for index, stage in enumerate(options.get("payload") or ()):
        yield Probe(f".payload[{index}]", stage)
