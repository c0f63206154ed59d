"""The shape of getStreamProcessorStats replies (asp-reference.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson import Int64

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS_OF_STATE: Final = {
    "CREATED": "created",
    "PROVISIONING": "starting",
    "STARTED": "running",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "FAILED": "error",
}
"""Processor state to the lower-case vocabulary of `stats.status`."""

_COUNTERS: Final = ("inputMessage", "outputMessage", "dlqMessage")
_TOTALS: Final = tuple(f"{what}{unit}" for what in _COUNTERS for unit in ("Count", "Size"))
_SIZE_FIELDS: Final = frozenset({"maxMemoryUsage"})
_SIZE_ENDINGS: Final = ("Size", "Bytes")


def no_stats() -> dict[str, Any]:
    """The counters of a processor that has not run yet."""
    return {
        **{total: Int64(0) for total in _TOTALS},
        "stateSize": Int64(0),
        "memoryTrackerBytes": Int64(0),
    }


def accumulated(stats: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The counters with those of the time before the state was discarded."""
    sums = {key: Int64(int(stats.get(key, 0)) + int(base.get(key, 0))) for key in _TOTALS}
    return {**stats, **sums}


def totals(stats: Mapping[str, Any]) -> dict[str, Int64]:
    """The summary counters alone, in a form that mongod stores."""
    return {key: Int64(int(stats.get(key, 0))) for key in _TOTALS}


def scaled(stats: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """Every byte size divided by `scale`, at any depth; counts stay."""
    shaped = _scaled(stats, scale) if scale != 1 else dict(stats)
    return {**shaped, "scaleFactor": Int64(scale)}


def _scaled(value: Any, scale: int) -> Any:
    if isinstance(value, list):
        return [_scaled(item, scale) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: inner / scale
        if _is_size(key) and isinstance(inner, int | float)
        else _scaled(inner, scale)
        for key, inner in value.items()
    }


def _is_size(key: str) -> bool:
    return key in _SIZE_FIELDS or key.endswith(_SIZE_ENDINGS)
