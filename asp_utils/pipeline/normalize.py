"""Say in mongod's words what Atlas Stream Processing says in its own.

    {$currentDate: {}}          -> "$$aspNow", the time at which the batch is evaluated
    {$createUUID: {}}           -> JavaScript that makes a random UUID
    {$expr: x} in an expression -> x
    "$_stream_meta.source.ts"   -> {$meta: "stream.source.ts"}

It is done once, when a pipeline is planned; everything behind the plan sees mongod's words only.

Source: Atlas pages "$currentDate", "$createUUID", "$meta"; asp-reference.md 2.10, 2.13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asp_utils.pipeline.rewrite import METADATA_FIELD

NOW_VARIABLE: Final = "aspNow"
"""Variable that holds the evaluator's time; it is given with every command."""
LEGACY_FIELD: Final = "_stream_meta"
"""The field in which documents of 2024 carried their stream metadata."""

_LITERAL: Final = "$literal"
_QUERIES: Final = frozenset({"$match"})
"""What holds a query: an expression begins only below its `$expr`."""
_LOGICAL: Final = frozenset({"$and", "$or", "$nor"})
"""What holds further queries of the same document."""
_CREATE_UUID: Final = {
    "$function": {"body": "function() { return UUID(); }", "args": [], "lang": "js"}
}
_OLD_PATHS: Final = {
    "sourceType": "source.type",
    "timestamp": "source.ts",
    "windowStartTimestamp": "window.start",
    "windowEndTimestamp": "window.end",
}
"""Names below `_stream_meta` of 2023, and what became of them."""


@dataclass(frozen=True)
class Normalizer:
    """Rewrites stages.

    Args:
        aliases: Field names that stand for stream metadata, with the path that each stands for:
            `{"_stream_meta": "stream", "_ts": "stream.source.ts"}`.
    """

    aliases: dict[str, str]

    def stage(self, stage: dict[str, Any]) -> dict[str, Any]:
        """The stage in mongod's words."""
        name, options = next(iter(stage.items()))
        if name == "$validate" and isinstance(options, dict) and "validator" in options:
            return {name: {**options, "validator": self._query(options["validator"])}}
        if name in _QUERIES:
            return {name: self._query(options)}
        return {name: self._expression(options)}

    def _expression(self, node: Any) -> Any:
        if isinstance(node, str):
            return self._path(node)
        if isinstance(node, list):
            return [self._expression(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, value = next(iter(node.items()))
            if name == "$currentDate" and value == {}:
                return f"$${NOW_VARIABLE}"
            if name == "$createUUID" and value == {}:
                return _CREATE_UUID
            if name == "$expr":
                return self._expression(value)
        return {key: self._value_of(key, value) for key, value in node.items()}

    def _value_of(self, key: str, value: Any) -> Any:
        if key == _LITERAL:
            return value
        return self._query(value) if key in _QUERIES else self._expression(value)

    def _query(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        return {self._query_key(key): self._clause(key, value) for key, value in node.items()}

    def _clause(self, key: str, value: Any) -> Any:
        """What a query says of one field; below it all names are those of embedded documents."""
        if key == "$expr":
            return self._expression(value)
        if key in _LOGICAL and isinstance(value, list):
            return [self._query(query) for query in value]
        return value

    def _query_key(self, key: str) -> str:
        """A field path of a query; metadata is asked for where documents carry it."""
        first, _, rest = key.partition(".")
        if first not in self.aliases:
            return key
        return _below(METADATA_FIELD + self.aliases[first].removeprefix("stream"), rest)

    def _path(self, text: str) -> Any:
        """A field path that stands for metadata as `$meta`; any other string as it is."""
        if not text.startswith("$") or text.startswith("$$"):
            return text
        first, _, rest = text[1:].partition(".")
        if first not in self.aliases:
            return text
        return {"$meta": _below(self.aliases[first], rest)}


def _below(base: str, rest: str) -> str:
    first, _, more = rest.partition(".")
    path = _OLD_PATHS.get(first, first) + (f".{more}" if more else "")
    return f"{base}.{path}" if path else base
