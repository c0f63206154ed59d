"""Check a processor before it is created: grammar, connections, and mongod's own parser.

Offline knowledge comes from `pipeline.check`; here every run of stages is also put before the
mongod that would evaluate it, on no documents at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.evaluate import Evaluator, Run
from asp_utils.errors import Fault, UnexpectedReply
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.check import check_pipeline, stage_name
from asp_utils.pipeline.grammar import (
    BAD_VALUE,
    INVALID_OPTIONS,
    TYPE_MISMATCH,
    Name,
    Options,
    name_hint,
    option_faults,
)
from asp_utils.pipeline.plan import PlannedStage, plan_pipeline
from asp_utils.pipeline.rewrite import METADATA_VARIABLE, resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Connections = Mapping[str, Mapping[str, Any]]
    Document = dict[str, Any]


class DeadLetterTarget(Options):
    """`options.dlq`; an empty object means none."""

    connection_name: Name
    db: Name
    coll: Name


class ProcessorOptions(Options):
    """Options of createStreamProcessor and processStreamProcessor that shape the pipeline."""

    dlq: DeadLetterTarget | None = None
    stream_meta_field_name: (
        Annotated[str, Field(min_length=1, pattern=r"^[^$.\x00][^.\x00]*$")] | None
    ) = None


def check_offline(pipeline: Any, *, persistent: bool) -> list[Fault]:
    """The faults that can be found without any server, wherever the pipeline is to run."""
    return check_pipeline(pipeline, catalogue(), persistent=persistent, local=False)


def check_processor(
    pipeline: Any,
    options: Mapping[str, Any],
    connections: Connections,
    mongod_uri: str,
    *,
    persistent: bool = True,
) -> list[Fault]:
    """All faults of a processor about to be created or run.

    Args:
        pipeline: The stages.
        options: `dlq`, `streamMetaFieldName`; anything else is not looked at.
        connections: The connection registry by name.
        mongod_uri: The mongod that evaluates expressions.
        persistent: Whether it must end in a sink.
    """
    faults = [
        fault.below("pipeline")
        for fault in check_pipeline(pipeline, catalogue(), connections, persistent=persistent)
    ]
    shaping = {key: options[key] for key in ("dlq", "streamMetaFieldName") if options.get(key)}
    faults += option_faults(ProcessorOptions, shaping, "options")
    faults += _dead_letter_faults(shaping.get("dlq"), connections)
    if not any(fault.path.startswith("pipeline") for fault in faults):
        link = MongodSocket.to(mongod_uri)
        try:
            found = _parser_faults(pipeline, connections, Evaluator(link, "asp_check", "check"))
            faults += [fault.below("pipeline") for fault in found]
        finally:
            link.close()
    return faults


def check_modify(old: Sequence[Document], new: Sequence[Document], *, resume: bool) -> list[Fault]:
    """What a modified pipeline may not change while it resumes from its checkpoint.

    Source: Atlas page "Modify a stream processor"; asp-reference.md 1.6.
    """
    if not resume:
        return []
    hint = "or modify with resumeFromCheckpoint: false"
    faults: list[Fault] = []
    if old[0] != new[0]:
        message = "$source cannot change while resuming from the checkpoint"
        faults.append(Fault("pipeline[0].$source", message, hint, INVALID_OPTIONS))
    before, after = _window_of(old), _window_of(new)
    if before is None:
        return faults
    index, stage = after if after is not None else (len(new) - 1, {})
    path = f"pipeline[{index}]"
    kind = stage_name(before[1])
    if after is None or stage_name(stage) != kind:
        message = f"the window ({kind}) cannot be removed or changed to another kind"
        faults.append(Fault(path, message, hint, INVALID_OPTIONS))
        return faults
    was, now = before[1][str(kind)], stage[str(kind)]
    faults += [
        Fault(f"{path}.{kind}.{field}", "cannot change while resuming", hint, INVALID_OPTIONS)
        for field in ("interval", "hopSize", "gap", "offset", "boundary")
        if was.get(field) != now.get(field)
    ]
    inner = {stage_name(item) for item in now["pipeline"]}
    if not inner & {"$group", "$sort"} or was["pipeline"] != now["pipeline"]:
        message = "open windows were built by another inner pipeline, or by one without $group"
        faults.append(Fault(f"{path}.{kind}.pipeline", message, hint, INVALID_OPTIONS))
    return faults


def _window_of(pipeline: Sequence[Document]) -> tuple[int, Document] | None:
    windows = catalogue().names("window")
    found = ((index, stage) for index, stage in enumerate(pipeline) if stage_name(stage) in windows)
    return next(found, None)


def _dead_letter_faults(dlq: Any, connections: Connections) -> Iterator[Fault]:
    name = dlq.get("connectionName") if isinstance(dlq, dict) else None
    if not isinstance(name, str):
        return
    path = "options.dlq.connectionName"
    if name not in connections:
        hint = name_hint(name, list(connections))
        yield Fault(path, f"there is no connection {name!r}", hint, INVALID_OPTIONS)
    elif connections[name]["type"] != "atlas":
        message = f"connection {name!r} is no cluster; dead letters go to a collection"
        yield Fault(path, message, "", INVALID_OPTIONS)


def _parser_faults(
    pipeline: Sequence[Document], connections: Connections, evaluator: Evaluator
) -> Iterator[Fault]:
    """Ask mongod about every stage that it will evaluate, one by one."""
    plan = plan_pipeline(pipeline, catalogue(), connections)
    stages = [plan.source, *plan.before, *plan.inner, *plan.after]
    for stage in (*stages, plan.sink) if plan.sink else stages:
        for probe in _probes(stage):
            yield from _asked(probe, stage.path, evaluator)


def _probes(stage: PlannedStage) -> Iterator[Probe]:
    """What of a stage mongod has to parse."""
    if stage.spec.options is None:
        yield Probe("", stage.stage)
    elif stage.spec.probes is not None:
        yield from stage.spec.probes(stage.options)
    if stage.spec.role == "source" and "timeField" in stage.options:
        yield Probe(".timeField", {"$project": {"t": stage.options["timeField"]}})


def _asked(probe: Probe, path: str, evaluator: Evaluator) -> Iterator[Fault]:
    path += probe.path
    stage = resolve_metadata(probe.stage, f"$${METADATA_VARIABLE}")
    variables = {METADATA_VARIABLE: {}, **probe.variables}
    try:
        evaluator.evaluate_whole(Run((stage,), ("check",)), [], variables)
    except UnexpectedReply as error:
        code = error.details.get("code", BAD_VALUE)
        yield Fault(path, error.message, "", code if isinstance(code, int) else TYPE_MISMATCH)
