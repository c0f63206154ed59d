"""Field names that a stage writes to (`as`), and writing there as `$addFields` does."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator


def _field_path(path: str) -> str:
    if not all(path.split(".")) or "\x00" in path:
        raise ValueError("a field path has no empty part")
    if any(part.startswith("$") for part in path.split(".")):
        raise ValueError("a field to write to does not begin with $")
    return path


FieldPath = Annotated[str, AfterValidator(_field_path)]
"""`result`, or `result.body` for a field of an embedded document."""


def set_at(document: dict[str, Any], path: str, value: Any) -> None:
    """Set a field in place, as `$addFields` does.

    Embedded documents that are missing come into being, what is no document is replaced, and every
    element of an array on the way gets the field.
    """
    first, _, rest = path.partition(".")
    if not rest:
        document[first] = value
    else:
        document[first] = _with(document.get(first), rest, value)


def _with(inner: Any, path: str, value: Any) -> Any:
    if isinstance(inner, list):
        return [_with(item, path, value) for item in inner]
    changed = dict(inner) if isinstance(inner, dict) else {}
    set_at(changed, path, value)
    return changed
