"""`samplelog`: lines of a web service's log (the name is public, the shape our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_SERVICES: Final = ("gateway", "accounts", "orders", "search")
_PATHS: Final = ("/", "/login", "/orders", "/orders/17", "/search")
_STATUSES: Final = (200, 200, 200, 200, 200, 200, 201, 304, 404, 500)


def _line(_number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    service = dice.choice(_SERVICES)
    method, path = dice.choice(("GET", "GET", "GET", "POST")), dice.choice(_PATHS)
    status = dice.choice(_STATUSES)
    duration_ms = round(dice.expovariate(1 / (900 if status >= 500 else 40)), 1)
    level = "ERROR" if status >= 500 else "WARN" if status >= 400 else "INFO"
    return {
        "timestamp": iso(moment),
        "level": level,
        "service": service,
        "host": f"{service}-{dice.randrange(3)}",
        "request_id": f"{dice.getrandbits(64):016x}",
        "request": {
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": duration_ms,
            "client_ip": f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(1, 255)}",
        },
        "message": f"{method} {path} -> {status} in {duration_ms} ms",
    }


SAMPLE = Sample("samplelog", 50, _line)
