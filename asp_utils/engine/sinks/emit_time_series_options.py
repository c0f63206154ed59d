"""The options of `$emit` into time series collections.

Source: Atlas page "$emit", "Time Series Collection"; MongoDB manual, "Time series";
asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from asp_utils.engine.value_probes import value_probes
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.pipeline.catalogue import Probe

    Document = dict[str, Any]

_MAX_SPAN_S: Final = 365 * 24 * 3600


class TimeSeries(Options):
    """How a collection is made that does not exist yet."""

    time_field: Name
    meta_field: Name | None = None
    granularity: Literal["seconds", "minutes", "hours"] | None = None
    bucket_max_span_seconds: Annotated[int, Field(ge=1, le=_MAX_SPAN_S)] | None = None
    bucket_rounding_seconds: Annotated[int, Field(ge=1, le=_MAX_SPAN_S)] | None = None

    @model_validator(mode="after")
    def _fields_are_their_own(self) -> Self:
        if self.meta_field is not None and self.meta_field in (self.time_field, "_id"):
            raise ValueError("metaField must be another field than timeField and _id")
        return self


class TimeSeriesEmitOptions(Options):
    """`$emit` to time series collections."""

    connection_name: Name
    db: Annotated[Expression, Field(min_length=1)]
    coll: Annotated[Expression, Field(min_length=1)]
    timeseries: TimeSeries | None = None
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _says_how_to_make_many(self) -> Self:
        if self.timeseries is None and (is_expression(self.db) or is_expression(self.coll)):
            raise ValueError(
                "timeseries (with timeField) must be given where db or coll is computed"
            )
        return self


def time_series_probes(options: Document) -> Iterator[Probe]:
    """What of the options mongod has to parse."""
    yield from value_probes({".db": options["db"], ".coll": options["coll"]})
