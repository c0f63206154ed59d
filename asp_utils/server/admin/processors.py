"""Processors over REST: the same commands as on the stream endpoint, in the Admin API's words.

Source: asp-reference.md 4.4; peers.md 2.1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bson.timestamp import Timestamp

from asp_utils.errors import Fault
from asp_utils.pipeline.grammar import Name, Options
from asp_utils.server.admin.bodies import (
    read_shape,
    typed_values,
    without_nothing,
    without_read_only,
)
from asp_utils.server.admin.failures import invalid, name_taken, of_processor
from asp_utils.server.commands import COMMANDS
from asp_utils.server.replies import CommandFailure
from asp_utils.server.statistics import accumulated, no_stats, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.admin.exchange import Call
    from asp_utils.server.processors import Processor
    from asp_utils.server.wire import Caller
    from asp_utils.server.workspaces import OpenWorkspace

_SHOWN_OPTIONS: Final = ("dlq", "autoscaling", "streamMetaFieldName")
_SHOWN_ONLY: Final = (
    "effectiveTier",
    "eligibleForFailover",
    "warnings",
    "errorMsg",
    "errorCode",
    "errorRetryable",
)
"""Fields of replies that say nothing in a request."""


class ProcessorOptions(Options):
    """What may stand in `options`."""

    dlq: dict[str, Any] | None = None
    autoscaling: dict[str, Any] | None = None
    stream_meta_field_name: str | None = None
    resume_from_checkpoint: bool | None = None


class NewProcessor(Options):
    """A processor to be created."""

    name: Name
    pipeline: list[dict[str, Any]]
    options: ProcessorOptions | None = None
    tier: str | None = None
    failover_enabled: bool | None = None


class ProcessorChange(Options):
    """What of a processor is to change."""

    name: Name | None = None
    pipeline: list[dict[str, Any]] | None = None
    options: ProcessorOptions | None = None
    tier: str | None = None
    failover_enabled: bool | None = None


class StartOptions(Options):
    """How a processor is to be started."""

    tier: str | None = None
    autoscaling: dict[str, Any] | None = None
    resume_from_checkpoint: bool | None = None
    start_at_operation_time: Any = None
    failover: dict[str, Any] | None = None


async def list_processors(call: Call) -> list[dict[str, Any]]:
    """Every processor, with the counters that were last heard of."""
    found = await call.workspace.parts.supervisor.all()
    return [_document(each, _known_stats(each)) for each in found]


async def get_processor(call: Call) -> dict[str, Any]:
    """One processor, with its counters now."""
    return await _shown(call, call.path["processorName"])


async def create_processor(call: Call) -> dict[str, Any]:
    """Make a processor; it does not run yet."""
    body = without_read_only(await call.body(), *_SHOWN_ONLY)
    asked = read_shape(NewProcessor, body)
    given = typed_values(body)
    fields = {"pipeline": given["pipeline"], "options": _options(given)}
    reply = await _command(call.workspace, call.caller, "createStreamProcessor", asked.name, fields)
    return {**await _shown(call, asked.name), **_warnings(reply)}


async def modify_processor(call: Call) -> dict[str, Any]:
    """Change a processor that does not run."""
    name = call.path["processorName"]
    await _existing(call.workspace, name)
    body = without_read_only(await call.body(), *_SHOWN_ONLY)
    asked = read_shape(ProcessorChange, body)
    given = typed_values(body)
    fields = {**_options(given), **_present(given, ("name", "pipeline"))}
    reply = await _command(call.workspace, call.caller, "modifyStreamProcessor", name, fields)
    return {**await _shown(call, asked.name or name), **_warnings(reply)}


async def start_processor(call: Call) -> None:
    """Start a processor as it is."""
    await start_one(call.workspace, call.caller, call.path["processorName"])


async def start_processor_with(call: Call) -> None:
    """Start a processor otherwise than usual."""
    body = await call.body()
    read_shape(StartOptions, body)
    fields = _present(typed_values(body), tuple(body))
    if "startAtOperationTime" in fields:
        fields["startAtOperationTime"] = _moment(fields["startAtOperationTime"])
    await start_one(call.workspace, call.caller, call.path["processorName"], fields)


async def stop_processor(call: Call) -> None:
    """Stop a processor after a last checkpoint."""
    await stop_one(call.workspace, call.caller, call.path["processorName"])


async def delete_processor(call: Call) -> None:
    """End a processor and forget it with its state."""
    name = call.path["processorName"]
    # Before the command, which would also drop a temporary processor.
    await _existing(call.workspace, name)
    await _command(call.workspace, call.caller, "dropStreamProcessor", name)


async def start_one(
    workspace: OpenWorkspace, caller: Caller, name: str, fields: Mapping[str, Any] | None = None
) -> None:
    """Start a processor.

    Raises:
        ApiFailure: It runs already, or cannot run.
    """
    await _command(workspace, caller, "startStreamProcessor", name, fields or {})


async def stop_one(workspace: OpenWorkspace, caller: Caller, name: str) -> None:
    """Stop a processor.

    Raises:
        ApiFailure: It does not run.
    """
    await _command(workspace, caller, "stopStreamProcessor", name)


async def _command(
    workspace: OpenWorkspace,
    caller: Caller,
    command: str,
    name: str,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Carry out a command of the stream endpoint."""
    given = fields or {}
    try:
        return await COMMANDS[command](workspace.parts, caller, {command: name, **given})
    except CommandFailure as error:
        # Of a start the same failure says that the processor runs already.
        if error.name == "StreamProcessorAlreadyExists" and command != "startStreamProcessor":
            raise name_taken(str(given.get("name", name))) from error
        raise of_processor(error, name) from error


