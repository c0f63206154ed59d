"""The end of local instances whose files nobody needs any more."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from asp_utils.server.instance_folder import InstanceFolder
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


def discard(folder: Path) -> None:
    """End the local instance of a folder at once, as a machine without power does.

    A clean stop waits a second for mongod; tests about one ask for it.
    """
    place = InstanceFolder(folder.resolve())
    state = place.read_state()
    if state is None or not place.is_locked():
        return
    for role in ("instance", "mongod"):
        process = state.process(role)
        if process is None or not process.is_alive():
            continue
        os.kill(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
        until(lambda: not process.is_alive())  # noqa: B023 - called here
