"""Private, but one function is public through the package."""

from __future__ import annotations


def exported(number: int) -> int:
    """Double a number."""
    return 2 * number


def kept_inside(number: int) -> int:
    """Not reachable from outside."""
    return number
