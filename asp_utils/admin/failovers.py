"""Failover connections: where a connection leads when its workspace runs in another region.

Only Kafka and Cluster connections have them, one for each region.

Source: asp-reference.md 4.2, 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.connection_fields import (
    differences,
    removals,
    shown_of,
    with_removals,
    without_read_only,
)
from asp_utils.admin.connections import body_for, checked, get_connection
from asp_utils.admin.reading import about_something_else, faults_below, found_or_none, missing
from asp_utils.errors import ConfigInvalid, Fault, UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.admin.project import Project

DELETED: Final = "DELETED"
_VERSION: Final = "2025-03-12"
_TYPES: Final = ("Kafka", "Cluster")
_LOOK: Final = "look at what there is: failover_connection_list"


class FailoverChange(TypedDict):
    """What was observed of a failover connection after a change."""

    id: str
    """Its id, by which it is updated and deleted."""
    connection: str
    """The connection that it stands in for."""
    region: str | None
    """The region in which it does."""
    state: str
    """READY, or DELETED when it is gone."""
    changed: bool
    """Whether anything was sent that changes it."""
    failover: dict[str, Any] | None
    """The failover connection as the Admin API shows it; null when it is gone."""
    warnings: list[dict[str, Any]]
    """What may surprise: `{path, message, hint}`."""


def list_failovers(project: Project, workspace: str, connection: str) -> list[dict[str, Any]]:
    """All failover connections of a connection.

    Raises:
        NotFound: There is no such connection.
    """
    get_connection(project, workspace, connection)
    path = _path(project, workspace, connection)
    return list(project.api.items(path, version=_VERSION))


def create_failover(
    project: Project,
    workspace: str,
    connection: str,
    definition: Mapping[str, Any],
    timeout_s: float,
) -> FailoverChange:
    """Create a failover connection and wait until it is ready.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        connection: The connection that it stands in for.
        definition: Its fields and its `region`; the type is the connection's own.
        timeout_s: Seconds to wait.

    Raises:
        ConfigInvalid: The definition is wrong; all faults are named.
    """
    kind = get_connection(project, workspace, connection).get("type")
    whole = {"name": connection, "type": kind, **definition}
    region = definition.get("region")
    faults = [] if region else [Fault("$.failover.region", "say for which region it is")]
    if kind not in _TYPES:
        words = " and ".join(_TYPES)
        faults.append(Fault("$.name", f"a {kind} connection has no failover: only {words} have"))
    if faults:
        raise ConfigInvalid("failover connection", faults)
    warnings = checked(project, whole, "$.failover")
    body = {**body_for(project, whole), "region": region}
    with faults_below("failover"):
        created = project.api.post(_path(project, workspace, connection), body, version=_VERSION)
    ident = _id_of(created)
    seen = _ready(project, workspace, connection, ident, timeout_s)
    return _change(connection, seen, changed=True, warnings=warnings)


def update_failover(
    project: Project,
    workspace: str,
    connection: str,
    ident: str,
    changes: Mapping[str, Any],
    timeout_s: float,
) -> FailoverChange:
    """Change fields of a failover connection; what Atlas never shows must be given again.

    Raises:
        NotFound: There is no such failover connection.
        ConfigInvalid: The changed definition is wrong, or would lose a secret.
    """
    from asp_utils.pipeline.connections.merging import merged

    before = get_failover(project, workspace, connection, ident)
    whole = {**merged(without_read_only(before), changes), "name": connection}
    warnings = checked(project, whole, "$.changes")
    body = with_removals(body_for(project, whole), removals(changes))
    if whole.get("region"):
        body["region"] = whole["region"]
    path = project.streams(workspace, "connections", connection, "failoverConnections", ident)
    with faults_below("changes"):
        # Secrets do not show later: only the reply tells that they were taken.
        project.api.patch(path, body, version=_VERSION, shows={"type": whole.get("type")})
    wanted = {key: value for key, value in shown_of(body).items() if key in changes}
    seen = _ready(project, workspace, connection, ident, timeout_s, wanted)
    return _change(connection, seen, changed=True, warnings=warnings)


def delete_failover(
    project: Project, workspace: str, connection: str, ident: str, timeout_s: float
) -> FailoverChange:
    """Delete a failover connection and wait until it is gone.

    Raises:
        NotFound: There is no such failover connection.
    """
    before = get_failover(project, workspace, connection, ident)
    path = project.streams(workspace, "connections", connection, "failoverConnections", ident)
    project.api.delete(path, version=_VERSION)
    project.wait_until(
        f"failover connection {ident!r} to be gone",
        lambda: _find(project, workspace, connection, ident),
        lambda seen: seen is None,
        timeout_s,
    )
    gone = _change(connection, {**before, "state": DELETED}, changed=True)
    return {**gone, "failover": None}


def get_failover(project: Project, workspace: str, connection: str, ident: str) -> dict[str, Any]:
    """The failover connection of that id.

    Raises:
        NotFound: There is none; the hint names the ids that there are.
    """
    found = _find(project, workspace, connection, ident)
    if found is None:
        known = [{"id": _id_of(item)} for item in list_failovers(project, workspace, connection)]
        raise missing("failover connection", ident, known, path="$.failover_id", key="id")
    return found


def _find(project: Project, workspace: str, connection: str, ident: str) -> dict[str, Any] | None:
    path = project.streams(workspace, "connections", connection, "failoverConnections", ident)
    found = found_or_none(project, path, _VERSION)
    if found is not None and found.get("id", found.get("_id")) != ident:
        raise about_something_else(f"GET {path}", found)
    return found


def _ready(
    project: Project,
    workspace: str,
    connection: str,
    ident: str,
    timeout_s: float,
    wanted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    def done(seen: Mapping[str, Any]) -> bool:
        # What Atlas does not show can not be waited for.
        shown = {k: value for k, value in (wanted or {}).items() if value is None or k in seen}
        return seen.get("state", "READY") == "READY" and not differences(shown, seen)

    return project.wait_until(
        f"failover connection {ident!r} to be READY",
        lambda: get_failover(project, workspace, connection, ident),
        done,
        timeout_s,
        failed=lambda seen: "Atlas gives no reason" if seen.get("state") == "FAILED" else "",
    )


def _path(project: Project, workspace: str, connection: str) -> str:
    return project.streams(workspace, "connections", connection, "failoverConnections")


def _id_of(reply: Mapping[str, Any]) -> str:
    ident = reply.get("id", reply.get("_id"))
    if not isinstance(ident, str):
        odd = f"a failover connection without an id: {sorted(reply)}"
        raise UnexpectedReply(odd, hint=_LOOK)
    return ident


def _change(
    connection: str,
    seen: dict[str, Any],
    *,
    changed: bool,
    warnings: list[Fault] | None = None,
) -> FailoverChange:
    return {
        "id": _id_of(seen),
        "connection": connection,
        "region": seen.get("region"),
        "state": str(seen.get("state", "READY")),
        "changed": changed,
        "failover": {key: value for key, value in seen.items() if key != "links"},
        "warnings": [warning.to_json() for warning in warnings or []],
    }
