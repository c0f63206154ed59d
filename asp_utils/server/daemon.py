"""The local instance's one long-lived process: mongod, endpoint and supervisor put together."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from bson import ObjectId

from asp_utils.clients.metadata import MetadataStore
from asp_utils.clients.mongod import URI_VARIABLE, Mongod, free_port, pid_on
from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import AspError, EnvironmentMissing, ExitCode
from asp_utils.server.commands import answer_command
from asp_utils.server.connections import ConnectionRegistry
from asp_utils.server.engine_settings import EngineSettings
from asp_utils.server.handshake import Doorkeeper
from asp_utils.server.instance_folder import InstanceFolder, InstanceState
from asp_utils.server.launcher import Launcher
from asp_utils.server.limits import Limits
from asp_utils.server.local_workspace import (
    CheckModify,
    CheckProcessor,
    CheckWarnings,
    LocalWorkspace,
    no_warnings,
)
from asp_utils.server.ownership import claim
from asp_utils.server.processor_store import ProcessorStore
from asp_utils.server.samples import Cursors
from asp_utils.server.scram import Authenticator
from asp_utils.server.supervisor import Supervisor
from asp_utils.server.temporary import TemporaryProcessors
from asp_utils.server.wire import LOOPBACK, Endpoint
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from pathlib import Path

DATABASE: Final = "__asp_local"
_MONGOD_POLL_S: Final = 0.2
_MONGOD_STOP_S: Final = 20.0
_OPEN_FILES: Final = 65_536
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wiring:
    """What the daemon is given by its composition root."""

    worker_command: tuple[str, ...]
    check_processor: CheckProcessor
    check_modify: CheckModify
    limits: Limits = field(default_factory=Limits)
    check_warnings: CheckWarnings = no_warnings


def run_daemon(folder: Path, lock_descriptor: int | None, wiring: Wiring) -> ExitCode:
    """Run the local instance of `folder` until SIGTERM or SIGINT.

    Args:
        folder: The instance's folder.
        lock_descriptor: The file descriptor that holds its lock; None to take the lock here.
        wiring: The engine's side.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    os.umask(0o077)
    _raise_file_limit()
    place = InstanceFolder(folder.resolve())
    place.create()
    os.chdir(place.path)
    try:
        _hold_lock(place, lock_descriptor)
        _Daemon(place, wiring).run()
    except AspError as error:
        _log.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        return error.exit_code
    return ExitCode.OK


