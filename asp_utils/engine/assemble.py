"""Put a processor together from its definition: plan, source, window, sink, dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.checkpoint import Checkpoint, CheckpointStore
from asp_utils.engine.dead_letters import DeadLetters
from asp_utils.engine.event_time import TimeReader
from asp_utils.engine.processor import Parts, Processor
from asp_utils.engine.stats import Stats
from asp_utils.engine.steps import steps_of
from asp_utils.engine.window import Windows
from asp_utils.pipeline.plan import Plan, PlannedStage, plan_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.synchronous.collection import Collection

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]


@dataclass(frozen=True)
class Definition:
    """A stream processor as the local instance stores it."""

    processor_id: str
    name: str
    pipeline: list[Document]
    workspace: str = "local"
    options: Mapping[str, Any] = field(default_factory=dict)
    """`dlq {connectionName, db, coll}`, `streamMetaFieldName`."""


def assemble(
    definition: Definition,
    surroundings: Surroundings,
    checkpoints: CheckpointStore | None,
    *,
    resume: bool = True,
    show: Callable[[list[Document]], None] = lambda _: None,
    show_dead_letters: Callable[[list[Document]], None] | None = None,
) -> Processor:
    """A processor, ready to run, at its checkpoint or at the beginning.

    Args:
        definition: What to run; its pipeline has passed the check.
        surroundings: Connections, evaluator, clock.
        checkpoints: Where it saves its progress; None for a temporary processor.
        resume: Whether to go on from the checkpoint; False drops it.
        show: Is given every batch of output documents.
        show_dead_letters: Is given dead letters as samples show them; `show` when None.

    Raises:
        ProcessorFailed: A source or sink cannot be opened.
    """
    plan = plan_pipeline(definition.pipeline, catalogue(), surroundings.connections)
    checkpoint = _checkpoint(checkpoints, resume=resume)
    stats = Stats.restored(checkpoint.stats) if checkpoint else Stats()
    windows = _windows(plan, checkpoint)
    meta_field = definition.options.get("streamMetaFieldName")
    dead_letters = DeadLetters(
        definition.name,
        definition.workspace,
        _dead_letter_collection(definition.options, surroundings),
        stats,
        surroundings.clock,
        show_dead_letters or show,
    )
    evaluator = surroundings.evaluator
    split = windows is not None and evaluator.supports_partial_groups()
    parts = Parts(
        source=_built(plan.source, surroundings, checkpoint.position if checkpoint else None),
        steps=steps_of(plan, partial_groups=split),
        windows=windows,
        sink=_built(plan.sink, surroundings) if plan.sink else None,
        time_reader=_time_reader(plan, surroundings),
        dead_letters=dead_letters,
        stats=stats,
        checkpoints=checkpoints,
        carries_metadata=plan.carries_metadata or (bool(meta_field) and windows is None),
        metadata_field=meta_field,
    )
    return Processor(parts, surroundings, show)


def _built(planned: PlannedStage, surroundings: Surroundings, *position: Any) -> Any:
    """What the stage's module makes of its options."""
    options = planned.options
    if planned.spec.options is not None:
        options = planned.spec.options.model_validate(options)
    return planned.spec.build(options, surroundings, *position)


def _checkpoint(checkpoints: CheckpointStore | None, *, resume: bool) -> Checkpoint | None:
    if checkpoints is None:
        return None
    found = checkpoints.load()
    if found is not None and not resume:
        checkpoints.forget()
        # Statistics outlive a fresh start; the position and open windows do not.
        return Checkpoint(None, found.stats)
    return found


def _windows(plan: Plan, checkpoint: Checkpoint | None) -> Windows | None:
    if plan.window is None or plan.window.spec.options is None:
        return None
    options = plan.window.spec.options.model_validate(plan.window.options)
    windows = Windows(plan.window.spec.build(options))
    if checkpoint is not None:
        windows.restore(checkpoint.windows)
    return windows


def _time_reader(plan: Plan, surroundings: Surroundings) -> TimeReader | None:
    time_field = plan.source.options.get("timeField")
    return TimeReader(time_field, surroundings.evaluator) if time_field else None


def _dead_letter_collection(
    options: Mapping[str, Any], surroundings: Surroundings
) -> Collection[Document] | None:
    dlq = options.get("dlq")
    if not dlq:
        return None
    return surroundings.cluster(dlq["connectionName"])[dlq["db"]][dlq["coll"]]
