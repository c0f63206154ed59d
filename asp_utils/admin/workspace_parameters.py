"""A workspace as flat parameters say it, and as the Admin API wants it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.admin.preview import raise_faults
from asp_utils.admin.workspace_definition import change_faults, definition_faults
from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.model.regions import cloud_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PATHS: Final = {
    ".name": "$.workspace",
    ".dataProcessRegion.cloudProvider": "$.cloud_provider",
    ".cloudProvider": "$.cloud_provider",
    ".dataProcessRegion.region": "$.region",
    ".region": "$.region",
    ".streamConfig.tier": "$.tier",
    ".streamConfig.maxTierSize": "$.max_tier",
    ".processorStatus.region": "$.failover_region",
    ".processorStatus.mode": "$.failover_mode",
    ".processorStatus.status": "$.processor_status",
}
"""Where a fault of the Admin API's definition stands among our parameters."""


def created_of(
    workspace: str,
    region: str,
    cloud_provider: str | None = None,
    tier: str | None = None,
    max_tier: str | None = None,
    sample_connections: bool = False,
    failover_regions: list[dict[str, Any]] | None = None,
    check_definition: bool = True,
) -> dict[str, Any]:
    """The Admin API's definition of what the parameters say.

    Raises:
        ConfigInvalid: Checks are on and something is wrong.
    """
    place = {"cloudProvider": cloud_provider or cloud_of(region), "region": region}
    definition: dict[str, Any] = {
        "name": workspace,
        "dataProcessRegion": {key: value for key, value in place.items() if value is not None},
        **_tiers(tier, max_tier),
    }
    if failover_regions:
        definition["failoverRegions"] = failover_regions
    if sample_connections:
        definition["sampleConnections"] = {"solar": True}
    if check_definition:
        raise_faults(map(_ours, definition_faults(definition)))
    return definition


def changes_of(
    region: str | None = None,
    cloud_provider: str | None = None,
    tier: str | None = None,
    max_tier: str | None = None,
    failover_regions: list[dict[str, Any]] | None = None,
    processor_status: str | None = None,
    failover_mode: str | None = None,
    failover_region: str | None = None,
    check_definition: bool = True,
) -> dict[str, Any]:
    """The body of an update, as far as the parameters say it.

    Raises:
        ConfigInvalid: There is nothing to change, or checks are on and something is wrong.
    """
    status = {"status": processor_status, "mode": failover_mode, "region": failover_region}
    found = {
        "cloudProvider": cloud_provider or (cloud_of(region) if region else None),
        "region": region,
        **_tiers(tier, max_tier),
        "failoverRegions": failover_regions,
        "processorStatus": {key: value for key, value in status.items() if value} or None,
    }
    changes = {key: value for key, value in found.items() if value is not None}
    if not changes:
        hint = "give region, tier, max_tier, failover_regions or processor_status"
        raise_faults([Fault("$", "nothing is to change", hint)])
    if check_definition:
        raise_faults(map(_ours, change_faults(changes)))
    return changes


def only(parameters: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of some parameters that were given."""
    return {name: parameters[name] for name in names if name in parameters}


def _tiers(tier: str | None, max_tier: str | None) -> dict[str, Any]:
    tiers = {"tier": tier, "maxTierSize": max_tier}
    said = {key: value for key, value in tiers.items() if value is not None}
    return {"streamConfig": said} if said else {}


def _ours(fault: Fault) -> Fault:
    """A fault of the Admin API's definition, at our parameter."""
    failover = fault.path.replace(".failoverRegions", "$.failover_regions")
    return replace(fault, path=_PATHS.get(fault.path, failover))


@contextmanager
def our_paths() -> Iterator[None]:
    """Moves the faults of a definition to the parameters that it was made of."""
    try:
        yield
    except ConfigInvalid as error:
        raise ConfigInvalid("config", list(map(_ours, error.faults))) from error
