"""The connection registry of a local workspace: what pipelines may name, kept in mongod.

A document holds the definition as it was given (`definition`, the Admin API's fields and what only
a local instance needs), its `id`, and its `failovers`. Checks and workers get `by_name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bson import ObjectId

from asp_utils.errors import ConfigInvalid, Conflict, Fault, NotFound
from asp_utils.model.error_codes import CODES
from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.pipeline.connections.kinds import (
    TYPE_OF_ENTRY,
    definition_faults,
    definition_fields,
    definition_warnings,
)
from asp_utils.pipeline.connections.merging import merged
from asp_utils.pipeline.connections.views import registry_entry
from asp_utils.server.failovers import (
    add_failover,
    drop_failover,
    shown_failover,
    update_failover,
)
from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asp_utils.clients.metadata import MetadataStore

CONNECTIONS: Final = "connections"
LOCAL_CLUSTER: Final = "local_cluster"
READY: Final = "READY"
BUILT_IN: Final = (LOCAL_CLUSTER, *SAMPLE_NAMES)
"""What the built-in workspace has from its beginning, and keeps."""
_INVALID: Final = CODES["StreamProcessorInvalidOptions"]

Users = Mapping[str, str]
"""Name of a connection that is in use to the name of a processor that uses it."""
Document = dict[str, Any]


class ConnectionRegistry:
    """Named connections; listing shows name, type and cluster, never what may be a secret.

    Args:
        store: Where they are kept.
        cluster_uri: The instance's own mongod: every cluster without a `uri`.
        built_in: Of `BUILT_IN`, what is always there and can be neither dropped nor replaced.
    """

    def __init__(
        self, store: MetadataStore, cluster_uri: str, built_in: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._own_cluster_uri = cluster_uri
        self._built_in = tuple(built_in)

    async def seed(self, samples: Sequence[str] = ()) -> None:
        """Put in what is built in, and samples that a new workspace was asked for with.

        Documents of earlier releases, which held no definitions, are brought into shape.
        """
        kept = {each["_id"]: each for each in await self._store.find(CONNECTIONS)}
        wanted = (*self._built_in, *samples)
        for name in wanted:
            if "definition" not in kept.get(name, {}):
                await self._put(_new(_built_in_definition(name)))
        for name, document in kept.items():
            if name not in wanted and "definition" not in document:
                await self._put(_new(_defined(document)))

    async def upsert(self, definitions: list[Any], users: Users) -> list[Fault]:
        """Add connections or replace those of the same name; all of them or none.

        Returns:
            What works otherwise than on Atlas, as warnings.

        Raises:
            CommandFailure: One or more are wrong (all faults are named).
            Conflict: A running processor uses one that would change.
        """
        faults = [
            fault.below(f"connections[{index}]")
            for index, definition in enumerate(definitions)
            for fault in self._faults(definition, definitions[:index])
        ]
        if faults:
            raise CommandFailure.of_faults(faults)
        wanted = {each["name"]: _plain(each) for each in definitions}
        known = await self._documents()
        changed = {
            name: definition
            for name, definition in wanted.items()
            if name not in known or known[name]["definition"] != definition
        }
        _refuse_used([name for name in changed if name in known], users)
        for name, definition in changed.items():
            await self._put(_replaced(known.get(name), definition))
        return [
            fault.below(f"connections[{index}]")
            for index, definition in enumerate(definitions)
            for fault in definition_warnings(definition, "local")
        ]

    async def create(self, definition: Any) -> Document:
        """Add a connection; as `definition` shows it.

        Raises:
            ConfigInvalid: It is wrong; all faults are named.
            Conflict: There is one of that name.
        """
        name = definition.get("name") if isinstance(definition, Mapping) else None
        if isinstance(name, str) and await self._find(name) is not None:
            raise Conflict(f"there is a connection {name!r} already", path="$.name")
        _refuse_faulty(list(self._faults(definition, [])))
        document = _new(_plain(definition))
        await self._store.insert(CONNECTIONS, document)
        return _shown(document)

    async def update(self, name: str, changes: Any, users: Users) -> Document:
        """Change fields of a connection; what is not given stays as it is, null takes away.

        Raises:
            NotFound: There is none of that name.
            ConfigInvalid: The changed connection is wrong, or has another name or type.
            Conflict: A running processor uses it.
        """
        document = await self._get(name)
        if not isinstance(changes, Mapping):
            raise ConfigInvalid("connection", [Fault("", "the changes are an object")])
        before = document["definition"]
        after = _plain(merged(before, changes))
        _refuse_faulty(list(_fixed_faults(before, after)) + list(self._faults(after, [])))
        if after != before:
            _refuse_used([name], users)
            document = {**document, "definition": after}
            await self._put(document)
        return _shown(document)

    async def drop(self, names: list[Any], users: Users) -> None:
        """Remove connections; all of them or none.

        Raises:
            CommandFailure: One is built in or not there.
            Conflict: A running processor uses one.
        """
        known = await self._documents()
        faults = []
        for index, name in enumerate(names):
            path = f"connections[{index}]"
            if not isinstance(name, str) or name not in known:
                faults.append(Fault(path, f"there is no connection {name!r}", "", _INVALID))
            elif name in self._built_in:
                faults.append(
                    Fault(path, f"{name} is built in and cannot be dropped", "", _INVALID)
                )
        if faults:
            raise CommandFailure.of_faults(faults)
        _refuse_used(names, users)
        await self._store.delete(CONNECTIONS, {"_id": {"$in": names}})

    async def definitions(self) -> list[Document]:
        """Every connection in the Admin API's shape (`id`, `state`), secrets included.

        `region` is there only where the definition has its own, which is AWS' word.
        """
        return [_shown(document) for document in (await self._documents()).values()]

    async def definition(self, name: str) -> Document | None:
        """One connection in the shape of `definitions`; None when there is none."""
        document = await self._find(name)
        return None if document is None else _shown(document)

    async def failovers(self, name: str) -> list[Document]:
        """The failover connections of one: its fields, `id`, `region`, `state`; with secrets.

        Raises:
            NotFound: There is no such connection.
        """
        return [shown_failover(each) for each in (await self._get(name)).get("failovers", [])]

    async def add_failover(self, name: str, definition: Any) -> Document:
        """Add a failover connection for one region.

        Raises:
            NotFound: There is no such connection.
            ConfigInvalid: It is wrong, or only Kafka and Cluster have one.
            Conflict: The region has one already.
        """
        document = await self._get(name)
        added = add_failover(document, definition)
        await self._put(document)
        return added

    async def update_failover(self, name: str, failover_id: str, changes: Any) -> Document:
        """Change fields of a failover connection; what is not given stays as it is.

        Raises:
            NotFound, ConfigInvalid, Conflict: As for `add_failover`.
        """
        document = await self._get(name)
        updated = update_failover(document, failover_id, changes)
        await self._put(document)
        return updated

    async def drop_failover(self, name: str, failover_id: str) -> None:
        """Remove a failover connection.

        Raises:
            NotFound: There is none of that id.
        """
        document = await self._get(name)
        drop_failover(document, failover_id)
        await self._put(document)

    async def by_name(self) -> dict[str, Document]:
        """Every connection as workers and checks get it: `{type, ...fields}`."""
        return {
            name: registry_entry(document["definition"], self._own_cluster_uri)
            for name, document in (await self._documents()).items()
        }

    async def list(self, criteria: Mapping[str, Any] | None) -> list[Document]:
        """The shape of listStreamConnections, those that fit a find filter."""
        items = [
            {"name": name, **{key: entry[key] for key in ("type", "cluster") if key in entry}}
            for name, entry in (await self.by_name()).items()
        ]
        if not criteria:
            return items
        return [items[number] for number in await self._store.select(items, criteria)]

    async def _documents(self) -> dict[str, Document]:
        return {each["_id"]: each for each in await self._store.find(CONNECTIONS)}

    async def _find(self, name: str) -> Document | None:
        return await self._store.find_one(CONNECTIONS, {"_id": name})

    async def _get(self, name: str) -> Document:
        document = await self._find(name)
        if document is None:
            raise NotFound(f"there is no connection {name!r}", path="$.name")
        return document

    async def _put(self, document: Document) -> None:
        await self._store.put(CONNECTIONS, document)

    def _faults(self, definition: Any, before: Sequence[Any]) -> Iterator[Fault]:
        """All faults of one definition; `before` are those that the same command gave first."""
        given = definition if isinstance(definition, Mapping) else {}
        name, kind = given.get("name"), given.get("type")
        if name is not None and any(
            isinstance(each, Mapping) and each.get("name") == name for each in before
        ):
            yield Fault(".name", f"{name} is there twice", "", _INVALID)
        elif name in self._built_in and not (kind == "Sample" and name in SAMPLE_NAMES):
            yield Fault(".name", f"{name} is built in and cannot be replaced", "", _INVALID)
        yield from definition_faults(definition, "local")


_LOCAL_DEFINITION: Final = {
    "name": LOCAL_CLUSTER,
    "type": "Cluster",
    "clusterName": "local",
    "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"},
}


def _built_in_definition(name: str) -> Mapping[str, Any]:
    return _LOCAL_DEFINITION if name == LOCAL_CLUSTER else {"name": name, "type": "Sample"}


def _new(definition: Mapping[str, Any]) -> Document:
    """The document of a connection that is new."""
    return {
        "_id": definition["name"],
        "id": str(ObjectId()),
        "definition": dict(definition),
        "failovers": [],
    }


def _replaced(document: Document | None, definition: Document) -> Document:
    """The document with another definition; new, where the connection was of another type."""
    if document is None or document["definition"]["type"] != definition["type"]:
        return _new(definition)
    return {**document, "definition": definition}


def _defined(entry: Mapping[str, Any]) -> Document:
    """The definition of an entry as earlier releases kept it: `{_id, type, ...fields}`."""
    kind = TYPE_OF_ENTRY[entry["type"]]
    derived = {"_id", "type", *(("cluster",) if kind == "Cluster" else ())}
    fields = {field: value for field, value in entry.items() if field not in derived}
    return {"name": entry["_id"], "type": kind, **fields}


def _plain(definition: Mapping[str, Any]) -> Document:
    """A definition without read-only fields."""
    named = {"name": definition.get("name"), "type": definition.get("type")}
    return {**named, **definition_fields(definition)}


def _shown(document: Mapping[str, Any]) -> Document:
    """The Admin API's shape, secrets included."""
    return {**document["definition"], "id": document["id"], "state": READY}


def _fixed_faults(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Fault]:
    """What of a connection is fixed once it is created."""
    for field in ("name", "type"):
        if after[field] != before[field]:
            message = f"the {field} of a connection cannot be changed"
            yield Fault(f".{field}", message, "create another connection", _INVALID)


def _refuse_faulty(faults: list[Fault]) -> None:
    """Refuse a definition, with all its faults.

    Raises:
        ConfigInvalid: There are any.
    """
    if faults:
        raise ConfigInvalid("connection", faults)


def _refuse_used(names: list[str], users: Users) -> None:
    """Refuse to touch what a running processor uses, as Atlas does.

    Raises:
        Conflict: One is used.
    """
    for name in names:
        if name in users:
            raise Conflict(
                f"connection {name!r} is used by the running stream processor {users[name]!r}: "
                "stop that one first",
            )
