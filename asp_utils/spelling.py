"""What a mistyped word most likely means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is nearest to a mistyped one, whatever the case of its letters.

    Example:
        >>> nearest("$mach", ["$match", "$merge"])
        '$match'
    """
    from difflib import get_close_matches  # 6 ms, and only a mistake needs it

    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[found[0]] if found else None


def meant(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a question for a hint; "" when none is near.

    Example:
        >>> meant("ordres", ["orders", "returns"])
        "did you mean 'orders'?"
    """
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else ""
