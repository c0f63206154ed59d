"""Projects of Atlas, which its Admin API calls groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import NotFound

if TYPE_CHECKING:
    from asp_utils.admin.project import Project

_VERSION: Final = "2023-01-01"
_PATH: Final = "/api/atlas/v2/groups"


def list_projects(project: Project) -> list[dict[str, Any]]:
    """All projects that the credentials may see."""
    found = project.api.items(_PATH, version=_VERSION)
    return [{key: value for key, value in item.items() if key != "links"} for item in found]


def get_project(project: Project) -> dict[str, Any]:
    """The project itself.

    Raises:
        NotFound: There is none of that id; the hint names those that there are.
    """
    try:
        reply = project.api.get(f"{_PATH}/{project.id}", version=_VERSION)
    except NotFound as error:
        names = [f"{item.get('name')} ({item.get('id')})" for item in list_projects(project)]
        error.hint = f"there are {', '.join(names)}" if names else "the credentials see no project"
        raise
    return {key: value for key, value in reply.items() if key != "links"}
