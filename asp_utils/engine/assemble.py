"""Put a processor together from its definition: plan, source, window, sink, dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.chain import Chains
from asp_utils.engine.delivery.checkpoint import Checkpoint, CheckpointStore
from asp_utils.engine.delivery.dead_letters import DeadLetters
from asp_utils.engine.delivery.ledger import Ledger
from asp_utils.engine.delivery.output import Output
from asp_utils.engine.delivery.transactions import Committer, TransactionalSink, same_server
from asp_utils.engine.event_time import TimeReader
from asp_utils.engine.intake import Intake
from asp_utils.engine.processor import Parts, Processor
from asp_utils.engine.reporting.stats import Stats
from asp_utils.engine.steps import steps_of
from asp_utils.engine.windows.fixed import HoppingWindows, TumblingWindows
from asp_utils.engine.windows.open_windows import OpenWindows
from asp_utils.engine.windows.sessions import Sessions
from asp_utils.engine.windows.spill import Spill
from asp_utils.model.tiers import added_parallelism
from asp_utils.pipeline.plan import Plan, PlannedStage, plan_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.synchronous.collection import Collection

    from asp_utils.engine.batch import Source
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.windows.window import Windows, WindowShape

    Document = dict[str, Any]


@dataclass(frozen=True)
class Definition:
    """A stream processor as the local instance stores it."""

    processor_id: str
    name: str
    pipeline: list[Document]
    workspace: str = "local"
    options: Mapping[str, Any] = field(default_factory=dict)
    """`dlq {connectionName, db, coll}`, `streamMetaFieldName`, and `exactlyOnce`, which is the
    local instance's own."""


def assemble(
    definition: Definition,
    surroundings: Surroundings,
    checkpoints: CheckpointStore | None,
    *,
    resume: bool = True,
    show: Callable[[list[Document]], None] = lambda _: None,
    show_dead_letters: Callable[[list[Document]], None] | None = None,
    source: Source | None = None,
    sink: Sink | None = None,
) -> Processor:
    """A processor, ready to run, at its checkpoint or at the beginning.

    Args:
        definition: What to run; its pipeline has passed the check.
        surroundings: Connections, evaluator, clock.
        checkpoints: Where it saves its progress; None for a temporary processor.
        resume: Whether to go on from the checkpoint; False drops it.
        show: Is given every batch of output documents.
        show_dead_letters: Is given dead letters as samples show them; `show` when None.
        source: Read instead of the pipeline's own (fixtures, benchmarks).
        sink: Written instead of the pipeline's own.

    Raises:
        ProcessorFailed: A source or sink cannot be opened.
    """
    metadata_field = definition.options.get("streamMetaFieldName")
    plan = plan_pipeline(
        definition.pipeline,
        catalogue(),
        surroundings.connections,
        metadata_field,
        persistent=checkpoints is not None,
    )
    checkpoint = _checkpoint(checkpoints, resume=resume)
    stats = Stats.restored(checkpoint.stats) if checkpoint else Stats()
    chains = Chains(surroundings.evaluator, stats)
    shape = _shape(plan)
    steps = _steps(plan, shape, surroundings, shows_metadata=bool(metadata_field))
    letters = _dead_letters(definition, surroundings, stats, show_dead_letters or show)
    sink = sink or _sink(plan, surroundings, checkpoint)
    ledger = Ledger(
        sink.operator_name if sink else "SinkOperator",
        plan.sink.path if plan.sink else "sink",
        letters,
        stats,
        surroundings.clock,
        show,
    )
    committer = _committer(sink, surroundings, checkpoints, definition.options)
    output = Output(sink, metadata_field, ledger, committer)
    position = checkpoint.position if checkpoint else None
    source = source or _built(plan.source, surroundings, position)
    windows = _windows(plan, shape, steps, chains, definition, surroundings, checkpoint)
    times = _time_reader(plan, surroundings)
    clock = surroundings.clock
    intake = Intake(source, plan.source.path, times, windows, steps, chains, clock)
    stats.expect(_operators(plan, {plan.source.path: source.operator_name, **_named(output)}))
    parts = Parts(source, steps, windows, output, intake, letters, stats, checkpoints)
    added = added_parallelism(definition.pipeline)
    return Processor(parts, surroundings, chains, definition.pipeline, added)


