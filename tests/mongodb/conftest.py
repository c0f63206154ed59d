"""Deployments under test: the suite's replica set, and a standalone mongod with access control."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.clients.mongod import Mongod, die_with_parent, find_mongod, free_port
from asp_utils.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Document = dict[str, Any]

PASSWORD = "p@ss:w/rd-of-root"
ESCAPED = "p%40ss%3Aw%2Frd-of-root"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """The surroundings of a call that nobody records."""
    return Context(root=tmp_path)


@dataclass(frozen=True)
class Target:
    """A database of a test's own, and how the operations name it."""

    uri: str
    name: str
    database: Any

    def of(self, collection: str) -> dict[str, Any]:
        """The parameters that name one of its collections."""
        return {"mongodb_uri": self.uri, "database": self.name, "collection": collection}


@pytest.fixture
def target(mongod: Mongod, cluster: MongoClient[Document], database: str) -> Target:
    """A database of the suite's replica set that only this test uses."""
    return Target(mongod.uri, database, cluster[database])


@dataclass(frozen=True)
class Guarded:
    """A standalone mongod with access control."""

    port: int

    def uri(self, user: str, password: str = ESCAPED, source: str = "admin") -> str:
        """A connection string for one of its users."""
        credentials = f"{user}:{password}@" if user else ""
        return f"mongodb://{credentials}127.0.0.1:{self.port}/?authSource={source}"


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Its users: `root`; `reader` of `shop`; `finder` of one collection of it; `nobody`."""
    folder = tmp_path_factory.mktemp("guarded")
    port = free_port()
    command = [
        str(find_mongod()),
        *("--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--auth"),
        *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(folder / "log")),
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent
    )
    plain = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    with MongoClient[Any](plain, serverSelectionTimeoutMS=30_000) as client:
        client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    server = Guarded(port)
    with MongoClient[Any](server.uri("root")) as client:
        reads = [{"role": "read", "db": "shop"}]
        client.admin.command("createUser", "reader", pwd=PASSWORD, roles=reads)
        client.admin.command("createUser", "nobody", pwd=PASSWORD, roles=[])
        resource = {"db": "shop", "collection": "orders"}
        finds = [{"resource": resource, "actions": ["find"]}]
        client.admin.command("createRole", "orders", privileges=finds, roles=[])
        client.admin.command("createUser", "finder", pwd=PASSWORD, roles=["orders"])
        client.shop.orders.insert_many([{"n": n} for n in range(3)])
        client.vault.gold.insert_one({"bars": 7})
    yield server
    process.send_signal(signal.SIGTERM)
    process.wait(20)


_WAKE_S = 10.0


class Relay:
    """A TCP relay to a mongod that can be cut, or that never answers."""

    def __init__(self, port: int, *, silent: bool = False) -> None:
        self._target = port
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._serve, daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Break every connection, and take no new one."""
        # A thread that waits in accept() keeps the port open until it is woken.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # What it has just taken is closed here too.
        self._accepting.join(_WAKE_S)
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._links.append(near)
                if self._silent:
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._links.append(far)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


@pytest.fixture
def relay(mongod: Mongod) -> Iterator[Relay]:
    """A relay to the suite's mongod."""
    made = Relay(mongod.port)
    yield made
    made.cut()


@pytest.fixture
def silent() -> Iterator[Relay]:
    """A server that takes connections and says nothing."""
    made = Relay(0, silent=True)
    yield made
    made.cut()
