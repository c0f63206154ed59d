"""`sampleiot`: telemetry of twenty machines in a plant (the name is public, the shape our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_MACHINES: Final = 20
_KINDS: Final = ("pump", "compressor", "conveyor", "press")
_FAULTY_SHARE: Final = 0.03


def _telemetry(number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    machine = number % _MACHINES
    is_faulty = dice.random() < _FAULTY_SHARE
    return {
        "device_id": f"machine-{machine:02d}",
        "device_type": _KINDS[machine % len(_KINDS)],
        "site": f"hall-{machine % 3 + 1}",
        "timestamp": iso(moment),
        "sensors": {
            "temperature": round(dice.gauss(95 if is_faulty else 60, 3), 1),
            "vibration": round(abs(dice.gauss(9 if is_faulty else 2, 0.5)), 2),
            "rpm": dice.randrange(900, 1600),
        },
        "battery": dice.randrange(15, 101),
        "status": "fault" if is_faulty else "ok",
    }


SAMPLE = Sample("sampleiot", 100, _telemetry)
