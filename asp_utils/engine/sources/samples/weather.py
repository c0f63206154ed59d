"""`sampleweather`: reports of five weather stations (the name is public, the shape our own)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_STATIONS: Final = (
    ("st_bergen", (5.32, 60.39), 8.0),
    ("st_lagos", (3.38, 6.52), 27.0),
    ("st_lima", (-77.04, -12.05), 19.0),
    ("st_osaka", (135.50, 34.69), 17.0),
    ("st_perth", (115.86, -31.95), 21.0),
)
"""Name, place (longitude, latitude), mean temperature in degrees Celsius."""
_DAY_S: Final = 86_400.0
_DAILY_SWING_C: Final = 5.0


def _report(number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    station, place, mean_c = _STATIONS[number % len(_STATIONS)]
    hour_angle = 2 * math.pi * (moment.timestamp() / _DAY_S + place[0] / 360)
    temperature_c = mean_c - _DAILY_SWING_C * math.cos(hour_angle) + dice.gauss(0, 0.3)
    humidity = dice.randrange(35, 100)
    return {
        "station_id": station,
        "location": {"type": "Point", "coordinates": list(place)},
        "timestamp": iso(moment),
        "temperature": round(temperature_c, 1),
        "humidity": humidity,
        "pressure": round(dice.gauss(1013, 8), 1),
        "wind": {"speed": round(dice.expovariate(0.2), 1), "direction": dice.randrange(360)},
        "condition": "rain" if humidity > 85 else dice.choice(("clear", "cloudy")),
    }


SAMPLE = Sample("sampleweather", 200, _report)
