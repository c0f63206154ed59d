"""A process known by its pid and its start time, so that a reused pid is never taken for it."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATE_FIELD: Final = 0
_START_TICKS_FIELD: Final = 19
"""Positions in /proc/<pid>/stat, counted after the name (man 5 proc)."""


@dataclass(frozen=True)
class OwnedProcess:
    """A process that this product started, perhaps from another process that has ended since."""

    pid: int
    start_ticks: int
    """Clock ticks between the machine's boot and the start of the process."""

    @classmethod
    def find(cls, pid: int) -> OwnedProcess | None:
        """The process that has this pid now; None when there is none (or only its remains)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[_STATE_FIELD] in "ZX" else cls(pid, int(fields[_START_TICKS_FIELD]))

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return OwnedProcess.find(self.pid) == self

    def end(self, timeout_s: float) -> None:
        """Ask it to end; kill it when it does not in time; return when it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle stays with the process even if the pid is reused from here on.
            if self.is_alive():
                _end(handle, timeout_s)
        finally:
            os.close(handle)


def _end(handle: int, timeout_s: float) -> None:
    gone = select.poll()
    gone.register(handle, select.POLLIN)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not gone.poll(timeout_s * 1000):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            gone.poll()
    except ProcessLookupError:
        return