async def _shown(call: Call, name: str) -> dict[str, Any]:
    """The reply that shows a processor, with its counters now."""
    await _existing(call.workspace, name)
    reply = await _command(call.workspace, call.caller, "getStreamProcessorStats", name)
    return _document(await _existing(call.workspace, name), reply["stats"])


async def _existing(workspace: OpenWorkspace, name: str) -> Processor:
    """The processor of that name; temporary ones are none of the Admin API's.

    Raises:
        ApiFailure: 404.
    """
    try:
        return await workspace.parts.supervisor.get(name)
    except CommandFailure as error:
        raise of_processor(error, name) from error


def _document(processor: Processor, stats: Mapping[str, Any]) -> dict[str, Any]:
    """The shape of a processor; what is not set is left out."""
    options = {key: value for key, value in processor.options.items() if key in _SHOWN_OPTIONS}
    document: dict[str, Any] = {
        "_id": processor.id,
        "name": processor.name,
        **({"options": options} if options else {}),
        "pipeline": processor.pipeline,
        "state": processor.state,
        "stats": without_nothing(stats),
        "tier": processor.tier,
        "effectiveTier": processor.running_tier,
        "eligibleForFailover": False,
    }
    if "failoverEnabled" in processor.options:
        document["failoverEnabled"] = processor.options["failoverEnabled"]
    if processor.error_message:
        document["errorMsg"] = processor.error_message
        document["errorCode"] = processor.error_code
        document["errorRetryable"] = processor.error_retryable
    return document


def _known_stats(processor: Processor) -> dict[str, Any]:
    """The counters without asking the worker, as the one command would show them."""
    known = {key: value for key, value in processor.last_stats.items() if key != "operatorStats"}
    return scaled(accumulated({**no_stats(), **known}, processor.stats_base), 1)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the commands take as options of a processor."""
    options = {**(given.get("options") or {}), **_present(given, ("tier", "failoverEnabled"))}
    return {key: value for key, value in options.items() if value is not None}


def _present(given: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {key: given[key] for key in fields if given.get(key) is not None}


def _warnings(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What Atlas would refuse or few people mean; Atlas has no such field."""
    return {"warnings": reply["warnings"]} if "warnings" in reply else {}


def _moment(given: Any) -> datetime | Timestamp:
    """An instant in ISO 8601, or in Extended JSON.

    Raises:
        ApiFailure: 400, it is none.
    """
    if isinstance(given, datetime | Timestamp):
        return given
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        hint = "ISO 8601, for instance 2026-01-20T14:30:15Z"
        raise invalid([Fault("startAtOperationTime", "this is no instant", hint)]) from None
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)
