"""Pipelines looked at without running them: what is wrong, what may surprise, what will happen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from asp_utils.errors import ConfigInvalid, Fault, PipelineInvalid
from asp_utils.operation import operation
from asp_utils.pipeline_input import Given, faults_of, findings, preview, revived

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        ConnectionPassword,
        ConnectionUser,
        DeadLetters,
        MetadataFieldName,
        Pipeline,
        ProcessorTier,
    )

    ConnectionList = Annotated[
        list[dict[str, Any]] | None,
        Field(
            description="Connections that the pipeline may name, to check names without a "
            'workspace: `[{"name": "orders", "type": "Kafka"}]`; types as in the Admin API.',
            examples=[[{"name": "local_cluster", "type": "Cluster"}]],
        ),
    ]
    WorkspaceUrl = Annotated[
        str | None,
        Field(
            min_length=1,
            description="Workspace whose connections the pipeline may name: `local` or "
            "`mongodb://atlas-stream-…`. Nothing is asked for when left out.",
        ),
    ]


class PipelineFinding(TypedDict, total=False):
    """One thing at one place of a pipeline."""

    path: str
    """JSON path in the config, `$.pipeline[1].$tumblingWindow.interval.unit`."""
    message: str
    """What is wrong there, or what will surprise."""
    hint: str
    """What to write instead, where that can be said."""
    code: int
    """The error code with which Atlas refuses it."""


class CheckedPipeline(TypedDict):
    """What was found in a pipeline."""

    valid: bool
    """Whether it has no faults; warnings do not count."""
    faults: list[PipelineFinding]
    """All that is wrong."""
    warnings: list[PipelineFinding]
    """What is allowed, and often not meant."""


class ExplainedStage(TypedDict):
    """One stage, and what becomes of it."""

    number: str
    """Its place: `3`, or `3.1` inside a window."""
    stage: str
    """Its name, `$group`."""
    path: str
    """JSON path in the config."""
    does: str
    """What it does, with the figures from its options."""
    runs_in: Literal["source", "mongod", "engine", "sink"]
    """Who does it: mongod, the engine itself, or the system at either end."""
    commands: list[int]
    """The commands to mongod that it is part of; a divided `$group` is part of two."""
    notes: list[str]
    """What is not as on Atlas."""


class MongodCommand(TypedDict):
    """Stages that mongod runs together, in one command."""

    number: int
    """Counted from 1."""
    when: Literal["every batch", "window closes"]
    """When it is sent."""
    stages: list[str]
    """The numbers of its stages."""


class ExplainedPipeline(TypedDict):
    """What the local instance will do with a pipeline."""

    stages: list[ExplainedStage]
    """Every stage, in order; those inside a window follow it."""
    commands: list[MongodCommand]
    """What is sent to mongod."""
    window_holds: Literal["partial groups", "documents"] | None
    """What open windows keep; null without a window."""
    carries_metadata: bool
    """Whether documents carry their stream metadata on their way."""
    added_parallelism: int
    """What counts against the tier: the sum of (parallelism - 1)."""
    delivery: str
    """What is promised about each document."""
    svg: str | None
    """The file with the picture; null when none was asked for."""


@operation(effect="read", preview=preview)
def pipeline_check(
    ctx: Context,
    pipeline: Pipeline,
    purpose: Annotated[
        Literal["create", "process", "modify"],
        Field(
            description="What it is for: `process` may do without a sink, `modify` is compared "
            "with `old_pipeline`."
        ),
    ] = "create",
    old_pipeline: Annotated[
        list[dict[str, Any]] | None,
        Field(description="With `modify`: the pipeline as it is now."),
    ] = None,
    resume_from_checkpoint: Annotated[
        bool,
        Field(
            description="With `modify`: true keeps position and open windows, so source and window "
            "must stay."
        ),
    ] = True,
    dlq: DeadLetters = None,
    tier: ProcessorTier = None,
    connections: ConnectionList = None,
    stream_processor_url: WorkspaceUrl = None,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
) -> CheckedPipeline:
    """Check a pipeline in milliseconds: all faults at once, and traps in what is allowed.

    Nothing is sent anywhere, unless `stream_processor_url` asks for a workspace's connections. With
    `local` there, what Atlas runs and the local instance does not is a fault too; else a warning.
    The exit code is 0 for a pipeline without faults, else 65; the error object's `details` then
    hold `faults` and `warnings`.

    Raises:
        PipelineInvalid: There are faults; all are named.
        ConfigInvalid: A connection has no name, or a type that Atlas does not have; a modification
            without `old_pipeline`.

    Source: Atlas page "Stream Processing aggregation stages".
    """
    if (purpose == "modify") != (old_pipeline is not None):
        message = "old_pipeline is what a modification is compared with"
        fault = Fault("$.old_pipeline", message, 'give both it and purpose: "modify", or neither')
        raise ConfigInvalid("config", [fault])
    given = Given(
        ctx,
        revived(pipeline, "pipeline"),
        persistent=purpose != "process",
        dlq=dlq,
        tier=tier,
        connections=connections,
        url=stream_processor_url,
        user=connection_user,
        password=connection_password,
    )
    old = revived(old_pipeline, "old_pipeline")
    faults, warnings = findings(given, old, resume=resume_from_checkpoint)
    if faults:
        raise PipelineInvalid("pipeline", faults, warnings=warnings)
    return {"valid": True, "faults": [], "warnings": [_finding(warning) for warning in warnings]}


def _finding(fault: Fault) -> PipelineFinding:
    shape: PipelineFinding = {"path": fault.path, "message": fault.message}
    if fault.hint:
        shape["hint"] = fault.hint
    if fault.code is not None:
        shape["code"] = fault.code
    return shape


@operation(effect="read", preview=preview)
def pipeline_explain(
    ctx: Context,
    pipeline: Pipeline,
    svg: Annotated[
        str | None,
        Field(
            min_length=1,
            description="File for the plan as a picture, `plan.svg`; an existing one is replaced.",
        ),
    ] = None,
    stream_meta_field_name: MetadataFieldName = None,
    connections: ConnectionList = None,
    stream_processor_url: WorkspaceUrl = None,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
) -> ExplainedPipeline:
    """Say in words, and as a picture, what the local instance will do with a pipeline.

    Each stage: what it does, who runs it, and which stages mongod runs together. Nothing is sent
    anywhere, unless `stream_processor_url` asks for a workspace's connections; without them their
    types are guessed from the options.

    Raises:
        PipelineInvalid: There are faults; all are named.
        ConfigInvalid: The picture cannot be written there, or a connection is no connection.
    """
    given = Given(
        ctx,
        revived(pipeline, "pipeline"),
        persistent=False,
        connections=connections,
        url=stream_processor_url,
        user=connection_user,
        password=connection_password,
    )
    registry = given.registry()
    faults = faults_of(given, registry)
    if faults:
        raise PipelineInvalid("pipeline", faults)
    # The engine's plan costs pydantic and more: a check does without it.
    from asp_utils.engine.reporting import explain

    plan = explain.explain(given.pipeline, registry, metadata_field=stream_meta_field_name)
    return {
        "stages": [
            {
                "number": stage.number,
                "stage": stage.name,
                "path": f"$.pipeline{stage.path}",
                "does": stage.does,
                "runs_in": stage.runs_in,
                "commands": list(stage.commands),
                "notes": list(stage.notes),
            }
            for stage in plan.stages
        ],
        "commands": [
            {"number": it.number, "when": it.when, "stages": list(it.stages)}
            for it in plan.commands
        ],
        "window_holds": plan.window_holds,
        "carries_metadata": plan.carries_metadata,
        "added_parallelism": plan.added_parallelism,
        "delivery": plan.delivery,
        "svg": _written(svg, explain.picture(plan)) if svg is not None else None,
    }


def _written(file: str, text: str) -> str:
    """Write a picture; give its path.

    Raises:
        ConfigInvalid: It cannot be written there.
    """
    path = Path(file).expanduser().absolute()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fault = Fault("$.svg", f"cannot write {path}: {error.strerror}")
        raise ConfigInvalid("config", [fault]) from error
    return str(path)
