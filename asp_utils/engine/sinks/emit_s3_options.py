"""The options of `$emit` into S3.

Source: Atlas page "$emit", "AWS S3"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from asp_utils.engine.formats.json_output import DateFormat, OutputFormat
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Duration, Expression, Name, Options, is_expression
from asp_utils.units import MS_PER_UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

Compression = Literal["none", "gzip", "snappy"]
_MAX_INTERVAL_MS: Final = 7 * MS_PER_UNIT["day"]


def _at_most_a_week(interval: Duration) -> Duration:
    if interval.ms > _MAX_INTERVAL_MS:
        raise ValueError("the interval is 7 days at most")
    return interval


def _level(value: Any) -> Any:
    """The page calls it a string and gives numbers: both are taken."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class WriteOptions(Options):
    """When a file is written: at the first of these."""

    count: Annotated[int, Field(gt=0)] | None = None
    """Documents in a file."""
    bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """BSON bytes of its documents."""
    interval: Annotated[Duration, AfterValidator(_at_most_a_week)] = Field(
        default_factory=lambda: Duration(size=1, unit="minute")
    )


class S3Config(Options):
    """`config` of `$emit` to S3."""

    write_options: WriteOptions = Field(default_factory=WriteOptions)
    delimiter: str = "\n"
    output_format: OutputFormat = "relaxedJson"
    date_format: DateFormat = "default"
    compression: Compression = "none"
    compression_level: Annotated[int, Field(ge=1, le=9), BeforeValidator(_level)] = 6


class S3Options(Options):
    """`$emit` to S3; bucket and path may be computed for every document."""

    connection_name: Name
    bucket: Expression
    region: Name | None = None
    path: Expression
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1
    partition_by: Expression | None = None
    config: S3Config = Field(default_factory=S3Config)


def s3_probes(options: Document) -> Iterator[Probe]:
    """What of the options mongod has to parse."""
    for name in ("bucket", "path", "partitionBy"):
        value = options.get(name)
        if value is not None and is_expression(value):
            yield Probe(f".{name}", {"$project": {"x": value}})
