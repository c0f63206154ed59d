"""Memory settings of a process that moves documents in batches.

A batch of documents is allocated and freed as a whole. glibc gives such memory back to the system
at once and asks for it again, a page fault at a time: measured, half the throughput. And Python's
garbage collector looks through millions of documents that are in no cycle.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 256 * 1024 * 1024
_STEP_BYTES: Final = 16 * 1024 * 1024
_COLLECT_AFTER: Final = 100_000


def settle() -> None:
    """Keep freed memory, and collect garbage rarely. Without glibc only the latter."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TOP_PAD, _STEP_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _STEP_BYTES)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
