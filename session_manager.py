"""Sessions: numbered configs, their runs, and the audit log that names them all.

    python session_manager.py new [--default key=value]      begin a session
    python session_manager.py config OPERATION --set k=v     write a numbered config; nothing runs
    python session_manager.py run 007                        run it through its wrapper
    python session_manager.py list | show | verify           look back

As a library:

    from session_manager import get_session_manager
    path = get_session_manager().create_config_file(config, "sample_data")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.session.secrets import refuse_literals
from asp_utils.session.store import Session, Store
from asp_utils.session.wrappers import Wrappers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SessionManager", "get_session_manager"]


class SessionManager:
    """The sessions of one project, for programs that write configs."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def current_session(self) -> Session:
        """The session that configs go to; one is begun when there is none."""
        return self.store.current_or_new()

    def new_session(
        self, *, policy: str = "none", defaults: Mapping[str, Any] | None = None
    ) -> Session:
        """Begin a session and make it the current one.

        Args:
            policy: Which effects need an approval: `none` so far.
            defaults: Values of parameters that its configs may leave out.

        Raises:
            UsageError: There is no such policy.
            ConfigInvalid: A default is a literal secret, or has no JSON form.
        """
        return self.store.new(policy, defaults)

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return self.store.sessions()

    def create_config_file(self, config: Mapping[str, Any], name: str) -> Path:
        """Write a numbered config into the current session; nothing runs.

        Args:
            config: The parameters, JSON or BSON values, secrets as `{"$env": "NAME"}`.
            name: What the file is called after its number, such as the operation.

        Returns:
            The path of the config, for the operation's wrapper.

        Raises:
            ConfigInvalid: A value is a literal secret, or has no JSON form.
            EnvironmentMissing: The disk refuses it.
        """
        session = self.current_session
        wrappers = Wrappers(self.store.temp)
        secret = wrappers.secret_parameters(name)
        refuse_literals(f"config {name!r}", session.replace_secrets(config, secret))
        return session.add_config(config, name, name if wrappers.find(name) else None)


def get_session_manager(root: Path | None = None) -> SessionManager:
    """The sessions of a project.

    Args:
        root: The folder that holds `temp`. When None: the environment variable ASP_HOME, else the
            project around the current folder, else the current folder.
    """
    return SessionManager(Store(root))


if __name__ == "__main__":
    # typer and pydantic serve the command line only; importing this module stays cheap.
    from asp_utils.session.commands import main

    main()
