"""Values of Kafka records: JSON, or Avro by way of a schema registry.

Source: Atlas page "$emit", `schemaRegistry`; asp-reference.md 2.12.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import bson

from asp_utils.engine.formats.json_output import formatter
from asp_utils.engine.sinks.emit_kafka_options import EmitRegistry, KafkaEmitConfig, ValueSchema
from asp_utils.pipeline.grammar import option_faults

if TYPE_CHECKING:
    from asp_utils.clients.schema_registry import SchemaRegistry
    from asp_utils.engine.clock import Clock
    from asp_utils.engine.formats.avro import AvroEncoder

    Document = dict[str, Any]

_SCHEMAS: Final = 256
"""Schemas kept ready where every document names its own."""


class Values(Protocol):
    """Writes the values of records."""

    def encode(self, document: Document, found: Document) -> bytes:
        """The value for a document, without hidden fields, and what was computed for it.

        Raises:
            ValueError: The document has no such form.
            ProcessorFailed: 419: the schema registry cannot be asked.
        """
        ...

    def close(self) -> None:
        """Close the connections to the registry."""
        ...


class JsonValues:
    """Values in one of the JSON formats."""

    def __init__(self, config: KafkaEmitConfig) -> None:
        self._write = formatter(config.output_format, config.date_format)

    def encode(self, document: Document, found: Document) -> bytes:
        """See `Values.encode`."""
        return self._write(document)

    def close(self) -> None:
        """See `Values.close`."""


class AvroValues:
    """Avro records of one schema, or of the schema that each document names.

    Args:
        options: The `schemaRegistry` of the stage.
        registry: A client of it.
        clock: For asking it again.
    """

    def __init__(self, options: EmitRegistry, registry: SchemaRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        schema = options.value_schema
        self._encoder = self._of(schema) if isinstance(schema, ValueSchema) else None
        self._named = lru_cache(maxsize=_SCHEMAS)(self._of_bytes)

    def encode(self, document: Document, found: Document) -> bytes:
        """See `Values.encode`."""
        encoder = self._encoder or self._named(bson.encode({"s": found.get("valueSchema")}))
        return encoder.encode(document, found["topic"])

    def close(self) -> None:
        """See `Values.close`."""
        self._registry.close()

    def _of(self, schema: ValueSchema) -> AvroEncoder:
        from asp_utils.engine.formats.avro import AvroEncoder

        return AvroEncoder(
            self._registry,
            schema.declaration,
            auto_register=schema.options.auto_register_schemas,
            strategy=schema.options.subject_name_strategy,
            clock=self._clock,
        )

    def _of_bytes(self, named: bytes) -> AvroEncoder:
        """The encoder of a schema that an expression gave; bytes can be looked up."""
        value = bson.decode(named)["s"]
        for fault in option_faults(ValueSchema, value, "valueSchema"):
            raise ValueError(f"{fault.path}: {fault.message}")
        return self._of(ValueSchema.model_validate(value))
