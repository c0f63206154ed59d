"""Which document a record becomes, and how it is written: id and write model strategies.

Source: MongoDB Kafka Connector, pages "Id Strategy Properties", "Write Model Strategies"; Atlas
page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

KEY: Final = "stream.source.key"
_ID: Final = "the stage that sets _id"
_RECORD: Final[list[Any]] = [
    {"$meta": "stream.source.topic"},
    "#",
    {"$toString": {"$meta": "stream.source.partition"}},
    "#",
    {"$toString": {"$meta": "stream.source.offset"}},
]
_PARTIAL: Final = {
    "key": ("document.id.strategy.partial.key.projection", "key.projection"),
    "value": ("document.id.strategy.partial.value.projection", "value.projection"),
}
_BUSINESS: Final = frozenset(
    (
        "ReplaceOneBusinessKeyStrategy",
        "DeleteOneBusinessKeyStrategy",
        "UpdateOneBusinessKeyTimestampStrategy",
    )
)


def uses_key(draft: Draft) -> bool:
    """Whether the id comes from the record's key."""
    strategy = draft.kind("document.id.strategy", "BsonOidStrategy")
    return strategy in ("FullKeyStrategy", "PartialKeyStrategy", "ProvidedInKeyStrategy")


def id_stages(draft: Draft, key: str) -> list[Document]:
    """The stages that give a document its `_id`.

    Args:
        draft: The conversion.
        key: Metadata path of the record's key document.
    """
    strategy = draft.kind("document.id.strategy", "BsonOidStrategy")
    draft.take("document.id.strategy", _ID)
    overwrites = draft.flag("document.id.strategy.overwrite.existing", _ID)
    if _is_business(draft):
        draft.note("document id", "MongoDB makes the _id; the business key identifies documents.")
        return []
    if strategy == "BsonOidStrategy":
        return [{"$unset": "_id"}] if overwrites else []
    if strategy == "ProvidedInValueStrategy":
        draft.note("document id", "A value without _id gets a new one; the connector refused it.")
        return []
    computed = _computed_id(draft, strategy, key)
    if computed is None:
        return []
    # As an expression: an object in $set would be merged into an _id that is an object.
    wanted = {"$mergeObjects": [computed]} if _is_literal(computed) else computed
    keeps = not overwrites and not strategy.startswith("Provided")
    return [{"$set": {"_id": {"$ifNull": ["$_id", wanted]} if keeps else wanted}}]


def _computed_id(draft: Draft, strategy: str, key: str) -> Any:
    if strategy == "UuidStrategy":
        form = draft.take("document.id.strategy.uuid.format", _ID, "string")
        if form.lower() != "binary":
            draft.note("document id", "UUIDs are binary (subtype 4), not text.")
        return {"$createUUID": {}}
    if strategy == "KafkaMetaDataStrategy":
        return {"$concat": _RECORD}
    if strategy == "FullKeyStrategy":
        return {"$meta": key}
    if strategy == "ProvidedInKeyStrategy":
        return {"$meta": f"{key}._id"}
    if strategy in ("PartialKeyStrategy", "PartialValueStrategy"):
        return _partial_id(draft, strategy, key)
    reason = "Java classes cannot be used" if strategy == "custom" else f"there is no {strategy}"
    draft.miss("document.id.strategy", reason, "set _id with a $set stage of your own")
    return None


def _partial_id(draft: Draft, strategy: str, key: str) -> Any:
    part = "key" if strategy == "PartialKeyStrategy" else "value"
    fields, keeps = _projection(draft, part)
    if fields is None:
        return None
    if keeps:
        return {
            name: {"$meta": f"{key}.{name}"} if part == "key" else f"${name}"
            for name in fields
            if "." not in name
        } or None
    rest: Any = {"$meta": key} if part == "key" else "$$ROOT"
    for name in fields:
        rest = {"$unsetField": {"field": name, "input": rest}}
    return rest


