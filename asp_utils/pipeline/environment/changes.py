"""How what a file asks for differs from what exists, field by field."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SHOWN_CHARS: Final = 70
ABSENT: Final = object()
"""In the place of a value: there is none."""


@dataclass(frozen=True)
class Change:
    """One field that differs."""

    path: str
    """Below the item: `pipeline[1].$match.amount`."""
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """`{path, before, after}`; a side without a value is left out."""
        sides = {"before": self.before, "after": self.after}
        return {
            "path": self.path,
            **{side: value for side, value in sides.items() if value is not ABSENT},
        }

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def changes(wanted: Any, existing: Any, ignored: Collection[str] = ()) -> list[Change]:
    """What is to change so that everything in `wanted` holds.

    Fields that only `existing` has are no difference: they are defaults, or nobody's business.
    Inside of a pipeline they are one.

    Args:
        wanted: What the file says of an item.
        existing: The item as it is.
        ignored: Paths that cannot be compared, secrets above all.
    """
    return list(_changes(wanted, existing, "", ignored, whole=False))


def _changes(
    wanted: Any, existing: Any, path: str, ignored: Collection[str], *, whole: bool
) -> Iterator[Change]:
    if path in ignored:
        return
    if isinstance(wanted, Mapping) and isinstance(existing, Mapping):
        yield from _of_objects(wanted, existing, path, ignored, whole=whole)
    elif isinstance(wanted, list) and isinstance(existing, list):
        yield from _of_arrays(wanted, existing, path, ignored)
    elif type(wanted) is bool or type(existing) is bool:
        if wanted is not existing:
            yield Change(path, existing, wanted)
    elif wanted != existing:
        yield Change(path, existing, wanted)


def _of_objects(
    wanted: Mapping[str, Any],
    existing: Mapping[str, Any],
    path: str,
    ignored: Collection[str],
    *,
    whole: bool,
) -> Iterator[Change]:
    for key, value in wanted.items():
        below = f"{path}.{key}" if path else key
        inside = whole or key == "pipeline"
        if key in existing:
            yield from _changes(value, existing[key], below, ignored, whole=inside)
        elif below not in ignored:
            yield Change(below, ABSENT, value)
    if not whole:
        return
    for key in existing.keys() - wanted.keys():
        yield Change(f"{path}.{key}", existing[key], ABSENT)
    same_keys = wanted.keys() == existing.keys()
    if same_keys and list(wanted) != list(existing):
        yield Change(f"{path} (order of fields)", list(existing), list(wanted))


def _of_arrays(
    wanted: list[Any], existing: list[Any], path: str, ignored: Collection[str]
) -> Iterator[Change]:
    for index in range(max(len(wanted), len(existing))):
        below = f"{path}[{index}]"
        if index >= len(existing):
            yield Change(below, ABSENT, wanted[index])
        elif index >= len(wanted):
            yield Change(below, existing[index], ABSENT)
        else:
            yield from _changes(wanted[index], existing[index], below, ignored, whole=True)


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
