"""What a sink connector does to a record's value: transforms and post processors, as stages.

Source: MongoDB Kafka Connector, page "Sink Connector Post Processors"; Apache Kafka, "Single
Message Transforms".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.connectors.draft import is_plain
from asp_utils.pipeline.connectors.identity import id_stages
from asp_utils.pipeline.connectors.times import date_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]
    Stages = list[Document]

_OWN_STAGES: Final = "write it as stages behind $source"
_CASTS: Final = {
    "int8": "$toInt",
    "int16": "$toInt",
    "int32": "$toInt",
    "int64": "$toLong",
    "float32": "$toDouble",
    "float64": "$toDouble",
    "boolean": "$toBool",
    "string": "$toString",
}
_PLACES: Final = {
    "topic.field": "topic",
    "partition.field": "partition",
    "offset.field": "offset",
    "timestamp.field": "ts",
}


def transform_stages(draft: Draft) -> Stages:
    """The single message transforms, in their order, as far as they can be translated."""
    stages: Stages = []
    aliases = draft.words("transforms")
    draft.take("transforms", "stages behind $source")
    for alias in aliases:
        prefix = f"transforms.{alias}."
        kind = draft.text(f"{prefix}type").rpartition(".")[2]
        translate = _TRANSFORMS.get(kind)
        if translate is None or draft.has(f"{prefix}predicate"):
            reason = "its predicate" if translate else f"the transform {kind or alias}"
            draft.miss(f"{prefix}type", f"{reason} is not translated", _OWN_STAGES)
            continue
        before = dict(draft.mapped)
        made = translate(draft, prefix)
        if made is None:
            draft.mapped = before
            draft.miss(f"{prefix}type", "with these settings it is not translated", _OWN_STAGES)
            continue
        draft.take(f"{prefix}type", "stages behind $source")
        stages += made
    return stages


def _insert_field(draft: Draft, prefix: str) -> Stages | None:
    added: Document = {}
    for setting, path in _PLACES.items():
        name = draft.take(prefix + setting, "$set").rstrip("!?")
        if name:
            added[name] = {"$meta": f"stream.source.{path}"}
    name = draft.take(f"{prefix}static.field", "$set").rstrip("!?")
    value = draft.take(f"{prefix}static.value", "$set")
    if name:
        added[name] = {"$literal": value}
    return [{"$set": added}] if added and all(map(is_plain, added)) else None


def _replace_field(draft: Draft, prefix: str) -> Stages | None:
    stages: Stages = []
    for name, keeps in (
        ("exclude", False),
        ("blacklist", False),
        ("include", True),
        ("whitelist", True),
    ):
        fields = draft.fields(prefix + name)
        if fields is None:
            return None
        if fields:
            draft.take(prefix + name, "$project" if keeps else "$unset")
            stages.append({"$project": dict.fromkeys(fields, 1)} if keeps else {"$unset": fields})
    pairs = [word.partition(":")[::2] for word in draft.words(f"{prefix}renames")]
    draft.take(f"{prefix}renames", "$set and $unset")
    if not all(is_plain(old) and is_plain(new) for old, new in pairs):
        return None
    return stages + _renamed([(old, new) for old, new in pairs])


def _renamed(pairs: list[tuple[str, str]]) -> Stages:
    if not pairs:
        return []
    gone = [old for old, new in pairs if old not in {each for _, each in pairs}]
    stages: Stages = [{"$set": {new: f"${old}" for old, new in pairs}}]
    return stages + ([{"$unset": gone}] if gone else [])


def _extract_field(draft: Draft, prefix: str) -> Stages | None:
    name = draft.take(f"{prefix}field", "$replaceRoot")
    return [{"$replaceRoot": {"newRoot": f"${name}"}}] if is_plain(name) else None


def _hoist_field(draft: Draft, prefix: str) -> Stages | None:
    name = draft.take(f"{prefix}field", "$replaceRoot")
    fits = is_plain(name) and "." not in name
    return [{"$replaceRoot": {"newRoot": {name: "$$ROOT"}}}] if fits else None


def _mask_field(draft: Draft, prefix: str) -> Stages | None:
    fields = draft.fields(f"{prefix}fields")
    draft.take(f"{prefix}fields", "$set")
    replacement = draft.take(f"{prefix}replacement", "$set")
    if not fields:
        return None
    # Without a replacement each type has a value of its own for nothing.
    return [{"$set": {name: {"$literal": replacement or None} for name in fields}}]


def _cast(draft: Draft, prefix: str) -> Stages | None:
    casts: Document = {}
    for word in draft.words(f"{prefix}spec"):
        name, _, kind = word.partition(":")
        if not is_plain(name) or kind not in _CASTS:
            return None
        casts[name] = {_CASTS[kind]: f"${name}"}
    draft.take(f"{prefix}spec", "$set")
    return [{"$set": casts}] if casts else None


def _convert_timestamp(draft: Draft, prefix: str) -> Stages | None:
    name = draft.take(f"{prefix}field", "$set")
    target = draft.take(f"{prefix}target.type", "$set")
    form = draft.take(f"{prefix}format", "$set")
    if not is_plain(name) or target not in ("Timestamp", "Date", "unix"):
        return None
    date = date_of(f"${name}", form)
    if date is None:
        return None
    return [{"$set": {name: {"$toLong": date} if target == "unix" else date}}]


_TRANSFORMS: Final[dict[str, Callable[[Draft, str], Stages | None]]] = {
    "InsertField$Value": _insert_field,
    "ReplaceField$Value": _replace_field,
    "ExtractField$Value": _extract_field,
    "HoistField$Value": _hoist_field,
    "MaskField$Value": _mask_field,
    "Cast$Value": _cast,
    "TimestampConverter$Value": _convert_timestamp,
}


def post_processor_stages(draft: Draft, key: str) -> Stages:
    """The post processors in the order of their chain.

    Args:
        draft: The conversion.
        key: Metadata path of the record's key document.
    """
    chain = draft.words("post.processor.chain") or ["DocumentIdAdder"]
    draft.take("post.processor.chain", "stages before the sink")
    stages: Stages = []
    for word in chain:
        name = word.rpartition(".")[2]
        if name == "DocumentIdAdder":
            stages += id_stages(draft, key)
        elif name in ("BlockListValueProjector", "BlacklistValueProjector"):
            stages += _projected(draft, keeps=False)
        elif name in ("AllowListValueProjector", "WhitelistValueProjector"):
            stages += _projected(draft, keeps=True)
        elif name == "RenameByMapping":
            stages += _mapped_names(draft)
        elif name == "KafkaMetaAdder":
            stages += _kafka_place(draft)
        elif name == "NullFieldValueRemover":
            stages += _without_nulls(draft)
        else:
            draft.miss("post.processor.chain", f"{name} is not translated", _OWN_STAGES)
    return stages


def _projected(draft: Draft, *, keeps: bool) -> Stages:
    fields = draft.fields("value.projection.list")
    if not fields:
        reason = "fields with wildcards are not translated"
        draft.miss("value.projection.list", reason, "name them in $project or $unset")
        return []
    draft.take("value.projection.list", "$project" if keeps else "$unset")
    draft.take("value.projection.type", "$project" if keeps else "$unset")
    if not keeps:
        return [{"$unset": fields}]
    return [{"$project": dict.fromkeys(_without_parents(fields), 1)}]


def _without_parents(fields: list[str]) -> list[str]:
    """An allow list names parents too; in `$project` a parent would bring everything below it."""
    return [name for name in fields if not any(it.startswith(f"{name}.") for it in fields)]


def _mapped_names(draft: Draft) -> Stages:
    given = draft.parsed("field.renamer.mapping")
    if not isinstance(given, list):
        draft.miss("field.renamer.mapping", "it is no list of renamings", "correct it")
        return []
    pairs = []
    for entry in given:
        old = str(entry.get("oldName", "")) if isinstance(entry, dict) else ""
        new = str(entry.get("newName", "")) if isinstance(entry, dict) else ""
        where, _, path = old.partition(".")
        if where != "value" or not is_plain(path) or not is_plain(new) or "." in new:
            reason = "only fields of the value get other names"
            draft.miss("field.renamer.mapping", reason, _OWN_STAGES)
            return []
        parent = path.rpartition(".")[0]
        pairs.append((path, f"{parent}.{new}" if parent else new))
    draft.take("field.renamer.mapping", "$set and $unset")
    return _renamed(pairs)


def _kafka_place(draft: Draft) -> Stages:
    parts: list[Any] = []
    for name in ("topic", "partition", "offset"):
        value = {"$meta": f"stream.source.{name}"}
        parts += [*(["-"] if parts else []), value if name == "topic" else {"$toString": value}]
    draft.note(
        "KafkaMetaAdder", "The record's time is in the field CREATE_TIME, whatever its kind."
    )
    time = {"$toLong": {"$meta": "stream.source.ts"}}
    return [{"$set": {"topic-partition-offset": {"$concat": parts}, "CREATE_TIME": time}}]


def _without_nulls(draft: Draft) -> Stages:
    draft.note("NullFieldValueRemover", "Nulls go from the top level only, not from within.")
    kept = {"$filter": {"input": {"$objectToArray": "$$ROOT"}, "cond": {"$ne": ["$$this.v", None]}}}
    return [{"$replaceRoot": {"newRoot": {"$arrayToObject": kept}}}]
