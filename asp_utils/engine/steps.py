"""From a plan to the runs of stages that mongod evaluates, hidden fields carried along."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from asp_utils.engine.evaluate import Evaluator, Failure, Outcome, Run, Ticket
from asp_utils.errors import UnexpectedReply
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    carry,
    resolve_metadata,
)
from asp_utils.pipeline.split_group import split_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.pipeline.plan import Plan, PlannedStage

    Document = dict[str, Any]


@dataclass(frozen=True)
class Steps:
    """What is evaluated per batch, and what when a window closes."""

    before: Run
    """The stages before the window, without the window's own: for late documents."""
    per_batch: Run
    """Every batch: the stages before the window and as much of the window as can be done early."""
    compact: Run | None
    """Combines partial group states; None where windows hold documents."""
    closing: tuple[Run, ...]
    """A closed window: runs of stages, alternately with and without memory of other documents."""


def steps_of(plan: Plan, *, partial_groups: bool) -> Steps:
    """Divide a plan into runs.

    Args:
        plan: A checked pipeline.
        partial_groups: Whether mongod divides a `$group` on request.
    """
    carried = [METADATA_FIELD] if plan.carries_metadata else []
    if plan.window is None:
        run = _run([_before(stage, carried) for stage in plan.before])
        return Steps(run, run, None, ())
    carried.append(WINDOW_FIELD)
    before = [_before(stage, carried) for stage in plan.before]
    early = _stateless_prefix(plan.inner)
    rest = [_after(stage) for stage in (*plan.inner[len(early) :], *plan.after)]
    in_window = [_carried_after(stage, carried) for stage in early]
    split = None
    if partial_groups and len(early) < len(plan.inner):
        first = plan.inner[len(early)]
        split = split_group(_after(first)[1]["$group"]) if first.name == "$group" else None
    if split is None:
        closing = tuple(_segments(rest, plan.inner[len(early) :]))
        return Steps(_run(before), _run([*before, *in_window]), None, closing)
    per_batch = _run([*before, *in_window, ("GroupOperator", split.partial)], partial=True)
    compact = _run([("GroupOperator", split.merge)], partial=True)
    closing = tuple(
        _segments([("GroupOperator", split.merge), *rest[1:]], plan.inner[len(early) :])
    )
    return Steps(_run(before), per_batch, compact, closing)


@dataclass(frozen=True)
class Closing:
    """A closed window on its way through its stages."""

    documents: list[Document]
    variables: Mapping[str, Any]
    """The window's metadata."""
    ticket: Ticket


def begin_closing(
    evaluator: Evaluator,
    closing: Sequence[Run],
    documents: list[Document],
    variables: Mapping[str, Any],
) -> Closing:
    """Send a closed window's documents through its stages, without waiting."""
    whole = Run(
        tuple(stage for run in closing for stage in run.stages),
        tuple(name for run in closing for name in run.operator_names),
    )
    ticket = evaluator.submit(whole, documents, variables, whole=True)
    return Closing(documents, variables, ticket)


def finish_closing(evaluator: Evaluator, closing: Sequence[Run], begun: Closing) -> Outcome:
    """What came of a closed window; documents that fail are named, the others still count."""
    try:
        return Outcome(evaluator.collect_whole(begun.ticket))
    except UnexpectedReply:
        return _segment_by_segment(evaluator, closing, begun.documents, begun.variables)


def _segment_by_segment(
    evaluator: Evaluator,
    closing: Sequence[Run],
    documents: list[Document],
    variables: Mapping[str, Any],
) -> Outcome:
    failures: list[Failure] = []
    for run in closing:
        if run.operator_names[0] not in _STATEFUL:
            outcome = evaluator.evaluate(run, documents, variables)
            documents = outcome.documents
            failures += outcome.failures
            continue
        try:
            documents = evaluator.evaluate_whole(run, documents, variables)
        except UnexpectedReply as error:
            # Documents that fail in this stage even alone are at fault.
            outcome = evaluator.evaluate(run, documents, variables)
            failed = {failure.index for failure in outcome.failures}
            failures += outcome.failures
            if not failed:
                failures += [Failure(d, error.message, run.operator_names[0], 0) for d in documents]
                return Outcome(failures=failures)
            left = [d for index, d in enumerate(documents) if index not in failed]
            documents = evaluator.evaluate_whole(run, left, variables)
    return Outcome(documents, failures)


_STATEFUL = frozenset({"GroupOperator", "SortOperator", "LimitOperator", "CountOperator"})

_Named = tuple[str, "Document"]


def _run(stages: Sequence[_Named], *, partial: bool = False) -> Run:
    return Run(tuple(s for _, s in stages), tuple(name for name, _ in stages), partial)


def _before(planned: PlannedStage, carried: Sequence[str]) -> _Named:
    stage = resolve_metadata(planned.stage, f"${METADATA_FIELD}")
    return planned.operator_name, carry(stage, carried)


def _after(planned: PlannedStage) -> _Named:
    return planned.operator_name, resolve_metadata(planned.stage, f"$${METADATA_VARIABLE}")


def _carried_after(planned: PlannedStage, carried: Sequence[str]) -> _Named:
    name, stage = _after(planned)
    return name, carry(stage, carried)


def _stateless_prefix(inner: Sequence[PlannedStage]) -> tuple[PlannedStage, ...]:
    """The window's first stages that may run before it closes: those without memory.

    A stage that names the window's metadata cannot, as a batch spans several windows.
    """
    prefix: list[PlannedStage] = []
    for stage in inner:
        if not stage.spec.main or resolve_metadata(stage.stage, "$$x") != stage.stage:
            break
        prefix.append(stage)
    return tuple(prefix)


def _segments(stages: Sequence[_Named], inner: Sequence[PlannedStage]) -> list[Run]:
    """Consecutive stages of one kind (stateful or not) as one run; a stateful one stands alone."""
    stateful = [index < len(inner) and not inner[index].spec.main for index in range(len(stages))]
    runs: list[Run] = []
    for is_stateful, group in groupby(zip(stateful, stages, strict=True), key=lambda item: item[0]):
        named = [item[1] for item in group]
        runs += [_run([item]) for item in named] if is_stateful else [_run(named)]
    return runs
