"""An inferred schema in words and as JSON Schema: fields, time fields, key fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.example_masking import masked, reason_to_mask
from asp_utils.pipeline.schema_inference import MAX_FIELDS, NUMBERS, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

_LONG_CHARS: Final = 80
_ISO: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?Z|[+-]\d{2}:?\d{2})?)?"
)
_TIME_NAME: Final = re.compile(
    r"(time|date|stamp|epoch|created|updated|modified|occurred|received)|(^|_)(ts|at)(_m?s)?$|At$",
    re.IGNORECASE,
)
_KEY_NAME: Final = re.compile(r"(id|key|code|type|kind|name|sku|uuid|number|no)s?$", re.IGNORECASE)
_FORMS: Final = ("date", "times", "ISO 8", "objec", "milli", "micro", "secon")
"""Forms of a time, the most trustworthy first, by how they begin."""
_SECONDS: Final = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100 since the epoch."""
_UNITS: Final = {
    "milliseconds": (1000, {"$toDate": {"$toLong": "$PATH"}}),
    "microseconds": (10**6, {"$toDate": {"$divide": ["$PATH", 1000]}}),
    "seconds": (1, {"$toDate": {"$multiply": [{"$toLong": "$PATH"}, 1000]}}),
}
_KEYS: Final = frozenset({"string", "int", "long", "objectId", "binData", "decimal"})
_MOSTLY: Final = 0.95
_LEAST_TO_GROUP: Final = 20


def placed(root: Field) -> Iterator[tuple[str, Field, Field]]:
    """Every field below the root, depth first: its path, it, and the field it is part of."""
    waiting = [("", root)]
    while waiting:
        path, field = waiting.pop()
        below = [
            (f"{path}.{name}" if path else name, child) for name, child in field.children.items()
        ]
        if field.elements is not None:
            below.append((f"{path}[]", field.elements))
        for inner, child in below:
            yield inner, child, field
        waiting += [each for each in reversed(below) if each[1].children or each[1].elements]


def fields_of(root: Field, max_examples: int) -> tuple[list[Document], int]:
    """What is known of every field, in the order of the documents; and how many are left out."""
    found = sorted(placed(root), key=lambda each: _order(root, each[0]))
    shown = [_described(*each, max_examples) for each in found[:MAX_FIELDS]]
    return shown, len(found) - len(shown)


def _order(root: Field, path: str) -> list[int]:
    """Where a path stands when an object's fields follow it at once."""
    place: list[int] = []
    field = root
    for step in re.split(r"\.|(?=\[\])", path):
        if step == "[]" and field.elements is not None:
            field = field.elements
            place.append(0)
        elif step in field.children:
            place.append(list(field.children).index(step))
            field = field.children[step]
    return place


def _described(path: str, field: Field, parent: Field, max_examples: int) -> Document:
    is_element = path.endswith("[]")
    why = reason_to_mask(path, field.distinct.values())
    described: Document = {
        "path": path,
        "types": dict(sorted(field.kinds.items(), key=lambda each: -each[1])),
        "presence": None if is_element else round(field.count / max(1, parent.objects), 4),
        "optional": not is_element and field.count < parent.objects,
        "nullable": "null" in field.kinds,
        "examples": [
            _example(value, hidden=why is not None) for value in _first(field, max_examples)
        ],
        "masked": why,
        "minimum": None if why else field.least,
        "maximum": None if why else field.most,
        "shortest": None if why else field.shortest,
        "longest": None if why else field.longest,
        "distinct_count": len(field.distinct) if field.scalars else None,
        "distinct_is_exact": not field.is_capped,
        "unique": _is_unique(field),
    }
    if field.is_map:
        described["note"] = "more keys than are told apart: a map, whose keys are data"
    return described


def _first(field: Field, count: int) -> list[Any]:
    return [value for _, value in zip(range(count), field.distinct.values(), strict=False)]


def _example(value: Any, *, hidden: bool) -> Any:
    if hidden:
        return masked(value)
    if isinstance(value, str) and len(value) > _LONG_CHARS:
        return f"{value[:_LONG_CHARS]}…"
    return value


def _is_unique(field: Field) -> bool:
    return field.scalars > 1 and field.repeats == 0 and field.scalars == field.count


def time_fields(root: Field) -> list[Document]:
    """Fields that may be a document's event time, best first, with the `timeField` of each."""
    found = []
    for path, field, parent in placed(root):
        if not _is_plain(path) or not field.scalars:
            continue
        told = _time_of(path, field)
        if told is None:
            continue
        stored, expression = told
        presence = field.scalars / max(1, root.objects)
        is_named = bool(_TIME_NAME.search(path.rpartition(".")[2]))
        fallback = path == "_id"
        found.append(
            (
                (fallback, not is_named, _FORMS.index(stored[:5]), -presence, path.count(".")),
                {
                    "path": path,
                    "stored_as": stored,
                    "time_field": _with_path(expression, path),
                    "time_field_in_change_stream": _with_path(expression, f"fullDocument.{path}"),
                    "presence": round(presence, 4),
                    "earliest": field.least if "date" in field.kinds else None,
                    "latest": field.most if "date" in field.kinds else None,
                    "note": _time_note(field, parent, presence, fallback=fallback),
                },
            )
        )
    return [each for _, each in sorted(found, key=lambda each: each[0])]


