"""One request on its way: what handlers get, and what they may answer with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asp_utils.server.admin.bodies import read_object
from asp_utils.server.admin.failures import ApiFailure, invalid
from asp_utils.server.admin.paging import read_flag
from asp_utils.server.wire import Caller

if TYPE_CHECKING:
    from starlette.requests import Request

    from asp_utils.clients.metadata import MetadataStore
    from asp_utils.errors import Fault
    from asp_utils.server.instance_folder import InstanceFolder, KeptSettings
    from asp_utils.server.workspaces import OpenWorkspace, Workspaces


@dataclass(frozen=True)
class Services:
    """The parts of the instance that handlers work with."""

    workspaces: Workspaces
    settings: KeptSettings
    store: MetadataStore
    """The instance's own database."""
    place: InstanceFolder


@dataclass(frozen=True)
class Call:
    """One request that was let in."""

    request: Request
    services: Services
    user: str
    """Who calls: a client id, a public key, or `anonymous`."""

    @property
    def path(self) -> Mapping[str, str]:
        """The variable parts of the path."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters."""
        return self.request.query_params

    @property
    def group_id(self) -> str:
        """The project, which has been found to be ours."""
        return self.path["groupId"]

    @property
    def workspaces(self) -> Workspaces:
        """Every workspace."""
        return self.services.workspaces

    @cached_property
    def workspace(self) -> OpenWorkspace:
        """The workspace that the path names.

        Raises:
            ApiFailure: 404, there is none.
        """
        name = self.path["tenantName"]
        found = self.workspaces.find(name)
        if found is None:
            raise ApiFailure(
                404,
                "STREAM_TENANT_NOT_FOUND_FOR_NAME",
                f"Stream instance for project {self.group_id} and name {name} not found.",
                parameters=[self.group_id, name],
            )
        return found

    @property
    def caller(self) -> Caller:
        """The same as the stream endpoint's commands know it."""
        client = self.request.client
        return Caller(0, f"{client.host}:{client.port}" if client else "local", self.user)

    async def body(self) -> dict[str, Any]:
        """The body's JSON object; an empty one when there is no body."""
        return await read_object(self.request)

    def flag(self, name: str) -> bool:
        """A query parameter that is `true` or `false`; false when it is left out.

        Raises:
            ApiFailure: 400, it is neither.
        """
        faults: list[Fault] = []
        given = read_flag(self.query, name, faults=faults)
        if faults:
            raise invalid(faults)
        return given


@dataclass(frozen=True)
class Download:
    """A file that is sent."""

    filename: str
    content: bytes
    """Compressed with gzip."""


Answer = dict[str, Any] | list[dict[str, Any]] | Download | None
"""A document, a list to be sent in pages, a file, or an empty body."""
Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Action:
    """What one method does to a resource."""

    handle: Handler
    version: str
    """The date of the resource's version."""
    status: int = 200
    query: tuple[str, ...] = ()
    """The parameters that it takes, paging and the common ones aside."""
    is_list: bool = False
    suffix: str = "json"
    activity: str = ""
    """What it does, where it changes something: Create, Update, Delete, Start …"""
