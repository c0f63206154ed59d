"""Avro records in Confluent's wire format: a zero byte, the schema's id (4 bytes), the record.

Schemas are registered, or looked up, once per subject. A schema that the registry does not take is
asked about again after a while only, as every document would ask.

Source: Atlas pages "$emit" and "$source", "schemaRegistry"; asp-reference.md 2.12, 4.5;
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from asp_utils.clients.schema_registry import RegisteredSchema, SchemaRegistry
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.formats.avro_read import from_avro
from asp_utils.engine.formats.avro_write import to_avro
from asp_utils.errors import (
    AspError,
    Conflict,
    NotFound,
    PermissionDenied,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.engine.clock import Clock

    Document = dict[str, Any]

SubjectNameStrategy = Literal["TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy"]
_PREFIX: Final = struct.Struct(">bI")
_ASK_AGAIN_MS: Final = 10_000
_UNPARSABLE: Final = (SchemaParseException, UnknownType, KeyError, TypeError, ValueError)
_UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What fastavro raises for bytes that are no record of the schema."""
_TROUBLE: Final = (Unreachable, PermissionDenied, UnexpectedReply)


def schema_fault(schema: Any) -> str:
    """Why a schema declaration is none; "" when it is one."""
    try:
        parse_schema(schema, {})
    except _UNPARSABLE as error:
        return f"no Avro schema: {error}"
    return ""


def open_registry(
    registry: Mapping[str, Any], kafka: Mapping[str, Any] | None = None
) -> SchemaRegistry:
    """A client of the registry of a connection.

    Args:
        registry: The connection's entry, of type `schemaregistry`.
        kafka: The entry of the Kafka connection in use, whose credentials `SASL_INHERIT` takes.
    """
    authentication = registry.get("schemaRegistryAuthentication") or {}
    if authentication.get("type") == "SASL_INHERIT":
        authentication = (kafka or {}).get("authentication") or {}
    username = authentication.get("username")
    credentials = (username, authentication.get("password") or "") if username else None
    return SchemaRegistry(registry["schemaRegistryUrls"], credentials)


class AvroEncoder:
    """Writes documents by one schema.

    Args:
        registry: Where the schema is registered or looked up.
        schema: The schema declaration.
        auto_register: Whether it is registered where it is not yet.
        strategy: How subjects are named.
        clock: For asking the registry again.

    Raises:
        ValueError: The declaration is no Avro schema.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        schema: Any,
        *,
        auto_register: bool,
        strategy: SubjectNameStrategy,
        clock: Clock,
    ) -> None:
        fault = schema_fault(schema)
        if fault:
            raise ValueError(fault)
        self._registry = registry
        self._text = orjson.dumps(schema).decode()
        self._parsed = parse_schema(schema, {})
        self._convert = to_avro(self._parsed)
        self._ask = registry.register if auto_register else registry.find
        self._strategy = strategy
        self._clock = clock
        self._prefixes: dict[str, bytes] = {}
        self._refused: dict[str, tuple[str, int]] = {}

    def encode(self, document: Mapping[str, Any], topic: str) -> bytes:
        """The document as the value of a record of a topic.

        Raises:
            ValueError: It does not fit the schema, or the registry does not take the schema.
            ProcessorFailed: 419: the registry cannot be asked.
        """
        datum = self._convert(document)
        output = io.BytesIO()
        try:
            fastavro.schemaless_writer(output, self._parsed, datum)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"does not fit the Avro schema: {error}") from error
        return self._prefix(self.subject(topic)) + output.getvalue()

    def subject(self, topic: str) -> str:
        """The subject that the schema has for values of a topic."""
        if self._strategy == "TopicNameStrategy":
            return f"{topic}-value"
        record = _name_of(self._parsed)
        return record if self._strategy == "RecordNameStrategy" else f"{topic}-{record}"

    def _prefix(self, subject: str) -> bytes:
        prefix = self._prefixes.get(subject)
        if prefix is None:
            prefix = self._prefixes[subject] = _PREFIX.pack(0, self._id(subject))
        return prefix

    def _id(self, subject: str) -> int:
        reason, until_ms = self._refused.get(subject, ("", 0))
        if self._clock.now_ms() < until_ms:
            raise ValueError(reason)
        try:
            return self._ask(subject, self._text)
        except (NotFound, Conflict) as error:
            reason = f"the schema registry does not take the schema as {subject!r}: {error}"
            self._refused[subject] = (reason, self._clock.now_ms() + _ASK_AGAIN_MS)
            raise ValueError(reason) from error
        except _TROUBLE as error:
            raise _failure(error) from error


def _name_of(schema: Any) -> str:
    """The full name of a named schema; the type's name for another one."""
    return str(schema.get("name", schema["type"])) if isinstance(schema, dict) else "union"


