"""A name used before."""

from __future__ import annotations

from asp_utils.operation import operation


@operation(effect="read")
def something_else() -> int:
    """Ten: fine but for its name."""
    return 0


@operation(effect="read")
def fine() -> int:
    """Nothing wrong."""
    return 0
