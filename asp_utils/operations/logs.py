"""Logs of a workspace, with secrets and personal data masked before anything is printed.

Source: asp-reference.md 3.7, 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.admin.preview import raise_faults
from asp_utils.admin.project import project
from asp_utils.errors import Fault
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Annotated, Literal

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import Atlas, WorkspaceName

    Moment = Annotated[
        str | int | None,
        Field(
            description="ISO 8601 (UTC where it names no zone), or seconds since 1970.",
            examples=["2026-01-20T14:30:15Z"],
        ),
    ]


@operation(effect="read")
def workspace_download_logs(
    ctx: Context,
    workspace: WorkspaceName,
    kind: Annotated[
        Literal["operational", "audit"],
        Field(description="What the stream processors did, or what was done to the workspace."),
    ] = "operational",
    from_time: Moment = None,
    to_time: Moment = None,
    processor: Annotated[
        str | None, Field(min_length=1, description="Only of this stream processor.")
    ] = None,
    level: Annotated[
        Literal["DEBUG", "INFO", "WARN", "ERROR", "FATAL"] | None,
        Field(description="Only entries at least this severe; those that name no level are left."),
    ] = None,
    text: Annotated[
        str | None,
        Field(min_length=1, description="Only lines that hold this text, whatever its case."),
    ] = None,
    limit: Annotated[int | None, Field(gt=0, description="Entries at most.")] = None,
    mask: Annotated[
        bool,
        Field(
            description="Replace secrets, e-mail and IP addresses, user names and tokens by tags "
            "that are equal where the values are. False shows them."
        ),
    ] = True,
    atlas: Atlas = None,
) -> Iterator[dict[str, Any]]:
    """Download the logs of a workspace: one document a line, filtered, personal data masked.

    A line that is no JSON object comes as `{line}`. Atlas' logs are up to five minutes late.

    Raises:
        NotFound: There is no such workspace.
        ConfigInvalid: A time is none, or the end is before the beginning.
        UnexpectedReply: What came is no gzip file, or is cut short.

    Source: Admin API, `GET …/streams/{tenantName}/auditLogs`, `:downloadOperationalLogs`.
    """
    from asp_utils.admin.logs import entry_of, is_about, log_lines, second_of

    from_s, to_s = second_of(from_time, "$.from_time"), second_of(to_time, "$.to_time")
    if from_s is not None and to_s is not None and from_s > to_s:
        raise_faults([Fault("$.to_time", "the end is before the beginning")])
    masked = _masker(ctx) if mask else _as_it_is
    count = 0
    with project(ctx, atlas) as target:
        lines = log_lines(target, workspace, kind, from_s=from_s, to_s=to_s, processor=processor)
        for line in lines:
            if text is not None and text.casefold() not in line.casefold():
                continue
            entry = entry_of(line)
            if (processor and not is_about(entry, processor)) or not _severe(entry, level):
                continue
            yield masked(entry)
            count += 1
            if count == limit:
                return


def _severe(entry: dict[str, Any], level: str | None) -> bool:
    """Whether an entry is at least of that level."""
    from asp_utils.admin.logs import LEVELS, level_of

    if level is None:
        return True
    own = level_of(entry)
    return own is not None and LEVELS.index(own) >= LEVELS.index(level)


def _masker(ctx: Context) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Masks with the project's own key, so that tags can be compared between runs."""
    from asp_utils.admin.log_masking import Masker
    from asp_utils.session.redaction_key import RedactionKey

    return Masker(RedactionKey(ctx.root / "temp").tag).document


def _as_it_is(entry: dict[str, Any]) -> dict[str, Any]:
    return entry
