"""What makes a function an operation: the mark that `@operation` leaves on it.

Marking looks at nothing, so that a wrapper that runs an operation never pays for introspection:
signatures, descriptions and schemas are read by `asp_utils.introspection` when wrappers are
generated or a bad config has to be explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from asp_utils.errors import Fault

Effect = Literal["read", "test", "write", "destroy"]

EFFECT_MEANINGS: Final[dict[Effect, str]] = {
    "read": "changes nothing",
    "test": "runs something that is gone again when the call ends",
    "write": "creates or changes something",
    "destroy": "removes something for good",
}
"""What an operation of each effect does to the outside world."""

Preview = Callable[[dict[str, Any]], Iterable[str | Fault]]
"""Checks parameters without sending anything: sentences that hold, and faults."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_ATTRIBUTE: Final = "__asp_operation__"


@dataclass(frozen=True, slots=True)
class Marking:
    """What `@operation` says about a function."""

    effect: Effect
    preview: Preview | None = None
    """Offline checks for `--dry-run`."""


def operation(
    *, effect: Effect, preview: Preview | None = None
) -> Callable[[FunctionT], FunctionT]:
    """Mark a function as an operation; the function itself is returned unchanged.

    Args:
        effect: What a call does to the outside world; consent depends on it.
        preview: Offline checks that `--dry-run` shows, given the validated parameters.
    """

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, _ATTRIBUTE, Marking(effect, preview))
        return function

    return mark


def marking_of(function: Callable[..., Any]) -> Marking | None:
    """The mark of a function, or None when it carries none (functions of foreign libraries)."""
    marking: Marking | None = getattr(function, _ATTRIBUTE, None)
    return marking
