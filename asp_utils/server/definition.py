"""What clients may say about a processor: the fields of create, modify and start, and their rules.

Whether a pipeline can run is up to the engine's check; here are the rules of the commands
themselves (asp-reference.md 1.4 to 1.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bson.timestamp import Timestamp

from asp_utils.model.tiers import MAX_TIER, SMALLEST_FOR_FAILOVER, TIER_NAMES
from asp_utils.server.arguments import (
    ARRAY,
    BOOL,
    INT,
    MOMENT,
    OBJECT,
    STRING,
    SWITCH,
    Fields,
    Kind,
    check_definition_size,
    read_fields,
)
from asp_utils.server.replies import CommandFailure
from asp_utils.units import ms_of

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
_AUTOSCALING: Final[Fields] = {"enabled": BOOL, "minTier": STRING, "maxTier": STRING}


def read_definition(given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The pipeline and the options; an empty `dlq` means none, an empty `autoscaling` too.

    Of the two spellings of failover and of autoscaling, one is kept: `failoverEnabled`, and
    `autoscaling`.

    Raises:
        CommandFailure: An option that no processor can have.
    """
    options = unified({key: value for key, value in given.items() if key in PROCESSOR_OPTIONS})
    for name in ("dlq", "autoscaling"):
        if not options.get(name, True):
            del options[name]
    if options.get("streamMetaFieldName") == "":
        raise _invalid("streamMetaFieldName cannot be empty")
    check_tiers(options)
    pipeline = list(given["pipeline"])
    check_definition_size({"pipeline": pipeline, "options": options})
    return pipeline, options


def unified(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with one spelling each.

    Raises:
        CommandFailure: Both spellings are there, and they disagree.
    """
    options = dict(given)
    failover = options.pop("failover", None)
    if failover is not None and options.setdefault("failoverEnabled", failover) != failover:
        raise _invalid("failover and failoverEnabled are two words for one option, and disagree")
    if "autoscaling" in options:
        options["autoscaling"] = _read_autoscaling(options["autoscaling"])
    scales = options.pop("enableAutoScaling", None)
    if scales is not None:
        scaling = options.setdefault("autoscaling", {"enabled": scales})
        if scaling.get("enabled", True) != scales:
            raise _invalid("enableAutoScaling and autoscaling.enabled disagree")
    return options


def changed_scaling(kept: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The autoscaling after a change: what is not given stays, null resets, off clears all.

    Source: the argument `autoscaling` of the MongoDB MCP server's atlas-streams-manage.
    """
    if given.get("enabled") is False:
        return {}
    return {name: value for name, value in {**kept, **given}.items() if value is not None}


def read_start(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a start asks for, checked and with one spelling each.

    Raises:
        CommandFailure: Options that Atlas does not have, or a failover, as there is one region.
    """
    failover = given.get("failover")
    if isinstance(failover, Mapping) or failover:
        raise _invalid("a local instance has one region: there is nowhere to fail over to")
    if given.get("workers", 1) < 1:
        raise _invalid(f"workers must be positive, not {given['workers']}")
    options = unified({key: value for key, value in given.items() if key != "failover"})
    check_tiers(options)
    return options


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

    Args:
        options: `tier`, `autoscaling`, `failoverEnabled`, as `unified` gives them.

    Raises:
        CommandFailure: StreamProcessorInvalidOptions.
    """
    tier = options.get("tier")
    scaling = options.get("autoscaling") or {}
    for field, value in (
        ("tier", tier),
        ("autoscaling.minTier", scaling.get("minTier")),
        ("autoscaling.maxTier", scaling.get("maxTier")),
    ):
        if value is not None and value not in TIER_NAMES:
            raise _invalid(f"unknown {field} {value!r}: one of {', '.join(TIER_NAMES)}")
    lowest, highest = scaling.get("minTier", TIER_NAMES[0]), scaling.get("maxTier", MAX_TIER)
    if _rank(lowest) > _rank(highest):
        raise _invalid("autoscaling.minTier is larger than autoscaling.maxTier")
    if tier and not _rank(lowest) <= _rank(tier) <= _rank(highest):
        raise _invalid(f"tier {tier} is outside autoscaling: {lowest} to {highest}")
    too_small = tier and _rank(tier) < _rank(SMALLEST_FOR_FAILOVER)
    if options.get("failoverEnabled") and too_small:
        raise _invalid(f"failover needs tier {SMALLEST_FOR_FAILOVER} or larger, not {tier}")


def _read_autoscaling(given: Mapping[str, Any]) -> dict[str, Any]:
    """The `autoscaling` object: `enabled`, `minTier`, `maxTier`, each optional.

    Raises:
        CommandFailure: IDLUnknownField or TypeMismatch.
    """
    return read_fields("autoscaling", given, _AUTOSCALING)


def _rank(tier: str) -> int:
    return TIER_NAMES.index(tier)


def _invalid(message: str) -> CommandFailure:
    return CommandFailure("StreamProcessorInvalidOptions", message)
