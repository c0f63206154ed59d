"""How a worker ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asp_utils.server.replies import CommandFailure


@dataclass(frozen=True)
class Stopped:
    """The worker wrote its last checkpoint and ended as asked."""

    stats: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """The worker ended because the processor cannot go on."""

    code: int
    code_name: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Crashed:
    """The worker ended without saying why."""

    reason: str


Outcome = Stopped | Failed | Crashed


def failure_of_outcome(outcome: Outcome) -> CommandFailure | None:
    """The command failure that tells a client how a worker ended; None when it was stopped."""
    match outcome:
        case Failed():
            return CommandFailure(outcome.code_name, outcome.message, number=outcome.code)
        case Crashed():
            return CommandFailure("InternalError", outcome.reason)
        case Stopped():
            return None
