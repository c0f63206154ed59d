"""Let fields into documents that a validator would object to.

Documents carry hidden fields. Of a validator only `$jsonSchema`, and of a schema only what speaks
of the document as a whole, can notice them: `additionalProperties` is told to let them pass, the
other such keywords are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Document = dict[str, Any]

_LISTS: Final = ("allOf", "anyOf", "oneOf")
"""Keywords whose schemas are about the same document."""
_COUNTING: Final = frozenset({"minProperties", "maxProperties", "patternProperties", "enum"})
"""Keywords about all fields of the document, whatever their names."""


def counts_fields(query: Any) -> bool:
    """Whether the query looks at every field of a document, hidden ones too."""
    return any(_COUNTING & schema.keys() for schema in _root_schemas(query))


def letting_in(query: Any, names: Sequence[str]) -> Any:
    """The query, fields of these names being no additional properties."""

    def opened(schema: Document) -> Document:
        if "additionalProperties" not in schema:
            return schema
        allowed = {**schema.get("properties", {}), **{name: {} for name in names}}
        return {**schema, "properties": allowed}

    return _in_root_schemas(query, opened)


def _root_schemas(query: Any) -> Iterator[Document]:
    found: list[Document] = []

    def noted(schema: Document) -> Document:
        found.append(schema)
        return schema

    _in_root_schemas(query, noted)
    yield from found


def _in_root_schemas(query: Any, change: Callable[[Document], Document]) -> Any:
    """Apply `change` to every schema of a query that is about the document itself."""
    if isinstance(query, list):
        return [_in_root_schemas(item, change) for item in query]
    if not isinstance(query, dict):
        return query
    return {
        key: _schema(value, change)
        if key == "$jsonSchema"
        else _in_root_schemas(value, change)
        if key in ("$and", "$or", "$nor")
        else value
        for key, value in query.items()
    }


def _schema(schema: Any, change: Callable[[Document], Document]) -> Any:
    """A schema and those inside it that are about the same document."""
    if not isinstance(schema, dict):
        return schema
    inner = dict(change(schema))
    for name in _LISTS:
        if isinstance(inner.get(name), list):
            inner[name] = [_schema(item, change) for item in inner[name]]
    if "not" in inner:
        inner["not"] = _schema(inner["not"], change)
    if isinstance(inner.get("dependencies"), dict):
        inner["dependencies"] = {
            name: _schema(item, change) for name, item in inner["dependencies"].items()
        }
    return inner
