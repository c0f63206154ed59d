"""`$tumblingWindow`: windows of one length that touch and never overlap.

Source: Atlas page "$tumblingWindow"; asp-reference.md 2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.windows.options import FixedWindowOptions
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.windows.window import WindowShape


def shape_of(options: FixedWindowOptions) -> WindowShape:
    """The window's figures."""
    from asp_utils.engine.windows.window import WindowShape

    return WindowShape(
        interval_ms=options.interval.ms,
        hop_ms=options.interval.ms,
        offset_ms=options.offset.ms if options.offset else 0,
        allowed_lateness_ms=options.lateness_ms,
        idle_timeout_ms=options.idle_timeout_ms,
        processing_time=options.is_processing_time,
    )


SPEC = StageSpec("$tumblingWindow", "window", FixedWindowOptions, build=shape_of)
