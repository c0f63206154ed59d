"""Every path of the Admin API, its methods, their versions and handlers.

Source: asp-reference.md 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.routing import Route

from asp_utils.errors import AspError
from asp_utils.server.admin import (
    connections,
    failovers,
    logs,
    networking,
    processors,
    projects,
    tenants,
)
from asp_utils.server.admin.exchange import Action
from asp_utils.server.admin.failures import ApiFailure
from asp_utils.server.admin.oauth import OAuth
from asp_utils.server.admin.resource import Resource, render_failure

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from asp_utils.server.admin.access import Access
    from asp_utils.server.admin.resource import Gate

_ANY: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ROOT: Final = "/api/atlas/v2"
_FIRST: Final = "2023-02-01"
_GROUPS: Final = "2023-01-01"
_PROCESSORS: Final = "2024-05-30"
_SAMPLES: Final = "2024-08-05"
_ACCOUNTS: Final = "2024-11-13"
_LATEST: Final = "2025-03-12"

_STREAMS: Final[dict[str, dict[str, Action]]] = {
    "": {
        "GET": Action(tenants.list_tenants, _FIRST, is_list=True),
        "POST": Action(tenants.create_tenant, _FIRST, activity="Create"),
    },
    ":withSampleConnections": {
        "POST": Action(tenants.create_tenant_with_samples, _SAMPLES, activity="Create"),
    },
    "/accountDetails": {
        "GET": Action(
            networking.get_account_details, _ACCOUNTS, query=("cloudProvider", "regionName")
        ),
    },
    "/activeVpcPeeringConnections": {
        "GET": Action(networking.list_active_peerings, _ACCOUNTS, is_list=True),
    },
    "/vpcPeeringConnections": {
        "GET": Action(
            networking.list_peerings, _FIRST, query=("requesterAccountId",), is_list=True
        ),
    },
    "/vpcPeeringConnections/{id}:accept": {
        "POST": Action(networking.accept_peering, _FIRST, 202, activity="Accept"),
    },
    "/vpcPeeringConnections/{id}:reject": {
        "POST": Action(networking.reject_peering, _FIRST, 202, activity="Reject"),
    },
    "/vpcPeeringConnections/{id}": {
        "DELETE": Action(networking.delete_peering, _FIRST, 202, activity="Delete"),
    },
    "/privateLinkConnections": {
        "GET": Action(networking.list_private_links, _FIRST, is_list=True),
        "POST": Action(networking.create_private_link, _FIRST, activity="Create"),
    },
    "/privateLinkConnections/{connectionId}": {
        "GET": Action(networking.get_private_link, _FIRST),
        "PATCH": Action(networking.update_private_link, _LATEST, activity="Update"),
        "DELETE": Action(networking.delete_private_link, _FIRST, 202, activity="Delete"),
    },
    "/{tenantName}:downloadOperationalLogs": {
        "GET": Action(
            logs.download_operational_logs, _LATEST, query=logs.LOG_PARAMETERS, suffix="gzip"
        ),
    },
    "/{tenantName}": {
        "GET": Action(tenants.get_tenant, _FIRST, query=("includeConnections",)),
        "PATCH": Action(tenants.update_tenant, _FIRST, activity="Update"),
        "DELETE": Action(tenants.delete_tenant, _FIRST, 202, activity="Delete"),
    },
    "/{tenantName}/auditLogs": {
        "GET": Action(logs.download_audit_logs, _FIRST, query=logs.LOG_PARAMETERS, suffix="gzip"),
    },
    "/{tenantName}/connections": {
        "GET": Action(connections.list_connections, _FIRST, is_list=True),
        "POST": Action(connections.create_connection, _FIRST, activity="Create"),
    },
    "/{tenantName}/connections/{connectionName}": {
        "GET": Action(connections.get_connection, _FIRST),
        "PATCH": Action(connections.update_connection, _FIRST, activity="Update"),
        "DELETE": Action(connections.delete_connection, _FIRST, 202, activity="Delete"),
    },
    "/{tenantName}/connections/{connectionName}/failoverConnections": {
        "GET": Action(failovers.list_failovers, _LATEST, is_list=True),
        "POST": Action(failovers.create_failover, _LATEST, 201, activity="Create"),
    },
    "/{tenantName}/connections/{connectionName}/failoverConnections/{failoverId}": {
        "GET": Action(failovers.get_failover, _LATEST),
        "PATCH": Action(failovers.update_failover, _LATEST, activity="Update"),
        "DELETE": Action(failovers.delete_failover, _LATEST, 204, activity="Delete"),
    },
    "/{tenantName}/processors": {
        "GET": Action(processors.list_processors, _PROCESSORS, is_list=True),
    },
    "/{tenantName}/processor": {
        "POST": Action(processors.create_processor, _PROCESSORS, activity="Create"),
    },
    "/{tenantName}/processor/{processorName}:start": {
        "POST": Action(processors.start_processor, _PROCESSORS, activity="Start"),
    },
    "/{tenantName}/processor/{processorName}:startWith": {
        "POST": Action(processors.start_processor_with, _LATEST, activity="Start"),
    },
    "/{tenantName}/processor/{processorName}:stop": {
        "POST": Action(processors.stop_processor, _PROCESSORS, activity="Stop"),
    },
    "/{tenantName}/processor/{processorName}": {
        "GET": Action(processors.get_processor, _PROCESSORS),
        "PATCH": Action(processors.modify_processor, _PROCESSORS, activity="Update"),
        "DELETE": Action(processors.delete_processor, _PROCESSORS, 204, activity="Delete"),
    },
}
"""What stands below `/groups/{groupId}/streams`; a path with a verb before the one without."""
_ABOVE: Final[dict[str, dict[str, Action]]] = {
    "/groups": {
        "GET": Action(projects.list_projects, _GROUPS, is_list=True),
        "POST": Action(projects.create_project, _GROUPS),
    },
    "/groups/byName/{groupName}": {"GET": Action(projects.get_project_by_name, _GROUPS)},
    "/groups/{groupId}": {"GET": Action(projects.get_project, _GROUPS)},
    "/orgs/{orgId}/groups": {"GET": Action(projects.list_projects_of_org, _GROUPS, is_list=True)},
}
_OPEN: Final = {
    "/unauth/controlPlaneIPAddresses": {"GET": Action(projects.get_addresses, "2023-11-15")},
}
TABLE: Final[dict[str, dict[str, Action]]] = {
    **_OPEN,
    **_ABOVE,
    **{f"/groups/{{groupId}}/streams{path}": actions for path, actions in _STREAMS.items()},
}
"""Every path below `/api/atlas/v2` and what its methods do."""


def build_app(gate: Gate, access: Access) -> Starlette:
    """The whole Admin API as one ASGI application."""
    oauth = OAuth(access)
    routes = [
        Route("/api/oauth/token", oauth.token, methods=_ANY),
        Route("/api/oauth/revoke", oauth.revoke, methods=_ANY),
    ]
    for path, actions in TABLE.items():
        routes.append(Route(_ROOT + path, Resource(gate, actions, is_open=path in _OPEN)))
    # Who is no known caller does not learn which of these paths exist.
    routes.append(Route(_ROOT + "/{rest:path}", Resource(gate, {})))
    routes.append(Route("/{rest:path}", Resource(gate, {}, is_open=True)))
    return Starlette(
        routes=routes,
        exception_handlers={
            AspError: _on_error,
            Exception: _on_bug,
        },
    )


async def _on_error(request: Request, error: Exception) -> Response:
    """An error of ours, in the Admin API's shape."""
    if not isinstance(error, AspError):
        raise error
    return render_failure(request, error)


async def _on_bug(request: Request, _error: Exception) -> Response:
    """A fault of ours; the server that runs this logs it."""
    detail = "The local instance met an unexpected error; its log says more."
    return render_failure(request, ApiFailure(500, "UNEXPECTED_ERROR", detail))
