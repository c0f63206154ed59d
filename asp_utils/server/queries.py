"""The commands that look: list and get processors, their stats, connections, defaults.

Source: asp-reference.md 1.3, 1.7, 1.8, 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bson
from bson.raw_bson import RawBSONDocument

from asp_utils.clients.op_msg import MAX_MESSAGE_BYTES
from asp_utils.model.processor_states import STARTED
from asp_utils.model.tiers import added_parallelism
from asp_utils.server.arguments import BOOL, INT, OBJECT, read_arguments, read_name
from asp_utils.server.local_workspace import running_warnings
from asp_utils.server.replies import CommandFailure, with_warnings
from asp_utils.server.statistics import STATUS_OF_STATE, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.processors import Processor
    from asp_utils.server.wire import Caller

_STATE_OF_STATUS: Final = {status: state for state, status in STATUS_OF_STATE.items()}
_LISTED_BYTES: Final = MAX_MESSAGE_BYTES - 1_000_000
"""What a list of processors may hold: a driver takes no longer message."""
_LOGICAL: Final = ("$and", "$or", "$nor")


async def _list(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    criteria = read_arguments(command, {"filter": OBJECT}).get("filter")
    items = [processor.to_list_item() for processor in await workspace.supervisor.all()]
    if criteria:
        items = await workspace.processors.select(items, _with_state_names(criteria))
    return {"streamProcessors": _that_fit(items)}


async def _get(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    read_arguments(command, {})
    processor, stats = await _find_with_stats(workspace, name, verbose=False)
    return {**processor.to_reply(workspace.record.region), "stats": scaled(stats, 1)}


async def _explain(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Why a processor gives no output; the local instance's own, Atlas has no such command."""
    name = read_name(command)
    read_arguments(command, {})
    temporary = workspace.temporaries.get(name)
    if temporary is not None:
        processor, explanation = temporary.processor, await temporary.explain()
    else:
        processor = await workspace.supervisor.get(name)
        explanation = await workspace.supervisor.explain(processor)
    _, stats = await _find_with_stats(workspace, name, verbose=True)
    whole = {
        "name": name,
        "state": processor.state,
        "errorMsg": processor.error_message,
        **explanation,
        "stats": scaled(stats, 1),
    }
    return with_warnings({"explanation": whole}, running_warnings(processor, stats))


async def _get_stats(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    given = read_arguments(command, {"verbose": BOOL, "scale": INT})
    scale = given.get("scale", 1)
    if scale < 1:
        raise CommandFailure("BadValue", f"scale must be positive, not {scale}")
    processor, stats = await _find_with_stats(workspace, name, verbose=given.get("verbose", False))
    reply = {
        "ns": f"{workspace.record.name}.{processor.id}.{name}",
        "name": name,
        "state": processor.state,
        "tier": processor.tier,
        "effectiveTier": processor.running_tier,
        **_autoscaling(processor, workspace.record.max_tier),
        "stats": scaled(stats, scale),
        "pipeline": processor.pipeline,
    }
    return with_warnings(reply, running_warnings(processor, stats))


def _autoscaling(processor: Processor, max_tier: str) -> dict[str, Any]:
    """`autoscaling: {minTier, maxTier}` where it is on; nothing is ever scaled here."""
    asked = processor.autoscaling
    if not asked or not asked.get("enabled", True):
        return {}
    lowest = asked.get("minTier", processor.running_tier)
    return {"autoscaling": {"minTier": lowest, "maxTier": asked.get("maxTier", max_tier)}}


async def _list_connections(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    criteria = read_arguments(command, {"filter": OBJECT}).get("filter")
    return {"connections": await workspace.connections.list(criteria)}


async def _list_workspace_defaults(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    read_arguments(command, {})
    record = workspace.record
    return {"defaultTierSize": record.tier, "maxTierSize": record.max_tier}


async def _find_with_stats(
    workspace: LocalWorkspace, name: str, *, verbose: bool
) -> tuple[Processor, dict[str, Any]]:
    """A processor, a temporary one too, and its counters."""
    temporary = workspace.temporaries.get(name)
    if temporary is not None:
        processor, active = temporary.processor, True
        stats = await temporary.stats(verbose=verbose)
    else:
        processor = await workspace.supervisor.get(name)
        active = workspace.supervisor.has_active_worker(processor)
        stats = await workspace.supervisor.stats(processor, verbose=verbose)
    # A STARTED processor may be between two workers, one of which has crashed.
    waits = processor.state == STARTED and not active
    status = "starting" if waits else STATUS_OF_STATE[processor.state]
    identity = {"name": name, "processorId": processor.id, "status": status}
    parallelism = {"addedParallelism": added_parallelism(processor.pipeline)}
    restarts = {"restartCount": processor.restart_count}
    return processor, {**identity, **parallelism, **stats, **identity, **restarts}


def _that_fit(items: list[dict[str, Any]]) -> list[RawBSONDocument]:
    """The listed processors; those that one reply cannot hold come without their pipeline.

    They say so with `pipelineOmitted`; getStreamProcessor shows every pipeline.
    """
    shown: list[RawBSONDocument] = []
    left_bytes = _LISTED_BYTES
    for item in items:
        encoded = bson.encode(item)
        if len(encoded) > left_bytes:
            short = {key: value for key, value in item.items() if key != "pipeline"}
            encoded = bson.encode({**short, "pipelineOmitted": True})
        left_bytes -= len(encoded)
        shown.append(RawBSONDocument(encoded))
    return shown


def _with_state_names(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """The filter with `state: "running"` as `STARTED`: documentation filters with both."""
    return {
        key: [_with_state_names(each) if isinstance(each, dict) else each for each in value]
        if key in _LOGICAL and isinstance(value, list)
        else (_state_named(value) if key == "state" else value)
        for key, value in criteria.items()
    }


def _state_named(value: Any) -> Any:
    """The state's own name for either word, also below `$in`, `$ne` and their like."""
    if isinstance(value, str):
        return _STATE_OF_STATUS.get(value, value)
    if isinstance(value, list):
        return [_state_named(each) for each in value]
    if isinstance(value, dict):
        return {
            key: inner if key in ("$regex", "$options") else _state_named(inner)
            for key, inner in value.items()
        }
    return value


QUERY_COMMANDS: Final[dict[str, Handler]] = {
    "listStreamProcessors": _list,
    "getStreamProcessor": _get,
    "getStreamProcessorStats": _get_stats,
    "localExplainStreamProcessor": _explain,
    "listStreamConnections": _list_connections,
    "listWorkspaceDefaults": _list_workspace_defaults,
}
"""Command name to handler."""
