"""The local instance under test, as its official clients do not see it: for the true state."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from asp_utils.clients.local_endpoint import LocalEndpoint
from asp_utils.model.local_names import LOCAL
from asp_utils.server import lifecycle
from asp_utils.server.instance_folder import InstanceFolder

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo import MongoClient

    from asp_utils.server.lifecycle import InstanceState

    Document = dict[str, Any]


@dataclass
class Local:
    """A running local instance."""

    folder: Path
    cluster: MongoClient[Document]
    """Its mongod."""
    rest: httpx.Client
    """Its Admin API below the project, asked with the API key by digest."""

    @property
    def state(self) -> InstanceState:
        """Where it answers now; it changes with its workspaces."""
        state = lifecycle.status(self.folder)
        assert state is not None
        return state

    def address(self, workspace: str) -> dict[str, str]:
        """Where a workspace answers."""
        found = [each for each in self.state.workspaces if each["name"] == workspace]
        assert len(found) == 1, f"{workspace} is not one of {self.workspaces()}"
        return dict(found[0])  # type: ignore[arg-type]

    def workspaces(self) -> list[str]:
        """The names of all workspaces."""
        return [each["name"] for each in self.state.workspaces]

    def command(self, workspace: str, name: str, value: Any = 1, **fields: Any) -> Document:
        """What a workspace's stream endpoint answers its own user, at its socket."""
        ident = None if workspace == LOCAL else self.address(workspace)["id"]
        socket = InstanceFolder(self.folder).usable_socket(ident)
        assert socket is not None
        with closing(LocalEndpoint(socket)) as endpoint:
            return endpoint.command({name: value, **fields})

    def processors(self, workspace: str) -> dict[str, Document]:
        """The processors of a workspace by name."""
        listed = self.command(workspace, "listStreamProcessors")["streamProcessors"]
        return {each["name"]: each for each in listed}

    def connections(self, workspace: str) -> dict[str, Document]:
        """The connections of a workspace by name, as the Admin API shows them."""
        reply = self.rest.get(f"/streams/{workspace}/connections", params={"itemsPerPage": 500})
        return {each["name"]: each for each in reply.raise_for_status().json()["results"]}

    def peerings(self) -> dict[str, str]:
        """The status of every VPC peering by its id."""
        reply = self.rest.get("/streams/vpcPeeringConnections")
        found = reply.raise_for_status().json()["results"]
        return {each["_id"]: each["localStatus"] for each in found}

    def count(self, collection: str) -> int:
        """How many documents a collection of the database `official` has."""
        return self.cluster["official"][collection].count_documents({})


def rest_client(state: InstanceState) -> httpx.Client:
    """A client of the Admin API with the API key."""
    return httpx.Client(
        base_url=f"{state.admin_api_url}/api/atlas/v2/groups/{state.project_id}",
        auth=httpx.DigestAuth(state.public_key, state.private_key),
        headers={"Accept": "application/vnd.atlas.2025-03-12+json"},
    )
