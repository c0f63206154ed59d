"""Conversions without any server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from asp_utils.context import Context
from asp_utils.operations.connectors import kafka_connector_to_pipeline

if TYPE_CHECKING:
    from asp_utils.operations.connectors import ConvertedConnector

Document = dict[str, Any]
SOURCE_CLASS = "com.mongodb.kafka.connect.MongoSourceConnector"
SINK_CLASS = "com.mongodb.kafka.connect.MongoSinkConnector"
OURS = "com.mongodb.kafka.connect.sink"


def converted(config: Document, **options: Any) -> ConvertedConnector:
    """What a configuration becomes; every property must be accounted for, once."""
    found = kafka_connector_to_pipeline(Context(root=Path("/nowhere")), connector=config, **options)
    mapped = [each["field"] for each in found["mapped"]]
    unmapped = [each["field"] for each in found["unmapped"]]
    inner = config.get("config", config)
    assert sorted(mapped + unmapped) == sorted(inner)
    return found


def source(**properties: Any) -> ConvertedConnector:
    """A source connector; underscores in names stand for dots, `__` for an underscore."""
    base = {"connection.uri": "mongodb://127.0.0.1/", "database": "shop", "collection": "orders"}
    return converted({"connector.class": SOURCE_CLASS, **base, **dotted(properties)})


def sink(**properties: Any) -> ConvertedConnector:
    """A sink connector."""
    base = {"connection.uri": "mongodb://127.0.0.1/", "database": "shop", "topics": "orders"}
    return converted({"connector.class": SINK_CLASS, **base, **dotted(properties)})


def dotted(properties: Document) -> Document:
    """Property names written as keywords."""
    return {name.replace("_", "."): value for name, value in properties.items()}


def missed(found: ConvertedConnector) -> dict[str, str]:
    """Property to the reason why it became nothing."""
    return {each["field"]: each["reason"] for each in found["unmapped"]}
