"""What is being billed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils import run_limits
from asp_utils.model.prices import AS_OF, usd_per_hour
from asp_utils.model.processor_states import BILLED_STATES
from asp_utils.model.tiers import DEFAULT_TIER, TIER_NAMES
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.project import Project
    from asp_utils.context import Context
    from asp_utils.model.parameters import Atlas

_HOURS_A_DAY: Final = 24
_HOURS_A_MONTH: Final = 730


class RunningProcessor(TypedDict):
    """A stream processor that is billed now."""

    workspace: str
    """Its workspace."""
    name: str
    """Its name."""
    state: str
    """STARTED, or on the way there or back."""
    tier: str
    """The tier that it runs on."""
    region: str
    """Cloud and region, `AWS VIRGINIA_USA`."""
    usd_per_hour: float | None
    """List price; null where none is known."""
    stops_at: str | None
    """When a run limit of this project stops it, ISO 8601 UTC; null without one."""


class TierCosts(TypedDict):
    """The running processors of one tier."""

    tier: str
    """SP2 to SP50."""
    processors: int
    """How many run."""
    usd_per_hour: float
    """Their list prices, added up."""


class Costs(TypedDict):
    """What a project's stream processing costs as it is now."""

    sentence: str
    """The whole in one sentence."""
    billed: bool
    """False for the local instance: the prices are what Atlas would take."""
    running: list[RunningProcessor]
    """Every processor that runs, the most expensive first."""
    tiers: list[TierCosts]
    """By tier."""
    usd_per_hour: float
    """All of them, by list price; without data transfer."""
    usd_per_day: float
    """If everything goes on as it is."""
    usd_per_month: float
    """The same, for 730 hours."""
    unpriced: int
    """Running processors of which no list price is known; they are in no sum."""
    private_links: int
    """Private link connections, which are billed beside the processors."""
    prices_as_of: str
    """The month of the price list."""
    lost_limits: list[dict[str, Any]]
    """Run limits that nobody keeps any more: these processors go on until they are stopped."""


@operation(effect="read")
def workspace_costs(
    ctx: Context,
    atlas: Atlas = None,
    workspace: Annotated[
        str | None, Field(min_length=1, description="Only this workspace; all when left out.")
    ] = None,
) -> Costs:
    """Say what is billed now: every running stream processor with its tier and list price.

    Raises:
        NotFound: There is no such workspace.
        PermissionDenied: The credentials may not look at the project.

    Source: Atlas page "Stream Processing costs".
    """
    # httpx is slow to load, and help needs none of it.
    from asp_utils.admin.networking import list_private_links
    from asp_utils.admin.project import project
    from asp_utils.admin.reading import get_workspace, list_workspaces

    limits = {each.name: each for each in run_limits.limits(ctx.root)}
    with project(ctx, atlas) as here:
        found = [get_workspace(here, workspace)] if workspace else list_workspaces(here)
        running = [each for item in found for each in _running(here, item, limits)]
        links = len(list_private_links(here))
        billed = not here.is_local
    running.sort(key=lambda each: -(each["usd_per_hour"] or 0))
    hourly = _sum(running)
    return Costs(
        sentence=_sentence(running, hourly, billed=billed),
        billed=billed,
        running=running,
        tiers=_tiers(running),
        usd_per_hour=hourly,
        usd_per_day=round(hourly * _HOURS_A_DAY, 2),
        usd_per_month=round(hourly * _HOURS_A_MONTH, 2),
        unpriced=sum(each["usd_per_hour"] is None for each in running),
        private_links=links,
        prices_as_of=AS_OF,
        lost_limits=[
            {"name": it.name, "stop_at": it.stop_at, "url": it.stream_processor_url}
            for it in limits.values()
            if it.is_lost
        ],
    )


def _running(
    here: Project, workspace: dict[str, Any], limits: dict[str, run_limits.RunLimit]
) -> Iterable[RunningProcessor]:
    from asp_utils.admin.reading import list_processors

    place = workspace.get("dataProcessRegion") or {}
    provider, region = str(place.get("cloudProvider")), str(place.get("region"))
    default = (workspace.get("streamConfig") or {}).get("tier", DEFAULT_TIER)
    for processor in list_processors(here, workspace["name"]):
        if processor.get("state") not in BILLED_STATES:
            continue
        tier = processor.get("effectiveTier") or processor.get("tier") or default
        limit = limits.get(processor["name"])
        yield RunningProcessor(
            workspace=workspace["name"],
            name=processor["name"],
            state=processor["state"],
            tier=tier,
            region=f"{provider} {region}",
            usd_per_hour=usd_per_hour(provider, region, tier),
            stops_at=limit.stop_at if limit and limit.is_kept else None,
        )


def _tiers(running: list[RunningProcessor]) -> list[TierCosts]:
    present = dict.fromkeys((*TIER_NAMES, *(each["tier"] for each in running)))
    grouped = {tier: [each for each in running if each["tier"] == tier] for tier in present}
    return [
        TierCosts(tier=tier, processors=len(members), usd_per_hour=_sum(members))
        for tier, members in grouped.items()
        if members
    ]


def _sum(running: list[RunningProcessor]) -> float:
    return round(sum(each["usd_per_hour"] or 0 for each in running), 4)


def _sentence(running: list[RunningProcessor], hourly: float, *, billed: bool) -> str:
    if not running:
        return "nothing runs, and so no stream processor is billed"
    several = len(running) > 1
    count = f"{len(running)} stream processors run" if several else "1 stream processor runs"
    price = f"{hourly:.4f} USD an hour by list price, {hourly * _HOURS_A_DAY:.2f} USD a day"
    if not billed:
        return f"{count} on this machine, which costs nothing; on Atlas: {price}"
    endless = sum(each["stops_at"] is None for each in running)
    return f"{count}, {endless} without a run limit: {price}"
