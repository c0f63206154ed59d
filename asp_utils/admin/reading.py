"""What there is: workspaces, connections and stream processors, as the Admin API shows them.

Every list is read to its last page; `links` are left out, as they say nothing to a person.

Source: asp-reference.md 4.2.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import ConfigInvalid, NotFound, UnexpectedReply
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asp_utils.admin.project import Project

WORKSPACES: Final = "2023-02-01"
"""Version of workspaces and connections."""
PROCESSORS: Final = "2024-05-30"
"""Version of stream processors."""

_MOST_NAMED: Final = 12
_ELSE: Final = "is a proxy in between? is this the base URL of Atlas?"
_ABOVE: Final = ("GROUP_", "PROJECT_", "ORG_")
"""How codes begin that are about what holds all of it."""


def list_workspaces(project: Project) -> list[dict[str, Any]]:
    """All workspaces of the project."""
    return [_plain(item) for item in project.api.items(project.streams(), version=WORKSPACES)]


def find_workspace(
    project: Project, workspace: str, *, connections: bool = False
) -> dict[str, Any] | None:
    """The workspace of that name; None when there is none.

    Args:
        project: Where to look.
        workspace: Its name.
        connections: Whether its `connections` are shown with it.
    """
    query = {"includeConnections": "true"} if connections else None
    return _found(project, project.streams(workspace), WORKSPACES, workspace, query)


def get_workspace(project: Project, workspace: str, *, connections: bool = False) -> dict[str, Any]:
    """The workspace of that name.

    Raises:
        NotFound: There is none; the hint names what there is.
    """
    found = find_workspace(project, workspace, connections=connections)
    if found is None:
        raise missing("workspace", workspace, list_workspaces(project), path="$.workspace")
    return found


def list_connections(project: Project, workspace: str) -> list[dict[str, Any]]:
    """All connections of a workspace, without their secrets.

    Raises:
        NotFound: There is no such workspace.
    """
    return _listed(project, workspace, "connections", WORKSPACES)


def find_connection(project: Project, workspace: str, name: str) -> dict[str, Any] | None:
    """The connection of that name; None when there is none."""
    path = project.streams(workspace, "connections", name)
    return _found(project, path, WORKSPACES, name)


def get_connection(project: Project, workspace: str, name: str) -> dict[str, Any]:
    """The connection of that name.

    Raises:
        NotFound: There is none; the hint names what there is.
    """
    found = find_connection(project, workspace, name)
    if found is None:
        raise missing("connection", name, list_connections(project, workspace), place=workspace)
    return found


def list_processors(project: Project, workspace: str) -> list[dict[str, Any]]:
    """All stream processors of a workspace.

    Raises:
        NotFound: There is no such workspace.
    """
    return _listed(project, workspace, "processors", PROCESSORS)


def find_processor(project: Project, workspace: str, name: str) -> dict[str, Any] | None:
    """The stream processor of that name, with its statistics; None when there is none."""
    path = project.streams(workspace, "processor", name)
    return _found(project, path, PROCESSORS, name)


def get_processor(project: Project, workspace: str, name: str) -> dict[str, Any]:
    """The stream processor of that name, with its statistics.

    Raises:
        NotFound: There is none; the hint names what there is.
    """
    found = find_processor(project, workspace, name)
    if found is None:
        known = list_processors(project, workspace)
        raise missing("stream processor", name, known, place=workspace)
    return found


def found_or_none(
    project: Project, path: str, version: str, query: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """What is at a path; None when Atlas itself says that there is nothing.

    Raises:
        NotFound: Something else says so, a proxy for instance, or the project is not there.
    """
    try:
        return project.api.get(path, version=version, query=query)
    except NotFound as error:
        code = str(error.details.get("errorCode") or "")
        if not code or code.startswith(_ABOVE):
            raise
        return None


@contextmanager
def faults_below(parameter: str) -> Iterator[None]:
    """Lead the paths of faults that Atlas finds in a body to the parameter that it was made of."""
    try:
        yield
    except ConfigInvalid as error:
        told = [
            replace(it, path=f"$.{parameter}{it.path.removeprefix('$')}") for it in error.faults
        ]
        raised = ConfigInvalid(error.subject, told, hint=error.hint)
        raised.details = error.details | raised.details
        raise raised from error


def about_something_else(request: str, reply: Mapping[str, Any]) -> UnexpectedReply:
    """The error for a reply that is JSON, and not about what was asked for."""
    message = f"{request}: the reply is about something else: {str(reply)[:200]}"
    return UnexpectedReply(message, hint=_ELSE)


def missing(
    what: str,
    name: str,
    known: Iterable[Mapping[str, Any]],
    *,
    place: str = "",
    path: str = "$.name",
    key: str = "name",
) -> NotFound:
    """The error for a name that nothing has, with what the reader may have meant.

    Args:
        what: The kind of thing.
        name: The name that was asked for.
        known: What there is.
        place: The workspace that was searched, where it was one.
        path: The parameter that holds the name.
        key: The field of `known` that names each.
    """
    names = [str(item.get(key)) for item in known]
    where = f" in workspace {place!r}" if place else ""
    message = f"there is no {what} {name!r}{where}"
    if name in names:
        hint = f"yet the list of all shows it: look again ({what}s may come and go slowly)"
        return NotFound(message, hint=hint, path=path, details={"known": names})
    # Of ids, which nobody types, the nearest is another thing altogether.
    guess = nearest(name, names) if key == "name" else None
    return NotFound(message, hint=_hint(guess, names), path=path, details={"known": names})


def _hint(close: str | None, names: Sequence[str]) -> str:
    if not names:
        return "there is none at all yet"
    if close:
        return f"did you mean {close!r}?"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"there are {', '.join(names[:_MOST_NAMED])}{more}"


def _listed(project: Project, workspace: str, what: str, version: str) -> list[dict[str, Any]]:
    try:
        found = list(project.api.items(project.streams(workspace, what), version=version))
    except NotFound:
        # Of a missing workspace Atlas says no more than that there is nothing.
        get_workspace(project, workspace)
        raise
    return [_plain(item) for item in found]


def _found(
    project: Project, path: str, version: str, name: str, query: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    reply = found_or_none(project, path, version, query)
    if reply is None:
        return None
    if reply.get("name") != name:
        raise about_something_else(f"GET {path}", reply)
    return _plain(reply)


def _plain(reply: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "links"}
