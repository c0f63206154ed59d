"""The connections of a workspace: created, changed, deleted, and each time looked at afterwards.

Secrets go out and never come back: Atlas shows a connection without them, so that no change may
rest on what it shows alone.

Source: Atlas page "Manage connections"; asp-reference.md 4.2, 4.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.connection_fields import (
    differences,
    removals,
    shown_of,
    value_at,
    with_removals,
    without_read_only,
)
from asp_utils.admin.reading import (
    WORKSPACES,
    get_connection,
    list_processors,
)
from asp_utils.admin.reading import find_connection as find_connection
from asp_utils.admin.reading import list_connections as list_connections
from asp_utils.errors import ConfigInvalid, Conflict, Fault
from asp_utils.model.processor_states import IDLE_STATES
from asp_utils.model.regions import cloud_of
from asp_utils.session.secrets import is_secret_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.admin.project import Project

__all__ = [
    "ConnectionChange",
    "checked",
    "create_connection",
    "delete_connection",
    "ensure_connection",
    "find_connection",
    "get_connection",
    "list_connections",
    "update_connection",
    "users_of",
]

DELETED: Final = "DELETED"
_READY: Final = "READY"
_FAILED: Final = "FAILED"
_NETWORKS: Final = ("networking", "publicPrivateNetworking")


class ConnectionChange(TypedDict):
    """What was observed of a connection after a change."""

    name: str
    """Name of the connection."""
    type: str
    """Its type, in the Admin API's words."""
    state: str
    """READY, or DELETED when it is gone."""
    previous_state: str | None
    """The state before; null when it did not exist."""
    changed: bool
    """Whether anything was sent that changes it."""
    connection: dict[str, Any] | None
    """The connection as the Admin API shows it now, without its secrets; null when it is gone."""
    warnings: list[dict[str, Any]]
    """What may surprise: `{path, message, hint}`."""


def checked(project: Project, definition: Mapping[str, Any], prefix: str) -> list[Fault]:
    """The warnings of a definition that can be sent there.

    Args:
        project: Where it is to be sent.
        definition: The connection with name and type.
        prefix: What the paths begin with.

    Raises:
        ConfigInvalid: It is wrong; all faults are named.
    """
    from asp_utils.pipeline.connections import definition_faults, definition_warnings

    target = target_of(project)
    faults = definition_faults(definition, target)
    if faults:
        raise ConfigInvalid("connection", [fault.below(prefix) for fault in faults])
    return [warning.below(prefix) for warning in definition_warnings(definition, target)]


def create_connection(
    project: Project,
    workspace: str,
    definition: Mapping[str, Any],
    timeout_s: float,
    *,
    warnings: list[Fault] | None = None,
) -> ConnectionChange:
    """Create a connection and wait until it is ready.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        definition: The connection, checked.
        timeout_s: Seconds to wait.
        warnings: What the check found.

    Raises:
        Conflict: It exists; or it was created and failed, which the message says with the reason.
        TimedOut: It was created, and was not ready in time.
    """
    path = project.streams(workspace, "connections")
    project.api.post(path, body_for(project, definition), version=WORKSPACES)
    seen = _ready(project, workspace, str(definition["name"]), timeout_s)
    return _change(seen, None, changed=True, warnings=warnings)


def ensure_connection(
    project: Project,
    workspace: str,
    definition: Mapping[str, Any],
    timeout_s: float,
    *,
    warnings: list[Fault] | None = None,
) -> ConnectionChange:
    """Create a connection, or change the one of that name until it is as defined.

    Secrets cannot be compared: where all that Atlas shows is right already, nothing is sent.

    Raises:
        Conflict: It exists with another type or network, or a running processor uses it.
    """
    name = str(definition["name"])
    before = find_connection(project, workspace, name)
    if before is None:
        try:
            return create_connection(project, workspace, definition, timeout_s, warnings=warnings)
        except Conflict as error:
            # Somebody else created it in between; one that was created and failed is no such case.
            before = find_connection(project, workspace, name)
            if before is None or error.details.get("status") is None:
                raise
    body = body_for(project, definition)
    if before.get("type") != body["type"]:
        raise Conflict(
            f"connection {name!r} exists with type {before.get('type')}, not {body['type']}",
            hint="take another name, or connection_delete it first",
            path="$.connection.type",
        )
    found = list(warnings or [])
    if not differences(shown_of(body), before):
        if shown_of(body) != body:
            message = "Atlas does not show secrets, so these could not be compared"
            found.append(Fault("$.connection", message, "connection_update sends them again"))
        return _change(before, before, changed=False, warnings=found)
    return _patched(project, workspace, before, body, timeout_s, found)


