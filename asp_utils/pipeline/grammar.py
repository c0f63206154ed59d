"""Building blocks of the stage grammar: options models and the types they share.

Every stage, source and sink declares its options as an `Options` model. The models are strict (a
string is no number) and closed (an unknown field is a fault), as the Atlas parser is.

Source: Atlas page "Stream Processing aggregation stages"; asp-reference.md 2.2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from asp_utils.pipeline.faults import BAD_VALUE as BAD_VALUE
from asp_utils.pipeline.faults import INVALID_OPTIONS as INVALID_OPTIONS
from asp_utils.pipeline.faults import MISSING_FIELD as MISSING_FIELD
from asp_utils.pipeline.faults import TYPE_MISMATCH as TYPE_MISMATCH
from asp_utils.pipeline.faults import UNKNOWN_FIELD as UNKNOWN_FIELD
from asp_utils.pipeline.faults import name_hint as name_hint
from asp_utils.pipeline.faults import option_faults as option_faults
from asp_utils.units import to_ms


class Options(BaseModel):
    """Base of every options model: camelCase outside, strict, closed, frozen.

    The message of a validator between fields begins with the field that is wrong: the fault is
    shown there.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=False,
        # Half the time of a check was building validators that nobody asked for.
        defer_build=True,
    )


class Duration(Options):
    """A span of time, `{size: 5, unit: "minute"}`."""

    size: Annotated[int, Field(gt=0)]
    unit: Literal["ms", "second", "minute", "hour", "day"]

    @property
    def ms(self) -> int:
        """The span in milliseconds."""
        return to_ms(self.size, self.unit)


class Offset(Options):
    """A shift of window boundaries against UTC; `offsetFromUtc` may be negative."""

    offset_from_utc: int
    unit: Literal["ms", "second", "minute", "hour"]

    @property
    def ms(self) -> int:
        """The shift in milliseconds."""
        return to_ms(self.offset_from_utc, self.unit)


def _zero_span(value: Any) -> Any:
    """Let a size of 0 pass where Atlas takes it, as the bare number 0 or as `{size: 0, ...}`."""
    if isinstance(value, dict) and value.get("size") == 0 and set(value) <= {"size", "unit"}:
        return 0
    return value


DurationOrZero = Annotated[Duration | Literal[0], BeforeValidator(_zero_span)]
"""A duration that may be nothing at all."""


def span_ms(span: Duration | Literal[0]) -> int:
    """Milliseconds of a duration that may be 0."""
    return 0 if span == 0 else span.ms


def _time_expression(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) != 1 or next(iter(value)) not in ("$toDate", "$dateFromString"):
        raise ValueError("timeField must be {$toDate: <expression>} or {$dateFromString: {...}}")
    return value


TimeField = Annotated[dict[str, Any], AfterValidator(_time_expression)]
"""The expression that gives a document its event time."""

Name = Annotated[str, Field(min_length=1)]
"""A name of a connection, database, collection or topic."""

Expression = str | dict[str, Any]
"""A string (literal, or `$field`) or an expression that gives one."""


def is_expression(value: Any) -> bool:
    """Whether a string-or-expression value must be evaluated for every document."""
    return not isinstance(value, str) or value.startswith("$")
