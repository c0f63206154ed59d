"""The local instance's one long-lived process: mongod, workspaces and Admin API put together."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from asp_utils.clients.metadata import MetadataStore
from asp_utils.clients.mongod import URI_VARIABLE, Mongod, free_port, pid_on
from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import AspError, EnvironmentMissing, ExitCode
from asp_utils.model.local_names import LOCAL_DATABASE
from asp_utils.server.certificates import Certificates
from asp_utils.server.instance_folder import InstanceFolder, InstanceState, KeptSettings
from asp_utils.server.ownership import claim
from asp_utils.server.wire import LOOPBACK
from asp_utils.server.workspaces import Surroundings, Workspaces
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from asp_utils.server.wiring import Wiring

_MONGOD_POLL_S: Final = 0.2
_MONGOD_STOP_S: Final = 20.0
_OPEN_FILES: Final = 65_536
_RENEWAL_POLL_S: Final = 3600.0
_SERVED: Final = ("stream_endpoint_tls", "admin_api", "admin_api_https")
"""The ports beside those of mongod and of each workspace, by their names in settings and state."""
_log = logging.getLogger(__name__)


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
        self._settings = KeptSettings(place)
        self._certificates = Certificates(place.path)
        self._external_uri = os.environ.get(URI_VARIABLE)
        self._mongod: Mongod | None = None
        self._answering = False
        self._started_at = iso_utc(datetime.now(UTC))

    def run(self) -> None:
        _end_mongod_of(self._place)
        self._place.remove_state()
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(self._prepare)
            # In this thread: a process ends with the thread that started it (die_with_parent).
            if not self._external_uri:
                self._mongod = self._start_mongod()
        try:
            asyncio.run(self._serve(prepared))
        finally:
            self._place.remove_state()
            if self._mongod is not None:
                self._mongod.stop(_MONGOD_STOP_S)
        _log.info("stopped")

    @property
    def _mongod_uri(self) -> str:
        return self._mongod.uri if self._mongod else str(self._external_uri)

    def _start_mongod(self) -> Mongod:
        port = self._settings.current.ports.get("mongod")
        return Mongod.start(self._place.mongod_folder, port=port)

    def _prepare(self) -> None:
        """What can be done while mongod starts: certificates, and the web server's modules."""
        self._certificates.ensure()
        import asp_utils.server.admin.serve  # noqa: F401

    async def _serve(self, prepared: Future[None]) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        prepared.result()
        store = MetadataStore.at(self._mongod_uri, LOCAL_DATABASE)
        try:
            await claim(store, self._place.path)
            self._settings.change(ports=self._chosen_ports())
            workspaces = self._workspaces(store)
            try:
                await workspaces.open()
                await self._answer_until(stop, workspaces)
            finally:
                self._answering = False
                self._place.remove_state()
                await workspaces.close()
        finally:
            await store.close()

    def _chosen_ports(self) -> dict[str, int]:
        """Every port but those of the workspaces: the kept one where that is free."""
        kept = self._settings.current.ports
        chosen = {name: free_port(kept.get(name)) for name in _SERVED}
        mongod = {"mongod": self._mongod.port} if self._mongod else {}
        return {**kept, **chosen, **mongod}

    def _workspaces(self, store: MetadataStore) -> Workspaces:
        def published() -> None:
            self._publish(workspaces)

        surroundings = Surroundings(
            place=self._place,
            wiring=self._wiring,
            mongod_uri=self._mongod_uri,
            settings=self._settings,
            certificates=self._certificates,
            tls_port=self._settings.current.ports["stream_endpoint_tls"],
            published=published,
        )
        workspaces = Workspaces(store, surroundings)
        self._settings.on_change(published)
        return workspaces

    async def _answer_until(self, stop: asyncio.Event, workspaces: Workspaces) -> None:
        """Answer clients until `stop` is set or mongod cannot be kept running."""
        from asp_utils.server.admin.serve import serve_admin

        ports = self._settings.current.ports
        admin = serve_admin(
            workspaces,
            self._settings,
            self._certificates,
            http_port=ports["admin_api"],
            https_port=ports["admin_api_https"],
            requests_per_minute=self._wiring.limits.requests_per_minute,
        )
        async with admin as served:
            self._answering = True
            local = workspaces.all()[0]
            self._settings.change(ports={**ports, **served, "stream_endpoint": local.port})
            _log.info("the stream endpoint answers at %s:%d", LOOPBACK, local.port)
            create_task = asyncio.get_running_loop().create_task
            tasks = {
                create_task(stop.wait()),
                create_task(self._keep_mongod(workspaces)),
                create_task(self._keep_certificate()),
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                self._answering = False
                self._place.remove_state()
                for task in tasks:
                    task.cancel()

    async def _keep_mongod(self, workspaces: Workspaces) -> None:
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
            self._publish(workspaces)

    async def _keep_certificate(self) -> None:
        """Make a new certificate before the present one ends."""
        while True:
            await asyncio.sleep(_RENEWAL_POLL_S)
            await asyncio.to_thread(self._certificates.ensure)

    def _publish(self, workspaces: Workspaces) -> None:
        """Write `instance.json`, by which the instance is found as long as it answers."""
        if not self._answering:
            return
        settings, addresses = self._settings.current, [each.address for each in workspaces.all()]
        processes = {"instance": os.getpid()}
        if self._mongod is not None:
            processes["mongod"] = self._mongod.process.pid
        found = {role: OwnedProcess.find(pid) for role, pid in processes.items()}
        served = {*_SERVED, "stream_endpoint", *(("mongod",) if self._mongod else ())}
        ports = {name: port for name, port in settings.ports.items() if name in served}
        self._place.write_state(
            InstanceState(
                stream_processor_url=addresses[0]["stream_processor_url"],
                connection_user=settings.connection_user,
                connection_password=settings.connection_password,
                mongod_uri=self._mongod_uri,
                ports=ports,
                pids=processes,
                start_ticks={role: each.start_ticks for role, each in found.items() if each},
                started_at=self._started_at,
                folder=str(self._place.path),
                workspaces=addresses,
                admin_api_url=f"http://{LOOPBACK}:{ports['admin_api']}",
                admin_api_https_url=f"https://{LOOPBACK}:{ports['admin_api_https']}",
                ca_file=str(self._certificates.ca_file),
                project_id=settings.project_id,
                client_id=settings.client_id,
                client_secret=settings.client_secret,
                public_key=settings.public_key,
                private_key=settings.private_key,
                allow_anonymous=settings.allow_anonymous,
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
