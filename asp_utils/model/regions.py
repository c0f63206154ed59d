"""Where Atlas Stream Processing runs: clouds and their regions, in Atlas' three naming styles.

Source: Admin API schema of `dataProcessRegion`; asp-reference.md 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from asp_utils.errors import Fault
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

Cloud = Literal["AWS", "AZURE", "GCP"]
AwsRegion = Literal[
    "SYDNEY_AUS", "MUMBAI_IND", "FRANKFURT_DEU", "DUBLIN_IRL", "LONDON_GBR", "VIRGINIA_USA",
    "OHIO_USA", "OREGON_USA", "SAOPAULO_BRA", "MONTREAL_CAN", "TOKYO_JPN", "SINGAPORE_SGP",
    "PARIS_FRA", "SEOUL_KOR",
]  # fmt: skip
AzureRegion = Literal["eastus", "westus", "eastus2", "westeurope", "brazilsouth", "australiaeast"]
GcpRegion = Literal["US_CENTRAL1", "EUROPE_WEST1", "US_EAST4"]
KnownRegion = Literal[AwsRegion, AzureRegion, GcpRegion]
"""Atlas' word for a region that can process streams."""

_AWS: Final[dict[str, AwsRegion]] = {
    "ap-southeast-2": "SYDNEY_AUS",
    "ap-south-1": "MUMBAI_IND",
    "eu-central-1": "FRANKFURT_DEU",
    "eu-west-1": "DUBLIN_IRL",
    "eu-west-2": "LONDON_GBR",
    "us-east-1": "VIRGINIA_USA",
    "us-east-2": "OHIO_USA",
    "us-west-2": "OREGON_USA",
    "sa-east-1": "SAOPAULO_BRA",
    "ca-central-1": "MONTREAL_CAN",
    "ap-northeast-1": "TOKYO_JPN",
    "ap-southeast-1": "SINGAPORE_SGP",
    "eu-west-3": "PARIS_FRA",
    "ap-northeast-2": "SEOUL_KOR",
}
"""AWS' own word to Atlas' word."""

REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "AWS": get_args(AwsRegion),
    "AZURE": get_args(AzureRegion),
    "GCP": get_args(GcpRegion),
}
"""Cloud provider to the regions in which it can process streams."""


def cloud_of(region: str) -> str | None:
    """The cloud that has a region of that name; None when none has.

    Example:
        >>> cloud_of("VIRGINIA_USA")
        'AWS'
    """
    return next((cloud for cloud, regions in REGIONS.items() if region in regions), None)


def region_faults(cloud: Any, region: Any) -> Iterator[Fault]:
    """What is wrong with a `{cloudProvider, region}` pair; paths below it.

    Args:
        cloud: A word of `REGIONS`; None where the region is to say it.
        region: A region of that cloud.
    """
    if cloud is not None and cloud not in REGIONS:
        close = nearest(str(cloud), REGIONS)
        hint = f"did you mean {close!r}?" if close else f"one of {', '.join(REGIONS)}"
        yield Fault(".cloudProvider", f"there is no cloud provider {cloud!r}", hint)
    known = REGIONS.get(cloud, ()) if isinstance(cloud, str) else ()
    known = known or tuple(name for names in REGIONS.values() for name in names)
    if region not in known:
        where = f"{cloud} has no region" if cloud in REGIONS else "there is no region"
        yield Fault(".region", f"{where} {region!r} for stream processing", _hint(region, known))


def _hint(region: Any, known: tuple[str, ...]) -> str:
    own_word = _AWS.get(str(region).lower().replace("_", "-"))
    if own_word in known:
        return f"Atlas calls it {own_word!r}"
    elsewhere = cloud_of(str(region))
    if elsewhere:
        return f"that is a region of {elsewhere}"
    close = nearest(str(region), known)
    return f"did you mean {close!r}?" if close else f"one of {', '.join(known)}"
