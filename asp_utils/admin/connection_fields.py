"""Fields of connections compared and merged; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.model.connection_fields import READ_ONLY, WHOLE_MAPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def removals(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the changes take away, with its null: the Admin API removes a field by it."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        if value is None:
            found[key] = None
        elif isinstance(value, dict) and key not in WHOLE_MAPS and (below := removals(value)):
            found[key] = below
    return found


def with_removals(body: Mapping[str, Any], removed: Mapping[str, Any]) -> dict[str, Any]:
    """A whole definition that also says which fields are to go."""
    result = dict(body)
    for key, value in removed.items():
        below = result.get(key)
        if value is None:
            result[key] = None
        elif isinstance(below, dict):
            result[key] = with_removals(below, value)
    return result


def differences(wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Paths where what is shown is not as wanted; what is not said may be anything.

    What is null is to be absent.
    """
    found = []
    for key, value in wanted.items():
        if isinstance(value, dict) and key not in WHOLE_MAPS and isinstance(shown.get(key), dict):
            found += [f"{key}.{below}" for below in differences(value, shown[key])]
        elif shown.get(key) != value and not (value in ({}, [], None) and not shown.get(key)):
            found.append(key)
    return found


def shown_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a reply about that definition can show."""
    from asp_utils.pipeline.connections import without_secrets

    return without_secrets(body)


def without_read_only(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as it can be given back."""
    return {key: value for key, value in definition.items() if key not in READ_ONLY}


def value_at(value: Any, steps: Sequence[str]) -> Any:
    """The value at the end of some steps; None where there is none."""
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value
