"""JSON types and JSON paths in plain words, for help pages and for faults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_FORMATS: Final = {
    "date-time": "date and time (ISO 8601)",
    "date": "date (ISO 8601)",
    "duration": "duration (ISO 8601)",
    "password": "secret text",
    "path": "file path",
}
_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "null",
}
_PLAIN_KEY: Final = re.compile(r"[\w$-]+")
_LONGEST_VALUE: Final = 60


def type_words(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """What a JSON Schema asks for, in plain words.

    Args:
        schema: The schema of one value.
        definitions: What its `$ref` point to (`$defs` of the whole schema).

    Example:
        >>> type_words({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"const": "x"}]})
        'list of whole number or "x"'
    """
    schema = resolve(schema, definitions)
    if "enum" in schema:
        return "one of " + ", ".join(map(_json, schema["enum"]))
    if "const" in schema:
        return _json(schema["const"])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " or ".join(dict.fromkeys(type_words(branch, definitions) for branch in branches))
    kind = schema.get("type", "")
    if kind == "array" and schema.get("items"):
        return f"list of {type_words(schema['items'], definitions)}"
    return _FORMATS.get(schema.get("format", ""), _TYPES.get(kind, "any value"))


def resolve(schema: Any, definitions: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A schema with its `$ref` followed; `true` and unknown references accept anything."""
    for _ in range(len(definitions or ()) + 1):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        schema = (definitions or {}).get(schema["$ref"].removeprefix("#/$defs/"), {})
    return schema if isinstance(schema, Mapping) else {}


def value_words(value: Any) -> str:
    """A JSON value as a fault shows it: small ones as they are, large ones by their kind."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = _json(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def json_path(steps: Iterable[str | int]) -> str:
    """A JSON path from its steps.

    Example:
        >>> json_path(["pipeline", 1, "$match", "a b"])
        '$.pipeline[1].$match["a b"]'
    """
    return "$" + "".join(map(_step, steps))


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f"[{_json(step)}]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
