"""Waiting for what other processes do."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY_S: Final = 0.02


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Look until a condition holds; fail when it has not in time."""
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        pause.wait(_LOOK_EVERY_S)