def _time_of(path: str, field: Field) -> tuple[str, Any] | None:
    """How the field holds a time and the expression that gives it; None when it holds none."""
    share = {kind: count / field.scalars for kind, count in field.kinds.items() if kind != "null"}
    if share.get("date", 0) >= _MOSTLY or share.get("timestamp", 0) >= _MOSTLY:
        return ("date" if "date" in share else "timestamp"), {"$toDate": "$PATH"}
    if path == "_id" and share.get("objectId", 0) >= _MOSTLY:
        return "objectId", {"$toDate": "$PATH"}
    texts = [value for value in field.distinct.values() if isinstance(value, str)]
    if texts and share.get("string", 0) >= _MOSTLY:
        fitting = sum(_ISO.fullmatch(text) is not None for text in texts)
        if fitting >= _MOSTLY * len(texts):
            return "ISO 8601 string", {"$dateFromString": {"dateString": "$PATH"}}
    return _epoch_of(path, field, sum(share.get(kind, 0) for kind in NUMBERS))


def _epoch_of(path: str, field: Field, share: float) -> tuple[str, Any] | None:
    if share < _MOSTLY or not isinstance(field.least, int | float):
        return None
    is_named = _TIME_NAME.search(path.rpartition(".")[2]) is not None
    for unit, (factor, expression) in _UNITS.items():
        low, high = (bound * factor for bound in _SECONDS)
        # Numbers of ten digits are often something else.
        if low <= field.least and field.most < high and (is_named or unit != "seconds"):
            return f"{unit} since the epoch", expression
    return None


def _time_note(field: Field, parent: Field, presence: float, *, fallback: bool) -> str | None:
    if fallback:
        return "the time at which the _id was made, in whole seconds: a way out, no event time"
    if presence < 1:
        return "not in every document: those without it go to the dead letter queue"
    return None


def key_fields(root: Field) -> list[Document]:
    """Fields that may identify a document (unique) or what it is about (grouping)."""
    found = []
    for path, field, _ in placed(root):
        if not _is_plain(path) or not _fits_key(root, field):
            continue
        distinct = len(field.distinct)
        if _is_unique(field):
            why = f"no value comes twice in {field.count} documents"
            kind = "unique"
        elif _groups(path, field, distinct):
            why = f"{distinct} values in {field.count} documents"
            kind = "grouping"
        else:
            continue
        rank = (kind != "unique", path != "_id", not _KEY_NAME.search(path), path.count("."))
        found.append((rank, {"path": path, "kind": kind, "reason": why}))
    return [each for _, each in sorted(found, key=lambda each: each[0])]


def _fits_key(root: Field, field: Field) -> bool:
    in_every_document = field.scalars == field.count == root.objects
    return in_every_document and set(field.kinds) <= _KEYS and field.count > 1


def _groups(path: str, field: Field, distinct: int) -> bool:
    if field.is_capped or field.count < _LEAST_TO_GROUP or not 1 < distinct <= field.count / 2:
        return False
    return "string" in field.kinds or _KEY_NAME.search(path) is not None


def json_schema(field: Field) -> Document:
    """A JSON Schema in MongoDB's dialect that every document seen fits: types and presence.

    It holds no values, so that nothing personal is in it.
    """
    schema: Document = {"bsonType": _bson_types(field.kinds)}
    if field.objects and not field.is_map:
        required = [name for name, it in field.children.items() if it.count == field.objects]
        if required:
            schema["required"] = required
        schema["properties"] = {name: json_schema(it) for name, it in field.children.items()}
    if field.elements is not None and field.elements.count:
        schema["items"] = json_schema(field.elements)
    return schema


def _bson_types(kinds: dict[str, int]) -> str | list[str]:
    """Whole numbers stay whole, of either size; where fractions were seen any number will do."""
    names = [name for name in kinds if name not in NUMBERS and name != "decimal"]
    if "double" in kinds or "decimal" in kinds:
        names.append("number")
    elif NUMBERS & set(kinds):
        names += ["int", "long"]
    return names[0] if len(names) == 1 else sorted(names)


def _is_plain(path: str) -> bool:
    """Whether an expression can name the path: outside arrays, no empty or dollar-led step."""
    return "[]" not in path and all(step and step[0] != "$" for step in path.split("."))


def _with_path(expression: Any, path: str) -> Any:
    if isinstance(expression, dict):
        return {name: _with_path(inner, path) for name, inner in expression.items()}
    if isinstance(expression, list):
        return [_with_path(inner, path) for inner in expression]
    return f"${path}" if expression == "$PATH" else expression
