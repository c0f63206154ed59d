"""The workspaces of a local instance: made, changed and deleted while it runs.

What is kept about each stands in the collection `workspaces` of the instance's own database. It is
written before a workspace is opened, and marked before one is deleted, so that a start after a
kill finds every workspace and finishes every deletion.

Source: asp-reference.md 4.3.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError, Conflict, NotFound
from asp_utils.model.local_names import LOCAL, LOCAL_DATABASE_PREFIX
from asp_utils.server.audit import AuditLog
from asp_utils.server.connections import BUILT_IN, ConnectionRegistry
from asp_utils.server.engine_settings import EngineSettings
from asp_utils.server.launcher import Launcher
from asp_utils.server.local_workspace import LocalWorkspace
from asp_utils.server.open_workspace import OpenWorkspace
from asp_utils.server.processor_store import ProcessorStore
from asp_utils.server.replies import CommandFailure
from asp_utils.server.samples import Cursors
from asp_utils.server.scram import Authenticator
from asp_utils.server.supervisor import Supervisor
from asp_utils.server.temporary import TemporaryProcessors
from asp_utils.server.wire import Endpoint
from asp_utils.server.workspace_record import WorkspaceRecord, id_in_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from asp_utils.clients.metadata import MetadataStore
    from asp_utils.server.certificates import Certificates
    from asp_utils.server.framing import Request
    from asp_utils.server.instance_folder import InstanceFolder, KeptSettings
    from asp_utils.server.wire import Caller
    from asp_utils.server.wiring import Wiring

__all__ = ["LOCAL", "OpenWorkspace", "Surroundings", "WorkspaceRecord", "Workspaces"]

MAX_WORKSPACES: Final = 50
"""Each has a port, a socket and two metadata connections; nobody's laptop needs more."""
_COLLECTION: Final = "workspaces"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What all workspaces of an instance share."""

    place: InstanceFolder
    wiring: Wiring
    mongod_uri: str
    settings: KeptSettings
    certificates: Certificates
    tls_port: int
    """The one TLS port, a free one."""
    published: Callable[[], None]
    """Called when a workspace has come, changed or gone."""


class Workspaces:
    """Every workspace by name.

    Args:
        store: The instance's own database.
        surroundings: What they share.
    """

    def __init__(self, store: MetadataStore, surroundings: Surroundings) -> None:
        self.store = store
        """The instance's own database."""
        self._around = surroundings
        self._engine = EngineSettings(store)
        settings = surroundings.settings.current
        self._authenticator = Authenticator(settings.connection_user, settings.connection_password)
        self._open: dict[str, OpenWorkspace] = {}
        self._changing = asyncio.Lock()
        self._tls = Endpoint(self._answer_by_host)

    @property
    def place(self) -> InstanceFolder:
        """The instance's folder."""
        return self._around.place

    @property
    def project_id(self) -> str:
        """The project that they all belong to."""
        return self._around.settings.current.project_id

    def all(self) -> list[OpenWorkspace]:
        """Every workspace, `local` first, then in the order of their creation."""
        return list(self._open.values())

    def find(self, name: str) -> OpenWorkspace | None:
        """The workspace of that name."""
        return self._open.get(name)

    def get(self, name: str) -> OpenWorkspace:
        """The workspace of that name.

        Raises:
            NotFound: There is none.
        """
        found = self._open.get(name)
        if found is None:
            raise NotFound(
                f"there is no workspace {name!r}", hint=f"there are: {', '.join(self._open)}"
            )
        return found

    async def open(self) -> None:
        """Open every workspace that is kept, and the TLS port; finish what was being deleted."""
        await self.store.ensure_unique(_COLLECTION, "name")
        await self._sweep()
        documents = await self.store.find(_COLLECTION)
        if not any(each["name"] == LOCAL for each in documents):
            port = self._around.settings.current.ports.get("stream_endpoint")
            documents.append(await self._keep(WorkspaceRecord(name=LOCAL), port))
        documents.sort(key=lambda each: each["name"] != LOCAL)
        for document in documents:
            await self._open_one(WorkspaceRecord.from_document(document), document.get("port"))
        await asyncio.to_thread(self._cover_hosts)
        context = self._around.certificates.context()
        await self._tls.open_tls(self._around.tls_port, context)

    async def create(self, record: WorkspaceRecord, samples: Sequence[str] = ()) -> OpenWorkspace:
        """Make a workspace with the sample connections named; it answers when this returns.

        Raises:
            ConfigInvalid: Its tiers do not fit together.
            Conflict: There is one of that name, or there are too many.
        """
        record.check()
        async with self._changing:
            await self._sweep()
            if record.name in self._open:
                raise Conflict(f"there is a workspace {record.name!r} already", path="$.name")
            if len(self._open) >= MAX_WORKSPACES:
                raise Conflict(
                    f"there are {len(self._open)} workspaces, which is the most",
                    hint="delete one that is not needed",
                )
            await self._keep(record)
            try:
                opened = await self._open_one(record, None, samples)
                await asyncio.to_thread(self._cover_hosts)
            except (AspError, OSError):
                with suppress(AspError):
                    await self._delete(record)
                raise
        self._around.published()
        return opened

    async def update(self, name: str, **changes: Any) -> OpenWorkspace:
        """Change fields of a record: `cloud_provider`, `region`, `tier`, `max_tier`, ...

        Running processors keep the tier that they run on.

        Raises:
            NotFound: There is no such workspace.
            ConfigInvalid: The tiers would not fit together.
        """
        async with self._changing:
            workspace = self.get(name)
            record = replace(workspace.record, **changes)
            record.check()
            await self._keep(record, workspace.port)
            workspace.parts = replace(workspace.parts, record=record)
            await asyncio.to_thread(self._cover_hosts)
        self._around.published()
        return workspace

    async def delete(self, name: str) -> None:
        """Delete a workspace with its processors, running or not, and all that it kept.

        Raises:
            NotFound: There is no such workspace.
            Conflict: It is the built-in one.
        """
        async with self._changing:
            record = self.get(name).record
            if name == LOCAL:
                raise Conflict(f"the workspace {LOCAL!r} is built in and cannot be deleted")
            await self._delete(record)

    async def close(self) -> None:
        """Stop answering; end every worker after a last checkpoint."""
        await self._tls.close()
        await asyncio.gather(*(each.close() for each in self.all()))

    async def _open_one(
        self, record: WorkspaceRecord, port: int | None, samples: Sequence[str] = ()
    ) -> OpenWorkspace:
        parts = await self._parts(record)
        await parts.connections.seed(samples)
        workspace = OpenWorkspace(parts, self._authenticator, self._around.tls_port)
        await workspace.open(port, self._socket_path(record))
        self._open[record.name] = workspace
        if workspace.port != port:
            await self._keep(record, workspace.port)
        _log.info("workspace %s answers at %s", record.name, workspace.hostnames[0])
        return workspace

    async def _parts(self, record: WorkspaceRecord) -> LocalWorkspace:
        around, wiring = self._around, self._around.wiring
        limits = wiring.limits
        store = self.store.beside(record.database)
        processors = ProcessorStore(store)
        await processors.prepare()
        built_in = BUILT_IN if record.name == LOCAL else ()
        connections = ConnectionRegistry(store, around.mongod_uri, built_in)
        cursors = Cursors(limits)
        launcher = Launcher(
            workspace=record.name,
            command=wiring.worker_command,
            log_folder=self._log_folder(record),
            mongod_uri=around.mongod_uri,
            database=record.database,
            connections=connections,
            engine=self._engine,
        )
        return LocalWorkspace(
            record=record,
            settings=around.settings,
            audit=AuditLog(around.place.audit_path(_own_id(record)), record.name),
            processors=processors,
            connections=connections,
            engine=self._engine,
            supervisor=Supervisor(launcher, processors, cursors, limits),
            temporaries=TemporaryProcessors(launcher, processors, cursors, limits),
            cursors=cursors,
            check_processor=wiring.check_processor,
            check_modify=wiring.check_modify,
            check_warnings=wiring.check_warnings,
            mongod_uri=around.mongod_uri,
        )

    async def _keep(self, record: WorkspaceRecord, port: int | None = None) -> dict[str, Any]:
        document = {**record.to_document(), "port": port}
        await self.store.put(_COLLECTION, document)
        return document

    async def _delete(self, record: WorkspaceRecord) -> None:
        """Delete a workspace; whatever interrupts this, `_sweep` finishes it."""
        await self.store.put(_COLLECTION, {**record.to_document(), "deleting": True})
        workspace = self._open.pop(record.name, None)
        self._around.published()
        if workspace is not None:
            await workspace.end(self._socket_path(record), self._log_folder(record))
        await self._sweep()

    async def _sweep(self) -> None:
        """Drop the databases of workspaces that are gone, or are being deleted."""
        documents = await self.store.find(_COLLECTION)
        kept = {
            LOCAL_DATABASE_PREFIX + each["_id"] for each in documents if not each.get("deleting")
        }
        for name in await self.store.databases(LOCAL_DATABASE_PREFIX):
            if name not in kept:
                await self.store.beside(name).drop()
        await self.store.delete(_COLLECTION, {"deleting": True})

    def _cover_hosts(self) -> None:
        self._around.certificates.ensure({each.record.wildcard_host for each in self.all()})

    def _socket_path(self, record: WorkspaceRecord) -> Path | None:
        return self._around.place.usable_socket(_own_id(record))

    def _log_folder(self, record: WorkspaceRecord) -> Path:
        return self._around.place.log_folder(_own_id(record))

    async def _answer_by_host(self, caller: Caller, request: Request) -> dict[str, Any]:
        """The reply of the workspace that a host name means; any name but such a one is `local`."""
        wanted = id_in_host(caller.server_name)
        for workspace in self.all():
            if wanted in (None, workspace.record.id):
                return await workspace.answer(caller, request)
        raise CommandFailure(
            "HostUnreachable",
            f"no workspace of this local instance has the host name {caller.server_name}",
        )


def _own_id(record: WorkspaceRecord) -> str | None:
    """What tells the files of a workspace from those of `local`; None for that one."""
    return None if record.name == LOCAL else record.id