def _projection(draft: Draft, part: str) -> tuple[list[str] | None, bool]:
    """The fields of a partial id, and whether they are those that stay."""
    for prefix in _PARTIAL[part]:
        if not draft.has(f"{prefix}.list"):
            continue
        fields = draft.fields(f"{prefix}.list")
        kind = draft.take(f"{prefix}.type", _ID).lower()
        if not fields or kind not in ("allowlist", "whitelist", "blocklist", "blacklist"):
            reason = "fields with wildcards, or without a type, are not translated"
            draft.miss(f"{prefix}.list", reason, "set _id with a $set stage of your own")
            draft.miss(f"{prefix}.type", reason, "set _id with a $set stage of your own")
            return None, True
        nested = [name for name in fields if "." in name]
        draft.take(f"{prefix}.list", _ID)
        if nested:
            draft.note("document id", f"Nested fields are left out of the _id: {nested}.")
        return [name for name in fields if "." not in name], kind in ("allowlist", "whitelist")
    draft.miss("document.id.strategy", "its projection list is missing", "give the list")
    return None, True


def _is_literal(expression: Any) -> bool:
    return isinstance(expression, dict) and not next(iter(expression), "$").startswith("$")


def _is_business(draft: Draft) -> bool:
    return draft.kind("writemodel.strategy", "") in _BUSINESS


def write_model(draft: Draft) -> Document:
    """`on`, `whenMatched` and `whenNotMatched` of `$merge`."""
    strategy = draft.kind("writemodel.strategy", "DefaultWriteModelStrategy")
    draft.take("writemodel.strategy", "$merge.whenMatched, whenNotMatched, on")
    model: Document = {"whenMatched": "replace", "whenNotMatched": "insert"}
    business = _business_key(draft) if strategy in _BUSINESS else None
    if strategy in _BUSINESS and business is None:
        draft.miss(
            "writemodel.strategy",
            "a business key is the fields of a PartialValueStrategy with an allow list",
            "write $merge.on yourself, over fields with a unique index",
        )
        return model
    if business:
        model = {"on": business, **model}
    return model | _modes(draft, strategy, replaces_id=business is None)


def _modes(draft: Draft, strategy: str, *, replaces_id: bool) -> Document:
    if strategy in ("DefaultWriteModelStrategy", "ReplaceOneDefaultStrategy"):
        return {}
    if strategy == "ReplaceOneBusinessKeyStrategy":
        # The document keeps the _id that it has.
        kept = {"$mergeObjects": ["$$new", {"_id": "$_id"}]}
        return {} if replaces_id else {"whenMatched": [{"$replaceWith": kept}]}
    if strategy == "InsertOneDefaultStrategy":
        draft.note("write model", "A document whose _id exists is kept as it is, without error.")
        return {"whenMatched": "keepExisting"}
    if strategy == "UpdateOneDefaultStrategy":
        return {"whenMatched": "merge"}
    if strategy in ("DeleteOneDefaultStrategy", "DeleteOneBusinessKeyStrategy"):
        return {"whenMatched": "delete", "whenNotMatched": "discard"}
    if strategy in ("UpdateOneTimestampsStrategy", "UpdateOneBusinessKeyTimestampStrategy"):
        inserted = {"$ifNull": ["$_insertedTS", "$$new._insertedTS"]}
        merged = ["$$ROOT", "$$new", {"_insertedTS": inserted, "_id": "$_id"}]
        return {"whenMatched": [{"$replaceWith": {"$mergeObjects": merged}}]}
    reason = "Java classes cannot be used" if strategy == "custom" else f"there is no {strategy}"
    draft.miss("writemodel.strategy", reason, "write $merge.whenMatched yourself")
    return {}


def _business_key(draft: Draft) -> list[str] | None:
    if draft.kind("document.id.strategy", "") != "PartialValueStrategy":
        return None
    fields, keeps = _projection(draft, "value")
    if not fields or not keeps:
        return None
    draft.note("write model", "$merge needs a unique index over its `on`: see `indexes`.")
    return fields


def timestamp_stages(draft: Draft) -> list[Document]:
    """The stages in front of a write model that keeps the times of writing."""
    strategy = draft.kind("writemodel.strategy", "")
    if strategy not in ("UpdateOneTimestampsStrategy", "UpdateOneBusinessKeyTimestampStrategy"):
        return []
    now: Document = {"$currentDate": {}}
    return [{"$set": {"_insertedTS": now, "_modifiedTS": now}}]
