"""Projects: the local instance is one. And the addresses from which it calls: this machine's.

Source: peers.md 2.1; asp-reference.md 4.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.model.local_names import LOCAL
from asp_utils.server.admin.failures import ApiFailure
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from asp_utils.server.admin.exchange import Call

_ADDRESS: Final = "127.0.0.1/32"


async def list_projects(call: Call) -> list[dict[str, Any]]:
    """The one project; its organization, where one is named, has the same id."""
    organization = call.path.get("orgId", call.workspaces.project_id)
    if organization != call.workspaces.project_id:
        detail = f"No organization with ID {organization} exists."
        raise ApiFailure(404, "ORG_NOT_FOUND", detail, parameters=[organization])
    return [_project(call)]


async def list_projects_of_org(call: Call) -> list[dict[str, Any]]:
    """The same, of the one organisation, which has the project's id."""
    wanted = call.path["orgId"]
    if wanted != call.workspaces.project_id:
        detail = f"No organization with ID {wanted} exists."
        raise ApiFailure(404, "ORG_NOT_FOUND", detail, parameters=[wanted])
    return [_project(call)]


async def get_project(call: Call) -> dict[str, Any]:
    """The project, by its id."""
    return _project(call)


async def get_project_by_name(call: Call) -> dict[str, Any]:
    """The project, by its name."""
    name = call.path["groupName"]
    if name != LOCAL:
        detail = f"No project with name {name} exists: the local instance has one, {LOCAL}."
        raise ApiFailure(404, "GROUP_NAME_NOT_FOUND", detail, parameters=[name])
    return _project(call)


async def create_project(_call: Call) -> dict[str, Any]:
    """Refuse: there is one, and no other can be made."""
    raise ApiFailure(
        403,
        "CANNOT_CREATE_GROUP",
        f"The local instance is one project, {LOCAL}; workspaces keep things apart in it.",
        parameters=[LOCAL],
    )


async def get_addresses(_call: Call) -> dict[str, Any]:
    """From where the control plane calls, and where it is called."""
    here = {"aws": {LOCAL: [_ADDRESS]}}
    return {"controlPlane": {"inbound": here, "outbound": here}}


def _project(call: Call) -> dict[str, Any]:
    local = call.workspaces.get(LOCAL).record
    return {
        "clusterCount": 0,
        "created": iso_utc(local.created_at),
        "id": call.workspaces.project_id,
        "links": [],
        "name": LOCAL,
        "orgId": call.workspaces.project_id,
        "withDefaultAlertsSettings": False,
    }
