"""What a workspace's definition says: its faults, its requests, and how it differs from another.

Pure. A definition has the fields of the Admin API's create call; an update there is flat.

Source: asp-reference.md 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.model.regions import cloud_of, region_faults
from asp_utils.model.samples import SOLAR
from asp_utils.model.tiers import TIER_NAMES
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE: Final = SOLAR
"""The connection that `sampleConnections: {solar: true}` makes."""
STATUSES: Final = ("STARTED", "STOPPED", "FAILED_OVER")
"""What all processors of a workspace can be told to become."""

_FIELDS: Final = (
    "name", "dataProcessRegion", "streamConfig", "failoverRegions", "sampleConnections"
)  # fmt: skip
_READ_ONLY: Final = ("_id", "groupId", "hostnames", "links", "connections", "id")
_TIERS: Final = ("tier", "maxTierSize")
_COMPARED: Final = (
    ("dataProcessRegion", "cloudProvider"),
    ("dataProcessRegion", "region"),
    *(("streamConfig", tier) for tier in _TIERS),
)
_MOST_FAILOVERS: Final = 2


def definition_faults(definition: Mapping[str, Any]) -> list[Fault]:
    """All faults of a definition; paths below it."""
    return list(_faults(definition))


def change_faults(changes: Mapping[str, Any]) -> list[Fault]:
    """All faults of the changes for an update, as far as they show without the workspace."""
    return list(_change_faults(changes))


def over_maximum(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[Fault]:
    """The fault of a default tier above the largest tier, which only a live workspace shows."""
    asked = wanted.get("streamConfig") or {}
    shown = live.get("streamConfig") or {}
    tier = asked.get("tier", shown.get("tier"))
    largest = asked.get("maxTierSize", shown.get("maxTierSize"))
    if not _above(tier, largest):
        return []
    path = "tier" if "tier" in asked else "maxTierSize"
    message = f"tier {tier} is above the largest tier of the workspace, {largest}"
    hint = f"raise the largest tier in the same call: max_tier: {tier!r}"
    return [Fault(f".streamConfig.{path}", message, hint)]


def create_body(definition: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The body of the create call, and whether sample connections are wanted."""
    body = {key: definition[key] for key in _FIELDS if key in definition}
    samples = body.pop("sampleConnections", None) or {}
    return body, any(samples.values())


