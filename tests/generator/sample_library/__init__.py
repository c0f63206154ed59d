"""A library as anybody might have one: annotated functions, some of them awkward."""

from ._hidden import exported

__version__ = "1"
Alias = dict[str, int]


class NotAFunction:
    """Ignored."""


__all__ = ["Alias", "NotAFunction", "exported"]
