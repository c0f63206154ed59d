"""Rewrite stages so that mongod can run them and lose nothing on the way.

Between source and window a document carries hidden fields: its window (`__asp_w`) and, where the
pipeline asks for it, its stream metadata (`__asp_m`). Both are ordinary fields to mongod, so the
stages that would drop or show them are rewritten. After a window the metadata is one constant,
given as a variable.

Source of the metadata paths: Atlas page "$meta"; asp-reference.md 2.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Stage = dict[str, Any]

WINDOW_FIELD: Final = "__asp_w"
"""Hidden field: the start of the document's window, ms since the epoch."""
METADATA_FIELD: Final = "__asp_m"
"""Hidden field: the document's stream metadata, as an object."""
METADATA_VARIABLE: Final = "aspStream"
"""Variable that holds the stream metadata inside and after a window."""

_KEEP: Final = object()
_NUMBER_TYPES: Final = (bool, int, float)


def refers_to_metadata(value: Any) -> bool:
    """Whether `{$meta: "stream..."}`, or a query on metadata, occurs anywhere in a stage."""
    if isinstance(value, dict):
        return (
            _metadata_path(value) is not None
            or queries_metadata(value)
            or any(map(refers_to_metadata, value.values()))
        )
    return isinstance(value, list) and any(map(refers_to_metadata, value))


def queries_metadata(value: Any) -> bool:
    """Whether a query at hand compares a field of the carried metadata."""
    if isinstance(value, dict):
        return any(
            str(key).startswith(METADATA_FIELD) or queries_metadata(inner)
            for key, inner in value.items()
        )
    return isinstance(value, list) and any(map(queries_metadata, value))


def resolve_metadata(stage: Stage, base: str) -> Stage:
    """Replace `{$meta: "stream.x"}` by `base.x`; base is `$__asp_m` or `$$aspStream`."""
    whole: Any = base
    if base == f"${METADATA_FIELD}":
        whole = {"$unsetField": {"field": _REDACT_MARK, "input": base}}

    def replace(node: Any) -> Any:
        path = _metadata_path(node)
        if path is None:
            return _KEEP
        return whole if path == "stream" else base + path.removeprefix("stream")

    return _in_expressions(stage, replace)


def replace_metadata(stage: Stage, values: Mapping[str, Any]) -> Stage:
    """Replace `{$meta: path}` by the expression that is given for that very path, if one is."""
    return _in_expressions(stage, lambda node: values.get(_metadata_path(node) or "", _KEEP))


def carry(stage: Stage, fields: Sequence[str]) -> Stage:
    """The stage, changed so that the hidden `fields` survive it and stay hidden."""
    if not fields:
        return stage
    stage = _in_expressions(stage, lambda node: _without_hidden(node, fields))
    name, options = next(iter(stage.items()))
    match name:
        case "$project" if _is_inclusion(options):
            return {name: {**options, **dict.fromkeys(fields, 1)}}
        case "$replaceRoot":
            return {name: {**options, "newRoot": _rooted(options["newRoot"], fields)}}
        case "$replaceWith":
            return {name: _rooted(options, fields)}
        case "$redact":
            # $redact visits every embedded object; those of ours mark themselves.
            mine = {"$eq": [{"$type": "$$CURRENT." + _REDACT_MARK}, "bool"]}
            return {name: {"$cond": [mine, "$$KEEP", options]}}
        case _:
            return stage


_REDACT_MARK: Final = "__asp_meta"


def mark_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """A hidden object as it is carried, recognisable to a rewritten `$redact`."""
    return {**metadata, _REDACT_MARK: True}


def unmark_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata as a user sees it."""
    metadata.pop(_REDACT_MARK, None)
    return metadata


def _metadata_path(node: Any) -> str | None:
    if isinstance(node, dict) and len(node) == 1:
        path = node.get("$meta")
        if isinstance(path, str) and (path == "stream" or path.startswith("stream.")):
            return path
    return None


def _in_expressions(stage: Stage, replace: Callable[[Any], Any]) -> Stage:
    """Apply `replace` to every expression node; `_KEEP` means: go on below this node.

    A `$match` holds a query: only what stands below `$expr` is an expression there.
    """

    def walk(node: Any, *, expression: bool) -> Any:
        if expression:
            replaced = replace(node)
            if replaced is not _KEEP:
                return replaced
        if isinstance(node, dict):
            return {
                key: value
                if key == "$literal"
                else walk(value, expression=expression or key == "$expr")
                for key, value in node.items()
            }
        if isinstance(node, list):
            return [walk(item, expression=expression) for item in node]
        return node

    name, options = next(iter(stage.items()))
    return {name: walk(options, expression=name != "$match")}


def _without_hidden(node: Any, fields: Sequence[str]) -> Any:
    """`$$ROOT` and `$$CURRENT` as the user means them: without our fields."""
    if node not in ("$$ROOT", "$$CURRENT"):
        return _KEEP
    plain: Any = node
    for field in fields:
        plain = {"$unsetField": {"field": field, "input": plain}}
    return plain


def _rooted(expression: Any, fields: Sequence[str]) -> Any:
    """A new root with the hidden fields; what is no object stays as it is, so mongod refuses it."""
    merged = {"$mergeObjects": ["$$aspRoot", {field: f"${field}" for field in fields}]}
    is_object = {"$eq": [{"$type": "$$aspRoot"}, "object"]}
    return {
        "$let": {
            "vars": {"aspRoot": expression},
            "in": {"$cond": [is_object, merged, "$$aspRoot"]},
        }
    }


def _is_inclusion(options: Any) -> bool:
    """Whether a `$project` names what it keeps (then all else, ours included, is dropped)."""
    if not isinstance(options, dict):
        return False
    verdicts = [_includes(value) for key, value in options.items() if key != "_id"]
    if not verdicts:
        return bool(options.get("_id", False))
    return any(verdicts)


def _includes(value: Any) -> bool:
    if isinstance(value, _NUMBER_TYPES):
        return bool(value)
    if isinstance(value, dict) and value and not next(iter(value)).startswith("$"):
        return any(_includes(inner) for inner in value.values())
    return True
