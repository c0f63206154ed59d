"""Which topic a change goes to, as the connector's `DefaultTopicMapper` decides.

Source: MongoDB Kafka Connector, page "Kafka Topic Properties".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asp_utils.pipeline.connectors.draft import Draft

_TO: Final = "pipeline.$emit.topic"
_VARIABLE: Final = re.compile(r"\{(db|sep|coll|sep_coll|coll_sep|sep_coll_sep)\}")
_DB: Final = {"$meta": "stream.source.ns.db"}
_COLL: Final = {"$meta": "stream.source.ns.coll"}


@dataclass(frozen=True)
class _Mapper:
    """The properties of the mapper."""

    separator: str
    prefix: str
    suffix: str
    map: dict[str, str]


def topic_of(draft: Draft, database: str, collection: str) -> Any:
    """The topic: a name where database and collection are fixed, else an expression."""
    if draft.kind("topic.mapper", "DefaultTopicMapper") == "custom":
        draft.miss("topic.mapper", "Java classes cannot be used", "write $emit.topic yourself")
    else:
        draft.take("topic.mapper", _TO)
    mapper = _Mapper(
        draft.take("topic.separator", _TO, "."),
        draft.take("topic.prefix", _TO),
        draft.take("topic.suffix", _TO),
        _namespace_map(draft),
    )
    if database and collection:
        return _decorated(mapper, _fixed(draft, mapper, database, collection))
    return _computed(draft, mapper, database)


def _namespace_map(draft: Draft) -> dict[str, str]:
    given = draft.parsed("topic.namespace.map")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(it, str) for it in given.values()):
        draft.miss("topic.namespace.map", "it is no object of names", "correct it")
        return {}
    draft.take("topic.namespace.map", _TO)
    return {pattern: template for pattern, template in given.items() if template}


def _fixed(draft: Draft, mapper: _Mapper, database: str, collection: str) -> str:
    """The undecorated topic of one collection."""
    namespace = f"{database}.{collection}"
    if namespace in mapper.map:
        return mapper.map[namespace]
    if database in mapper.map:
        return f"{mapper.map[database]}{mapper.separator}{collection}"
    for pattern, template in mapper.map.items():
        if pattern.startswith("/"):
            try:
                matches = re.fullmatch(pattern[1:], namespace)
            except re.error:
                reason = f"the expression {pattern} is Java's own"
                draft.miss("topic.namespace.map", reason, "write $emit.topic yourself")
                continue
            if matches:
                return _expanded(template, database, collection, mapper.separator)
    if "*" in mapper.map:
        return mapper.map["*"]
    return f"{database}{mapper.separator}{collection}"


def _expanded(template: str, database: str, collection: str, separator: str) -> str:
    values = {
        "db": database,
        "sep": separator,
        "coll": collection,
        "sep_coll": f"{separator}{collection}",
        "coll_sep": f"{collection}{separator}",
        "sep_coll_sep": f"{separator}{collection}{separator}",
    }
    return _VARIABLE.sub(lambda found: values[found[1]], template)


def _decorated(mapper: _Mapper, topic: str) -> str:
    parts = (mapper.prefix, topic, mapper.suffix)
    return mapper.separator.join(part for part in parts if part)


def _computed(draft: Draft, mapper: _Mapper, database: str) -> Any:
    """An expression over the namespace of each change."""
    if any(pattern.startswith("/") for pattern in mapper.map):
        reason = "regular expressions over namespaces are not translated"
        draft.miss("topic.namespace.map", reason, "write $emit.topic yourself, with $regexMatch")
    # Events of a whole database have no collection.
    has_collection = {"$ne": [{"$ifNull": [_COLL, None]}, None]}
    suffixed = {"$cond": [has_collection, {"$concat": [mapper.separator, _COLL]}, ""]}
    branches: list[dict[str, Any]] = []
    for pattern, template in mapper.map.items():
        if pattern == "*" or pattern.startswith("/"):
            continue
        db, _, coll = pattern.partition(".")
        same_db = {"$eq": [_DB, db]}
        if coll:
            case: Any = {"$and": [same_db, {"$eq": [_COLL, coll]}]}
            branches.insert(0, {"case": case, "then": template})
        else:
            branches.append({"case": same_db, "then": {"$concat": [template, suffixed]}})
    named: Any = mapper.map.get("*") or {"$concat": [database or _DB, suffixed]}
    if branches:
        named = {"$switch": {"branches": branches, "default": named}}
    parts: list[Any] = []
    if mapper.prefix:
        parts.append(mapper.prefix + mapper.separator)
    parts.append(named)
    if mapper.suffix:
        parts.append(mapper.separator + mapper.suffix)
    return {"$concat": parts}
