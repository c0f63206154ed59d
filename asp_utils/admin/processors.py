"""Stream processors defined over the Admin API: created, ensured, modified, and looked at again.

The order of keys in a pipeline is kept on its way there and back: `$sort` and `on` mean something
else in another order.

Source: Atlas page "Manage stream processors"; asp-reference.md 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.admin.processor_definition import fields_that_differ, fields_unlike, request_body
from asp_utils.admin.processor_runs import (
    ProcessorChange,
    change_of,
    check_tier,
    delete_processor,
    failure_of,
    start_processor,
    stop_processor,
    wait_started,
)
from asp_utils.admin.reading import (
    PROCESSORS,
    find_processor,
    get_processor,
    list_connections,
    list_processors,
)
from asp_utils.errors import AspError, Conflict, Fault, PipelineInvalid
from asp_utils.model.local_names import LOCAL
from asp_utils.model.processor_states import CREATED, FAILED, IDLE_STATES, STARTED, STOPPED
from asp_utils.pipeline_input import Given, findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asp_utils.admin.project import Project

__all__ = [
    "ProcessorChange",
    "create_processor",
    "delete_processor",
    "ensure_processor",
    "find_processor",
    "get_processor",
    "list_processors",
    "modify_processor",
    "pipeline_findings",
    "pipeline_warnings",
    "start_processor",
    "stop_processor",
]


def pipeline_warnings(
    project: Project, workspace: str, definition: Mapping[str, Any], prefix: str = "$."
) -> list[Fault]:
    """Check a pipeline against the connections that the workspace has, and give its warnings.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        definition: `pipeline` in BSON types, `options`, `tier`.
        prefix: What paths begin with.

    Raises:
        PipelineInvalid: It is wrong, or names what is not there; all faults are named.
    """
    connections = list_connections(project, workspace)
    faults, warnings = pipeline_findings(project, definition, connections)
    if faults:
        raise PipelineInvalid("pipeline", [_placed(fault, prefix) for fault in faults])
    return [_placed(warning, prefix) for warning in warnings]


def pipeline_findings(
    project: Project,
    definition: Mapping[str, Any],
    connections: Iterable[Mapping[str, Any]] | None,
) -> tuple[list[Fault], list[Fault]]:
    """Faults and warnings of a pipeline, paths from `$.pipeline`.

    Args:
        project: Where it is to run.
        definition: `pipeline` in BSON types, `options`, `tier`.
        connections: Those that it may name; None where nobody can say which there will be.
    """
    types = None
    if connections is not None:
        types = [{"name": each.get("name"), "type": each.get("type")} for each in connections]
    given = Given(
        project.ctx,
        definition["pipeline"],
        dlq=(definition.get("options") or {}).get("dlq"),
        tier=definition.get("tier"),
        connections=types,
        url=LOCAL if project.is_local and types is not None else None,
    )
    return findings(given)


def create_processor(
    project: Project,
    workspace: str,
    definition: Mapping[str, Any],
    timeout_s: float,
    *,
    warnings: list[Fault] | None = None,
) -> ProcessorChange:
    """Create a stream processor and wait until it is there; it does not run yet.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        definition: `name`, `pipeline`, and `options`, `tier`, `failoverEnabled` where wanted.
        timeout_s: Seconds to wait.
        warnings: What the check found.

    Raises:
        Conflict: A processor of that name exists.
        TimedOut: It was not CREATED in time.
    """
    check_tier(project, workspace, definition.get("tier"))
    path = project.streams(workspace, "processor")
    project.api.post(path, request_body(definition), version=PROCESSORS)
    name = str(definition["name"])
    seen = project.wait_until(
        f"stream processor {name!r} to be {CREATED}",
        lambda: get_processor(project, workspace, name),
        lambda found: found.get("state") in (CREATED, STOPPED),
        timeout_s,
        failed=lambda found: failure_of(found) if found.get("state") == FAILED else "",
    )
    return change_of(seen, None, warnings=warnings)


def ensure_processor(
    project: Project,
    workspace: str,
    definition: Mapping[str, Any],
    timeout_s: float,
    *,
    restart: bool = False,
    started: bool | None = None,
    warnings: list[Fault] | None = None,
) -> ProcessorChange:
    """Create a stream processor, or modify the one of that name until it is as defined.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        definition: As for `create_processor`.
        timeout_s: Seconds to wait, for each step.
        restart: Whether one that runs may be stopped, modified and started again.
        started: Whether it is to run; None leaves it as it is.
        warnings: What the check found.

    Raises:
        Conflict: It runs, differs, and may not be stopped; nothing was changed.
    """
    name = str(definition["name"])
    before = find_processor(project, workspace, name)
    result: ProcessorChange | None = None
    if before is None:
        try:
            result = create_processor(project, workspace, definition, timeout_s, warnings=warnings)
        except Conflict:
            # Somebody else created it in between.
            if find_processor(project, workspace, name) is None:
                raise
    if result is None:
        changes = {key: value for key, value in definition.items() if key != "name"}
        result = modify_processor(
            project, workspace, name, changes, timeout_s, restart=restart, warnings=warnings
        )
    settled = result
    if started is True and result["state"] != STARTED:
        settled = start_processor(project, workspace, name, {}, timeout_s)
    elif started is False:
        settled = stop_processor(project, workspace, name, timeout_s)
    changed = result["changed"] or settled["changed"]
    return {**result, "state": settled["state"], "changed": changed}


def modify_processor(
    project: Project,
    workspace: str,
    name: str,
    changes: Mapping[str, Any],
    timeout_s: float,
    *,
    restart: bool = False,
    warnings: list[Fault] | None = None,
) -> ProcessorChange:
    """Change a stream processor: `name`, `pipeline`, `options`, `tier`, `failoverEnabled`.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The stream processor.
        changes: The new values; `options.resumeFromCheckpoint` says what becomes of its state.
        timeout_s: Seconds to wait, for each step.
        restart: Whether one that runs may be stopped for it and started again afterwards.
        warnings: What the check found.

    Raises:
        NotFound: There is no such processor.
        Conflict: It runs, and may not be stopped.
        PipelineInvalid: Atlas refuses the change; one that ran runs again as it was.
        TimedOut: A step took too long; the message says which, and the state that was seen.
    """
    before = get_processor(project, workspace, name)
    body = request_body(changes)
    asked = fields_unlike(body, before)
    if not asked:
        return change_of(before, before, warnings=warnings)
    check_tier(project, workspace, changes.get("tier"))
    runs = before.get("state") not in IDLE_STATES
    if runs and not restart:
        raise Conflict(
            f"stream processor {name!r} is {before.get('state')}: it must be stopped to be changed",
            hint="restart: true stops it, changes it and starts it again; or processor_stop it",
            path="$.name",
            details={"state": before.get("state"), "differences": asked},
        )
    if not runs:
        seen = _patched(project, workspace, name, body, timeout_s)
    else:
        seen = _patched_between(project, workspace, name, body, timeout_s)
    return change_of(seen, before, changes=fields_that_differ(before, seen), warnings=warnings)


def _patched_between(
    project: Project, workspace: str, name: str, body: dict[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Stop a processor, change it, and start it again whether or not that worked."""
    try:
        stop_processor(project, workspace, name, timeout_s)
        _patched(project, workspace, name, body, timeout_s)
    except BaseException as error:
        with project.ctx.undisturbed():
            after = _brought_back(project, workspace, name, body, timeout_s)
        if isinstance(error, AspError):
            error.message += f"; {after}"
            error.details = {**error.details, "left": after}
        else:
            project.ctx.progress(f"stream processor {name!r} was to be changed: {after}")
        raise
    renamed = str(body.get("name", name))
    path = project.streams(workspace, "processor", renamed, verb="start")
    project.api.post(path, None, version=PROCESSORS, empty_ok=True)
    return wait_started(project, workspace, renamed, STOPPED, timeout_s)


def _brought_back(
    project: Project, workspace: str, name: str, body: Mapping[str, Any], timeout_s: float
) -> str:
    """Start a processor whose change failed; what became of it, in words."""
    try:
        start_processor(project, workspace, name, {}, timeout_s)
        live = get_processor(project, workspace, name)
    except AspError as error:
        return f"it ran before and was not seen running again: {error.message}"
    return f"it runs again {'as it was' if fields_unlike(body, live) else 'with the change'}"


def _patched(
    project: Project, workspace: str, name: str, body: dict[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Send a change and wait until it shows."""
    path = project.streams(workspace, "processor", name)
    project.api.patch(path, body, version=PROCESSORS)
    renamed = str(body.get("name", name))
    return project.wait_until(
        f"stream processor {renamed!r} to show the change",
        lambda: get_processor(project, workspace, renamed),
        lambda seen: not fields_unlike(body, seen, unknown_is_right=True),
        timeout_s,
    )


def _placed(fault: Fault, prefix: str) -> Fault:
    """A fault whose path begins at the config's root, moved to where the pipeline stands."""
    if prefix == "$.":
        return fault
    return Fault(prefix + fault.path.removeprefix("$."), fault.message, fault.hint, fault.code)
