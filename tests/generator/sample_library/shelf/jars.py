"""One of two modules with a function of the same name."""

from __future__ import annotations


def load(number: int) -> str:
    """Load from the jars."""
    return "jars" * number
