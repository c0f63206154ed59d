"""Sessions as people and programs see them in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.markup import escape
from rich.table import Table

from asp_utils.errors import UnexpectedReply
from asp_utils.session.history import first_error
from asp_utils.session.records import SessionInfo

if TYPE_CHECKING:
    from asp_utils.session.history import ConfigHistory, History
    from asp_utils.session.session import Session


def session_json(session: Session) -> dict[str, Any]:
    """`session_info.json`, checked.

    Raises:
        UnexpectedReply: It is not one of ours.
    """
    try:
        return dict(TypeAdapter(SessionInfo).validate_python(session.info))
    except ValidationError as exc:
        raise UnexpectedReply(
            f"session_info.json of {session.id} cannot be read: {first_error(exc)}",
            hint=f"see what was changed: python session_manager.py verify {session.id}",
        ) from exc


def summary_json(session: Session, current_id: str | None) -> dict[str, Any]:
    """What `list --json` prints of one session; a damaged one is listed with its fault."""
    summary = {"id": session.id, "current": session.id == current_id}
    try:
        created, configs = session_json(session)["created"], session.log.head().configs
    except UnexpectedReply as error:
        return {**summary, "created": "", "configs": None, "fault": error.message}
    return {**summary, "created": created, "configs": configs, "fault": None}


def history_json(session: Session, history: History) -> dict[str, Any]:
    """What `show --json` prints."""
    return {
        **session_json(session),
        "folder": str(session.folder),
        "head": {"seq": history.seq, "sha256": history.head_sha256},
        "configs": [config.to_json() for config in history.configs.values()],
    }


def history_table(history: History) -> Table:
    """One row a config: number, operation, runs, how the last one ended, when, what it printed."""
    table = Table(box=None, pad_edge=False)
    for title in ("number", "config", "operation"):
        table.add_column(title)
    for title in ("runs", "exit"):
        table.add_column(title, justify="right")
    table.add_column("when (UTC)")
    table.add_column("printed", justify="right")
    for config in history.configs.values():
        table.add_row(*map(escape, _row(config)))
    return table


def sessions_table(rows: list[dict[str, Any]]) -> Table:
    """One row a session; `*` marks the current one."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("session")
    table.add_column("created (UTC)")
    table.add_column("configs", justify="right")
    for row in rows:
        mark = "*" if row["current"] else ""
        configs = row["fault"] or str(row["configs"])
        table.add_row(mark, row["id"], _moment(row["created"]), escape(configs))
    return table


def _row(config: ConfigHistory) -> tuple[str, ...]:
    last = config.runs[max(config.runs)] if config.runs else None
    ended = last is not None and last.exit_code is not None
    return (
        f"{config.number:03d}",
        config.file,
        config.operation or "",
        str(len(config.runs)),
        "" if last is None else str(last.exit_code) if ended else last.state,
        _moment(last.started_at if last else config.created_at),
        "" if last is None or last.output_count is None else str(last.output_count),
    )


def _moment(at: str) -> str:
    return at[:19].replace("T", " ")
