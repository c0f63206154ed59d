"""The connection registry of the local instance: what pipelines may name, kept in mongod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.pipeline.connections.kinds import (
    definition_faults,
    definition_warnings,
    registry_entry,
)
from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.clients.metadata import MetadataStore

CONNECTIONS: Final = "connections"
LOCAL_CLUSTER: Final = "local_cluster"
_BUILT_IN: Final = (LOCAL_CLUSTER, *SAMPLE_NAMES)
_NAME: Final = re.compile(r"[A-Za-z0-9.*_-]+")
_INVALID: Final = CODES["StreamProcessorInvalidOptions"]

Users = Mapping[str, str]
"""Name of a connection that is in use to the name of a processor that uses it."""


class ConnectionRegistry:
    """Named connections; listing shows name, type and cluster, never what may be a secret."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    async def seed(self, cluster_uri: str) -> None:
        """Put in the connections that every local instance has: its mongod and all samples."""
        for name in SAMPLE_NAMES:
            sample = {"_id": name, "type": "inmemory", "sample": name}
            await self._store.put(CONNECTIONS, sample)
        local = {"_id": LOCAL_CLUSTER, "type": "atlas", "cluster": "local", "uri": cluster_uri}
        await self._store.put(CONNECTIONS, local)

    async def upsert(self, definitions: list[Any], users: Users) -> list[Fault]:
        """Add connections or replace those of the same name; all of them or none.

        Returns:
            What works otherwise than on Atlas, as warnings.

        Raises:
            CommandFailure: One or more are wrong (all faults are named), or CommandFailed: a
                running processor uses one that would change.
        """
        faults = [
            fault.below(f"connections[{index}]")
            for index, definition in enumerate(definitions)
            for fault in _faults(definition, definitions[:index])
        ]
        if faults:
            raise CommandFailure.of_faults(faults)
        entries = {each["name"]: registry_entry(each) for each in definitions}
        known = await self.by_name()
        changed = {name: entry for name, entry in entries.items() if known.get(name) != entry}
        _refuse_used([name for name in changed if name in known], users)
        for name, entry in changed.items():
            await self._store.put(CONNECTIONS, {"_id": name, **entry})
        return [
            fault.below(f"connections[{index}]")
            for index, definition in enumerate(definitions)
            for fault in definition_warnings(definition)
        ]

    async def drop(self, names: list[Any], users: Users) -> None:
        """Remove connections; all of them or none.

        Raises:
            CommandFailure: One is built in or not there, or CommandFailed: it is in use.
        """
        known = await self.by_name()
        faults = []
        for index, name in enumerate(names):
            path = f"connections[{index}]"
            if not isinstance(name, str) or name not in known:
                faults.append(Fault(path, f"there is no connection {name!r}", "", _INVALID))
            elif name in _BUILT_IN:
                faults.append(
                    Fault(path, f"{name} is built in and cannot be dropped", "", _INVALID)
                )
        if faults:
            raise CommandFailure.of_faults(faults)
        _refuse_used(names, users)
        await self._store.delete(CONNECTIONS, {"_id": {"$in": names}})

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
        if not criteria:
            return items
        return [items[number] for number in await self._store.select(items, criteria)]


def _faults(definition: Any, before: list[Any]) -> Iterator[Fault]:
    """All faults of one definition; `before` are those that the same command gave before it."""
    if not isinstance(definition, Mapping):
        yield Fault("", "a connection is an object {name, type, ...}")
        return
    name, kind = definition.get("name"), definition.get("type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = "letters, digits and . - * _"
        yield Fault(".name", "a connection needs a name", hint, _INVALID)
    elif any(isinstance(each, Mapping) and each.get("name") == name for each in before):
        yield Fault(".name", f"{name} is there twice", "", _INVALID)
    elif name in _BUILT_IN and not (kind == "Sample" and name in SAMPLE_NAMES):
        yield Fault(".name", f"{name} is built in and cannot be replaced", "", _INVALID)
    if kind == "Sample" and definition.get("sample", name) not in SAMPLE_NAMES:
        path = ".sample" if "sample" in definition else ".name"
        message = f"there is no sample {definition.get('sample', name)!r}"
        yield Fault(path, message, f"known: {', '.join(SAMPLE_NAMES)}", _INVALID)
    yield from definition_faults(definition)


def names_in(value: Any) -> Iterator[str]:
    """Every connection that a pipeline, or a processor's options, name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "connectionName" and isinstance(inner, str):
                yield inner
            else:
                yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def _refuse_used(names: list[str], users: Users) -> None:
    """Refuse to touch what a running processor uses, as Atlas does.

    Raises:
        CommandFailure: CommandFailed.
    """
    for name in names:
        if name in users:
            raise CommandFailure(
                "CommandFailed",
                f"connection {name!r} is used by the running stream processor {users[name]!r}: "
                "stop that one first",
            )