def update_connection(
    project: Project,
    workspace: str,
    name: str,
    changes: Mapping[str, Any],
    timeout_s: float,
    *,
    check: bool = True,
) -> ConnectionChange:
    """Change fields of a connection; what is not given stays as it is.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The connection.
        changes: The fields to change, merged into what there is; null takes a field away.
        timeout_s: Seconds to wait until it is ready again.
        check: Whether the changed definition is checked before it is sent.

    Raises:
        ConfigInvalid: The changed connection is wrong, has another name, or would lose a secret.
        Conflict: Its network or type would change, or a running processor uses it.
    """
    if not changes:
        fault = Fault("$.changes", "nothing is to change", "give the fields that are to change")
        raise ConfigInvalid("connection", [fault])
    before = get_connection(project, workspace, name)
    _refuse_renaming(name, changes)
    from asp_utils.pipeline.connections.merging import merged

    whole = merged(without_read_only(before), changes)
    warnings = list(_checked_change(project, whole, changes)) if check else []
    body = with_removals(body_for(project, whole), removals(changes))
    if before.get("type") == "Https" and "headers" not in before and "headers" not in changes:
        message = "Atlas shows no headers: if there are any, give them again"
        warnings.append(Fault("$.changes.headers", message))
    return _patched(project, workspace, before, body, timeout_s, warnings)


def delete_connection(
    project: Project, workspace: str, name: str, timeout_s: float, *, even_if_used: bool = False
) -> ConnectionChange:
    """Delete a connection and wait until it is gone.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The connection.
        timeout_s: Seconds to wait.
        even_if_used: Whether processors that name it are no reason to keep it.

    Raises:
        NotFound: There is no such connection.
        Conflict: Stream processors name it; all are named, with the places.
    """
    before = get_connection(project, workspace, name)
    users = users_of(project, workspace, name)
    if users and not even_if_used:
        raise _used(name, users, "even_if_used: true deletes it all the same")
    project.api.delete(project.streams(workspace, "connections", name), version=WORKSPACES)
    project.wait_until(
        f"connection {name!r} to be gone",
        lambda: find_connection(project, workspace, name),
        lambda seen: seen is None,
        timeout_s,
    )
    warnings = [Fault("$.name", f"{it['processor']} names it and cannot run") for it in users]
    gone = _change({**before, "state": DELETED}, before, changed=True, warnings=warnings)
    return {**gone, "connection": None}


def users_of(project: Project, workspace: str, name: str) -> list[dict[str, Any]]:
    """Which stream processors name a connection: `{processor, state, role, path}` each."""
    from asp_utils.pipeline.connections.roles import uses_of

    return [
        {
            "processor": item.get("name"),
            "state": item.get("state"),
            "role": role,
            "path": path,
        }
        for item in list_processors(project, workspace)
        for used, role, path in uses_of(item.get("pipeline") or [], item.get("options") or {})
        if used == name
    ]


def target_of(project: Project) -> Any:
    """For whom a definition is checked: "local" or "atlas"."""
    return "local" if project.is_local else "atlas"


