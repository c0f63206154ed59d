"""Stream processors defined over the Admin API: created, ensured, modified, and looked at again.

The order of keys in a pipeline is kept on its way there and back: `$sort` and `on` mean something
else in another order.

Source: Atlas page "Manage stream processors"; asp-reference.md 4.4.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.admin.processor_states import (
    CREATED,
    IDLE_STATES,
    STARTED,
    STOPPED,
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
from asp_utils.model.tiers import SMALLEST_FOR_FAILOVER, TIER_NAMES
from asp_utils.pipeline_input import Given, findings
from asp_utils.spelling import nearest
from asp_utils.workspace import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.admin.project import Project

__all__ = [
    "ProcessorChange",
    "create_processor",
    "definition_faults",
    "delete_processor",
    "ensure_processor",
    "find_processor",
    "get_processor",
    "list_processors",
    "modify_processor",
    "on_wire",
    "pipeline_warnings",
    "start_processor",
    "stop_processor",
]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COMPARED: Final = ("pipeline", "options", "tier", "failoverEnabled")
_DLQ: Final = ("connectionName", "db", "coll")
_NOT_COMPARED: Final = ("resumeFromCheckpoint",)


def definition_faults(definition: Mapping[str, Any]) -> list[Fault]:
    """The faults of name, tier and options, paths below the definition; not of the pipeline."""
    return list(_faults(definition))


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
    options = definition.get("options") or {}
    connections = [
        {"name": item.get("name"), "type": item.get("type")}
        for item in list_connections(project, workspace)
    ]
    given = Given(
        project.ctx,
        definition["pipeline"],
        dlq=options.get("dlq"),
        tier=definition.get("tier"),
        connections=connections,
        url=LOCAL if project.is_local else None,
    )
    faults, warnings = findings(given)
    if faults:
        raise PipelineInvalid("pipeline", [_placed(fault, prefix) for fault in faults])
    return [_placed(warning, prefix) for warning in warnings]


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
    project.api.post(path, _body(definition), version=PROCESSORS)
    name = str(definition["name"])
    seen = project.wait_until(
        f"stream processor {name!r} to be {CREATED}",
        lambda: get_processor(project, workspace, name),
        lambda found: found.get("state") in (CREATED, STOPPED),
        timeout_s,
        failed=lambda found: failure_of(found) if found.get("state") == "FAILED" else "",
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
    if before is None:
        result = create_processor(project, workspace, definition, timeout_s, warnings=warnings)
    else:
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
    body = _body(changes)
    asked = _changed_fields(body, before)
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
        stop_processor(project, workspace, name, timeout_s)
        seen = _patched_between(project, workspace, name, body, timeout_s)
    return change_of(seen, before, changes=_fields_that_differ(before, seen), warnings=warnings)


def on_wire(pipeline: Any) -> Any:
    """A pipeline with its BSON values as relaxed Extended JSON, keys in their order."""
    return json.loads(ejson.dumps(pipeline))


def _patched_between(
    project: Project, workspace: str, name: str, body: dict[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Change a processor that was stopped for it, and start it again whether or not it worked."""
    ctx = project.ctx
    try:
        _patched(project, workspace, name, body, timeout_s)
    except AspError as error:
        after = "it runs again as it was"
        try:
            start_processor(project, workspace, name, {}, timeout_s)
        except AspError as second:
            after = (
                f"it ran before and is stopped now, as it could not be started: {second.message}"
            )
        error.message += f"; {after}"
        error.details = {**error.details, "left": after}
        raise
    except BaseException:
        ctx.progress(f"stream processor {name!r} was stopped to be changed: look at it")
        raise
    renamed = str(body.get("name", name))
    path = project.streams(workspace, "processor", renamed, ":start")
    project.api.post(path, None, version=PROCESSORS, empty_ok=True)
    return wait_started(project, workspace, renamed, STOPPED, timeout_s)


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
        lambda seen: not _changed_fields(body, seen, unknown_is_right=True),
        timeout_s,
    )


def _body(definition: Mapping[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in definition.items() if value is not None}
    if "pipeline" in body:
        body["pipeline"] = on_wire(body["pipeline"])
    return body


def _changed_fields(
    body: Mapping[str, Any], live: Mapping[str, Any], *, unknown_is_right: bool = False
) -> list[str]:
    """The fields that are not yet as wanted.

    Args:
        body: What is wanted.
        live: What the Admin API shows.
        unknown_is_right: Whether a field that it does not show counts as done.
    """
    found = []
    for key in ("name", *_COMPARED):
        if key not in body or (unknown_is_right and key not in live):
            continue
        wanted, shown = body[key], live.get(key)
        if key == "options":
            kept = {k: v for k, v in wanted.items() if k not in _NOT_COMPARED}
            shown = {k: (shown or {}).get(k) or {} for k in kept}
            wanted = {k: v or {} for k, v in kept.items()}
        same = wanted == shown if key != "pipeline" else _text(wanted) == _text(shown)
        if not same:
            found.append(key)
    return found


def _fields_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    keys = ("name", *_COMPARED)
    pairs = ((key, before.get(key) or None, after.get(key) or None) for key in keys)
    return [key for key, old, new in pairs if _text(old) != _text(new)]


def _text(value: Any) -> bytes:
    """A value as text in which key order counts and spellings of Extended JSON do not."""
    try:
        return ejson.dumps(ejson.revive(value))
    except ejson.BadExtendedJson:
        return ejson.dumps(value)


def _placed(fault: Fault, prefix: str) -> Fault:
    """A fault whose path begins at the config's root, moved to where the pipeline stands."""
    if prefix == "$.":
        return fault
    return Fault(prefix + fault.path.removeprefix("$."), fault.message, fault.hint, fault.code)


def _faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    name = definition.get("name")
    if "name" in definition and not (isinstance(name, str) and _NAME.fullmatch(name)):
        hint = "a name has 1 to 64 letters, digits, _ and -"
        yield Fault(".name", f"{name!r} cannot be the name of a stream processor", hint)
    tier = definition.get("tier")
    if tier is not None and tier not in TIER_NAMES:
        close = nearest(str(tier), TIER_NAMES)
        hint = f"did you mean {close!r}?" if close else f"one of {', '.join(TIER_NAMES)}"
        yield Fault(".tier", f"there is no tier {tier!r}", hint)
    elif definition.get("failoverEnabled") and tier is not None:
        smallest = TIER_NAMES.index(SMALLEST_FOR_FAILOVER)
        if TIER_NAMES.index(tier) < smallest:
            message = f"failover needs tier {SMALLEST_FOR_FAILOVER} or larger, not {tier}"
            yield Fault(".tier", message)
    dead_letters: Mapping[str, Any] = (definition.get("options") or {}).get("dlq") or {}
    for field in _DLQ if dead_letters else ():
        if not isinstance(dead_letters.get(field), str) or not dead_letters[field]:
            yield Fault(f".options.dlq.{field}", f"a dead letter queue needs {field}")
