"""The commands that give documents: process, startSample and getMoreSample.

Source: asp-reference.md 1.3, 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.server.arguments import ARRAY, INT, read_arguments, read_name
from asp_utils.server.definition import PROCESSOR_OPTIONS, read_definition
from asp_utils.server.replies import CommandFailure, with_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.server.arguments import Fields
    from asp_utils.server.local_workspace import Handler, LocalWorkspace
    from asp_utils.server.wire import Caller

_GET_MORE: Final[Fields] = {"cursorId": INT, "cursorID": INT, "batchSize": INT}
"""Old shells spell it cursorID."""


async def _process(
    workspace: LocalWorkspace, caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name, value = next(iter(command.items()))
    given = read_arguments(command, PROCESSOR_OPTIONS)
    pipeline, options = read_definition({**given, "pipeline": ARRAY.take(name, value)})
    tier = workspace.tier_for(options)
    await workspace.check(pipeline, options, persistent=False)
    warnings = await workspace.warnings(pipeline, options, tier, persistent=False)
    user = caller.user or ""
    processor, cursor_id = await workspace.temporaries.process(pipeline, options, user, tier)
    return with_warnings({"name": processor, "cursorId": Int64(cursor_id)}, warnings)


async def _start_sample(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    name = read_name(command)
    limit = _positive(read_arguments(command, {"limit": INT}), "limit")
    processor = await workspace.supervisor.get(name)
    return {"cursorId": Int64(workspace.supervisor.sample(processor, limit))}


async def _get_more_sample(
    workspace: LocalWorkspace, _caller: Caller, command: Mapping[str, Any]
) -> dict[str, Any]:
    """Documents as soon as there are some; both names of the array, as clients differ."""
    name = read_name(command)
    given = read_arguments(command, _GET_MORE)
    cursor_id = given.get("cursorId", given.get("cursorID"))
    if cursor_id is None:
        raise CommandFailure(
            "IDLFailedToParse",
            "BSON field 'getMoreSampleStreamProcessor.cursorId' is missing but a required field",
        )
    batch = await workspace.cursors.get(cursor_id, name).next_batch(_positive(given, "batchSize"))
    return {
        "cursorId": Int64(0 if batch.finished else cursor_id),
        "messages": batch.documents,
        "nextBatch": batch.documents,
    }


def _positive(given: Mapping[str, Any], field: str) -> int | None:
    """An optional count; 0 means none, as it does for `find`."""
    value = int(given.get(field, 0))
    if value < 0:
        raise CommandFailure("BadValue", f"{field} cannot be negative: {value}")
    return value or None


SAMPLING_COMMANDS: Final[dict[str, Handler]] = {
    "processStreamProcessor": _process,
    "startSampleStreamProcessor": _start_sample,
    "getMoreSampleStreamProcessor": _get_more_sample,
}
"""Command name to handler."""
