"""Change data capture handlers of the sink: events in the value become writes.

Source: MongoDB Kafka Connector, page "Change Data Capture Handlers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

_HANDLER: Final = "change.data.capture.handler"
_OPERATION: Final = "stream.cdc.operation"
_STREAMS: Final = ("com.mongodb.kafka.connect.sink.cdc.mongodb.ChangeStreamHandler",)
_STREAM_NAMES: Final = ("MongoDbChangeStreamHandler",)
_RELATIONAL: Final = (
    "DebeziumMySqlHandler", "DebeziumPostgresHandler", "RdbmsHandler", "MysqlHandler",
    "PostgresHandler",
)  # fmt: skip


def handler_of(draft: Draft) -> str:
    """`stream`, `relational`, or nothing where there is no handler that can be translated."""
    text = draft.text(_HANDLER)
    if text.lower() in ("", "none"):
        draft.take(_HANDLER, "nothing: there is none")
        return ""
    name = text.rpartition(".")[2]
    if text in _STREAMS or name in _STREAM_NAMES:
        draft.take(_HANDLER, "the stages before $merge")
        return "stream"
    if name in _RELATIONAL and ".qlik." not in text:
        draft.take(_HANDLER, "the stages before $merge")
        return "relational"
    draft.miss(_HANDLER, f"events of {name} are not translated", "write stages for its events")
    return ""


def change_stages(draft: Draft, handler: str, key: str) -> list[Document]:
    """The stages that make documents of events.

    Args:
        draft: The conversion.
        handler: What `handler_of` gave.
        key: Metadata path of the record's key document.
    """
    if handler == "stream":
        draft.note(
            "change data capture",
            "Updates are written from fullDocument: the events must have it (updateLookup); one "
            "that has a description of the update only is left out.",
        )
        has_document: Document = {"fullDocument": {"$type": "object"}}
        return [
            {"$match": {"$or": [{"operationType": "delete"}, has_document]}},
            {"$setStreamMeta": {_OPERATION: "$operationType"}},
            {"$replaceRoot": {"newRoot": {"$ifNull": ["$fullDocument", "$documentKey"]}}},
        ]
    draft.note("change data capture", "Tombstones that follow Debezium's deletes are dead letters.")
    row = {"$mergeObjects": [{"$ifNull": ["$after", {}]}, {"_id": {"$meta": key}}]}
    return [
        {"$match": {"op": {"$in": ["c", "r", "u", "d"]}}},
        {"$setStreamMeta": {_OPERATION: "$op"}},
        {"$replaceRoot": {"newRoot": row}},
    ]


def change_model(handler: str) -> Document:
    """`whenMatched` and `whenNotMatched` for what `change_stages` gives."""
    deletes = {"$eq": [{"$meta": _OPERATION}, "delete" if handler == "stream" else "d"]}
    return {
        "whenMatched": {"$cond": [deletes, "delete", "replace"]},
        "whenNotMatched": {"$cond": [deletes, "discard", "insert"]},
    }
