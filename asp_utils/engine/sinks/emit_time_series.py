"""`$emit` into time series collections of a cluster.

Source: Atlas page "$emit", "Time Series Collection"; MongoDB manual, "Time series";
asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.sinks.emit_time_series_options import (
    TimeSeriesEmitOptions,
    time_series_probes,
)
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink


def _open(options: TimeSeriesEmitOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.sinks.emit_time_series_sink import open_time_series

    return open_time_series(options, surroundings)


SPEC = StageSpec(
    "$emit",
    "sink",
    TimeSeriesEmitOptions,
    connection_type="atlas",
    marks=frozenset({"db", "coll", "timeseries"}),
    build=_open,
    probes=time_series_probes,
    partial={
        "db": "a database that does not exist is created; Atlas wants an existing one",
        "timeseries.bucketRoundingSeconds": "needs MongoDB 6.3 on the cluster that is written to",
    },
)