def update_body(
    changes: Mapping[str, Any], live: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flat body of an update, and what the workspace will show once it is done.

    `streamConfig` is sent whole: what is not to change is taken from the live workspace.
    """
    flat = dict(changes)
    flat.update(flat.pop("dataProcessRegion", None) or {})
    place = {key: flat[key] for key in ("cloudProvider", "region") if key in flat}
    if "region" in place:
        # The API wants both words of a place, whichever changes.
        flat.setdefault("cloudProvider", (live.get("dataProcessRegion") or {}).get("cloudProvider"))
    wanted: dict[str, Any] = {"dataProcessRegion": place} if place else {}
    if flat.get("streamConfig"):
        kept = live.get("streamConfig") or {}
        wanted["streamConfig"] = dict(flat["streamConfig"])
        flat["streamConfig"] = {**kept, **flat["streamConfig"]}
    if "failoverRegions" in flat:
        wanted["failoverRegions"] = flat["failoverRegions"]
    return flat, wanted


def differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where a live workspace is not as wanted: `{path, before, after}`; what is not said is right.

    What the Admin API does not show (the largest tier of an older workspace) is no difference:
    see `unshown`.
    """
    found = []
    for field, key in _COMPARED:
        asked, shown = wanted.get(field) or {}, live.get(field) or {}
        if key in asked and key in shown and asked[key] != shown[key]:
            found.append(_difference(f"{field}.{key}", shown[key], asked[key]))
    regions = wanted.get("failoverRegions")
    if regions is not None and _places(regions) != _places(live.get("failoverRegions")):
        found.append(_difference("failoverRegions", live.get("failoverRegions") or [], regions))
    samples = any((wanted.get("sampleConnections") or {}).values())
    if samples and SAMPLE not in _connection_names(live):
        found.append(_difference("sampleConnections", [], [SAMPLE]))
    if "connections" in wanted and "connections" in live:
        before, after = _connection_names(live), _connection_names(wanted)
        if before != after:
            found.append(_difference("connections", before, after))
    return found


def unshown(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Paths of what is wanted and the Admin API does not show of a live workspace."""
    return [
        f"{field}.{key}"
        for field, key in _COMPARED
        if key in (wanted.get(field) or {}) and key not in (live.get(field) or {})
    ]


def without_read_only(workspace: Mapping[str, Any]) -> dict[str, Any]:
    """What of a workspace can be compared with another state of it."""
    return {key: value for key, value in workspace.items() if key not in ("_id", "hostnames")}


def _faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    for key in definition:
        if key not in (*_FIELDS, *_READ_ONLY):
            close = nearest(key, _FIELDS)
            hint = f"did you mean {close!r}?" if close else f"one of {', '.join(_FIELDS)}"
            yield Fault(f".{key}", f"a workspace has no field {key!r}", hint)
    name = definition.get("name")
    if not isinstance(name, str) or not name.strip():
        yield Fault(".name", "a workspace needs a name")
    elif "/" in name or not name.isprintable():
        yield Fault(".name", f"{name!r} cannot be a name", "letters, digits, - and _ always fit")
    place = definition.get("dataProcessRegion")
    if not isinstance(place, dict):
        hint = '{"cloudProvider": "AWS", "region": "VIRGINIA_USA"}'
        yield Fault(".dataProcessRegion", "a workspace needs cloudProvider and region", hint)
    else:
        found = list(region_faults(place.get("cloudProvider"), place.get("region")))
        if not found and "cloudProvider" not in place:
            found.append(Fault(".cloudProvider", f"say {cloud_of(str(place['region']))}"))
        yield from (fault.below(".dataProcessRegion") for fault in found)
    yield from _config_faults(definition)
    yield from _failover_faults(definition, place if isinstance(place, dict) else None)


def _change_faults(changes: Mapping[str, Any]) -> Iterator[Fault]:
    if "region" in changes:
        yield from region_faults(changes.get("cloudProvider"), changes["region"])
    elif "cloudProvider" in changes:
        yield Fault(".region", "another cloud has other regions: say which")
    yield from _config_faults(changes)
    yield from _failover_faults(changes, None)
    yield from _status_faults(changes)


def _config_faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    config = definition.get("streamConfig") or {}
    for key in config:
        if key not in _TIERS:
            hint = f"one of {', '.join(_TIERS)}"
            yield Fault(f".streamConfig.{key}", f"streamConfig has no field {key!r}", hint)
        elif config[key] not in TIER_NAMES:
            close = nearest(str(config[key]), TIER_NAMES)
            hint = f"did you mean {close!r}?" if close else f"one of {', '.join(TIER_NAMES)}"
            yield Fault(f".streamConfig.{key}", f"there is no tier {config[key]!r}", hint)
    if _above(config.get("tier"), config.get("maxTierSize")):
        message = f"tier {config['tier']} is above the largest tier, {config['maxTierSize']}"
        yield Fault(".streamConfig.tier", message, "the default tier can at most be the largest")


def _failover_faults(
    definition: Mapping[str, Any], home: Mapping[str, Any] | None
) -> Iterator[Fault]:
    regions = definition.get("failoverRegions") or []
    if len(regions) > _MOST_FAILOVERS:
        message = f"there can be {_MOST_FAILOVERS} failover regions, not {len(regions)}"
        yield Fault(".failoverRegions", message)
    for index, region in enumerate(regions):
        where = f".failoverRegions[{index}]"
        if not isinstance(region, dict):
            yield Fault(where, "cloudProvider and region are needed")
            continue
        found = region_faults(region.get("cloudProvider"), region.get("region"))
        yield from (fault.below(where) for fault in found)
        if home and region.get("cloudProvider") != home.get("cloudProvider"):
            hint = "a workspace fails over within its own cloud"
            yield Fault(f"{where}.cloudProvider", f"it is not {home.get('cloudProvider')}", hint)
        elif home and region.get("region") == home.get("region"):
            yield Fault(f"{where}.region", "it is the workspace's own region")


def _status_faults(changes: Mapping[str, Any]) -> Iterator[Fault]:
    status = changes.get("processorStatus")
    if not status:
        return
    if status.get("status") not in STATUSES:
        yield Fault(
            ".processorStatus.status", "say what becomes of the processors", ", ".join(STATUSES)
        )
    moves = status.get("status") == "FAILED_OVER"
    if moves and not status.get("region"):
        yield Fault(".processorStatus.region", "to fail over, say to which region")
    for key in ("mode", "region"):
        if status.get(key) and not moves:
            yield Fault(f".processorStatus.{key}", f"{key} goes with FAILED_OVER")


def _above(tier: Any, largest: Any) -> bool:
    known = tier in TIER_NAMES and largest in TIER_NAMES
    return known and TIER_NAMES.index(tier) > TIER_NAMES.index(largest)


def _places(regions: Any) -> set[tuple[Any, Any]]:
    return {(item.get("cloudProvider"), item.get("region")) for item in regions or []}


def _connection_names(workspace: Mapping[str, Any]) -> list[str]:
    return sorted(str(item.get("name")) for item in workspace.get("connections") or [])


def _difference(path: str, before: Any, after: Any) -> dict[str, Any]:
    return {"path": path, "before": before, "after": after}
