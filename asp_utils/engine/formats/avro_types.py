"""What the two directions of Avro share: naming the types of a parsed schema.

Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Convert = Callable[[Any], Any]
Named = dict[str, Convert]
"""What converts the named types of a schema, by full name; filled while it is compiled."""

LOGICAL_TYPES: Final = {
    "date": ("int",),
    "decimal": ("bytes", "fixed"),
    "local-timestamp-micros": ("long",),
    "local-timestamp-millis": ("long",),
    "time-micros": ("long",),
    "time-millis": ("int",),
    "timestamp-micros": ("long",),
    "timestamp-millis": ("long",),
    "uuid": ("string",),
}
"""The logical types that fastavro knows, and the types that they may stand on."""


def kind_of(schema: Any) -> str:
    """What a schema describes: its logical type, its type, or the name of a type.

    A logical type that is unknown, or stands on the wrong type, is ignored, as Avro asks.
    """
    if isinstance(schema, list):
        return "union"
    if not isinstance(schema, dict):
        return str(schema)
    logical, kind = str(schema.get("logicalType")), schema["type"]
    return logical if kind in LOGICAL_TYPES.get(logical, ()) else str(kind)


def label_of(schema: Any) -> str:
    """By which name fastavro knows a branch of a union."""
    if isinstance(schema, dict):
        return str(schema.get("name") or schema["type"])
    return str(schema)