@dataclass(frozen=True)
class _Reader:
    """A schema of a registry, ready to read records."""

    parsed: Any
    convert: Callable[[Any], Any] | None

    def read(self, payload: bytes) -> Any:
        datum = fastavro.schemaless_reader(
            io.BytesIO(payload), self.parsed, None, return_record_name=True
        )
        return datum if self.convert is None else self.convert(datum)


class AvroDecoder:
    """Reads records by the schemas that a registry keeps.

    Args:
        registry: The schema registry connection's entry.
        kafka: The Kafka connection's entry, for `SASL_INHERIT`.
    """

    def __init__(self, registry: Mapping[str, Any], kafka: Mapping[str, Any] | None = None) -> None:
        self._registry = open_registry(registry, kafka)
        self._readers: dict[int, _Reader] = {}

    def decode(self, raw: bytes) -> Document:
        """The document of a record's value.

        Raises:
            ValueError: It is no Avro record, or its schema is unknown.
            ProcessorFailed: 419: the registry cannot be asked.
        """
        if len(raw) < _PREFIX.size or raw[0] != 0:
            raise ValueError("no Avro record: it does not begin with a zero byte and a schema id")
        schema_id = _PREFIX.unpack_from(raw)[1]
        reader = self._readers.get(schema_id)
        if reader is None:
            reader = self._readers[schema_id] = self._reader(schema_id)
        try:
            document = reader.read(raw[_PREFIX.size :])
        except _UNREADABLE as error:
            raise ValueError(
                f"no record of schema {schema_id}: {error or type(error).__name__}"
            ) from error
        if not isinstance(document, dict):
            raise ValueError(f"schema {schema_id} gives {type(document).__name__}, no document")
        return document

    def close(self) -> None:
        """Close the connections to the registry."""
        self._registry.close()

    def _reader(self, schema_id: int) -> _Reader:
        named: dict[str, Any] = {}
        try:
            schema = self._registry.schema(schema_id)
            above = self._referenced(schema, named)
            parsed = _parsed(schema, named)
        except NotFound as error:
            raise ValueError(f"the schema registry has no schema {schema_id}") from error
        except _TROUBLE as error:
            raise _failure(error) from error
        except _UNPARSABLE as error:
            raise ValueError(f"schema {schema_id} cannot be used: {error}") from error
        return _Reader(parsed, from_avro(parsed, above))

    def _referenced(self, schema: RegisteredSchema, named: dict[str, Any]) -> list[Any]:
        """The schemas whose types a schema uses, the deepest first."""
        above: list[Any] = []
        for reference in schema.references:
            if reference.name not in named:
                other = self._registry.version(reference.subject, reference.version)
                above += [*self._referenced(other, named), _parsed(other, named)]
        return above


def _parsed(schema: RegisteredSchema, named: dict[str, Any]) -> Any:
    if schema.kind != "AVRO":
        raise ValueError(f"it is of type {schema.kind}, not AVRO")
    return parse_schema(orjson.loads(schema.text), named)


def _failure(error: AspError) -> ProcessorFailed:
    return ProcessorFailed(419, f"schema registry: {error.message}", retryable=True)
