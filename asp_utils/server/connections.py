"""The connection registry of the local instance: what pipelines may name, kept in mongod."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from asp_utils.clients.metadata import MetadataStore

CONNECTIONS: Final = "connections"
SAMPLE_CONNECTION: Final = "sample_stream_solar"
LOCAL_CLUSTER: Final = "local_cluster"
_BUILT_IN: Final = (SAMPLE_CONNECTION, LOCAL_CLUSTER)

Definition = Mapping[str, Any]
"""A connection as a client gives it: `{name, type, ...}` with the Admin API's type names."""


def _cluster_faults(definition: Definition) -> list[Fault]:
    uri = definition.get("uri")
    if not isinstance(uri, str) or not uri.startswith(("mongodb://", "mongodb+srv://")):
        hint = "for instance mongodb://127.0.0.1:27017/?directConnection=true"
        return [Fault(".uri", "a connection string mongodb://... is needed", hint)]
    return _unknown_fields(definition, {"name", "type", "uri", "clusterName"})


def _cluster_entry(definition: Definition) -> dict[str, Any]:
    cluster = definition.get("clusterName") or definition["name"]
    return {"type": "atlas", "cluster": cluster, "uri": definition["uri"]}


def _sample_faults(definition: Definition) -> list[Fault]:
    return _unknown_fields(definition, {"name", "type"})


def _sample_entry(_definition: Definition) -> dict[str, Any]:
    return {"type": "inmemory"}


KINDS: Final[
    dict[str, tuple[Callable[[Definition], list[Fault]], Callable[[Definition], dict[str, Any]]]]
] = {
    "Cluster": (_cluster_faults, _cluster_entry),
    "Sample": (_sample_faults, _sample_entry),
}
"""Connection type (Admin API name) to its check and the registry entry it becomes."""


class ConnectionRegistry:
    """Named connections; listing never shows a URI, which may hold a password."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    async def seed(self, cluster_uri: str) -> None:
        """Put in the two connections that every local instance has."""
        await self._store.put(CONNECTIONS, {"_id": SAMPLE_CONNECTION, "type": "inmemory"})
        local = {"_id": LOCAL_CLUSTER, "type": "atlas", "cluster": "local", "uri": cluster_uri}
        await self._store.put(CONNECTIONS, local)

    async def upsert(self, definitions: list[Any]) -> None:
        """Add connections or replace those of the same name; all of them or none.

        Raises:
            CommandFailure: One or more are wrong; all faults are named.
        """
        faults = [
            fault.below(f"connections[{index}]")
            for index, definition in enumerate(definitions)
            for fault in _definition_faults(definition)
        ]
        if faults:
            raise CommandFailure.of_faults(faults)
        for definition in definitions:
            _, make_entry = KINDS[definition["type"]]
            await self._store.put(
                CONNECTIONS, {"_id": definition["name"], **make_entry(definition)}
            )

    async def by_name(self) -> dict[str, dict[str, Any]]:
        """Every connection with all its fields, as workers and checks get it."""
        found = await self._store.find(CONNECTIONS)
        return {entry.pop("_id"): entry for entry in found}

    async def list(self, criteria: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """The shape of listStreamConnections, those that fit a find filter."""
        items = [
            {"name": name, **{key: entry[key] for key in ("type", "cluster") if key in entry}}
            for name, entry in (await self.by_name()).items()
        ]
        return await self._store.select(items, criteria) if criteria else items


def _definition_faults(definition: Any) -> list[Fault]:
    if not isinstance(definition, Mapping):
        return [Fault("", "a connection is an object {name, type, ...}")]
    name, kind = definition.get("name"), definition.get("type")
    faults = []
    if not isinstance(name, str) or not name.strip():
        faults.append(Fault(".name", "a connection needs a name"))
    elif name in _BUILT_IN:
        faults.append(Fault(".name", f"{name} is built in and cannot be replaced"))
    if kind not in KINDS:
        known = f"one of: {', '.join(KINDS)}"
        faults.append(Fault(".type", f"the local instance has no connection type {kind!r}", known))
    else:
        check, _ = KINDS[kind]
        faults += check(definition)
    return faults


def _unknown_fields(definition: Definition, known: set[str]) -> list[Fault]:
    hint = f"known: {', '.join(sorted(known))}"
    return [
        Fault(f".{field}", f"unknown field {field!r}", hint, CODES["IDLUnknownField"])
        for field in definition
        if field not in known
    ]
