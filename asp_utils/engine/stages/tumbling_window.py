"""`$tumblingWindow`: windows of one length that touch and never overlap.

Source: Atlas page "$tumblingWindow"; asp-reference.md 2.7.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from asp_utils.engine.window import WindowShape
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Duration, DurationOrZero, Offset, Options, span_ms


class TumblingWindowOptions(Options):
    """`interval` and `pipeline` are required; event time is the default boundary."""

    interval: Duration
    pipeline: Annotated[list[dict[str, Any]], Field(min_length=1)]
    boundary: Literal["eventTime", "processingTime"] = "eventTime"
    offset: Offset | None = None
    idle_timeout: DurationOrZero | None = None
    allowed_lateness: DurationOrZero | None = None

    @model_validator(mode="after")
    def _no_lateness_without_event_time(self) -> Self:
        if self.boundary == "processingTime":
            for name in ("idle_timeout", "allowed_lateness"):
                if name in self.model_fields_set:
                    shown = type(self).model_fields[name].alias
                    raise ValueError(f"{shown} has no meaning with boundary processingTime")
        return self


DEFAULT_LATENESS = Duration(size=3, unit="second")


def shape_of(options: TumblingWindowOptions) -> WindowShape:
    """The window's figures; allowed lateness is 3 seconds unless given."""
    processing_time = options.boundary == "processingTime"
    lateness = options.allowed_lateness
    if lateness is None:
        lateness = 0 if processing_time else DEFAULT_LATENESS
    idle = options.idle_timeout
    return WindowShape(
        interval_ms=options.interval.ms,
        offset_ms=options.offset.ms if options.offset else 0,
        allowed_lateness_ms=span_ms(lateness),
        idle_timeout_ms=None if idle is None else span_ms(idle),
        processing_time=processing_time,
    )


SPEC = StageSpec("$tumblingWindow", "window", TumblingWindowOptions, build=shape_of)
