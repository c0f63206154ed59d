"""What clients may say about a processor: the fields of create, modify and start, and their rules.

Whether a pipeline can run is up to the engine's check; here are the rules of the commands
themselves (asp-reference.md 1.4 to 1.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bson.timestamp import Timestamp

from asp_utils.server.arguments import (
    ARRAY,
    BOOL,
    INT,
    MOMENT,
    OBJECT,
    STRING,
    SWITCH,
    Kind,
    check_definition_size,
)
from asp_utils.server.replies import CommandFailure
from asp_utils.units import ms_of

TIERS: Final = ("SP2", "SP5", "SP10", "SP30", "SP50")
"""From small to large."""
_SMALLEST_FOR_FAILOVER: Final = "SP10"

PROCESSOR_OPTIONS: Final[dict[str, Kind]] = {
    "dlq": OBJECT,
    "streamMetaFieldName": STRING,
    "tier": STRING,
    "failover": BOOL,
    "failoverEnabled": BOOL,
    "autoscaling": OBJECT,
    "enableAutoScaling": BOOL,
}
START_FIELDS: Final[dict[str, Kind]] = {
    "resumeFromCheckpoint": BOOL,
    "clearCheckpoints": BOOL,
    "startAtOperationTime": MOMENT,
    "startAfter": OBJECT,
    "tier": STRING,
    "autoscaling": OBJECT,
    "enableAutoScaling": BOOL,
    "workers": INT,
    "failover": SWITCH,
}
MODIFY_FIELDS: Final[dict[str, Kind]] = {
    **PROCESSOR_OPTIONS,
    "pipeline": ARRAY,
    "name": STRING,
    "resumeFromCheckpoint": BOOL,
}


def read_definition(given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The pipeline and the options; an empty `dlq` means none.

    Raises:
        CommandFailure: An option that no processor can have.
    """
    options = {key: value for key, value in given.items() if key in PROCESSOR_OPTIONS}
    if not options.get("dlq", True):
        del options["dlq"]
    if options.get("streamMetaFieldName") == "":
        raise _invalid("streamMetaFieldName cannot be empty")
    check_tiers(options)
    pipeline = list(given["pipeline"])
    check_definition_size({"pipeline": pipeline, "options": options})
    return pipeline, options


def read_start_point(given: Mapping[str, Any]) -> dict[str, Any]:
    """Where a start wants to begin: `startAtOperationTime` as a Timestamp, or `startAfter`.

    Raises:
        CommandFailure: Both are given.
    """
    point = {key: given[key] for key in ("startAtOperationTime", "startAfter") if key in given}
    if len(point) > 1:
        raise _invalid("startAtOperationTime and startAfter exclude each other")
    moment = point.get("startAtOperationTime")
    if isinstance(moment, datetime):
        point["startAtOperationTime"] = Timestamp(ms_of(moment) // 1000, 1)
    return point


def check_tiers(options: Mapping[str, Any]) -> None:
    """Refuse tiers that Atlas does not have, or that do not fit together.

    Raises:
        CommandFailure: StreamProcessorInvalidOptions.
    """
    tier = options.get("tier")
    scaling = options.get("autoscaling") or {}
    for field in ("minTier", "maxTier"):
        _check_tier(f"autoscaling.{field}", scaling.get(field))
    _check_tier("tier", tier)
    lowest = TIERS.index(scaling.get("minTier") or TIERS[0])
    highest = TIERS.index(scaling.get("maxTier") or TIERS[-1])
    if lowest > highest:
        raise _invalid("autoscaling.minTier is larger than autoscaling.maxTier")
    if tier and not lowest <= TIERS.index(tier) <= highest:
        raise _invalid(f"tier {tier} is outside autoscaling.minTier and maxTier")
    wants_failover = options.get("failover") or options.get("failoverEnabled")
    if wants_failover and tier and TIERS.index(tier) < TIERS.index(_SMALLEST_FOR_FAILOVER):
        raise _invalid(f"failover needs tier {_SMALLEST_FOR_FAILOVER} or larger")
    if isinstance(options.get("failover"), Mapping):
        raise _invalid("a local instance has one region: there is nowhere to fail over to")


def _check_tier(field: str, tier: object) -> None:
    if tier is not None and tier not in TIERS:
        raise _invalid(f"unknown {field} {tier!r}: one of {', '.join(TIERS)}")


def _invalid(message: str) -> CommandFailure:
    return CommandFailure("StreamProcessorInvalidOptions", message)
