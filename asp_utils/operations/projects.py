"""Projects of Atlas: which there are, and what one is.

Source: Admin API, projects ("groups").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.project import project
from asp_utils.operation import operation

if TYPE_CHECKING:
    from asp_utils.context import Context
    from asp_utils.model.parameters import Atlas


class Projects(TypedDict):
    """The projects that the credentials may see."""

    projects: list[dict[str, Any]]
    """id, name, orgId, clusterCount, created, …"""


@operation(effect="read")
def project_list(ctx: Context, atlas: Atlas = None) -> Projects:
    """List all Atlas projects that the credentials may see.

    Source: Admin API, `GET /groups`.
    """
    from asp_utils.admin.projects import list_projects

    with project(ctx, atlas) as target:
        return {"projects": list_projects(target)}


@operation(effect="read")
def project_get(ctx: Context, atlas: Atlas = None) -> dict[str, Any]:
    """Show the Atlas project that `atlas` names, or the only one of a local instance.

    Raises:
        NotFound: There is no such project, or the credentials may not see it.

    Source: Admin API, `GET /groups/{groupId}`.
    """
    from asp_utils.admin.projects import get_project

    with project(ctx, atlas) as target:
        return get_project(target)
