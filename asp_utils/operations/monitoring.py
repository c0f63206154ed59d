"""What a stream processor is doing: its counters, and why nothing comes out.

Source: Atlas page "Monitor stream processors"; asp-reference.md 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.errors import PermissionDenied, UnexpectedReply
from asp_utils.model.processor_states import STARTED
from asp_utils.operation import operation
from asp_utils.workspace import connect, told_warnings

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import (
        ConnectionPassword,
        ConnectionUser,
        ProcessorName,
        StreamProcessorUrl,
    )
    from asp_utils.operations.pipelines import PipelineFinding
    from asp_utils.workspace import Workspace

_ENVELOPE: Final = ("ok", "$clusterTime", "operationTime")
_UNKNOWN_COMMAND: Final = (59, 13, 8000)
"""What an endpoint answers that has no such command: that there is none, or that it is not ours."""


class Explanation(TypedDict):
    """What a stream processor is doing."""

    name: str
    """Name of the stream processor."""
    state: str
    """CREATED, STARTED, STOPPED, FAILED, …"""
    sentence: str
    """What holds the output back, or that it flows."""
    findings: list[dict[str, Any]]
    """All that was seen, in the order of the pipeline: `{kind, sentence, path?}`."""
    stages: list[dict[str, Any]]
    """Documents at every stage: came in, went on, were left out, dead-lettered."""
    partitions: list[dict[str, Any]]
    """Each partition of the source with its watermark; none where the endpoint does not say."""
    open_windows: list[dict[str, Any]]
    """Each open window, with what will close it; none where the endpoint does not say."""
    watermark: Any
    """The watermark of a pipeline with a window; null before the first document."""
    stats: dict[str, Any]
    """The counters that this was read from."""
    warnings: list[PipelineFinding]
    """What it exceeds of its tier."""


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


@operation(effect="read")
def sp_explain_stream_processor(
    ctx: Context,
    name: ProcessorName,
    stream_processor_url: StreamProcessorUrl,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
) -> Explanation:
    """Say why a stream processor gives no output, or that it flows: in one sentence, with reasons.

    The local instance knows every partition's watermark and every open window. Elsewhere the
    explanation is read from the processor's statistics.

    Raises:
        NotFound: No processor has that name.
    """
    with connect(ctx, stream_processor_url, connection_user, connection_password) as workspace:
        reply = _own_explanation(workspace, name) or _from_stats(workspace, name)
    found = _completed(reply["explanation"])
    return {
        "name": name,
        "state": found["state"],
        "sentence": found["sentence"],
        "findings": found["findings"],
        "stages": found["stages"],
        "partitions": found["partitions"],
        "open_windows": found["openWindows"],
        "watermark": found["watermark"],
        "stats": {key: value for key, value in found["stats"].items() if key != "operatorStats"},
        "warnings": told_warnings(ctx, reply),
    }


def _own_explanation(workspace: Workspace, name: str) -> dict[str, Any] | None:
    """What a local instance says; None from an endpoint that is none."""
    try:
        return workspace.command({"localExplainStreamProcessor": name})
    except (UnexpectedReply, PermissionDenied) as error:
        if error.details.get("code") in _UNKNOWN_COMMAND:
            return None
        raise


def _from_stats(workspace: Workspace, name: str) -> dict[str, Any]:
    """What the statistics of any workspace say, in the shape of a local instance's reply."""
    options = {"verbose": True}
    try:
        reply = workspace.command({"getStreamProcessorStats": name, "options": options})
        state, stats = str(reply.get("state") or workspace.state_of(name)), reply["stats"]
    except KeyError as error:
        raise UnexpectedReply(f"the endpoint's statistics of {name!r} have no {error}") from error
    explanation: dict[str, Any] = {"state": state, "stats": stats}
    if state != STARTED:
        why = workspace.get(name).get("errorMsg", "")
        sentence = f"Nothing comes out: its state is {state}" + (f": {why}" if why else "") + "."
        finding = {"kind": "not_running", "sentence": sentence}
        explanation |= {"sentence": sentence, "findings": [finding]}
    return {"explanation": explanation}


def _completed(explanation: dict[str, Any]) -> dict[str, Any]:
    """An explanation with everything that its counters tell, where it has only these."""
    if "stages" in explanation:
        return explanation
    from asp_utils.engine.reporting.diagnosis import explained

    return {**explained(explanation["stats"]), **explanation}
