"""`sample_stream_solar`: readings of ten solar panels, each once a second.

The shape is that of Atlas' sample (asp-reference.md 2.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_PANELS: Final = 10
_MAX_WATTS: Final = (250, 450)


def _reading(number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    panel = number % _PANELS
    max_watts = _MAX_WATTS[panel % 2]
    return {
        "device_id": f"device_{panel}",
        "group_id": panel % 4,
        "timestamp": iso(moment),
        "max_watts": max_watts,
        "event_type": 0 if dice.random() < 0.9 else 1,
        "obs": {"watts": dice.randrange(max_watts + 1), "temp": dice.randrange(5, 26)},
    }


SAMPLE = Sample("sample_stream_solar", 100, _reading)
