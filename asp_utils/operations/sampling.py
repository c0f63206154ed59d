"""Documents out of stream processors: a pipeline tried out, a running processor sampled.

Source: Atlas page "Manage stream processors"; asp-reference.md 1.3, 3.3.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from asp_utils.errors import NotFound, UnexpectedReply
from asp_utils.operation import operation
from asp_utils.pipeline_input import decoded, preview, processor_options
from asp_utils.workspace import connect, told_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        CheckPipeline,
        ConnectionPassword,
        ConnectionUser,
        DeadLetters,
        MetadataFieldName,
        Pipeline,
        ProcessorName,
        ProcessorTier,
        StreamProcessorUrl,
    )

    Limit = Annotated[
        int | None, Field(ge=1, description="Stop after this many documents; no bound if left out.")
    ]
    MaxSeconds = Annotated[
        float | None, Field(gt=0, description="Stop after this many seconds; no bound if left out.")
    ]


@operation(effect="test", preview=preview)
def sp_process(
    ctx: Context,
    pipeline: Pipeline,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    dlq: DeadLetters = None,
    stream_meta_field_name: MetadataFieldName = None,
    tier: ProcessorTier = None,
    limit: Limit = None,
    max_seconds: MaxSeconds = None,
    check_pipeline: CheckPipeline = True,
) -> Iterator[dict[str, Any]]:
    """Run a pipeline as a temporary stream processor and print its documents as they come.

    The sink may be left out. Dead letters are printed too, as `{"_dlqMessage": {…}}`. The temporary
    processor is dropped at the end, also after Ctrl-C, SIGTERM or a closed pipe. It ends by itself
    when its source is drained (a `documents` source), after `limit` documents or `max_seconds`.

    Raises:
        PipelineInvalid: The pipeline is wrong; all faults are named. Nothing was started.

    Source: Atlas page "sp.process()".
    """
    stages = decoded(pipeline, persistent=False, check=check_pipeline)
    options = processor_options(dlq, stream_meta_field_name, tier)
    command: dict[str, Any] = {"processStreamProcessor": stages}
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        opened = workspace.command({**command, "options": options} if options else command)
        told_warnings(ctx, opened, prefix="$.")
        name = opened.get("name")
        if not isinstance(name, str):
            raise UnexpectedReply(f"the endpoint did not name the processor: {opened}"[:300])
        count = 0
        try:
            with closing(workspace.sampled(name, opened, limit, max_seconds)) as documents:
                for document in documents:
                    yield document
                    count += 1
            if not count:
                ctx.progress(_nothing_came(stages))
        finally:
            # A drained processor may be gone already.
            with ctx.undisturbed(), suppress(NotFound):
                workspace.command({"dropStreamProcessor": name})


def _nothing_came(stages: list[dict[str, Any]]) -> str:
    """Why a pipeline may have given nothing, in one sentence."""
    windows = [name for stage in stages for name in stage if name.endswith("Window")]
    if windows:
        return (
            f"no document came out: {windows[0]} closes when a later document moves the watermark "
            "past its end plus allowedLateness, or after idleTimeout"
        )
    return "no document came out: the source gave none in time, or a $match kept none"


@operation(effect="read")
def sp_sample_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    limit: Limit = 10,
    max_seconds: MaxSeconds = None,
) -> Iterator[dict[str, Any]]:
    """Print documents that leave a running stream processor, as its sink gets them.

    Dead letters are printed too, as `{"_dlqMessage": {…}}`.

    Raises:
        NotFound: No processor has that name.
        Conflict: It does not run.

    Source: Atlas page "sp.processor.sample()".
    """
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        opened = workspace.command({"startSampleStreamProcessor": name})
        with closing(workspace.sampled(name, opened, limit, max_seconds)) as documents:
            yield from documents
