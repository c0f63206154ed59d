"""Check a processor before it is created: grammar, connections, and mongod's own parser.

Offline knowledge comes from `pipeline.check`; here every run of stages is also put before the
mongod that would evaluate it, on no documents at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import bson
from pydantic import Field

from asp_utils.clients.op_msg import MAX_DOCUMENT_BYTES, NOT_BSON, MongodSocket
from asp_utils.engine.catalogue import catalogue
from asp_utils.errors import Fault, UnexpectedReply
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.check import check_pipeline, stage_name
from asp_utils.pipeline.faults import (
    BAD_VALUE,
    INVALID_OPTIONS,
    TYPE_MISMATCH,
    name_hint,
    option_faults,
)
from asp_utils.pipeline.grammar import Name, Options
from asp_utils.pipeline.normalize import LEGACY_FIELD, Normalizer
from asp_utils.pipeline.operators import OLDEST, Version
from asp_utils.pipeline.plan import Plan, PlannedStage, plan_pipeline
from asp_utils.pipeline.rewrite import METADATA_VARIABLE, resolve_metadata
from asp_utils.pipeline.traps import pipeline_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.evaluate import Evaluator

    Connections = Mapping[str, Mapping[str, Any]]
    Document = dict[str, Any]


_FIELD_BY_FIELD: Final = frozenset({"$addFields", "$group", "$match", "$project", "$set"})
"""Stages of mongod's whose fields can be parsed one by one."""


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


def check_offline(
    pipeline: Any,
    *,
    persistent: bool,
    connections: Connections | None = None,
    dlq: Any = None,
    local: bool = False,
) -> list[Fault]:
    """The faults that can be found without any server; paths are relative to the pipeline.

    Args:
        pipeline: The stages.
        persistent: Whether it must end in a sink.
        connections: The connection registry by name; None when it is not known here.
        dlq: The dead letter queue, whose faults have paths that begin with `dlq`.
        local: Whether it is to run on the local instance; else what Atlas has is no fault.
    """
    faults = check_pipeline(pipeline, catalogue(), connections, persistent=persistent, local=local)
    faults += _size_faults(pipeline)
    if dlq:
        faults += option_faults(DeadLetterTarget, dlq, "dlq")
        faults += [f.below("dlq") for f in _dead_letter_faults(dlq, connections)]
    return faults


def _size_faults(pipeline: Any) -> Iterator[Fault]:
    """Whether the pipeline can be stored: as BSON, of at most 16 MiB."""
    try:
        size_bytes = len(bson.encode({"pipeline": pipeline}))
    except NOT_BSON as error:
        yield Fault("", f"cannot be stored: {error}", "", TYPE_MISMATCH)
        return
    if size_bytes > MAX_DOCUMENT_BYTES:
        message = f"a pipeline has at most {MAX_DOCUMENT_BYTES} bytes, not {size_bytes}"
        yield Fault("", message, "", CODES["BSONObjectTooLarge"])


def check_traps(
    pipeline: Sequence[Document],
    connections: Connections | None = None,
    *,
    dlq: Mapping[str, Any] | None = None,
    tier: str | None = None,
    persistent: bool = True,
) -> list[Fault]:
    """The warnings of a pipeline without faults; paths are relative to it (`pipeline.traps`)."""
    return pipeline_warnings(
        pipeline,
        catalogue(),
        connections,
        dlq=dlq,
        tier=tier,
        persistent=persistent,
    )


def check_warnings(
    pipeline: Sequence[Document],
    options: Mapping[str, Any],
    connections: Connections,
    *,
    persistent: bool = True,
) -> list[Fault]:
    """The traps of a processor without faults; those of its tier the server knows itself.

    Args:
        pipeline: The stages.
        options: `dlq`; anything else is not looked at.
        connections: The connection registry by name.
        persistent: Whether it runs under a name; a temporary one shows its dead letters.
    """
    dlq = options.get("dlq")
    found = pipeline_warnings(pipeline, catalogue(), connections, dlq=dlq, persistent=persistent)
    return [fault.below("pipeline") for fault in found]


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
    from asp_utils.engine.evaluate import Evaluator  # not needed offline

    shaping = {key: options[key] for key in ("dlq", "streamMetaFieldName") if options.get(key)}
    link = MongodSocket.to(mongod_uri)
    try:
        faults = check_pipeline(
            pipeline,
            catalogue(),
            connections,
            persistent=persistent,
            server=_version(link.command({"buildInfo": 1})),
        )
        if not faults:
            name = shaping.get("streamMetaFieldName")
            evaluator = Evaluator(link, "asp_check", "check")
            plan = plan_pipeline(pipeline, catalogue(), connections, name, persistent=persistent)
            faults = list(_parser_faults(plan, evaluator))
    finally:
        link.close()
    faults = [fault.below("pipeline") for fault in faults]
    faults += option_faults(ProcessorOptions, shaping, "options")
    found = _dead_letter_faults(shaping.get("dlq"), connections)
    return faults + [fault.below("options.dlq") for fault in found]


def _version(build: Mapping[str, Any]) -> Version:
    """The version of a server out of its reply to `buildInfo`."""
    major, minor, *_ = build.get("versionArray", OLDEST)
    return int(major), int(minor)


def check_modify(old: Sequence[Document], new: Sequence[Document], *, resume: bool) -> list[Fault]:
    """What a modified pipeline may not change while it resumes from its checkpoint.

    As on Atlas: the source; the window's kind and figures; and a window that is changed at all
    needs a `$group` or `$sort` inside. Beyond that open windows here hold what a first `$group`
    made of their documents so far, so that one cannot change either.

    Source: Atlas page "Modify a stream processor"; asp-reference.md 1.6.
    """
    if not resume or old == new:
        return []
    faults: list[Fault] = []
    if old[0] != new[0]:
        message = "$source cannot change while resuming from the checkpoint"
        faults.append(_no_resume("pipeline[0].$source", message))
    before = _window_of(old)
    if before is not None:
        faults += _window_changes(before[1], _window_of(new), len(new) - 1)
    return faults


