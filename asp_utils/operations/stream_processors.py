"""Stream processors of a workspace: create, start, stop, drop, modify, list, stats.

Every change reads the state back: a result says what was observed, never what was asked.

Source: Atlas page "Manage stream processors"; asp-reference.md 1.3 to 1.9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.errors import PipelineInvalid
from asp_utils.operation import operation
from asp_utils.pipeline_input import decoded, preview, processor_options, revived
from asp_utils.workspace import ProcessorState, connect

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        CheckPipeline,
        ConnectionPassword,
        ConnectionUser,
        DeadLetters,
        Filter,
        MetadataFieldName,
        Pipeline,
        ProcessorName,
        ProcessorTier,
        StreamProcessorUrl,
        TimeoutSeconds,
    )

_MODIFIABLE: Final = ("name", "pipeline", "tier", "dlq", "options")
_ENVELOPE: Final = ("ok", "$clusterTime", "operationTime")


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
    check_pipeline: CheckPipeline = True,
    timeout_s: TimeoutSeconds = 60,
) -> ProcessorState:
    """Create a stream processor; it does not run until it is started.

    Raises:
        PipelineInvalid: The pipeline is wrong; all faults are named. Nothing was created.
        Conflict: A processor of that name exists.

    Source: Atlas page "sp.createStreamProcessor()".
    """
    stages = decoded(pipeline, persistent=True, check=check_pipeline)
    options = processor_options(dlq, stream_meta_field_name, tier)
    command: dict[str, Any] = {"createStreamProcessor": name, "pipeline": stages}
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        workspace.command({**command, "options": options} if options else command)
        return workspace.wait_for(name, {"CREATED"}, None, timeout_s)


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
    tier: ProcessorTier = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorState:
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
    if start_at_operation_time is not None:
        moment = revived(start_at_operation_time, "start_at_operation_time")
        command["options"] = {"startAtOperationTime": moment}
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.state_of(name)
        workspace.command(command)
        return workspace.wait_for(name, {"STARTED"}, before, timeout_s)


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
        return workspace.wait_for(name, {"STOPPED"}, before, timeout_s)


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
        return workspace.wait_for(name, {"DROPPED"}, before, timeout_s)


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
    resume_from_checkpoint: Annotated[
        bool,
        Field(
            description="True keeps position and open windows, which forbids changes to source and "
            "window; False drops them."
        ),
    ] = True,
    check_pipeline: CheckPipeline = True,
    timeout_s: TimeoutSeconds = 60,
) -> ProcessorState:
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
    if not resume_from_checkpoint:
        command["resumeFromCheckpoint"] = False
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        before = workspace.get(name)
        try:
            workspace.command(command)
        except PipelineInvalid as error:
            raise _about_new_name(error) from error
        wanted = {"CREATED", "STOPPED", "FAILED"}
        result = workspace.wait_for(new_name or name, wanted, str(before["state"]), timeout_s)
        after = workspace.get(new_name or name)
        changed = any(before.get(key) != after.get(key) for key in _MODIFIABLE)
        return {**result, "changed": changed}


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


@operation(effect="read")
def sp_get_stream_processor_stats(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    verbose: Annotated[bool, Field(description="With the counters of every operator.")] = False,
    scale: Annotated[
        int, Field(ge=1, description="Divisor for sizes: 1 gives bytes, 1024 KiB.")
    ] = 1,
) -> dict[str, Any]:
    """Show what a stream processor counts: documents and bytes in, out and dead-lettered, state.

    Raises:
        NotFound: No processor has that name.

    Source: Atlas page "sp.processor.stats()"; asp-reference.md 3.2.
    """
    options = {"verbose": verbose, "scale": scale}
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        reply = workspace.command({"getStreamProcessorStats": name, "options": options})
    return {key: value for key, value in reply.items() if key not in _ENVELOPE}


def _about_new_name(error: PipelineInvalid) -> PipelineInvalid:
    """The refusal of a modification: its field `name` is our parameter `new_name`."""
    faults = [
        replace(fault, path="$.new_name") if fault.path == "$.name" else fault
        for fault in error.faults
    ]
    return PipelineInvalid(error.subject, faults)
