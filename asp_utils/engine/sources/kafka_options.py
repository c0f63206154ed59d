"""The options of a Kafka source.

Source: Atlas page "$source", section "Kafka"; asp-reference.md 2.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from asp_utils.errors import Fault
from asp_utils.pipeline.grammar import Duration, Name, Options, TimeField

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]


class SchemaRegistry(Options):
    """The schema registry that knows the Avro schemas of the records."""

    connection_name: Name


class KafkaConfig(Options):
    """`config` of a Kafka source; its names are snake_case on Atlas, the two of keys aside."""

    auto_offset_reset: (
        Literal["earliest", "beginning", "smallest", "latest", "end", "largest"] | None
    ) = Field(default=None, alias="auto_offset_reset")
    group_id: Name | None = Field(default=None, alias="group_id")
    enable_auto_commit: bool | None = Field(default=None, alias="enable_auto_commit")
    key_format: Literal["binData", "string", "json", "int", "long"] = "binData"
    key_format_error: Literal["dlq", "passThrough"] = "dlq"


class KafkaOptions(Options):
    """Topics, event time, and how records are read."""

    connection_name: Name
    topic: Name | Annotated[list[Name], Field(min_length=1)]
    time_field: TimeField | None = None
    partition_idle_timeout: Duration | None = None
    schema_registry: SchemaRegistry | None = None
    config: KafkaConfig = Field(default_factory=KafkaConfig)
    ts_field_name: Name | None = None
    partition_count: int | None = None


def kafka_warnings(options: Document) -> Iterator[Fault]:
    """Fields of the past that are taken and do nothing."""
    for name in ("tsFieldName", "partitionCount"):
        if name in options:
            yield Fault(f".{name}", f"{name} has no effect any more", "leave it out")
