"""Putting a run on record before anything is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asp_utils.errors import ConfigInvalid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asp_utils.errors import Fault
    from asp_utils.running.command_line import Arguments
    from asp_utils.running.config_file import ConfigFile
    from asp_utils.running.target import Target
    from asp_utils.session.runs import Run
    from asp_utils.session.store import Session, Store


@dataclass
class Recording:
    """A run that is on record."""

    session: Session
    config_path: Path
    """The numbered config."""
    run: Run
    stored: dict[str, Any]
    """The config as it is stored, without literal secrets."""
    secrets: list[str] = field(repr=False)
    """The literal secrets that the config held."""
    secret_faults: list[Fault]
    """What is wrong with giving them so."""

    def refuse_literal_secrets(self) -> None:
        """Refuse a config that holds secrets instead of references to them.

        Raises:
            ConfigInvalid: It does.
        """
        if self.secret_faults:
            hint = 'put {"$env": "NAME"} in its place, or pass --allow-literal-secrets'
            raise ConfigInvalid("config", self.secret_faults, hint=hint)


def begin(
    store: Store,
    source: ConfigFile,
    target: Target,
    arguments: Arguments,
    say: Callable[[str], None],
) -> Recording:
    """Give the config a number if it has none, and begin a run of it.

    Args:
        store: The sessions of the project.
        source: The config as it was found, readable or not.
        target: The operation that it is for.
        arguments: The command line.
        say: Tells the person that a session began, or where the config was stored.

    Raises:
        Conflict: The numbered config was edited after it was recorded.
        EnvironmentMissing: The disk refuses the record.
    """
    located = store.locate(source.path) if source.path is not None else None
    if located is not None and source.path is not None:
        session, config_path = located[0], source.path.resolve()
    else:
        session = _session(store, say)
    replaced = session.replace_secrets(source.config, target.secret_parameters)
    if located is None:
        config_path = session.add_config(replaced.config, target.name, target.name)
        say(f"recorded as {_relative(config_path, store.root)}")
    run = session.begin_run(
        config_path,
        target.name,
        target.effect,
        dry_run=arguments.dry_run,
        literal_secrets_allowed=arguments.allow_literal_secrets,
    )
    return Recording(session, config_path, run, replaced.config, replaced.values, replaced.faults)


def _session(store: Store, say: Callable[[str], None]) -> Session:
    session = store.current()
    if session is None:
        session = store.current_or_new()
        say(f"began session {session.id}")
    return session


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
