"""The commands that change processors: create, start, stop, modify, drop.

Source: asp-reference.md 1.3 to 1.6; Atlas page "Manage Stream Processors".
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.model.processor_states import STARTED, STOPPED
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
    changed_scaling,
    check_tiers,
    read_definition,
    read_start,
    read_start_point,
    unified,
)
from asp_utils.server.local_workspace import running_warnings
from asp_utils.server.processors import Processor, now
from asp_utils.server.replies import CommandFailure, with_warnings
from asp_utils.server.supervisor import is_at_rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.arguments import Fields
    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.wire import Caller

_FORCE: Final[Fields] = {"force": BOOL, "ttl": OBJECT}
"""Undocumented options that clients send; they change nothing here."""
_STATE_KEPT: Final = timedelta(days=45)
"""How long Atlas keeps the state of a stopped processor."""


async def _create(
    workspace: LocalWorkspace, caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    check_new_name(name)
    given = read_arguments(
        command, {**PROCESSOR_OPTIONS, "pipeline": ARRAY}, required=("pipeline",)
    )
    pipeline, options = read_definition(given)
    tier = workspace.tier_for(options)
    await workspace.check(pipeline, options, persistent=True)
    user = caller.user or ""
    await workspace.processors.add(Processor(name, pipeline, options, user, tier=tier))
    return with_warnings({}, await workspace.warnings(pipeline, options, tier))


async def _start(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    given = read_start(read_arguments(command, START_FIELDS))
    start_point = read_start_point(given)
    resume = given.get("resumeFromCheckpoint", True) and not given.get("clearCheckpoints", False)
    fresh = not resume or bool(start_point)
    async with workspace.supervisor.changing(name):
        processor = await workspace.supervisor.settled(name)
        kept = {"autoscaling", "failoverEnabled"} & processor.options.keys()
        asked = {**{key: processor.options[key] for key in kept}, **given}
        check_tiers(asked)
        workspace.tier_for({"tier": processor.tier, **asked})
        warnings = [] if fresh else _old_state(processor)
        await workspace.supervisor.start(
            processor,
            start_point=start_point,
            fresh=fresh,
            tier=given.get("tier"),
            autoscaling=given.get("autoscaling"),
        )
    warnings += await workspace.warnings(
        processor.pipeline, processor.options, processor.running_tier
    )
    # One that has not found its brokers yet has no partitions to count, and answers late.
    if processor.state == STARTED and "topic" in processor.pipeline[0].get("$source", {}):
        stats = await workspace.supervisor.stats(processor, verbose=False)
        warnings += running_warnings(processor, stats)
    return with_warnings({}, warnings)


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
        processor = await workspace.supervisor.settled(name)
        if not is_at_rest(processor):
            message = f"stream processor {name!r} must be stopped first: its state is "
            raise CommandFailure("CommandFailed", message + processor.state)
        await _redefine(workspace, processor, given, resume=resume)
        processor.name = new_name
        processor.fresh_start = processor.fresh_start or not resume
        processor.modified_at, processor.modified_by = now(), caller.user or ""
        await workspace.processors.save(processor)
    warnings = await workspace.warnings(processor.pipeline, processor.options, processor.tier)
    return with_warnings({}, warnings)


async def _redefine(
    workspace: LocalWorkspace, processor: Processor, given: dict[str, Any], *, resume: bool
) -> None:
    """Give a processor its changed pipeline and options, after they have been checked."""
    if not given:
        return
    if "autoscaling" in given:
        scaling = changed_scaling(processor.options.get("autoscaling", {}), given["autoscaling"])
        given = {**given, "autoscaling": scaling}
    merged = {**processor.options, "pipeline": processor.pipeline, **unified(given)}
    pipeline, options = read_definition(merged)
    workspace.tier_for({"tier": processor.tier, **options})
    await workspace.check(pipeline, options, persistent=True)
    keeps_state = processor.has_started and not processor.fresh_start
    if "pipeline" in given and keeps_state:
        faults = workspace.check_modify(processor.pipeline, pipeline, resume=resume)
        if faults:
            raise CommandFailure.of_faults(faults)
    if pipeline != processor.pipeline:
        processor.pipeline_version += 1
    processor.pipeline, processor.options = pipeline, options
    processor.tier = str(options.get("tier", processor.tier))


def _old_state(processor: Processor) -> list[Fault]:
    """The warning that Atlas would not have kept the state of a processor this long."""
    if processor.state != STOPPED or now() - processor.state_changed_at < _STATE_KEPT:
        return []
    message = f"it was stopped more than {_STATE_KEPT.days} days ago: Atlas would start it afresh"
    return [Fault("", message, "resumeFromCheckpoint: false does so here")]


CHANGING_COMMANDS: Final[dict[str, Handler]] = {
    "createStreamProcessor": _create,
    "startStreamProcessor": _start,
    "stopStreamProcessor": _stop,
    "modifyStreamProcessor": _modify,
    "dropStreamProcessor": _drop,
}
"""Command name to handler."""
