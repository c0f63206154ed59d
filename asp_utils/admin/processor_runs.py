"""Stream processors started, stopped and deleted over the Admin API; states are polled.

Atlas answers these calls before they have taken effect: what counts is what a later look shows.

Source: Atlas page "Manage stream processors"; asp-reference.md 1.9, 4.2, 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.reading import (
    PROCESSORS,
    find_processor,
    get_processor,
    get_workspace,
    list_processors,
)
from asp_utils.errors import ConfigInvalid, Conflict, Fault
from asp_utils.model.processor_states import DROPPED, FAILED, IDLE_STATES, STARTED, STOPPED
from asp_utils.model.tiers import TIER_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NotRequired

    from asp_utils.admin.project import Project

_START_WITH: Final = "2025-03-12"
_STALE_FAILURE_S: Final = 20.0
"""How long a processor that was FAILED may still be shown so after it was started."""


class ProcessorChange(TypedDict):
    """What was observed of a stream processor after a change."""

    name: str
    """Name of the stream processor."""
    state: str
    """CREATED, STARTED, STOPPED, FAILED, …; DROPPED when it is gone."""
    previous_state: str | None
    """The state before; null when it did not exist."""
    changed: bool
    """Whether anything is different now."""
    changes: list[str]
    """Which fields are different: pipeline, tier, options, …"""
    warnings: list[dict[str, Any]]
    """What is allowed and may surprise: `{path, message, hint}`."""
    tier: NotRequired[str]
    """The tier it has, where the Admin API shows it."""


def start_processor(
    project: Project,
    workspace: str,
    name: str,
    options: Mapping[str, Any],
    timeout_s: float,
) -> ProcessorChange:
    """Start a stream processor and wait until it runs; one that runs already is left alone.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The stream processor.
        options: The body of `:startWith`; nothing of it: a plain start.
        timeout_s: Seconds to wait.

    Raises:
        NotFound: There is no such processor.
        Conflict: It runs already and options were given, or it failed while starting.
        ConfigInvalid: The tier is above the workspace's largest one.
        TimedOut: It did not run in time.
    """
    before = get_processor(project, workspace, name)
    state = str(before.get("state"))
    moves = "failover" in options
    if state == STARTED and not moves:
        if options:
            raise Conflict(
                f"stream processor {name!r} runs: {', '.join(options)} would have no effect",
                hint="processor_stop it first",
                path="$.name",
                details={"state": state},
            )
        return change_of(before, before)
    check_tier(project, workspace, options.get("tier"))
    verb, version = ("startWith", _START_WITH) if options else ("start", PROCESSORS)
    path = project.streams(workspace, "processor", name, verb=verb)
    project.api.post(path, dict(options) or None, version=version, empty_ok=True)
    if (options.get("failover") or {}).get("dryRun"):
        return change_of(get_processor(project, workspace, name), before)
    return change_of(wait_started(project, workspace, name, state, timeout_s), before)


def stop_processor(
    project: Project, workspace: str, name: str, timeout_s: float
) -> ProcessorChange:
    """Stop a stream processor and wait until it has stopped; one that does not run is left alone.

    Raises:
        NotFound: There is no such processor.
        TimedOut: It had not stopped in time.
    """
    before = get_processor(project, workspace, name)
    if before.get("state") in IDLE_STATES:
        return change_of(before, before)
    return change_of(_stopped(project, workspace, name, timeout_s), before)


def delete_processor(
    project: Project, workspace: str, name: str, timeout_s: float
) -> ProcessorChange:
    """Stop and delete a stream processor with its checkpoint; wait until it is gone.

    Raises:
        NotFound: There is no such processor.
        TimedOut: It was still there when the time was up.
    """
    before = get_processor(project, workspace, name)
    if before.get("state") not in IDLE_STATES:
        _stopped(project, workspace, name, timeout_s)
    project.api.delete(project.streams(workspace, "processor", name), version=PROCESSORS)
    project.wait_until(
        f"stream processor {name!r} to be gone",
        lambda: find_processor(project, workspace, name),
        lambda seen: seen is None or seen.get("state") == DROPPED,
        timeout_s,
    )
    return {**change_of({**before, "state": DROPPED}, before), "changes": []}


def wait_started(
    project: Project, workspace: str, name: str, state_before: str, timeout_s: float
) -> dict[str, Any]:
    """The processor once it runs.

    Raises:
        Conflict: It failed; the message has Atlas' reason.
        TimedOut: It did not run in time.
    """
    began_s = project.ctx.now_s()
    moved = state_before != FAILED

    def failed(seen: Mapping[str, Any]) -> str:
        nonlocal moved
        moved = moved or seen.get("state") != FAILED
        fresh = moved or project.ctx.now_s() - began_s > _STALE_FAILURE_S
        return failure_of(seen) if seen.get("state") == FAILED and fresh else ""

    return project.wait_until(
        f"stream processor {name!r} to be {STARTED}",
        lambda: get_processor(project, workspace, name),
        lambda seen: seen.get("state") == STARTED,
        timeout_s,
        failed=failed,
    )


def settle_processors(
    project: Project, workspace: str, status: str, timeout_s: float
) -> list[dict[str, Any]]:
    """`{name, state}` of all processors once none is on its way any more.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        status: What they were told to become: STARTED, STOPPED or FAILED_OVER.
        timeout_s: Seconds to wait.

    Raises:
        TimedOut: Some were still on their way.
    """
    settled = IDLE_STATES if status == STOPPED else (*IDLE_STATES, STARTED)
    early = (STOPPED,) if status == STARTED else ()

    def look() -> list[dict[str, Any]]:
        found = list_processors(project, workspace)
        return [{"name": item.get("name"), "state": item.get("state")} for item in found]

    return project.wait_until(
        f"all stream processors of {workspace!r} to be {status}",
        look,
        lambda seen: all(it["state"] in settled and it["state"] not in early for it in seen),
        timeout_s,
    )


def check_tier(project: Project, workspace: str, tier: str | None) -> None:
    """Refuse a tier above the workspace's largest one, where the Admin API shows that.

    Raises:
        NotFound: There is no such workspace.
        ConfigInvalid: It is above; the hint says how to raise the limit.
    """
    if tier not in TIER_NAMES:
        return
    live = get_workspace(project, workspace)
    largest = (live.get("streamConfig") or {}).get("maxTierSize")
    if largest in TIER_NAMES and TIER_NAMES.index(tier) > TIER_NAMES.index(largest):
        message = f"tier {tier} is above the largest tier of workspace {workspace!r}, {largest}"
        hint = f"raise it: workspace_update with max_tier: {tier!r}"
        raise ConfigInvalid("stream processor", [Fault("$.tier", message, hint)])


def failure_of(seen: Mapping[str, Any]) -> str:
    """Why a processor is FAILED, in Atlas' words."""
    stats = seen.get("stats")
    places = (seen, stats if isinstance(stats, dict) else {})
    words = ("errorMsg", "errorMessage", "error_msg", "error")
    found = (place[word] for place in places for word in words if place.get(word))
    reason = next(found, "Atlas gives no reason")
    return f"{reason}; see workspace_download_logs"


def change_of(
    seen: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    *,
    changes: list[str] | None = None,
    warnings: list[Fault] | None = None,
) -> ProcessorChange:
    """What was observed, beside what there was before."""
    previous = None if before is None else str(before.get("state"))
    fields = changes or []
    change: ProcessorChange = {
        "name": str(seen["name"]),
        "state": str(seen.get("state")),
        "previous_state": previous,
        "changed": bool(fields) or str(seen.get("state")) != previous,
        "changes": fields,
        "warnings": [warning.to_json() for warning in warnings or []],
    }
    tier = seen.get("effectiveTier", seen.get("tier"))
    if isinstance(tier, str):
        change["tier"] = tier
    return change


def _stopped(project: Project, workspace: str, name: str, timeout_s: float) -> dict[str, Any]:
    path = project.streams(workspace, "processor", name, verb="stop")
    project.api.post(path, None, version=PROCESSORS, empty_ok=True)
    return project.wait_until(
        f"stream processor {name!r} to be {STOPPED}",
        lambda: get_processor(project, workspace, name),
        lambda seen: seen.get("state") in (STOPPED, FAILED),
        timeout_s,
    )
