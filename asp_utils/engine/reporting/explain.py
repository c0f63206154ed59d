"""What the local engine will do with a pipeline: who runs which stage, together with which others.

Nothing is opened and nothing is run; the division into commands is the engine's own
(`engine.steps`), taken for a mongod that divides a `$group` on request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.evaluate import Run
from asp_utils.engine.steps import steps_of
from asp_utils.model.tiers import added_parallelism
from asp_utils.pipeline.catalogue import connection_name
from asp_utils.pipeline.faults import option_faults
from asp_utils.pipeline.located import located
from asp_utils.pipeline.picture import Bracket, Drawn, svg
from asp_utils.pipeline.plan import PlannedStage, plan_pipeline
from asp_utils.pipeline.words import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asp_utils.engine.chain import Chain
    from asp_utils.engine.steps import Steps
    from asp_utils.pipeline.plan import Plan

    Connections = Mapping[str, Mapping[str, Any]]

Runner = Literal["source", "mongod", "engine", "sink"]
Moment = Literal["every batch", "window closes"]

_EVERY_BATCH: Final[Moment] = "every batch"
_WINDOW_CLOSES: Final[Moment] = "window closes"
_TRANSACTIONAL: Final = "$merge"


@dataclass(frozen=True)
class ExplainedStage:
    """One stage: what it does, and who runs it."""

    number: str
    """`3`, or `3.1` inside a window."""
    name: str
    path: str
    does: str
    runs_in: Runner
    commands: tuple[int, ...] = ()
    """The commands to mongod that it is part of, counted from 1."""
    notes: tuple[str, ...] = ()
    """What is not as on Atlas, of the options that are used."""


@dataclass(frozen=True)
class Command:
    """Stages that mongod runs together."""

    number: int
    when: Moment
    stages: tuple[str, ...]
    """Their numbers."""


@dataclass(frozen=True)
class Explanation:
    """A plan in words."""

    stages: tuple[ExplainedStage, ...]
    commands: tuple[Command, ...]
    window_holds: Literal["partial groups", "documents"] | None
    """What an open window keeps; None without a window."""
    carries_metadata: bool
    """Whether documents carry their stream metadata on their way."""
    added_parallelism: int
    delivery: str


def explain(
    pipeline: Sequence[Mapping[str, Any]],
    connections: Connections | None,
    *,
    metadata_field: str | None = None,
) -> Explanation:
    """What will be done with a pipeline that has no faults.

    Args:
        pipeline: The stages.
        connections: The connection registry by name; None: types are guessed from the options.
        metadata_field: `streamMetaFieldName`.
    """
    known = connections if connections is not None else guessed_connections(pipeline)
    plan = plan_pipeline(pipeline, catalogue(), known, metadata_field)
    window = plan.window
    own: dict[str, Any] = {
        stage.path: SimpleNamespace(operator_name=stage.operator_name)
        for stage in (*plan.before, *plan.inner, *plan.after)
        if stage.translated is None
    }
    shape = None
    if window is not None and window.spec.options is not None:
        shape = window.spec.build(window.spec.options.model_validate(window.options))
    steps = steps_of(
        plan, shape, own, partial_groups=True, shows_metadata=metadata_field is not None
    )
    numbers = _numbers(plan)
    commands = tuple(_commands(steps, numbers))
    written = {stage["path"]: stage["options"] for stage in _as_written(pipeline)}
    stages = tuple(
        _explained(replace(stage, options=written[stage.path]), numbers, set(own), commands)
        for stage in _in_order(plan)
    )
    holds: Literal["partial groups", "documents"] | None = None
    if shape is not None:
        holds = "partial groups" if steps.compact is not None else "documents"
    return Explanation(
        stages,
        commands,
        holds,
        steps.carries_metadata,
        added_parallelism(pipeline),
        _delivery(plan),
    )


def guessed_connections(pipeline: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """A registry in which every connection has a type that its stage can use.

    A name alone may fit several; a sample stream is told by its name.
    """
    found: dict[str, dict[str, str]] = {}
    for stage in located(list(pipeline), catalogue()):
        name = connection_name(stage.options)[1]
        if not isinstance(name, str) or name in found:
            continue
        kinds = [stage.kind] if stage.kind else catalogue().by_name[stage.name]
        types = [
            kind.connection_type
            for kind in kinds
            if kind.connection_type is not None
            and (kind.options is None or not option_faults(kind.options, stage.options, ""))
        ]
        is_sample = name.startswith("sample_stream") and "inmemory" in types
        found[name] = {"type": "inmemory" if is_sample else types[0] if types else "atlas"}
    return found


def _in_order(plan: Plan) -> list[PlannedStage]:
    window = [plan.window] if plan.window is not None else []
    sink = [plan.sink] if plan.sink is not None else []
    return [plan.source, *plan.before, *window, *plan.inner, *plan.after, *sink]


def _as_written(pipeline: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Path and options of every stage before they were put into mongod's words."""
    for stage in located(list(pipeline), catalogue()):
        yield {"path": stage.path, "options": stage.options}


