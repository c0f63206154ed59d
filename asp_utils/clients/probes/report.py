"""What was tried of a connection, step by step, and what came of each step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asp_utils.errors import AspError, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Check:
    """One step."""

    name: str
    ok: bool | None
    """None where it cannot be tried from here."""
    message: str
    hint: str = ""
    elapsed_ms: int = 0
    error: AspError | None = None
    """Why it failed."""


@dataclass
class Report:
    """The steps of one test, which all together end in time.

    Args:
        timeout_s: Seconds for all steps.
    """

    timeout_s: float
    checks: list[Check] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds that are left; never quite nothing, so that clients take it as a time-out."""
        return max(self.timeout_s - (time.monotonic() - self._began_s), 0.01)

    @property
    def failed(self) -> Check | None:
        """The first step that failed."""
        return next((check for check in self.checks if check.ok is False), None)

    @property
    def ok(self) -> bool | None:
        """Whether all that could be tried succeeded; None where nothing could be."""
        if self.failed is not None:
            return False
        return True if any(check.ok for check in self.checks) else None

    def run(self, name: str, step: Callable[[], str]) -> bool:
        """Take a step, which says what it saw; whether it succeeded."""
        began_s = time.monotonic()
        error: AspError | None = None
        try:
            if began_s - self._began_s > self.timeout_s:
                raise TimedOut("the time was up before this was tried", hint="raise timeout_s")
            message = step()
        except AspError as caught:
            error, message = caught, caught.message
        elapsed_ms = round((time.monotonic() - began_s) * 1000)
        hint = error.hint if error is not None else ""
        self.checks.append(Check(name, error is None, message, hint, elapsed_ms, error))
        return error is None

    def untested(self, name: str, message: str, hint: str = "") -> None:
        """Say that a step cannot be taken from here, and why."""
        self.checks.append(Check(name, None, message, hint))
