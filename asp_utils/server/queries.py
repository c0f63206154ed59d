"""The commands that look: list and get processors, their stats, connections, defaults.

Source: asp-reference.md 1.3, 1.7, 1.8, 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.server.arguments import BOOL, INT, OBJECT, read_arguments, read_name
from asp_utils.server.launcher import WORKSPACE
from asp_utils.server.processors import DEFAULT_TIER, MAX_TIER, STARTED
from asp_utils.server.replies import CommandFailure
from asp_utils.server.statistics import STATUS_OF_STATE, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.processors import Processor
    from asp_utils.server.wire import Caller

_STATE_OF_STATUS: Final = {status: state for state, status in STATUS_OF_STATE.items()}


async def _list(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    criteria = read_arguments(command, {"filter": OBJECT}).get("filter")
    items = [processor.to_list_item() for processor in await workspace.supervisor.all()]
    if criteria:
        items = await workspace.processors.select(items, _with_state_names(criteria))
    return {"streamProcessors": items}


async def _get(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    read_arguments(command, {})
    processor, stats = await _find_with_stats(workspace, name, verbose=False)
    return {**processor.to_reply(), "stats": scaled(stats, 1)}


async def _get_stats(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    given = read_arguments(command, {"verbose": BOOL, "scale": INT})
    scale = given.get("scale", 1)
    if scale < 1:
        raise CommandFailure("BadValue", f"scale must be positive, not {scale}")
    processor, stats = await _find_with_stats(workspace, name, verbose=given.get("verbose", False))
    return {
        "ns": f"{WORKSPACE}.{processor.id}.{name}",
        "name": name,
        "state": processor.state,
        "tier": processor.tier,
        "effectiveTier": processor.effective_tier or processor.tier,
        "stats": scaled(stats, scale),
        "pipeline": processor.pipeline,
    }


async def _list_connections(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    criteria = read_arguments(command, {"filter": OBJECT}).get("filter")
    return {"connections": await workspace.connections.list(criteria)}


async def _list_workspace_defaults(
    _workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    read_arguments(command, {})
    return {"defaultTierSize": DEFAULT_TIER, "maxTierSize": MAX_TIER}


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
    return processor, {**identity, **stats, **identity, "restartCount": processor.restart_count}


def _with_state_names(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """The filter with `state: "running"` as `STARTED`: documentation filters with both."""
    state = criteria.get("state")
    if isinstance(state, str):
        return {**criteria, "state": _STATE_OF_STATUS.get(state, state)}
    return dict(criteria)


QUERY_COMMANDS: Final[dict[str, Handler]] = {
    "listStreamProcessors": _list,
    "getStreamProcessor": _get,
    "getStreamProcessorStats": _get_stats,
    "listStreamConnections": _list_connections,
    "listWorkspaceDefaults": _list_workspace_defaults,
}
"""Command name to handler."""
