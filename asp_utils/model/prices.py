"""What a running stream processor costs an hour, by region and tier.

List prices in US dollars, without data transfer, peering and private links; a contract may say
something else.

Source: Atlas page "Stream Processing costs" (hourly pricing tables, per-processor model in force
since December 2025), read in November 2026.
"""

from __future__ import annotations

from typing import Final

from asp_utils.model.tiers import TIER_NAMES

AS_OF: Final = "2026-11"
"""The month in which the tables were read."""
_USD_PER_HOUR: Final[dict[tuple[str, str], tuple[float, ...]]] = {
    ("AWS", "TOKYO_JPN"): (0.0692, 0.1385, 0.2450, 0.5028, 2.0113),
    ("AWS", "MUMBAI_IND"): (0.0550, 0.1100, 0.1984, 0.4072, 1.6286),
    ("AWS", "SINGAPORE_SGP"): (0.0634, 0.1268, 0.2315, 0.4752, 1.9007),
    ("AWS", "SYDNEY_AUS"): (0.0718, 0.1436, 0.2387, 0.4900, 1.9599),
    ("AWS", "MONTREAL_CAN"): (0.0602, 0.1204, 0.2057, 0.4223, 1.6892),
    ("AWS", "FRANKFURT_DEU"): (0.0628, 0.1255, 0.2275, 0.4669, 1.8676),
    ("AWS", "DUBLIN_IRL"): (0.0590, 0.1180, 0.2136, 0.4385, 1.7540),
    ("AWS", "LONDON_GBR"): (0.0654, 0.1307, 0.2421, 0.4970, 1.9881),
    ("AWS", "SAOPAULO_BRA"): (0.0848, 0.1695, 0.3030, 0.6220, 2.4878),
    ("AWS", "VIRGINIA_USA"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
    ("AWS", "OHIO_USA"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
    ("AWS", "OREGON_USA"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
    ("AZURE", "eastus"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
    ("AZURE", "eastus2"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
    ("AZURE", "westeurope"): (0.0631, 0.1261, 0.2653, 0.5445, 2.1780),
    ("AZURE", "westus"): (0.0689, 0.1379, 0.2510, 0.5152, 2.0606),
    ("GCP", "EUROPE_WEST1"): (0.0605, 0.1210, 0.2090, 0.4290, 1.7161),
    ("GCP", "US_CENTRAL1"): (0.0550, 0.1100, 0.1900, 0.3900, 1.5600),
}
"""Cloud and region to the prices of `TIER_NAMES`."""


def usd_per_hour(provider: str, region: str, tier: str) -> float | None:
    """The list price of one running processor; None where the page names none.

    Example:
        >>> usd_per_hour("AWS", "VIRGINIA_USA", "SP10")
        0.19
    """
    row = _USD_PER_HOUR.get((provider, region))
    return row[TIER_NAMES.index(tier)] if row is not None and tier in TIER_NAMES else None
