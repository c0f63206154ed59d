"""What an operation may use beside its parameters."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

_SLICE_S: Final = 0.05
"""How soon a thread beside the main one notices that the call is cancelled."""


def _nothing(_secrets: Iterable[str]) -> None:
    """Without a runner nothing is shown or recorded, so nothing is concealed."""


@dataclass(slots=True)
class Context:
    """The surroundings of one call; an operation's parameter of this type is filled in.

    Example:
        >>> from pathlib import Path
        >>> Context(root=Path()).wait(0)
        False
    """

    root: Path
    """The project folder, which holds `temp/`."""
    session_folder: Path | None = None
    """The session that records this call; None when nothing is recorded (library use)."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when the call is to end: a signal came, or nobody reads the output any more."""

    undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Keeps signals off while something is taken back: `with ctx.undisturbed(): ...`.

    A `finally` clause alone can itself be interrupted, by a second Ctrl-C or a reader that leaves.
    """

    conceal: Callable[[Iterable[str]], None] = _nothing
    """Takes secrets that the config does not hold (of a profile, a file, a token) out of whatever
    is shown, logged or recorded from now on: `ctx.conceal([secret])`."""

    @property
    def local_folder(self) -> Path:
        """Where the local instance keeps its files."""
        return self.root / "temp" / "local"

    def progress(self, message: str) -> None:
        """Tell the person who waits what happens, one line on stderr."""
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    def now_s(self) -> float:
        """Seconds of a clock that never goes back; only differences mean something."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until the call is cancelled; return whether it is."""
        # Not `cancelled.wait`: a signal that raises in there may leave the event locked for ever.
        deadline_s = self.now_s() + seconds
        while not self.cancelled.is_set() and (left_s := deadline_s - self.now_s()) > 0:
            time.sleep(min(left_s, _SLICE_S))
        return self.cancelled.is_set()