class _Daemon:
    def __init__(self, place: InstanceFolder, wiring: Wiring) -> None:
        self._place = place
        self._wiring = wiring
        self._settings = place.settings()
        self._external_uri = os.environ.get(URI_VARIABLE)
        self._mongod: Mongod | None = None
        self._started_at = iso_utc(datetime.now(UTC))

    def run(self) -> None:
        _end_mongod_of(self._place)
        self._place.remove_state()
        if not self._external_uri:
            self._mongod = self._start_mongod()
        try:
            asyncio.run(self._serve())
        finally:
            self._place.remove_state()
            if self._mongod is not None:
                self._mongod.stop(_MONGOD_STOP_S)
        _log.info("stopped")

    @property
    def _mongod_uri(self) -> str:
        return self._mongod.uri if self._mongod else str(self._external_uri)

    def _start_mongod(self) -> Mongod:
        port = self._settings.ports.get("mongod")
        return Mongod.start(self._place.mongod_folder, port=port)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        store = MetadataStore(self._mongod_uri, DATABASE)
        try:
            await claim(store, self._place.path)
            workspace = await self._open_workspace(store)
            await self._answer_until(stop, workspace)
        finally:
            await store.close()

    async def _open_workspace(self, store: MetadataStore) -> LocalWorkspace:
        limits = self._wiring.limits
        processors, connections = ProcessorStore(store), ConnectionRegistry(store)
        await processors.prepare()
        await connections.seed(self._mongod_uri)
        cursors, engine = Cursors(limits), EngineSettings(store)
        launcher = Launcher(
            command=self._wiring.worker_command,
            log_folder=self._place.path / "workers",
            mongod_uri=self._mongod_uri,
            database=DATABASE,
            connections=connections,
            engine=engine,
        )
        return LocalWorkspace(
            processors=processors,
            connections=connections,
            engine=engine,
            supervisor=Supervisor(launcher, processors, cursors, limits),
            temporaries=TemporaryProcessors(launcher, processors, cursors, limits),
            cursors=cursors,
            check_processor=self._wiring.check_processor,
            check_modify=self._wiring.check_modify,
            check_warnings=self._wiring.check_warnings,
            mongod_uri=self._mongod_uri,
        )

    async def _answer_until(self, stop: asyncio.Event, workspace: LocalWorkspace) -> None:
        """Answer clients until `stop` is set or mongod cannot be kept running."""
        user, password = self._settings.connection_user, self._settings.connection_password
        door = Doorkeeper(
            Authenticator(user, password), partial(answer_command, workspace), ObjectId()
        )
        endpoint = Endpoint(door.answer, owner=user)
        port = free_port(self._settings.ports.get("stream_endpoint"))
        await endpoint.open(port, self._place.usable_socket())
        await workspace.supervisor.resume_all()
        self._publish(port)
        _log.info("the stream endpoint answers at %s:%d", LOOPBACK, port)
        stopping = asyncio.get_running_loop().create_task(stop.wait())
        watching = asyncio.get_running_loop().create_task(self._keep_mongod())
        try:
            await asyncio.wait({stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            stopping.cancel()
            self._place.remove_state()
            await endpoint.close()
            await asyncio.gather(
                workspace.supervisor.suspend_all(), workspace.temporaries.drop_all()
            )

    async def _keep_mongod(self) -> None:
        """Start mongod again, on its port, whenever it has ended."""
        while True:
            await asyncio.sleep(_MONGOD_POLL_S)
            if self._mongod is None or self._mongod.process.poll() is None:
                continue
            _log.error("mongod ended with code %d; started again", self._mongod.process.returncode)
            port = self._mongod.port
            # In this thread, which has nobody to answer without mongod: a process ends with the
            # thread that started it (see die_with_parent).
            self._mongod = self._start_mongod()
            if self._mongod.port != port:
                raise EnvironmentMissing(f"mongod's port {port} was taken while it was down")
            state = self._place.read_state()
            if state is not None:
                self._publish(state.ports["stream_endpoint"])

    def _publish(self, port: int) -> None:
        """Write `instance.json`: from now on the instance is found."""
        ports, processes = {"stream_endpoint": port}, {"instance": os.getpid()}
        if self._mongod is not None:
            ports["mongod"] = self._mongod.port
            processes["mongod"] = self._mongod.process.pid
        found = {role: OwnedProcess.find(pid) for role, pid in processes.items()}
        self._settings = replace(self._settings, ports={**self._settings.ports, **ports})
        self._place.keep_settings(self._settings)
        self._place.write_state(
            InstanceState(
                stream_processor_url=f"mongodb://{LOOPBACK}:{port}/?authSource=admin",
                connection_user=self._settings.connection_user,
                connection_password=self._settings.connection_password,
                mongod_uri=self._mongod_uri,
                ports=ports,
                pids=processes,
                start_ticks={role: each.start_ticks for role, each in found.items() if each},
                started_at=self._started_at,
                folder=str(self._place.path),
            )
        )


def _hold_lock(place: InstanceFolder, lock_descriptor: int | None) -> None:
    """Keep the lock that was handed over, and nothing else of the starter's files; or take it."""
    if lock_descriptor is not None:
        os.set_inheritable(lock_descriptor, False)
        os.closerange(lock_descriptor + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    elif place.try_lock() is None:
        raise EnvironmentMissing(
            f"the local instance of {place.path} runs already", hint="use it, or stop it first"
        )


def _end_mongod_of(place: InstanceFolder) -> None:
    """End the mongod that a killed daemon has left on this folder's files."""
    pid = pid_on(place.mongod_folder)
    process = OwnedProcess.find(pid) if pid is not None else None
    if process is not None:
        _log.warning("a mongod of an earlier run is still there; ending pid %d", process.pid)
        process.end(_MONGOD_STOP_S)


def _raise_file_limit() -> None:
    """Allow many clients and workers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
