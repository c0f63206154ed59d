"""Stream processors of a workspace: create, start, stop, drop, modify, list.

Every change reads the state back: a result says what was observed, never what was asked.

Source: Atlas page "Manage stream processors"; asp-reference.md 1.3 to 1.9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils import run_limits
from asp_utils.errors import PipelineInvalid
from asp_utils.model.processor_states import CREATED, DROPPED, FAILED, STARTED, STOPPED
from asp_utils.operation import operation
from asp_utils.pipeline_input import decoded, preview, processor_options, revived
from asp_utils.workspace import connect, told_warnings

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        Autoscaling,
        CheckPipeline,
        ConnectionPassword,
        ConnectionUser,
        DeadLetters,
        Failover,
        Filter,
        MetadataFieldName,
        Pipeline,
        ProcessorName,
        ProcessorTier,
        StreamProcessorUrl,
        TimeoutSeconds,
    )
    from asp_utils.operations.pipelines import PipelineFinding
    from asp_utils.workspace import ProcessorState

_MODIFIABLE: Final = ("name", "pipeline", "tier", "dlq", "options")


class ProcessorChange(TypedDict):
    """What was observed of a stream processor after a change, and what to know about it."""

    name: str
    """Name of the stream processor."""
    state: str
    """CREATED, STARTED, STOPPED, FAILED, …"""
    previous_state: str | None
    """The state before; null when it did not exist."""
    changed: bool
    """Whether anything is different now."""
    warnings: list[PipelineFinding]
    """What is allowed and may surprise: traps, and what Atlas refuses on this tier."""


class StartedProcessor(ProcessorChange):
    """What was observed of a stream processor after its start."""

    stops_at: str | None
    """When it is stopped again, ISO 8601 UTC; null without `max_runtime_s`."""


class StreamProcessors(TypedDict):
    """The stream processors of a workspace."""

    stream_processors: list[dict[str, Any]]
    """One object each: id, name, pipeline, state, tier, errorMsg, lastStateChange, …"""


@operation(effect="write", preview=preview)
def sp_create_stream_processor(
    ctx: Context,
    name: ProcessorName,
    pipeline: Pipeline,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    dlq: DeadLetters = None,
    stream_meta_field_name: MetadataFieldName = None,
    tier: ProcessorTier = None,
    failover: Failover = None,
    autoscaling: Autoscaling = None,
    check_pipeline: CheckPipeline = True,
    timeout_s: TimeoutSeconds = 60,
) -> ProcessorChange:
    """Create a stream processor; it does not run until it is started.

    Raises:
        PipelineInvalid: The pipeline is wrong; all faults are named. Nothing was created.
        Conflict: A processor of that name exists.

    Source: Atlas page "sp.createStreamProcessor()".
    """
    stages = decoded(pipeline, persistent=True, check=check_pipeline)
    options = processor_options(dlq, stream_meta_field_name, tier) | _scaling(failover, autoscaling)
    command: dict[str, Any] = {"createStreamProcessor": name, "pipeline": stages}
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        reply = workspace.command({**command, "options": options} if options else command)
        seen = workspace.wait_for(name, {CREATED}, None, timeout_s)
    return _change(ctx, seen, reply, prefix="$.")


@operation(effect="write")
def sp_start_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    resume_from_checkpoint: Annotated[
        bool, Field(description="False starts afresh: position and open windows are dropped.")
    ] = True,
    start_at_operation_time: Annotated[
        dict[str, Any] | None,
        Field(
            description="Where a change-stream source begins, overriding the checkpoint: "
            '`{"$date": "…"}` or `{"$timestamp": {"t": …, "i": …}}`.'
        ),
    ] = None,
    start_after: Annotated[
        dict[str, Any] | None,
        Field(
            description="Resume token after which a change-stream source begins, overriding the "
            'checkpoint: `{"_data": "…"}`. Excludes `start_at_operation_time`.'
        ),
    ] = None,
    tier: ProcessorTier = None,
    autoscaling: Autoscaling = None,
    max_runtime_s: Annotated[
        float | None,
        Field(
            gt=0,
            description="Seconds after which it is stopped again, by a process in the background: "
            "a guard against a forgotten processor that costs. Stopping, dropping or starting it "
            "anew ends the limit. `workspace_costs` shows limits.",
            examples=[3600],
        ),
    ] = None,
    timeout_s: TimeoutSeconds = 300,
) -> StartedProcessor:
    """Start a stream processor and wait until it runs.

    Raises:
        NotFound: No processor has that name.
        Conflict: It runs already, or it failed while starting (the message says why).
        TimedOut: It did not reach STARTED in time.

    Source: Atlas page "sp.processor.start()".
    """
    command: dict[str, Any] = {"startStreamProcessor": name}
    if not resume_from_checkpoint:
        command["resumeFromCheckpoint"] = False
    if tier is not None:
        command["tier"] = tier
    command |= _scaling(None, autoscaling)
    if start_at_operation_time is not None:
        moment = revived(start_at_operation_time, "start_at_operation_time")
        command["options"] = {"startAtOperationTime": moment}
    if start_after is not None:
        token = revived(start_after, "start_after")
        command["options"] = {**command.get("options", {}), "startAfter": token}
    run_limits.check_possible(ctx, max_runtime_s)
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.state_of(name)
        reply = workspace.command(command)
        # Before it is seen to run: what times out here may start later all the same.
        caller = (stream_processor_url, connection_user, connection_password)
        limit = run_limits.set_limit(ctx, name, caller, max_runtime_s)
        seen = workspace.wait_for(name, {STARTED}, before, timeout_s)
    return {**_change(ctx, seen, reply), "stops_at": limit.stop_at if limit else None}


@operation(effect="write")
def sp_stop_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorState:
    """Stop a stream processor and wait until it has left its checkpoint.

    Raises:
        NotFound: No processor has that name.
        Conflict: It does not run.
        TimedOut: It did not reach STOPPED in time.

    Source: Atlas page "sp.processor.stop()".
    """
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.state_of(name)
        workspace.command({"stopStreamProcessor": name})
        seen = workspace.wait_for(name, {STOPPED}, before, timeout_s)
    run_limits.end_limit(ctx, name, stream_processor_url)
    return seen


@operation(effect="destroy")
def sp_drop_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorState:
    """Drop a stream processor with its checkpoint and statistics, and wait until it is gone.

    Raises:
        NotFound: No processor has that name.
        TimedOut: It was still listed when the time was up.

    Source: Atlas page "sp.processor.drop()".
    """
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.state_of(name)
        workspace.command({"dropStreamProcessor": name})
        seen = workspace.wait_for(name, {DROPPED}, before, timeout_s)
    run_limits.end_limit(ctx, name, stream_processor_url)
    return seen


@operation(effect="write", preview=preview)
def sp_modify_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
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
    resume_from_checkpoint: Annotated[
        bool,
        Field(
            description="True keeps position and open windows, which forbids changes to source and "
            "window; False drops them."
        ),
    ] = True,
    check_pipeline: CheckPipeline = True,
    timeout_s: TimeoutSeconds = 60,
) -> ProcessorChange:
    """Change a stopped stream processor: pipeline, name, dead letter queue, tier.

    Raises:
        NotFound: No processor has that name.
        Conflict: It runs.
        PipelineInvalid: The new pipeline is wrong, or cannot resume from the checkpoint.

    Source: Atlas page "Modify a stream processor"; asp-reference.md 1.6.
    """
    command: dict[str, Any] = {"modifyStreamProcessor": name}
    if pipeline is not None:
        command["pipeline"] = decoded(pipeline, persistent=True, check=check_pipeline)
    if new_name is not None:
        command["name"] = new_name
    command |= processor_options({} if remove_dlq else dlq, None, tier)
    command |= _scaling(failover, autoscaling)
    if not resume_from_checkpoint:
        command["resumeFromCheckpoint"] = False
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.get(name)
        try:
            reply = workspace.command(command)
        except PipelineInvalid as error:
            raise _about_new_name(error) from error
        wanted = {CREATED, STOPPED, FAILED}
        result = workspace.wait_for(new_name or name, wanted, str(before["state"]), timeout_s)
        after = workspace.get(new_name or name)
    changed = any(before.get(key) != after.get(key) for key in _MODIFIABLE)
    about_config = "$." if pipeline is not None else ""
    return {**_change(ctx, result, reply, prefix=about_config), "changed": changed}


@operation(effect="read")
def sp_list_stream_processors(
    ctx: Context,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    filter: Filter = None,  # noqa: A002 - the command's own word
) -> StreamProcessors:
    """List the stream processors of a workspace with their states.

    Source: Atlas page "sp.listStreamProcessors()".
    """
    command: dict[str, Any] = {"listStreamProcessors": 1}
    if filter is not None:
        command["filter"] = revived(filter, "filter")
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        return {"stream_processors": workspace.listed(command, "streamProcessors")}


def _scaling(failover: bool | None, autoscaling: dict[str, Any] | None) -> dict[str, Any]:
    """Options in the endpoint's words; those not given are left out."""
    given = {"failover": failover, "autoscaling": autoscaling}
    return {key: value for key, value in given.items() if value is not None}


def _change(
    ctx: Context, seen: ProcessorState, reply: dict[str, Any], *, prefix: str = ""
) -> ProcessorChange:
    """What was observed, with the warnings that came with the reply to the change."""
    return {**seen, "warnings": told_warnings(ctx, reply, prefix=prefix)}


def _about_new_name(error: PipelineInvalid) -> PipelineInvalid:
    """The refusal of a modification: its field `name` is our parameter `new_name`."""
    faults = [
        replace(fault, path="$.new_name") if fault.path == "$.name" else fault
        for fault in error.faults
    ]
    return PipelineInvalid(error.subject, faults)
