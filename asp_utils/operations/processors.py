"""Stream processors over the Admin API: for whoever has an API key and no database user.

The `sp_…` operations do the same over the workspace's own endpoint, and more: sampling, trial runs.

Source: Atlas page "Manage stream processors"; asp-reference.md 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.preview import raise_faults, would_send
from asp_utils.admin.project import project
from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.model.processor_states import STATES
from asp_utils.operation import operation
from asp_utils.pipeline_input import decoded
from asp_utils.pipeline_input import preview as pipeline_preview
from asp_utils.spelling import meant

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.processors import ProcessorChange
    from asp_utils.admin.project import Project
    from asp_utils.context import Context
    from asp_utils.model.admin_parameters import Restart, ResumeFromCheckpoint
    from asp_utils.model.parameters import (
        Atlas,
        Autoscaling,
        CheckPipeline,
        DeadLetters,
        Failover,
        Pipeline,
        ProcessorName,
        ProcessorTier,
        TimeoutSeconds,
        WorkspaceName,
    )

_PATHS: Final = {".name": "$.name", ".tier": "$.tier"}


class AdminProcessors(TypedDict):
    """The stream processors of a workspace as the Admin API shows them."""

    processors: list[dict[str, Any]]
    """name, state, tier, pipeline, options, and stats where the API adds them."""


@operation(effect="read")
def processor_list(
    ctx: Context,
    workspace: WorkspaceName,
    state: Annotated[
        str | None, Field(description="Only those in this state, such as STARTED or FAILED.")
    ] = None,
    atlas: Atlas = None,
) -> AdminProcessors:
    """List all stream processors of a workspace, over the Admin API.

    Raises:
        NotFound: There is no such workspace.
        ConfigInvalid: There is no such state.

    Source: Admin API, `GET …/streams/{tenantName}/processors`.
    """
    from asp_utils.admin.processors import list_processors

    with project(ctx, atlas) as target:
        found = list_processors(target, workspace)
    shown = [item for item in found if state in (None, item.get("state"))]
    if state and not shown and state not in STATES:
        hint = meant(state, STATES) or f"there are {', '.join(STATES)}"
        raise ConfigInvalid("config", [Fault("$.state", f"there is no state {state!r}", hint)])
    return {"processors": shown}


@operation(effect="read")
def processor_get(
    ctx: Context, workspace: WorkspaceName, name: ProcessorName, atlas: Atlas = None
) -> dict[str, Any]:
    """Show a stream processor with its pipeline, state and statistics, over the Admin API.

    Raises:
        NotFound: There is no such processor; the hint names those that there are.

    Source: Admin API, `GET …/streams/{tenantName}/processor/{processorName}`.
    """
    from asp_utils.admin.processors import get_processor

    with project(ctx, atlas) as target:
        return get_processor(target, workspace, name)


def _create_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    definition = _definition(
        parameters["name"],
        parameters.get("dlq"),
        parameters.get("tier"),
        parameters.get("failover"),
        parameters.get("autoscaling"),
    )
    faults = pipeline_preview(parameters) if parameters.get("check_pipeline", True) else []
    if faults:
        return list(faults)
    body = {"name": parameters["name"], "pipeline": parameters["pipeline"], **definition}
    return [would_send(parameters, "POST", parameters["workspace"], "processor", body=body)]


@operation(effect="write", preview=_create_preview)
def processor_create(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    pipeline: Pipeline,
    dlq: DeadLetters = None,
    tier: ProcessorTier = None,
    failover: Failover = None,
    autoscaling: Autoscaling = None,
    check_pipeline: CheckPipeline = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 60,
) -> ProcessorChange:
    """Create a stream processor over the Admin API; it does not run until it is started.

    Raises:
        PipelineInvalid: The pipeline is wrong or names what is not there; all faults are named.
        Conflict: A processor of that name exists.

    Source: Admin API, `POST …/streams/{tenantName}/processor`.
    """
    from asp_utils.admin.processors import create_processor

    definition = _definition(name, dlq, tier, failover, autoscaling)
    stages = decoded(pipeline, persistent=True, check=check_pipeline)
    definition |= {"name": name, "pipeline": stages}
    with project(ctx, atlas) as target:
        warnings = _warnings(target, workspace, definition) if check_pipeline else []
        return create_processor(target, workspace, definition, timeout_s, warnings=warnings)


def _ensure_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    found = _create_preview(parameters)
    return [f"where there is none, {it}" if isinstance(it, str) else it for it in found]


@operation(effect="write", preview=_ensure_preview)
def processor_ensure(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    pipeline: Pipeline,
    dlq: DeadLetters = None,
    tier: ProcessorTier = None,
    failover: Failover = None,
    autoscaling: Autoscaling = None,
    started: Annotated[
        bool | None,
        Field(description="Whether it is to run in the end; as it is when left out."),
    ] = None,
    restart: Restart = False,
    check_pipeline: CheckPipeline = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorChange:
    """Create a stream processor, or modify the one of that name until it is so.

    Raises:
        PipelineInvalid: The pipeline is wrong or names what is not there; all faults are named.
        Conflict: It runs, is different, and `restart` is not given; nothing was changed.

    Source: Admin API, `POST …/processor`, `PATCH …/processor/{processorName}`, `:start`, `:stop`.
    """
    from asp_utils.admin.processors import ensure_processor

    definition = _definition(name, dlq, tier, failover, autoscaling)
    stages = decoded(pipeline, persistent=True, check=check_pipeline)
    definition |= {"name": name, "pipeline": stages}
    with project(ctx, atlas) as target:
        warnings = _warnings(target, workspace, definition) if check_pipeline else []
        return ensure_processor(
            target,
            workspace,
            definition,
            timeout_s,
            restart=restart,
            started=started,
            warnings=warnings,
        )


def _modify_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    faults = pipeline_preview(parameters) if parameters.get("check_pipeline", True) else []
    if faults:
        return list(faults)
    body = _changes(parameters)
    if parameters.get("pipeline") is not None:
        body["pipeline"] = parameters["pipeline"]
    where = (parameters["workspace"], "processor", parameters["name"])
    sentences: list[str | Fault] = [would_send(parameters, "PATCH", *where, body=body)]
    if parameters.get("restart"):
        sentences.insert(0, f"{would_send(parameters, 'POST', *where, verb='stop')}, if it runs")
        sentences.append(f"{would_send(parameters, 'POST', *where, verb='start')}, if it ran")
    return sentences


@operation(effect="write", preview=_modify_preview)
def processor_modify(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    pipeline: Annotated[
        list[dict[str, Any]] | None, Field(description="The whole new pipeline; kept if left out.")
    ] = None,
    new_name: Annotated[
        str | None, Field(min_length=1, description="A new name for the processor.")
    ] = None,
    dlq: DeadLetters = None,
    remove_dlq: Annotated[bool, Field(description="Do without a dead letter queue.")] = False,
    tier: ProcessorTier = None,
    failover: Failover = None,
    autoscaling: Autoscaling = None,
    resume_from_checkpoint: ResumeFromCheckpoint = True,
    restart: Restart = False,
    check_pipeline: CheckPipeline = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorChange:
    """Change a stream processor over the Admin API: pipeline, name, dead letter queue, tier.

    When Atlas refuses a change for which a processor was stopped, it is started again as it was.

    Raises:
        NotFound: There is no such processor.
        Conflict: It runs, and `restart` is not given.
        PipelineInvalid: The new pipeline is wrong, or cannot resume from the checkpoint.

    Source: Admin API, `PATCH …/streams/{tenantName}/processor/{processorName}`.
    """
    from asp_utils.admin.processors import get_processor, modify_processor

    changes = _changes(
        {
            "new_name": new_name,
            "dlq": dlq,
            "remove_dlq": remove_dlq,
            "tier": tier,
            "failover": failover,
            "autoscaling": autoscaling,
            "resume_from_checkpoint": resume_from_checkpoint,
        }
    )
    if pipeline is not None:
        changes["pipeline"] = decoded(pipeline, persistent=True, check=check_pipeline)
    with project(ctx, atlas) as target:
        warnings = []
        if pipeline is not None and check_pipeline:
            live = get_processor(target, workspace, name)
            kept = live.get("options") or {}
            whole = {
                "tier": live.get("tier"),
                **changes,
                "options": kept | changes.get("options", {}),
            }
            warnings = _warnings(target, workspace, whole)
        return modify_processor(
            target, workspace, name, changes, timeout_s, restart=restart, warnings=warnings
        )


def _definition(
    name: str | None,
    dlq: dict[str, Any] | None,
    tier: str | None,
    failover: bool | None,
    autoscaling: dict[str, Any] | None,
) -> dict[str, Any]:
    """Options, tier and failover in the Admin API's words, checked.

    Raises:
        ConfigInvalid: Something of them is wrong; all faults are named.
    """
    from asp_utils.admin.processor_definition import definition_faults

    options = {"dlq": dlq, "autoscaling": autoscaling}
    options = {key: value for key, value in options.items() if value is not None}
    found = {"options": options or None, "tier": tier, "failoverEnabled": failover}
    definition: dict[str, Any] = {key: value for key, value in found.items() if value is not None}
    named = definition if name is None else {"name": name, **definition}
    raise_faults(
        Fault(_PATHS.get(it.path, it.path.replace(".options.", "$.")), it.message, it.hint)
        for it in definition_faults(named)
    )
    return definition


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """What a modification changes, without the pipeline, in the Admin API's words."""
    changes = _definition(
        given.get("new_name"),
        given.get("dlq"),
        given.get("tier"),
        given.get("failover"),
        given.get("autoscaling"),
    )
    if given.get("new_name") is not None:
        changes["name"] = given["new_name"]
    if given.get("remove_dlq"):
        changes.setdefault("options", {})["dlq"] = {}
    if not given.get("resume_from_checkpoint", True):
        changes.setdefault("options", {})["resumeFromCheckpoint"] = False
    return changes


def _warnings(target: Project, workspace: str, definition: dict[str, Any]) -> list[Fault]:
    """Check a pipeline against the workspace's connections, and tell what may surprise."""
    from asp_utils.admin.processors import pipeline_warnings

    warnings = pipeline_warnings(target, workspace, definition)
    for warning in warnings:
        hint = f" ({warning.hint})" if warning.hint else ""
        target.ctx.progress(f"warning: {warning.path}: {warning.message}{hint}")
    return warnings
