"""A mongod whose oplog holds a megabyte only, to lose a place in it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from asp_utils.clients.mongod import die_with_parent, find_mongod, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bson import Timestamp


@contextmanager
def short_oplog(folder: Path) -> Iterator[str]:
    """The connection string of such a server; it ends with the block."""
    port = free_port()
    command = [
        str(find_mongod()),
        *("--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"),
        *("--replSet", "short", "--oplogSize", "1", "--syncdelay", "1", "--nounixsocket"),
        *("--logpath", str(folder / "log"), "--wiredTigerCacheSizeGB", "0.25"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
    try:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient[Any](uri) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            client.admin.command("replSetInitiate", {"_id": "short", "members": [member]})
            while not client.admin.command("hello").get("isWritablePrimary"):
                pass
        yield uri
    finally:
        process.kill()
        process.wait()


def lose_oplog(client: MongoClient[Any]) -> None:
    """Write until the oplog has forgotten everything up to now."""
    moment: Timestamp = client.admin.command("ping")["operationTime"]
    oldest = [("$natural", 1)]
    while client.local["oplog.rs"].find_one(sort=oldest)["ts"] <= moment:  # type: ignore[index]  # never empty
        client["filler"]["filler"].insert_many([{"text": "x" * 100_000} for _ in range(20)])
        client.admin.command("fsync")
