"""What the local instance calls its own things."""

from __future__ import annotations

from typing import Final

LOCAL: Final = "local"
"""The local instance, where an endpoint or a project is asked for; the workspace it always has."""
LOCAL_DATABASE: Final = "__asp_local"
"""Where the instance and its workspace `local` keep their metadata."""
LOCAL_DATABASE_PREFIX: Final = f"{LOCAL_DATABASE}_"
"""Before the id of any other workspace: the database of that one."""


def is_internal(database: str) -> bool:
    """Whether a database is the local instance's own, and nothing for its users.

    Example:
        >>> is_internal("__asp_local"), is_internal("shop")
        (True, False)
    """
    return database.startswith(LOCAL_DATABASE)
