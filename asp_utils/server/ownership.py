"""Which local instance keeps its metadata in a mongod: no two at once."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.errors import EnvironmentMissing

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.clients.metadata import MetadataStore

_COLLECTION: Final = "instance"
_OWNER: Final = "owner"


async def claim(store: MetadataStore, folder: Path) -> None:
    """Note that the instance of `folder` uses this database.

    Only with ASP_MONGOD_URI can another instance be there. One on another machine cannot be seen
    to have ended; its claim is taken over.

    Raises:
        EnvironmentMissing: A running instance of another folder uses it.
    """
    owner = await store.find_one(_COLLECTION, {"_id": _OWNER})
    if owner is not None and _runs_elsewhere(owner, folder):
        raise EnvironmentMissing(
            f"this mongod already serves the local instance of {owner['folder']}",
            hint="stop that one (cli_local_stop.py), or use another mongod",
        )
    process = OwnedProcess.find(os.getpid())
    claimed = {
        "_id": _OWNER,
        "folder": str(folder),
        "host": platform.node(),
        "pid": os.getpid(),
        "startTicks": process.start_ticks if process else 0,
    }
    await store.put(_COLLECTION, claimed)


def _runs_elsewhere(owner: dict[str, Any], folder: Path) -> bool:
    if owner["folder"] == str(folder) or owner["host"] != platform.node():
        return False
    return OwnedProcess(owner["pid"], owner["startTicks"]).is_alive()
