"""Sample streams: one module each, with a `SAMPLE`.

A document follows from its number alone, so a run can be repeated; its number times the interval is
its time. Values are drawn from `dice`, seeded with the number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from asp_utils.units import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

    Document = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A stream of made-up documents."""

    name: str
    """The connection's name on Atlas that selects it."""
    interval_ms: int
    """Time between one document and the next."""
    make: Callable[[int, datetime, random.Random], Document]
    """The document of a number, with its time (UTC) and the dice for its values."""

    def document(self, number: int) -> Document:
        """The document of a number."""
        dice = random.Random(number)  # noqa: S311 - sample values, no secret
        micros = dice.randrange(1000)
        moment = EPOCH + timedelta(milliseconds=number * self.interval_ms, microseconds=micros)
        return self.make(number, moment, dice)


def iso(moment: datetime) -> str:
    """ISO 8601 with microseconds and `+00:00`, as Atlas' solar sample writes its time."""
    return moment.isoformat(timespec="microseconds")
