"""Stream processors started, stopped and deleted over the Admin API.

Source: Atlas page "Manage stream processors"; asp-reference.md 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.admin.preview import raise_faults, would_send
from asp_utils.admin.project import project
from asp_utils.errors import Fault
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.processors import ProcessorChange
    from asp_utils.context import Context
    from asp_utils.model.admin_parameters import FailoverStart
    from asp_utils.model.parameters import (
        Atlas,
        Autoscaling,
        ProcessorName,
        ProcessorTier,
        TimeoutSeconds,
        WorkspaceName,
    )


def _start_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    given = ("tier", "resume_from_checkpoint", "start_at_operation_time", "failover", "autoscaling")
    options = _start_options(**{key: parameters[key] for key in given if key in parameters})
    verb = "startWith" if options else "start"
    where = (parameters["workspace"], "processor", parameters["name"])
    return [would_send(parameters, "POST", *where, verb=verb, body=options or None)]


@operation(effect="write", preview=_start_preview)
def processor_start(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    tier: ProcessorTier = None,
    resume_from_checkpoint: Annotated[
        bool, Field(description="False starts afresh: position and open windows are dropped.")
    ] = True,
    start_at_operation_time: Annotated[
        str | dict[str, Any] | None,
        Field(
            description="Where a change-stream source begins, overriding the checkpoint: ISO 8601 "
            'in UTC, or `{"$date": "…"}`.',
            examples=["2026-01-20T14:30:15Z"],
        ),
    ] = None,
    failover: Annotated[
        FailoverStart | None, Field(description="Start it in another region.")
    ] = None,
    autoscaling: Autoscaling = None,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorChange:
    """Start a stream processor over the Admin API and wait until it runs; from then on it bills.

    One that runs already is left alone, unless options are given, which it could not take.

    Raises:
        NotFound: There is no such processor.
        Conflict: It failed while starting (the message says why), or it runs and options are given.
        ConfigInvalid: The tier is above the workspace's largest one; the hint says how to raise it.
        TimedOut: It did not reach STARTED in time; the message has the state that was seen.

    Source: Admin API, `POST …/processor/{processorName}:start`, `:startWith`.
    """
    from asp_utils.admin.processors import start_processor

    options = _start_options(
        tier, resume_from_checkpoint, start_at_operation_time, failover, autoscaling
    )
    with project(ctx, atlas) as target:
        return start_processor(target, workspace, name, options, timeout_s)


def _stop_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    where = (parameters["workspace"], "processor", parameters["name"])
    return [would_send(parameters, "POST", *where, verb="stop")]


@operation(effect="write", preview=_stop_preview)
def processor_stop(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorChange:
    """Stop a stream processor over the Admin API and wait until it has stopped.

    One that does not run is left alone.

    Raises:
        NotFound: There is no such processor.
        TimedOut: It had not stopped in time; the message has the state that was seen.

    Source: Admin API, `POST …/processor/{processorName}:stop`.
    """
    from asp_utils.admin.processors import stop_processor

    with project(ctx, atlas) as target:
        return stop_processor(target, workspace, name, timeout_s)


def _delete_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    where = (parameters["workspace"], "processor", parameters["name"])
    return [
        f"{would_send(parameters, 'POST', *where, verb='stop')}, if it runs",
        would_send(parameters, "DELETE", *where),
    ]


@operation(effect="destroy", preview=_delete_preview)
def processor_delete(
    ctx: Context,
    workspace: WorkspaceName,
    name: ProcessorName,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> ProcessorChange:
    """Stop and delete a stream processor with its checkpoint, and wait until it is gone.

    Raises:
        NotFound: There is no such processor.
        TimedOut: It was still there when the time was up.

    Source: Admin API, `DELETE …/processor/{processorName}`.
    """
    from asp_utils.admin.processors import delete_processor

    with project(ctx, atlas) as target:
        return delete_processor(target, workspace, name, timeout_s)


def _start_options(
    tier: str | None = None,
    resume_from_checkpoint: bool = True,
    start_at_operation_time: str | dict[str, Any] | None = None,
    failover: FailoverStart | None = None,
    autoscaling: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of `:startWith`; nothing in it where a plain start will do."""
    found = {
        "tier": tier,
        "resumeFromCheckpoint": None if resume_from_checkpoint else False,
        "startAtOperationTime": _moment(start_at_operation_time),
        "failover": dict(failover) if failover is not None else None,
        "autoscaling": autoscaling,
    }
    return {key: value for key, value in found.items() if value is not None}


def _moment(given: str | dict[str, Any] | None) -> str | None:
    """A moment as the Admin API wants it, ISO 8601 in UTC.

    Raises:
        ConfigInvalid: It is none.
    """
    from datetime import UTC, datetime

    path = "$.start_at_operation_time"
    if given is None:
        return None
    try:
        read = given if isinstance(given, str) else revived(given, "start_at_operation_time")
        moment = read if isinstance(read, datetime) else datetime.fromisoformat(read)
    except (TypeError, ValueError):
        raise_faults([Fault(path, f"{given!r} is no moment", "for instance 2026-01-20T14:30:15Z")])
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
