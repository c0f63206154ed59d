"""One fault each, or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from pydantic import Field

from asp_utils.operation import operation

if TYPE_CHECKING:
    from a_package_that_nobody_has import Nowhere  # type: ignore[import-not-found]


@operation(effect="read")
def no_annotation(value) -> int:  # type: ignore[no-untyped-def]
    """One."""
    return 0


@operation(effect="read")
def no_description(value: int) -> int:
    """Two."""
    return 0


@operation(effect="read")
def no_return(value: Annotated[int, Field(description="v")]):  # type: ignore[no-untyped-def]
    """Three."""


@operation(effect="read")
def no_docstring(value: Annotated[int, Field(description="v")]) -> int:
    return 0


@operation(effect="read")
def swallowed(
    schema: Annotated[int, Field(description="v")], _own: Annotated[int, Field(description="v")]
) -> int:
    """Five and six."""
    return 0


@operation(effect="read")
def not_json(value: Annotated[BinaryIO, Field(description="v")]) -> int:
    """Seven."""
    return 0


@operation(effect="read")
def collects(*values: Annotated[int, Field(description="v")]) -> int:
    """Eight."""
    return 0


@operation(effect="read")
def unresolved(value: Nowhere) -> dict[str, Any]:
    """Nine."""
    return {}
