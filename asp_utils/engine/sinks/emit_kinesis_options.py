"""The options of `$emit` into a Kinesis data stream.

Source: Atlas page "$emit", "AWS Kinesis"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from asp_utils.engine.formats.json_output import DateFormat, OutputFormat
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]


class KinesisEmitConfig(Options):
    """`config` of `$emit` to Kinesis."""

    output_format: OutputFormat = "relaxedJson"
    date_format: DateFormat = "default"


class KinesisEmitOptions(Options):
    """`$emit` to Kinesis."""

    connection_name: Name
    stream: Name
    region: Name | None = None
    partition_key: Expression
    config: KinesisEmitConfig = Field(default_factory=KinesisEmitConfig)


def kinesis_probes(options: Document) -> Iterator[Probe]:
    """What of the options mongod has to parse."""
    if is_expression(options["partitionKey"]):
        yield Probe(".partitionKey", {"$project": {"x": options["partitionKey"]}})
