"""`$source: {connectionName: "sample_stream_solar"}`: the readings of made-up solar panels.

The documents have the shape of Atlas' sample (asp-reference.md 2.6): device_id, group_id,
timestamp (ISO string, microseconds, UTC), max_watts, event_type, obs {watts, temp}. The values
follow from the reading's number alone, so a run can be repeated.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.batch import Batch, Source
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Name, Options, TimeField
from asp_utils.units import EPOCH

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings

INTERVAL_MS: Final = 100
"""One reading every 100 ms: ten panels, each once a second."""
_PANELS: Final = 10
_MAX_WATTS: Final = (250, 450)


class SampleOptions(Options):
    """A sample connection, and optionally another event time."""

    connection_name: Name
    time_field: TimeField | None = None


def reading(number: int) -> dict[str, Any]:
    """The reading of a given number: number x 100 ms since the epoch is its time."""
    dice = random.Random(number)  # noqa: S311 - sample values, no secret
    panel = number % _PANELS
    max_watts = _MAX_WATTS[panel % 2]
    moment = EPOCH + timedelta(milliseconds=number * INTERVAL_MS, microseconds=dice.randrange(1000))
    return {
        "device_id": f"device_{panel}",
        "group_id": panel % 4,
        "timestamp": moment.isoformat(timespec="microseconds"),
        "max_watts": max_watts,
        "event_type": 0 if dice.random() < 0.9 else 1,
        "obs": {"watts": dice.randrange(max_watts + 1), "temp": dice.randrange(5, 26)},
    }


class SampleSource(Source):
    """Gives the readings that are due; what fell due while it was stopped is not made up for."""

    operator_name = "SampleDataSourceOperator"
    source_type = "generated"

    def __init__(self, surroundings: Surroundings, position: int | None) -> None:
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        now = self._clock.now_ms() // INTERVAL_MS
        self.position: int = now if position is None else max(position, now)

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The readings due since the last call; waits for the next one when there are none."""
        due_in_ms = self.position * INTERVAL_MS - self._clock.now_ms()
        if due_in_ms > 0:
            self._clock.wait(self._stopping, min(due_in_ms, max_wait_ms))
        due = self._clock.now_ms() // INTERVAL_MS + 1
        count = min(due - self.position, max_documents)
        if count <= 0:
            return None
        numbers = range(self.position, self.position + count)
        self.position += count
        times_ms = [number * INTERVAL_MS for number in numbers]
        return Batch([reading(n) for n in numbers], times_ms, self.position, lambda _: {})

    def close(self) -> None:
        """Nothing to release."""


def open_sample(
    options: SampleOptions,
    surroundings: Surroundings,
    position: int | None,
) -> SampleSource:
    """The source, from now on."""
    return SampleSource(surroundings, position)


SPEC = StageSpec("$source", "source", SampleOptions, connection_type="inmemory", build=open_sample)
