"""The options of `$emit` into Kafka.

Source: Atlas page "$emit", "Apache Kafka Broker"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WrapValidator, model_validator

from asp_utils.engine.formats.json_output import DateFormat, OutputFormat
from asp_utils.engine.formats.keys import KeyFormat
from asp_utils.engine.kafka.records import is_topic
from asp_utils.engine.value_probes import value_probes
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.pipeline.catalogue import Probe

    Document = dict[str, Any]


def _topic(value: Any) -> Any:
    if not is_expression(value) and not is_topic(value):
        raise ValueError("a topic is named by 1 to 249 letters, digits, '.', '_' and '-'")
    return value


def _computed(value: Any) -> Any:
    if not is_expression(value):
        raise ValueError('must be an expression ("$field" or an object)')
    return value


def _avro_schema(schema: dict[str, Any]) -> dict[str, Any]:
    from asp_utils.engine.formats.avro import schema_fault

    fault = schema_fault(schema)
    if fault:
        raise ValueError(fault)
    return schema


class AvroOptions(Options):
    """`options` of a value schema."""

    auto_register_schemas: bool = True
    subject_name_strategy: Literal[
        "TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy"
    ] = "TopicNameStrategy"

    @model_validator(mode="after")
    def _names_what_it_registers(self) -> Self:
        if not self.auto_register_schemas and "subject_name_strategy" in self.model_fields_set:
            raise ValueError("subjectNameStrategy needs autoRegisterSchemas: true")
        return self


class ValueSchema(Options):
    """How values are serialized by way of the registry."""

    type: Literal["avro"]
    declaration: Annotated[dict[str, Any], AfterValidator(_avro_schema), Field(alias="schema")]
    options: AvroOptions = Field(default_factory=AvroOptions)


def is_declaration(value: Any) -> bool:
    """Whether a value schema is written out, not an expression that gives one."""
    if isinstance(value, str):
        return not value.startswith("$")
    return not (isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"))


def _schema_or_expression(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Let an expression that gives a value schema pass."""
    return handler(value) if is_declaration(value) else value


class EmitRegistry(Options):
    """`schemaRegistry` of `$emit`."""

    connection_name: Name
    value_schema: Annotated[ValueSchema, WrapValidator(_schema_or_expression)]


class KafkaEmitConfig(Options):
    """`config` of `$emit` to Kafka."""

    acks: Literal["all", "-1", "0", "1"] | None = None
    compression_type: Annotated[
        Literal["none", "gzip", "snappy", "lz4", "zstd"] | None, Field(alias="compression_type")
    ] = None
    date_format: DateFormat = "default"
    headers: Annotated[str | dict[str, Any] | list[Any] | None, AfterValidator(_computed)] = None
    key: Expression | None = None
    key_format: KeyFormat | None = None
    output_format: OutputFormat = "relaxedJson"
    tombstone_when: Annotated[bool | str | dict[str, Any] | None, AfterValidator(_computed)] = None

    @model_validator(mode="after")
    def _says_what_its_key_is(self) -> Self:
        if self.key is not None and self.key_format is None:
            raise ValueError("keyFormat must be given with key: binData, string, json, int or long")
        return self


class KafkaEmitOptions(Options):
    """`$emit` to Kafka."""

    connection_name: Name
    topic: Annotated[Expression, AfterValidator(_topic)]
    schema_registry: EmitRegistry | None = None
    config: KafkaEmitConfig = Field(default_factory=KafkaEmitConfig)


def kafka_emit_probes(options: Document) -> Iterator[Probe]:
    """What of the options mongod has to parse."""
    config = options.get("config") or {}
    schema = (options.get("schemaRegistry") or {}).get("valueSchema")
    yield from value_probes(
        {
            ".topic": options["topic"],
            ".config.key": config.get("key"),
            ".config.headers": config.get("headers"),
            ".config.tombstoneWhen": config.get("tombstoneWhen"),
            ".schemaRegistry.valueSchema": None if is_declaration(schema) else schema,
        }
    )


def computed_values(options: KafkaEmitOptions) -> Document:
    """What is computed, or constant, for every document; what is not given is left out."""
    config, registry = options.config, options.schema_registry
    values = {
        "topic": options.topic,
        "key": config.key,
        "headers": config.headers,
        "tombstoneWhen": config.tombstone_when,
    }
    if registry is not None and not isinstance(registry.value_schema, ValueSchema):
        values["valueSchema"] = registry.value_schema
    return {name: value for name, value in values.items() if value is not None}
