"""`samplestock`: trades of a few made-up shares (the name is public, the shape our own)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_SHARES: Final = (
    ("ACME", "Acme Rockets", 84.0),
    ("BLUE", "Blueberry Computing", 171.5),
    ("CNDY", "Candy Mills", 23.2),
    ("DRFT", "Driftwood Shipping", 9.8),
    ("ELEC", "Elecampane Power", 312.0),
)
_SWING: Final = 0.15
_PERIOD_S: Final = 3600.0


def _trade(number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    symbol, company, usual = _SHARES[dice.randrange(len(_SHARES))]
    # Up and down within an hour, every share at its own time, with a little noise.
    phase = 2 * math.pi * (moment.timestamp() / _PERIOD_S + usual)
    price = usual * (1 + _SWING * math.sin(phase) + dice.gauss(0, 0.002))
    return {
        "trade_id": number,
        "symbol": symbol,
        "company": company,
        "timestamp": iso(moment),
        "price": round(price, 2),
        "quantity": dice.choice((1, 5, 10, 50, 100, 500)),
        "side": dice.choice(("buy", "sell")),
    }


SAMPLE = Sample("samplestock", 50, _trade)
