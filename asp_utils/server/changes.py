"""The commands that change processors: create, start, stop, modify, drop.

Source: asp-reference.md 1.3 to 1.6; Atlas page "Manage Stream Processors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.server.arguments import (
    ARRAY,
    BOOL,
    OBJECT,
    check_new_name,
    read_arguments,
    read_name,
)
from asp_utils.server.definition import (
    MODIFY_FIELDS,
    PROCESSOR_OPTIONS,
    START_FIELDS,
    check_tiers,
    read_definition,
    read_start_point,
)
from asp_utils.server.processors import DEFAULT_TIER, Processor, now
from asp_utils.server.replies import CommandFailure
from asp_utils.server.supervisor import is_at_rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.arguments import Fields
    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.wire import Caller

_FORCE: Final[Fields] = {"force": BOOL, "ttl": OBJECT}
"""Undocumented options that clients send; they change nothing here."""


async def _create(
    workspace: LocalWorkspace, caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    check_new_name(name)
    given = read_arguments(
        command, {**PROCESSOR_OPTIONS, "pipeline": ARRAY}, required=("pipeline",)
    )
    pipeline, options = read_definition(given)
    await workspace.check(pipeline, options, persistent=True)
    tier = str(options.get("tier", DEFAULT_TIER))
    user = caller.user or ""
    await workspace.processors.add(Processor(name, pipeline, options, user, tier=tier))
    return {}


async def _start(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    given = read_arguments(command, START_FIELDS)
    check_tiers(given)
    start_point = read_start_point(given)
    resume = given.get("resumeFromCheckpoint", True) and not given.get("clearCheckpoints", False)
    async with workspace.supervisor.changing(name):
        processor = await workspace.supervisor.get(name)
        await workspace.supervisor.start(
            processor,
            start_point=start_point,
            fresh=not resume or bool(start_point),
            tier=given.get("tier"),
        )
    return {}


async def _stop(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    read_arguments(command, _FORCE)
    async with workspace.supervisor.changing(name):
        await workspace.supervisor.stop(await workspace.supervisor.get(name))
    return {}


async def _drop(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    read_arguments(command, _FORCE)
    if await workspace.temporaries.drop(name):
        return {}
    async with workspace.supervisor.changing(name):
        await workspace.supervisor.drop(await workspace.supervisor.get(name))
    return {}


async def _modify(
    workspace: LocalWorkspace, caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    given = read_arguments(command, MODIFY_FIELDS)
    resume = given.pop("resumeFromCheckpoint", True)
    new_name = given.pop("name", name)
    if new_name != name:
        check_new_name(new_name)
    async with workspace.supervisor.changing(name):
        processor = await workspace.supervisor.get(name)
        if not is_at_rest(processor):
            message = f"stream processor {name!r} must be stopped first: its state is "
            raise CommandFailure("CommandFailed", message + processor.state)
        await _redefine(workspace, processor, given, resume=resume)
        processor.name = new_name
        processor.fresh_start = processor.fresh_start or not resume
        processor.modified_at, processor.modified_by = now(), caller.user or ""
        await workspace.processors.save(processor)
    return {}


async def _redefine(
    workspace: LocalWorkspace, processor: Processor, given: dict[str, Any], *, resume: bool
) -> None:
    """Give a processor its changed pipeline and options, after they have been checked."""
    if not given:
        return
    merged = {**processor.options, "pipeline": processor.pipeline, **given}
    pipeline, options = read_definition(merged)
    await workspace.check(pipeline, options, persistent=True)
    if "pipeline" in given and processor.has_started:
        faults = workspace.check_modify(processor.pipeline, pipeline, resume=resume)
        if faults:
            raise CommandFailure.of_faults(faults)
    processor.pipeline, processor.options = pipeline, options
    processor.tier = str(options.get("tier", processor.tier))


CHANGING_COMMANDS: Final[dict[str, Handler]] = {
    "createStreamProcessor": _create,
    "startStreamProcessor": _start,
    "stopStreamProcessor": _stop,
    "modifyStreamProcessor": _modify,
    "dropStreamProcessor": _drop,
}
"""Command name to handler."""
