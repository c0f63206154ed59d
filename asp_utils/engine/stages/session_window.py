"""`$sessionWindow`: documents of one key that follow each other closely.

Source: Atlas page "$sessionWindow"; asp-reference.md 2.7, 5 (no. 10: `idleTimeout` is unknown).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.windows.options import WindowOptions
from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import Duration

if TYPE_CHECKING:
    from asp_utils.engine.windows.window import WindowShape


class SessionWindowOptions(WindowOptions):
    """A session ends when its key has been silent for `gap`."""

    gap: Duration
    partition_by: Any


def shape_of(options: SessionWindowOptions) -> WindowShape:
    """The window's figures."""
    from asp_utils.engine.windows.window import WindowShape

    return WindowShape(
        gap_ms=options.gap.ms,
        partition_by=options.partition_by,
        allowed_lateness_ms=options.lateness_ms,
        processing_time=options.is_processing_time,
    )


def session_probes(options: dict[str, Any]) -> list[Probe]:
    """The expression that mongod has to parse."""
    return [Probe(".partitionBy", {"$project": {"x": options["partitionBy"]}})]


SPEC = StageSpec(
    "$sessionWindow", "window", SessionWindowOptions, build=shape_of, probes=session_probes
)