def _steps(
    plan: Plan, shape: WindowShape | None, surroundings: Surroundings, *, shows_metadata: bool
) -> Steps:
    own = {
        stage.path: _built(stage, surroundings)
        for stage in (*plan.before, *plan.inner, *plan.after)
        if stage.translated is None
    }
    divides = shape is not None and surroundings.evaluator.supports_partial_groups()
    return steps_of(plan, shape, own, partial_groups=divides, shows_metadata=shows_metadata)


def _dead_letters(
    definition: Definition,
    surroundings: Surroundings,
    stats: Stats,
    show: Callable[[list[Document]], None],
) -> DeadLetters:
    return DeadLetters(
        definition.name,
        definition.workspace,
        _dead_letter_collection(definition.options, surroundings),
        stats,
        surroundings.clock,
        show,
    )


def _operators(plan: Plan, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and path of every stage, in the order of the pipeline.

    Args:
        plan: The stages.
        names: What some of them call themselves, by path.
    """
    window = [plan.window] if plan.window else []
    sink = [plan.sink] if plan.sink else []
    stages = [plan.source, *plan.before, *window, *plan.inner, *plan.after, *sink]
    return [(names.get(stage.path, stage.operator_name), stage.path) for stage in stages]


def _named(output: Output) -> dict[str, str]:
    return {output.ledger.path: output.ledger.operator_name} if output.sink else {}


def _built(planned: PlannedStage, surroundings: Surroundings, *position: Any) -> Any:
    """What the stage's module makes of its options."""
    return planned.spec.build(_validated(planned), surroundings, *position)


def _validated(planned: PlannedStage) -> Any:
    if planned.spec.options is None:
        return planned.options
    return planned.spec.options.model_validate(planned.options)


def _sink(plan: Plan, surroundings: Surroundings, checkpoint: Checkpoint | None) -> Sink | None:
    if plan.sink is None:
        return None
    spec = plan.sink.spec
    make = spec.build_sink if spec.ends else spec.build
    sink: Sink = make(_validated(plan.sink), surroundings)
    if checkpoint is not None:
        sink.restore(checkpoint.sink)
    return sink


def _committer(
    sink: Sink | None,
    surroundings: Surroundings,
    checkpoints: CheckpointStore | None,
    options: Mapping[str, Any],
) -> Committer | None:
    """What commits output and checkpoint together, where both live in one server."""
    if checkpoints is None or not isinstance(sink, TransactionalSink):
        return None
    wanted = options.get("exactlyOnce", True)
    if not wanted or not same_server(checkpoints.uri, sink.uri):
        return None
    return Committer(sink, surroundings.clock, surroundings.stopping)


def _shape(plan: Plan) -> WindowShape | None:
    if plan.window is None:
        return None
    shape: WindowShape = plan.window.spec.build(_validated(plan.window))
    return shape


def _windows(
    plan: Plan,
    shape: WindowShape | None,
    steps: Steps,
    chains: Chains,
    definition: Definition,
    surroundings: Surroundings,
    checkpoint: Checkpoint | None,
) -> OpenWindows | None:
    if plan.window is None or shape is None:
        return None
    windows = _kind_of(shape)(shape)
    spill = Spill(surroundings.state, definition.processor_id)
    if checkpoint is not None:
        windows.restore(checkpoint.windows)
    spill.restore(windows.open.values())
    return OpenWindows(windows, steps, chains, spill, plan.window.path, plan.window.operator_name)


def _kind_of(shape: WindowShape) -> type[Windows]:
    if shape.is_session:
        return Sessions
    return TumblingWindows if shape.hop_ms == shape.interval_ms else HoppingWindows


def _checkpoint(checkpoints: CheckpointStore | None, *, resume: bool) -> Checkpoint | None:
    if checkpoints is None:
        return None
    found = checkpoints.load()
    if found is not None and not resume:
        checkpoints.forget()
        # Statistics outlive a fresh start; the position and open windows do not.
        return Checkpoint(None, found.stats)
    return found


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
