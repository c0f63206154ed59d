"""The commands of session_manager.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from asp_utils import ejson
from asp_utils.errors import AspError, ExitCode, NotFound
from asp_utils.session.given import read_config, read_settings
from asp_utils.session.history import read_history
from asp_utils.session.names import config_title
from asp_utils.session.secrets import refuse_literals
from asp_utils.session.store import Session, Store
from asp_utils.session.tables import (
    history_json,
    history_table,
    session_json,
    sessions_table,
    summary_json,
)
from asp_utils.session.verify import verify as verify_session
from asp_utils.session.wrappers import Wrappers

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Sessions: numbered configs, their runs, and the audit log that names them all.",
)

Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One parameter; VALUE is JSON, else text."),
]
SessionId = Annotated[
    str | None,
    typer.Argument(metavar="[SESSION]", help="A session's id; the current one if left out."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def new(
    default: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Value of a parameter that configs leave out."),
    ] = None,
    policy: Annotated[str, typer.Option(help="Effects that need an approval: none.")] = "none",
) -> None:
    """Begin a session and make it the current one; prints its folder."""
    session = Store().new(policy, read_settings(default or []))
    typer.echo(session.folder)


@app.command()
def config(
    operation: Annotated[str, typer.Argument(help="The operation that the config is for.")],
    settings: Setting = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="JSON file; - for stdin.")
    ] = None,
) -> None:
    """Write a numbered config into the current session; nothing runs. Prints its path."""
    store = Store()
    wrappers = Wrappers(store.temp)
    if wrappers.operations():
        wrappers.require(operation)
    parameters = {**(read_config(source) if source else {}), **read_settings(settings or [])}
    session = store.current_or_new()
    refuse_literals(
        f"config of {operation}",
        session.replace_secrets(parameters, wrappers.secret_parameters(operation)),
    )
    typer.echo(session.add_config(parameters, operation, operation))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    ctx: typer.Context,
    chosen: Annotated[
        str, typer.Argument(metavar="CONFIG", help="Its path, number (007) or name (the newest).")
    ],
) -> None:
    """Run a config of a session through its wrapper; further options go to the wrapper."""
    store = Store()
    wrappers = Wrappers(store.temp)
    session, path = _find_config(store, chosen)
    operation = session.operation_of(path.name) or config_title(path.name)
    try:
        wrapper = wrappers.require(operation)
    except NotFound as error:
        error.hint += f"; or run the config itself: python temp/cli_wrappers/cli_….py {path}"
        raise
    # The wrapper takes the place of this process: signals, output and exit code are its own.
    sys.stdout.flush()
    environment = {**os.environ, "ASP_HOME": str(store.root)}
    command = [sys.executable, str(wrapper), str(path), *ctx.args]
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


@app.command("list")
def list_sessions(as_json: AsJson = False) -> None:
    """List the sessions; * marks the current one."""
    store = Store()
    current = store.current()
    current_id = current.id if current else None
    rows = [summary_json(session, current_id) for session in store.sessions()]
    if as_json:
        _print_json(rows)
    elif rows:
        _print_table(sessions_table(rows))


@app.command()
def show(session_id: SessionId = None, as_json: AsJson = False) -> None:
    """Show the configs of a session, their runs, and the hash that pins it as it is now."""
    session = _chosen(Store(), session_id)
    history = read_history(session.folder)
    if as_json:
        _print_json(history_json(session, history))
        return
    session_json(session)
    _print_table(history_table(history))
    typer.echo(f"head {history.seq} sha256 {history.head_sha256}")


@app.command()
def verify(session_id: SessionId = None, as_json: AsJson = False) -> None:
    """Find anything in a session that was changed after it was written (exit 76)."""
    session = _chosen(Store(), session_id)
    found = verify_session(session.folder)
    if as_json:
        _print_json(found.to_json())
    else:
        for fault in found.faults:
            typer.echo(f"changed: {fault}")
        for note in found.notes:
            typer.echo(f"note: {note}")
        verdict = (
            f"{len(found.faults)} fault{'s'[: len(found.faults) != 1]}"
            if found.faults
            else "nothing was changed"
        )
        typer.echo(f"{session.id}: {found.lines} lines, {found.files} files: {verdict}")
        typer.echo(f"head {found.lines} sha256 {found.head_sha256}")
    if found.faults:
        raise typer.Exit(ExitCode.UNEXPECTED_REPLY)


def main() -> None:
    """Run the command line; errors become one sentence, a hint and their exit code."""
    try:
        app(prog_name="session_manager.py")
    except AspError as error:
        if "--json" in sys.argv:
            _print_json(error.to_json())
        typer.echo(error.message, err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(error.exit_code)


def _chosen(store: Store, session_id: str | None) -> Session:
    if session_id is not None:
        return store.open(Path(session_id).name)
    session = store.current()
    if session is None:
        raise NotFound(
            "there is no current session", hint="begin one: python session_manager.py new"
        )
    return session


def _find_config(store: Store, chosen: str) -> tuple[Session, Path]:
    if chosen.isdecimal():
        session = _chosen(store, None)
        return session, session.find_config(int(chosen))
    if chosen.isidentifier():
        session = _chosen(store, None)
        newest = session.newest_config(chosen)
        if newest is not None:
            return session, newest
    located = store.locate(Path(chosen))
    if located is None:
        raise NotFound(
            f"{chosen} is not a config of a session",
            hint="put it into one: python session_manager.py config OPERATION --from FILE",
        )
    return located[0], Path(chosen).resolve()


def _print_json(document: object) -> None:
    typer.echo(ejson.dumps(document, pretty=True))


def _print_table(table: Table) -> None:
    # Piped output is not cut at a width that no terminal has.
    console = Console() if sys.stdout.isatty() else Console(width=1000, soft_wrap=True)
    console.print(table)
