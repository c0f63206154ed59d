"""Whether the process of a run still lives."""

from __future__ import annotations

import os
from pathlib import Path


def start_ticks(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return 0
    # The name, in parentheses, may hold anything; the start time is the 20th member after it.
    return int(stat.rpartition(")")[2].split()[19])


def is_alive(pid: int, began_ticks: int) -> bool:
    """Whether that process, not a later one of the same number, still lives."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return began_ticks == 0 or start_ticks(pid) == began_ticks
