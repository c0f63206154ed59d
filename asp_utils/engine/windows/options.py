"""Options that windows share.

Source: Atlas page "Windows"; asp-reference.md 2.7.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from asp_utils.pipeline.grammar import Duration, DurationOrZero, Offset, Options, span_ms

_DEFAULT_LATENESS_MS: Final = 3000


class WindowOptions(Options):
    """Event time is the default boundary; late documents are awaited for 3 seconds."""

    pipeline: Annotated[list[dict[str, Any]], Field(min_length=1)]
    boundary: Literal["eventTime", "processingTime"] = "eventTime"
    allowed_lateness: DurationOrZero | None = None

    @model_validator(mode="after")
    def _no_lateness_without_event_time(self) -> Self:
        if self.boundary == "processingTime":
            for name in ("idle_timeout", "allowed_lateness"):
                if name in self.model_fields_set:
                    shown = type(self).model_fields[name].alias
                    raise ValueError(f"{shown} has no meaning with boundary processingTime")
        return self

    @property
    def is_processing_time(self) -> bool:
        """Whether the clock decides, not the documents' times."""
        return self.boundary == "processingTime"

    @property
    def lateness_ms(self) -> int:
        """`allowedLateness`, or its default."""
        if self.allowed_lateness is None:
            return 0 if self.is_processing_time else _DEFAULT_LATENESS_MS
        return span_ms(self.allowed_lateness)


class FixedWindowOptions(WindowOptions):
    """Windows of one length, which an offset can move and silence can close."""

    interval: Duration
    offset: Offset | None = None
    idle_timeout: DurationOrZero | None = None

    @property
    def idle_timeout_ms(self) -> int | None:
        """`idleTimeout`; None: silence closes nothing."""
        return None if self.idle_timeout is None else span_ms(self.idle_timeout)
