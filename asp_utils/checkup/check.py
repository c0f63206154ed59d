"""One line of a check-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.errors import AspError

State = Literal["ok", "missing", "wrong"]


class Check(NamedTuple):
    """What was looked at, and how it is.

    `missing` is what nobody asked for: the toolkit works without, and `fix` says how to get it.
    `wrong` is what does not work as it is configured; `fix` can be pasted.
    """

    name: str
    state: State
    message: str
    fix: str = ""


Look = tuple[str, "Callable[[], Iterator[Check]]"]
"""The name of a check, and what carries it out; an error it raises makes it `wrong`."""


def from_error(name: str, error: AspError) -> Check:
    """The line of a check that an error ended."""
    return Check(name, "wrong", error.message, error.hint)
