"""A connection under a new name, which Atlas itself cannot do: a new one, rewired to, the old gone.

Source: asp-reference.md 4.5.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.connection_fields import without_read_only
from asp_utils.admin.connections import (
    checked,
    create_connection,
    delete_connection,
    find_connection,
    get_connection,
    users_of,
)
from asp_utils.admin.processors import get_processor, modify_processor
from asp_utils.errors import AspError, ConfigInvalid, Conflict
from asp_utils.model.processor_states import IDLE_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.admin.project import Project
    from asp_utils.errors import Fault


class Renaming(TypedDict):
    """What was observed of a connection that got another name."""

    name: str
    """The new name."""
    previous_name: str
    """The old name, which nothing has any more."""
    changed: bool
    """Whether anything is different now."""
    connection: dict[str, Any] | None
    """The new connection as the Admin API shows it."""
    rewired: list[dict[str, Any]]
    """Stream processors that name the new one now: `{name, state}` each."""
    warnings: list[dict[str, Any]]
    """What may surprise: `{path, message, hint}`."""


def rename_connection(
    project: Project,
    workspace: str,
    name: str,
    new_name: str,
    secrets: Mapping[str, Any],
    timeout_s: float,
    *,
    restart: bool = False,
    resume_from_checkpoint: bool = True,
) -> Renaming:
    """Create the connection under its new name, rewire the processors, delete the old one.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The connection.
        new_name: What it is to be called.
        secrets: The fields that Atlas never shows, and others that are to change on the way.
        timeout_s: Seconds to wait, for each step.
        restart: Whether processors that run may be stopped, rewired and started again.
        resume_from_checkpoint: Whether rewired processors keep their position; Atlas forbids
            that where the connection is the source.

    Raises:
        ConfigInvalid: A secret is missing; all are named. Nothing was changed.
        Conflict: The new name is taken, or a processor runs and may not be stopped.
    """
    from asp_utils.pipeline.connections.merging import merged

    before = get_connection(project, workspace, name)
    if find_connection(project, workspace, new_name) is not None:
        message = f"there is a connection {new_name!r} already"
        raise Conflict(message, hint="take another name", path="$.new_name")
    definition = {**merged(without_read_only(before), secrets), "name": new_name}
    warnings = _checked(project, definition)
    names = list(dict.fromkeys(it["processor"] for it in users_of(project, workspace, name)))
    if not restart:
        _refuse_running(project, workspace, names)
    created = create_connection(project, workspace, definition, timeout_s, warnings=warnings)
    rewired: list[dict[str, Any]] = []
    try:
        for processor in names:
            changes = _rewired(get_processor(project, workspace, processor), name, new_name)
            changes.setdefault("options", {})["resumeFromCheckpoint"] = resume_from_checkpoint
            change = modify_processor(
                project, workspace, processor, changes, timeout_s, restart=restart
            )
            rewired.append({"name": processor, "state": change["state"]})
        delete_connection(project, workspace, name, timeout_s)
    except AspError as error:
        done = ", ".join(item["name"] for item in rewired) or "none"
        error.message += f"; connections {name!r} and {new_name!r} both exist, rewired: {done}"
        error.details = {**error.details, "rewired": rewired, "created": new_name}
        raise
    return {
        "name": new_name,
        "previous_name": name,
        "changed": True,
        "connection": created["connection"],
        "rewired": rewired,
        "warnings": created["warnings"],
    }


def _checked(project: Project, definition: Mapping[str, Any]) -> list[Fault]:
    """The warnings of the renamed connection; its faults are those of what was given."""
    try:
        return checked(project, definition, "$.secrets")
    except ConfigInvalid as error:
        raise ConfigInvalid("connection", [_about_given(each) for each in error.faults]) from error


def _about_given(fault: Fault) -> Fault:
    if fault.path == "$.secrets.name":
        return replace(fault, path="$.new_name")
    hint = fault.hint or 'Atlas never shows secrets: give them in `secrets`, {"$env": "NAME"} each'
    return replace(fault, hint=hint)


def _refuse_running(project: Project, workspace: str, names: list[str]) -> None:
    states = {name: get_processor(project, workspace, name).get("state") for name in names}
    running = [f"{name} ({state})" for name, state in states.items() if state not in IDLE_STATES]
    if running:
        raise Conflict(
            f"stream processors that use the connection run: {', '.join(running)}",
            hint="restart: true stops each, rewires it and starts it again; or processor_stop them",
            path="$.name",
            details={"states": states},
        )


def _rewired(processor: Mapping[str, Any], name: str, new_name: str) -> dict[str, Any]:
    """What of a processor names the connection, with the new name in its place."""
    from asp_utils.pipeline.connections.roles import uses_of

    options = processor.get("options") or {}
    changes: dict[str, Any] = {"pipeline": deepcopy(processor["pipeline"])}
    if options.get("dlq"):
        changes["options"] = {"dlq": dict(options["dlq"])}
    for used, _, path in uses_of(processor["pipeline"], options):
        if used == name:
            _set(changes, path, new_name)
    return changes


def _set(value: Any, path: str, new: str) -> None:
    """Put a value where a path of `uses_of` leads."""
    *steps, last = re.findall(r"[^.\[\]]+", path)
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    value[last] = new