def body_for(project: Project, definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as it is sent: to Atlas without what only a local instance needs."""
    from asp_utils.pipeline.connections import for_atlas

    whole = without_read_only(definition)
    if not project.is_local:
        return for_atlas(whole)
    # A reply shows the workspace's region where a connection has none of its own.
    own = cloud_of(str(whole.get("region"))) is None
    return {key: value for key, value in whole.items() if key != "region" or own}


def _patched(
    project: Project,
    workspace: str,
    before: Mapping[str, Any],
    body: dict[str, Any],
    timeout_s: float,
    warnings: list[Fault],
) -> ConnectionChange:
    name = str(before["name"])
    _refuse_other_kind(name, before, body)
    users = users_of(project, workspace, name)
    running = [item for item in users if item["state"] not in IDLE_STATES]
    if running:
        raise _used(name, running, "stop them first: processor_stop")
    path = project.streams(workspace, "connections", name)
    # Secrets do not show later: only the reply tells that they were taken.
    project.api.patch(path, body, version=WORKSPACES, shows={"name": name})
    seen = _ready(project, workspace, name, timeout_s, wanted=shown_of(body))
    return _change(seen, before, changed=True, warnings=warnings)


def _ready(
    project: Project,
    workspace: str,
    name: str,
    timeout_s: float,
    wanted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The connection once it is ready, and shows what is wanted.

    Raises:
        Conflict: It failed.
        TimedOut: It was not ready in time.
    """

    def done(seen: Mapping[str, Any]) -> bool:
        # What Atlas does not show can not be waited for.
        shown = {k: value for k, value in (wanted or {}).items() if value is None or k in seen}
        return seen.get("state", _READY) == _READY and not differences(shown, seen)

    def failed(seen: Mapping[str, Any]) -> str:
        if seen.get("state") != _FAILED:
            return ""
        words = ("errorMessage", "errorMsg", "stateReason", "error")
        found = (str(seen[word]) for word in words if seen.get(word))
        why = next(found, "Atlas gives no reason")
        return f"{why}; the connection is there: connection_update or connection_delete it"

    return project.wait_until(
        f"connection {name!r} to be {_READY}",
        lambda: get_connection(project, workspace, name),
        done,
        timeout_s,
        failed=failed,
    )


def _checked_change(
    project: Project, whole: Mapping[str, Any], changes: Mapping[str, Any]
) -> list[Fault]:
    """The warnings of a changed definition; a secret that would be lost is said to be one."""
    try:
        return checked(project, whole, "$.changes")
    except ConfigInvalid as error:
        faults = [_about_secret(fault, changes) for fault in error.faults]
        raise ConfigInvalid("connection", faults) from error


def _about_secret(fault: Fault, changes: Mapping[str, Any]) -> Fault:
    steps = fault.path.removeprefix("$.changes.").split(".")
    if not (is_secret_key(steps[-1]) or steps == ["uri"]) or value_at(changes, steps) is not None:
        return fault
    message = f"Atlas never shows {steps[-1]}, and the change would lose it: give it again"
    return replace(fault, message=message, hint='by reference: {"$env": "NAME"}')


def _refuse_renaming(name: str, changes: Mapping[str, Any]) -> None:
    if changes.get("name", name) != name:
        fault = Fault(
            "$.changes.name",
            "Atlas cannot rename a connection",
            "connection_rename creates the new one, rewires the stream processors that name the "
            "old one, and deletes that",
        )
        raise ConfigInvalid("connection", [fault])


def _refuse_other_kind(name: str, before: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse what Atlas fixes when a connection is created: its type, and its network."""
    wanted = {key: body[key] for key in _NETWORKS if key in body}
    changed = [key for key in wanted if key in before and differences({key: wanted[key]}, before)]
    if body.get("type") != before.get("type"):
        changed.append("type")
    if changed:
        raise Conflict(
            f"{' and '.join(changed)} of connection {name!r} cannot be changed",
            hint="connection_delete it and create it anew, or create one of another name",
            path=f"$.changes.{changed[0]}",
        )


def _used(name: str, users: list[dict[str, Any]], hint: str) -> Conflict:
    places = ", ".join(f"{it['processor']} ({it['state']}, {it['path']})" for it in users)
    message = f"connection {name!r} is in use by stream processors: {places}"
    return Conflict(message, hint=hint, path="$.name", details={"users": users})


def _change(
    seen: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    *,
    changed: bool,
    warnings: list[Fault] | None = None,
) -> ConnectionChange:
    return {
        "name": str(seen["name"]),
        "type": str(seen.get("type")),
        "state": str(seen.get("state", _READY)),
        "previous_state": None if before is None else str(before.get("state", _READY)),
        "changed": changed,
        "connection": dict(seen),
        "warnings": [warning.to_json() for warning in warnings or []],
    }
