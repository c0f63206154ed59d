"""From pydantic's errors to faults in plain words, each with its JSON path and a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.introspection.wording import json_path, resolve, type_words, value_words
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    Steps = tuple[str | int, ...]

_TYPE_ERRORS: Final = ("_type", "_parsing", "literal_error", "enum", "none_required", "is_instance")

_MOST_CHOICES: Final = 8
_PATTERNS: Final = {"^[0-9a-f]{24}$": "should be 24 hexadecimal digits"}


def faults_of(
    error: ValidationError, config: Mapping[str, Any], schema: Mapping[str, Any]
) -> list[Fault]:
    """All faults of a config, in the order of the model.

    Args:
        error: What pydantic raised for it.
        config: The config.
        schema: The JSON Schema of the config, which says what was wanted.
    """
    by_place: dict[Steps, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_context=True):
        by_place.setdefault(_place(detail, config), []).append(detail)
    # Of a value that fits no branch of a union, only the deepest place says something.
    deepest = [
        place
        for place in by_place
        if not any(other != place and other[: len(place)] == place for other in by_place)
    ]
    return [_fault(place, by_place[place], config, schema) for place in deepest]


def _place(detail: ErrorDetails, config: Any) -> Steps:
    """The steps to the value at fault, without the names of union branches among them."""
    steps: list[str | int] = []
    value = config
    names_key = detail["type"] in ("missing", "extra_forbidden")
    for number, step in enumerate(detail["loc"], 1):
        last = number == len(detail["loc"])
        if isinstance(value, dict) and (step in value or (last and names_key)):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        steps.append(step)
    return tuple(steps)


def _fault(
    place: Steps, details: Sequence[ErrorDetails], config: Any, schema: Mapping[str, Any]
) -> Fault:
    path = json_path(place)
    definitions = schema.get("$defs")
    kind = details[0]["type"]
    wanted = _schema_at(place, schema)
    if kind == "extra_forbidden":
        return _unknown_key(path, str(place[-1]), _schema_at(place[:-1], schema), definitions)
    if kind == "missing":
        return Fault(path, f"is missing; it wants {_wish(wanted, definitions)}")
    value = _value_at(place, config)
    got = "secret text" if _is_secret(wanted) else value_words(value)
    if len(details) == 1 and not kind.endswith(_TYPE_ERRORS):
        wish = _own_words(details[0])
        return Fault(path, f"{wish}, got {got}")
    hint = ""
    if isinstance(value, str):
        guess = nearest(value, filter(lambda choice: isinstance(choice, str), _choices(wanted)))
        hint = f'did you mean "{guess}"?' if guess else ""
    return Fault(path, f"wants {_wish(wanted, definitions)}, got {got}", hint)


def _own_words(detail: ErrorDetails) -> str:
    """Pydantic's sentence, where it is not about a type, as a person would say it."""
    if detail["type"] == "string_pattern_mismatch":
        pattern = detail.get("ctx", {}).get("pattern", "")
        return _PATTERNS.get(pattern, f"should match {pattern}")
    wish = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return wish.replace("String should have", "should have")


def _wish(wanted: Mapping[str, Any], definitions: Mapping[str, Any] | None) -> str:
    """What a place wants, in words; of many choices only the first, as the help has them all."""
    choices = _choices(wanted)
    if len(choices) <= _MOST_CHOICES:
        return type_words(wanted, definitions).removesuffix(" or null")
    shown = ", ".join(map(value_words, choices[:_MOST_CHOICES]))
    return f"{shown} or another of {len(choices)} that --help lists"


def _unknown_key(
    path: str, key: str, parent: Mapping[str, Any], definitions: Mapping[str, Any] | None
) -> Fault:
    branches = (parent, *parent.get("anyOf", ()), *parent.get("oneOf", ()))
    shapes = [resolve(branch, definitions) for branch in branches]
    known = sorted({name for shape in shapes for name in shape.get("properties", {})})
    guess = nearest(key, known)
    hint = f'did you mean "{guess}"?' if guess else "known keys: " + (", ".join(known) or "none")
    return Fault(path, "unknown key", hint)


def _schema_at(place: Steps, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the value at a place; an empty one, which accepts anything, if it has none."""
    definitions = schema.get("$defs")
    found: Mapping[str, Any] = schema
    for step in place:
        found = _below(resolve(found, definitions), step, definitions)
    return resolve(found, definitions)


def _below(
    schema: Mapping[str, Any], step: str | int, definitions: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    for branch in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        shape = resolve(branch, definitions)
        inner = (
            shape.get("items")
            if isinstance(step, int)
            else shape.get("properties", {}).get(step, shape.get("additionalProperties"))
        )
        if isinstance(inner, Mapping):
            return inner
    return {}


def _value_at(place: Steps, value: Any) -> Any:
    for step in place:
        value = value[step]
    return value


def _is_secret(schema: Mapping[str, Any]) -> bool:
    branches = (schema, *schema.get("anyOf", ()))
    return any(branch.get("format") == "password" for branch in branches)


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    branches = (schema, *schema.get("anyOf", ()))
    return [choice for branch in branches for choice in branch.get("enum", ())]
