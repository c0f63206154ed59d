"""The name of another operation."""

from __future__ import annotations

from asp_utils.operation import operation


@operation(effect="read")
def no_description() -> int:
    """Ten: fine but for its name."""
    return 0


@operation(effect="read")
def fine() -> int:
    """Nothing wrong."""
    return 0
