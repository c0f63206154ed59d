"""Signals, and readers that went away, as exceptions in the main thread.

They derive from `BaseException`: library code that catches `Exception` must not swallow them.
`finally` clauses run, so that an operation takes back what it made for the time of the call.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import stat
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READER_GONE: Final = signal.SIGUSR1
_GRACE_S: Final = 2.0
"""Further signals this soon after one are taken for the same: clean-up goes on undisturbed."""


class Interruption(BaseException):
    """A signal asked the run to end."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


class ReaderGone(BaseException):
    """Nobody reads stdout any more (`| head -3`): the run ends, and nothing went wrong."""


class Interrupts:
    """Turns signals into exceptions while it is entered.

    Args:
        cancelled: Set at the first of them, for code that waits.
    """

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._holding = False
        self._noted: int | None = None
        self._raised_at_s = float("-inf")

    def __enter__(self) -> Self:
        for number in _ENDING:
            # What the parent process wants ignored (nohup, a background job) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(_READER_GONE, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ignore()

    def ignore(self) -> None:
        """Let nothing interrupt any more: the run is over, and its record is being written."""
        self._holding = True

    def quiet(self) -> None:
        """Note that the run is ending already: the watcher's word would only disturb clean-up."""
        self._raised_at_s = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a short stretch go to its end; what came meanwhile is raised after it."""
        before, self._holding = self._holding, True
        try:
            yield
        finally:
            self._holding = before
        if self._noted is not None and not before:
            self._raise(self._noted)

    def watch_reader(self, descriptor: int) -> None:
        """Raise `ReaderGone` as soon as the other end of a pipe is closed, not at the next write.

        A stream that is quiet for long would else keep running for nobody.
        """
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
        main = threading.get_ident()
        watcher = threading.Thread(target=_await_hang_up, args=(descriptor, main), daemon=True)
        watcher.start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._holding:
            self._noted = number
        elif time.monotonic() - self._raised_at_s >= _GRACE_S:
            self._raise(number)

    def _raise(self, number: int) -> None:
        self._raised_at_s = time.monotonic()
        # Not from here: the interrupted code may hold the lock that `set` needs. And not by a
        # `threading.Thread`, whose start needs locks too.
        _thread.start_new_thread(self._cancelled.set, ())
        if number == _READER_GONE:
            raise ReaderGone
        raise Interruption(signal.Signals(number).name)


def _await_hang_up(descriptor: int, main: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are reported without being asked for
    poll.poll()
    signal.pthread_kill(main, _READER_GONE)
