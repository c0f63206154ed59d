"""Stream processing workspaces: created, changed, deleted, and each time looked at afterwards.

Source: Atlas page "Manage stream processing workspaces"; asp-reference.md 4.2, 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.connections import create_connection
from asp_utils.admin.processor_runs import delete_processor, settle_processors
from asp_utils.admin.reading import (
    WORKSPACES,
    get_workspace,
    list_processors,
)
from asp_utils.admin.reading import find_workspace as find_workspace
from asp_utils.admin.reading import list_workspaces as list_workspaces
from asp_utils.admin.workspace_definition import (
    SAMPLE,
    create_body,
    differences,
    over_maximum,
    unshown,
    update_body,
    without_read_only,
)
from asp_utils.errors import AspError, ConfigInvalid, Conflict
from asp_utils.model.processor_states import DROPPED, IDLE_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.admin.project import Project

__all__ = [
    "WorkspaceChange",
    "create_workspace",
    "delete_workspace",
    "ensure_workspace",
    "find_workspace",
    "get_workspace",
    "list_workspaces",
    "update_workspace",
]

_SAMPLES: Final = "2024-08-05"
_HAS_PROCESSORS: Final = "STREAM_TENANT_HAS_STREAM_PROCESSORS"
_IMMOVABLE: Final = ("dataProcessRegion.cloudProvider", "dataProcessRegion.region")


class WorkspaceChange(TypedDict):
    """What was observed of a workspace after a change."""

    name: str
    """Name of the workspace."""
    changed: bool
    """Whether anything is different now."""
    changes: list[dict[str, Any]]
    """What is different: `{path, before, after}`."""
    workspace: dict[str, Any] | None
    """The workspace as the Admin API shows it now; null when it is gone."""
    processors: list[dict[str, Any]]
    """`{name, state}` of its stream processors, where the change concerned them."""
    warnings: list[str]
    """What could not be observed, or may surprise."""


def create_workspace(
    project: Project, definition: Mapping[str, Any], timeout_s: float
) -> WorkspaceChange:
    """Create a workspace and wait until it has a hostname and its sample connections.

    Args:
        project: Where.
        definition: `name`, `dataProcessRegion`, and `streamConfig`, `failoverRegions`,
            `sampleConnections` where wanted, as the Admin API has them.
        timeout_s: Seconds to wait.

    Raises:
        Conflict: A workspace of that name exists.
        TimedOut: It was created, and was not complete in time.
    """
    name = definition["name"]
    body, samples = create_body(definition)
    path, version = project.streams(), WORKSPACES
    if samples:
        path, version = project.streams(verb="withSampleConnections"), _SAMPLES
    project.api.post(path, body, version=version)

    def complete(seen: Mapping[str, Any] | None) -> bool:
        return bool(seen and seen.get("hostnames")) and (not samples or _has_sample(seen))

    seen = project.wait_until(
        f"workspace {name!r} to be complete",
        lambda: find_workspace(project, name, connections=True),
        complete,
        timeout_s,
    )
    return _change(name, None, seen, warnings=_unobserved(definition, seen))


def ensure_workspace(
    project: Project, definition: Mapping[str, Any], timeout_s: float
) -> WorkspaceChange:
    """Create a workspace, or change the one of that name until it is as defined.

    Raises:
        Conflict: It exists elsewhere: a workspace with processors is not moved by the way.
    """
    name = definition["name"]
    before = find_workspace(project, name, connections=True)
    if before is None:
        try:
            return create_workspace(project, definition, timeout_s)
        except Conflict:
            # Somebody else created it in between.
            before = find_workspace(project, name, connections=True)
            if before is None:
                raise
    wanted = differences(definition, before)
    moved = [item for item in wanted if item["path"] in _IMMOVABLE]
    if moved:
        raise Conflict(
            f"workspace {name!r} exists in another place: "
            + ", ".join(f"{it['path']} is {it['before']}" for it in moved),
            hint="workspace_update moves it; or take another name",
            details={"differences": moved},
        )
    result = _change(name, before, before)
    paths = [item["path"] for item in wanted] + unshown(definition, before)
    changed = {path.partition(".")[0] for path in paths} - {"sampleConnections"}
    if changed:
        changes = {key: definition[key] for key in changed}
        result = update_workspace(project, name, changes, timeout_s)
    if any(item["path"] == "sampleConnections" for item in wanted):
        create_connection(project, name, {"name": SAMPLE, "type": "Sample"}, timeout_s)
        after = get_workspace(project, name, connections=True)
        result = _change(name, before, after, warnings=result["warnings"])
    return result


def update_workspace(
    project: Project, workspace: str, changes: Mapping[str, Any], timeout_s: float
) -> WorkspaceChange:
    """Change region, tiers or failover regions, or start, stop or move all processors.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        changes: Any of `cloudProvider`, `region`, `streamConfig`, `failoverRegions`,
            `processorStatus`; `dataProcessRegion` is taken too.
        timeout_s: Seconds to wait for the change to show.

    Raises:
        NotFound: There is no such workspace.
        ConfigInvalid: The tier is above the largest one, which stays as it is.
        TimedOut: The change did not show in time.
    """
    before = get_workspace(project, workspace)
    body, wanted = update_body(changes, before)
    faults = over_maximum(wanted, before)
    if faults:
        raise ConfigInvalid("workspace", faults)
    status = body.get("processorStatus")
    if not status and not differences(wanted, before) and not unshown(wanted, before):
        return _change(workspace, before, before)
    states_before = _states(project, workspace) if status else []
    project.api.patch(project.streams(workspace), body, version=WORKSPACES)
    seen = project.wait_until(
        f"workspace {workspace!r} to show the change",
        lambda: get_workspace(project, workspace),
        lambda found: not differences(wanted, found),
        timeout_s,
    )
    states = settle_processors(project, workspace, status["status"], timeout_s) if status else []
    result = _change(workspace, before, seen, warnings=_unobserved(wanted, seen))
    changed = result["changed"] or states != states_before
    return {**result, "changed": changed, "processors": states}


def delete_workspace(
    project: Project, workspace: str, timeout_s: float, *, delete_processors: bool = False
) -> WorkspaceChange:
    """Delete a workspace with its connections and stopped processors; wait until it is gone.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        timeout_s: Seconds to wait, for each step.
        delete_processors: Whether its processors are stopped and deleted first.

    Raises:
        NotFound: There is no such workspace.
        Conflict: Processors keep it; all are named.
    """
    before = get_workspace(project, workspace)
    states = _states(project, workspace)
    running = [item for item in states if item["state"] not in IDLE_STATES]
    if delete_processors:
        _delete_all(project, workspace, states, timeout_s)
    elif running:
        raise _kept(workspace, "run", running)
    try:
        project.api.delete(project.streams(workspace), version=WORKSPACES)
    except AspError as error:
        if error.details.get("errorCode") == _HAS_PROCESSORS and states:
            raise _kept(workspace, "are there", states) from error
        raise
    project.wait_until(
        f"workspace {workspace!r} to be gone",
        lambda: find_workspace(project, workspace),
        lambda seen: seen is None,
        timeout_s,
    )
    gone = [{**item, "state": DROPPED} for item in states]
    return {**_change(workspace, before, None), "processors": gone}


def _delete_all(
    project: Project, workspace: str, states: list[dict[str, Any]], timeout_s: float
) -> None:
    """Delete all processors; when one cannot be, the error says which are gone already."""
    gone: list[str] = []
    for item in states:
        try:
            delete_processor(project, workspace, item["name"], timeout_s)
        except AspError as error:
            error.details = {**error.details, "deleted_processors": gone}
            if gone:
                error.message += f"; deleted before it: {', '.join(gone)}"
            raise
        gone.append(item["name"])


def _kept(workspace: str, why: str, states: list[dict[str, Any]]) -> Conflict:
    names = ", ".join(f"{item['name']} ({item['state']})" for item in states)
    return Conflict(
        f"workspace {workspace!r} is kept: stream processors of it {why}: {names}",
        hint="stop them with processor_stop, or give delete_processors: true",
        path="$.workspace",
        details={"processors": states},
    )


def _states(project: Project, workspace: str) -> list[dict[str, Any]]:
    found = list_processors(project, workspace)
    return [{"name": item.get("name"), "state": item.get("state")} for item in found]


def _has_sample(seen: Mapping[str, Any] | None) -> bool:
    return any(item.get("type") == "Sample" for item in (seen or {}).get("connections", []))


def _unobserved(wanted: Mapping[str, Any], seen: Mapping[str, Any] | None) -> list[str]:
    """What was asked for and the Admin API does not show."""
    return [f"the Admin API does not show {path} of it" for path in unshown(wanted, seen or {})]


def _change(
    name: str,
    before: Mapping[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    warnings: list[str] | None = None,
) -> WorkspaceChange:
    both = before is not None and after is not None
    changes = differences(without_read_only(after or {}), before or {}) if both else []
    return {
        "name": name,
        "changed": bool(changes) or not both,
        "changes": changes,
        "workspace": after,
        "processors": [],
        "warnings": warnings or [],
    }
