"""The shape of getStreamProcessorStats replies (asp-reference.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.model.processor_states import (
    CREATED,
    FAILED,
    PROVISIONING,
    STARTED,
    STOPPED,
    STOPPING,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS_OF_STATE: Final = {
    CREATED: "created",
    PROVISIONING: "starting",
    STARTED: "running",
    STOPPING: "stopping",
    STOPPED: "stopped",
    FAILED: "error",
}
"""Processor state to the lower-case vocabulary of `stats.status`."""

_SMALL: Final = frozenset({"partition", "addedParallelism"})
"""Whole numbers that are no int64."""
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
        "memoryUsageBytes": Int64(0),
    }


def accumulated(stats: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The counters with those of the time before the state was discarded."""
    sums = {key: Int64(int(stats.get(key, 0)) + int(base.get(key, 0))) for key in _TOTALS}
    return {**stats, **sums}


def totals(stats: Mapping[str, Any]) -> dict[str, Int64]:
    """The summary counters alone, in a form that mongod stores."""
    return {key: Int64(int(stats.get(key, 0))) for key in _TOTALS}


def scaled(stats: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """The counters as they are shown: whole numbers as int64, byte sizes divided by `scale`."""
    shaped = {key: _shaped(key, value, scale) for key, value in stats.items()}
    return {**shaped, "scaleFactor": Int64(scale)}


def _shaped(key: str, value: Any, scale: int) -> Any:
    """A value of any depth; `key` is the name that it, or the list around it, stands under."""
    if isinstance(value, list):
        return [_shaped(key, item, scale) for item in value]
    if isinstance(value, dict):
        return {inner: _shaped(inner, item, scale) for inner, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if scale != 1 and (key in _SIZE_FIELDS or key.endswith(_SIZE_ENDINGS)):
        return value / scale
    return Int64(value) if isinstance(value, int) and key not in _SMALL else value