def _numbers(plan: Plan) -> dict[str, str]:
    """The number of every stage by its path: `1`, `2`, `3`, `3.1`, `3.2`, `4`."""
    numbers: dict[str, str] = {}
    count = 0
    for stage in (plan.source, *plan.before, plan.window, *plan.after, plan.sink):
        if stage is None:
            continue
        count += 1
        numbers[stage.path] = str(count)
        if stage is plan.window:
            for place, inner in enumerate(plan.inner, start=1):
                numbers[inner.path] = f"{count}.{place}"
    return numbers


def _commands(steps: Steps, numbers: Mapping[str, str]) -> Iterator[Command]:
    """The commands to mongod, in the order in which documents meet them."""
    number = 0
    chains: list[tuple[Moment, Chain | None]] = [
        (_EVERY_BATCH, steps.per_batch),
        (_EVERY_BATCH, steps.placed),
        (_WINDOW_CLOSES, steps.closing),
    ]
    for when, chain in chains:
        for step in chain.steps if chain is not None else ():
            stages = tuple(_numbered(step.paths, numbers)) if isinstance(step, Run) else ()
            if stages:
                number += 1
                yield Command(number, when, stages)


def _numbered(paths: Iterable[str], numbers: Mapping[str, str]) -> Iterator[str]:
    return (numbers[path] for path in dict.fromkeys(paths) if path in numbers)


def _explained(
    stage: PlannedStage,
    numbers: Mapping[str, str],
    own: set[str],
    commands: Sequence[Command],
) -> ExplainedStage:
    number = numbers[stage.path]
    part_of = tuple(command.number for command in commands if number in command.stages)
    return ExplainedStage(
        number,
        stage.name,
        stage.path,
        sentence(stage),
        _runner(stage, own, part_of=bool(part_of)),
        part_of,
        tuple(_differences(stage)),
    )


def _runner(stage: PlannedStage, own: set[str], *, part_of: bool) -> Runner:
    if stage.spec.role == "source":
        return "source"
    if stage.spec.role == "window" or stage.path in own:
        return "engine"
    return "mongod" if part_of else "sink"


def _differences(stage: PlannedStage) -> Iterator[str]:
    """What is not as on Atlas, of a stage as a whole and of the options that it uses."""
    for option, difference in stage.spec.partial.items():
        if not option or _is_given(stage.options, option):
            yield f"{option}: {difference}" if option else difference


def _is_given(options: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(options, dict) or part not in options:
            return False
        options = options[part]
    return True


def _delivery(plan: Plan) -> str:
    if plan.sink is None:
        return "no sink: results are only shown"
    at_least = "at least once: after a crash the documents since the last checkpoint come again"
    if plan.sink.name == _TRANSACTIONAL:
        return f"{at_least}; exactly once where the target is the local instance's own server"
    return at_least


def picture(explanation: Explanation) -> str:
    """The explanation as an SVG document."""
    inner = [stage.number for stage in explanation.stages if "." in stage.number]
    windows = {number.split(".")[0] for number in inner}
    stages = [
        Drawn(
            stage.number,
            stage.name,
            stage.does,
            stage.runs_in,
            is_window=stage.number in windows,
            in_window="." in stage.number,
        )
        for stage in explanation.stages
    ]
    brackets = [
        Bracket(command.stages[0], command.stages[-1], f"command {command.number}", command.when)
        for command in explanation.commands
    ]
    return svg("Pipeline", stages, brackets, facts(explanation))


def facts(explanation: Explanation) -> list[str]:
    """What is true of the whole plan, one sentence each."""
    sentences = []
    if explanation.window_holds is not None:
        sentences.append(f"Open windows hold {explanation.window_holds}.")
    does = "carry" if explanation.carries_metadata else "do not carry"
    sentences.append(f"Documents {does} their stream metadata.")
    if explanation.added_parallelism:
        sentences.append(f"Added parallelism: {explanation.added_parallelism}.")
    return [*sentences, f"Delivery: {explanation.delivery}."]