def _window_changes(
    before: Document, after: tuple[int, Document] | None, last: int
) -> Iterator[Fault]:
    """What may not change of a window: `before` it was, `after` it is (its index and stage)."""
    index, stage = after if after is not None else (last, {})
    path, kind = f"pipeline[{index}]", stage_name(before)
    if after is None or stage_name(stage) != kind:
        message = f"the window ({kind}) cannot be removed or changed to another kind"
        yield _no_resume(path, message)
        return
    was, now = before[str(kind)], stage[str(kind)]
    for field in ("interval", "hopSize", "gap", "partitionBy", "offset", "boundary"):
        if was.get(field) != now.get(field):
            yield _no_resume(f"{path}.{kind}.{field}", "cannot change while resuming")
    where = f"{path}.{kind}.pipeline"
    if not {stage_name(item) for item in now["pipeline"]} & {"$group", "$sort"}:
        yield _no_resume(where, "a window without $group or $sort cannot be taken up again")
    elif _held_by(was["pipeline"]) != _held_by(now["pipeline"]):
        message = "open windows hold what the first $group made of their documents so far"
        yield _no_resume(where, message + ": it cannot change")


def _held_by(inner: Sequence[Document]) -> Document | None:
    """The `$group` whose states open windows hold; None where they hold documents.

    It is the first one that needs all documents, behind stages that run on every batch (see
    `engine.steps`).
    """
    normalizer = Normalizer({LEGACY_FIELD: "stream"})
    for stage in inner:
        name = str(stage_name(stage))
        spec = catalogue().by_name[name][0]
        if not spec.main:
            return stage if name == "$group" else None
        planned = PlannedStage(name, normalizer.stage(stage)[name], "", spec)
        if planned.translated is None or planned.reads_metadata or spec.writes_metadata:
            return None
    return None


def _no_resume(path: str, message: str) -> Fault:
    hint = "or modify with resumeFromCheckpoint: false"
    return Fault(path, message, hint, INVALID_OPTIONS)


def _window_of(pipeline: Sequence[Document]) -> tuple[int, Document] | None:
    for index, stage in enumerate(pipeline):
        kinds = catalogue().by_name.get(stage_name(stage) or "", ())
        if kinds and kinds[0].role == "window":
            return index, stage
    return None


def _dead_letter_faults(dlq: Any, connections: Connections | None) -> Iterator[Fault]:
    """Faults of the connection of a dead letter queue; paths are relative to it."""
    name = dlq.get("connectionName") if isinstance(dlq, dict) else None
    if not isinstance(name, str) or connections is None:
        return
    if name not in connections:
        hint = name_hint(name, list(connections))
        yield Fault(".connectionName", f"there is no connection {name!r}", hint, INVALID_OPTIONS)
    elif connections[name]["type"] != "atlas":
        message = f"connection {name!r} is no cluster; dead letters go to a collection"
        yield Fault(".connectionName", message, "", INVALID_OPTIONS)


def _parser_faults(plan: Plan, evaluator: Evaluator) -> Iterator[Fault]:
    """Ask mongod about every stage that it will evaluate, one by one."""
    window = [plan.window] if plan.window is not None else []
    stages = [plan.source, *plan.before, *window, *plan.inner, *plan.after]
    for stage in (*stages, plan.sink) if plan.sink else stages:
        for probe in _probes(stage):
            yield from _asked(probe, stage.path, evaluator)


def _probes(stage: PlannedStage) -> Iterator[Probe]:
    """What of a stage mongod has to parse."""
    if stage.spec.options is None:
        yield Probe("", stage.stage)
    elif stage.spec.probes is not None:
        yield from stage.spec.probes(stage.options)
    elif stage.spec.role == "transform":
        for translated in stage.translated or ():
            yield Probe("", translated)
    if stage.spec.role == "source" and "timeField" in stage.options:
        yield Probe(".timeField", {"$project": {"t": stage.options["timeField"]}})


def _asked(probe: Probe, path: str, evaluator: Evaluator) -> Iterator[Fault]:
    """What mongod refuses of a probe: the fields that it refuses alone, or else the whole."""
    whole = _refused(probe, path, evaluator)
    if whole is None:
        return
    parts = (_refused(part, path, evaluator) for part in _parts(probe))
    named = [fault for fault in parts if fault is not None]
    yield from named or [whole]


def _refused(probe: Probe, path: str, evaluator: Evaluator) -> Fault | None:
    from asp_utils.engine.evaluate import Run

    stage = resolve_metadata(probe.stage, f"$${METADATA_VARIABLE}")
    variables = {METADATA_VARIABLE: {}, **probe.variables}
    try:
        evaluator.evaluate_whole(Run((stage,), ("check",)), [], variables)
    except UnexpectedReply as error:
        code = error.details.get("code", BAD_VALUE)
        return Fault(
            path + probe.path, error.message, "", code if isinstance(code, int) else TYPE_MISMATCH
        )
    return None


def _parts(probe: Probe) -> Iterator[Probe]:
    """A stage of several fields as one stage for each, so that every wrong one is named."""
    name, options = next(iter(probe.stage.items()))
    if probe.path or name not in _FIELD_BY_FIELD or not isinstance(options, dict):
        return
    for field, value in options.items():
        above = {"_id": None} if name == "$group" else {}
        yield Probe(f".{field}", {name: {**above, field: value}}, probe.variables)
