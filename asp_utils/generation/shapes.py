"""An operation in JSON: what `--schema` prints and the index lists."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError
from asp_utils.introspection.wording import resolve, type_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.introspection.specification import OperationSpec

GENERATOR: Final = "generate_cli_wrappers.py"
"""The script that writes all this; each file names it, which marks the file as generated."""

_PLACEHOLDERS: Final = {
    "string": "…", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {},
}  # fmt: skip
_RAISES: Final = re.compile(r"^Raises:\n((?:[ \t].*\n?|\n)+)", re.MULTILINE)
_RAISED: Final = re.compile(r"^\s{4}(\w[\w, ]*):\s*(.*(?:\n\s{8}.*)*)", re.MULTILINE)


def schema_document(spec: OperationSpec) -> dict[str, Any]:
    """What `--schema` prints: texts, effect, input and output schema, errors, exit codes."""
    return {
        "name": spec.name,
        "summary": spec.summary,
        "description": spec.description,
        "effect": spec.effect,
        "module": spec.module,
        "function": spec.attribute,
        "input": spec.input_schema,
        "output": spec.output_schema,
        "errors": documented_errors(spec.description),
        "exit_codes": {str(code): meaning for code, meaning in exit_codes().items()},
        "generated_by": GENERATOR,
    }


def index_entry(spec: OperationSpec) -> dict[str, Any]:
    """One operation in `index.json`."""
    keys = ("name", "summary", "effect", "module", "function", "input", "output", "exit_codes")
    document = schema_document(spec)
    return {key: document[key] for key in keys}


def exit_codes() -> dict[int, str]:
    """Every exit code with its meaning, in order."""
    meanings = {0: "ok"}
    for error in sorted(_with_own_code(AspError), key=lambda error: error.exit_code):
        meanings.setdefault(int(error.exit_code), _first_sentence(error.__doc__))
    return meanings


def documented_errors(description: str) -> list[dict[str, Any]]:
    """The errors that a docstring names under `Raises:`, each with its exit code."""
    section = _RAISES.search(description)
    if section is None:
        return []
    by_name = {error.__name__: error for error in _with_own_code(AspError)}
    return [
        {
            "code": by_name[name].code,
            "exit_code": int(by_name[name].exit_code),
            "when": " ".join(when.split()),
        }
        for names, when in _RAISED.findall(section[1])
        for name in re.split(r",\s*", names)
        if name in by_name
    ]


def result_keys(schema: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type in words and description of each key of what an operation prints."""
    definitions = schema.get("$defs")
    shape = resolve(schema.get("items", schema), definitions)
    return [
        (name, type_words(value, definitions), value.get("description", ""))
        for name, value in shape.get("properties", {}).items()
    ]


def example_config(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A config with every required key, from the examples in the parameters' descriptions."""
    definitions = schema.get("$defs")
    required = schema.get("required", ())
    return {
        name: _example_value(resolve(schema["properties"][name], definitions)) for name in required
    }


def json_bytes(document: Any) -> bytes:
    """JSON with a fixed layout; half surrogate pairs are written as escapes."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _example_value(schema: Mapping[str, Any]) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    branches = schema.get("anyOf")
    return _example_value(branches[0]) if branches else _PLACEHOLDERS.get(schema.get("type", ""))


def _with_own_code(error: type[AspError]) -> Iterator[type[AspError]]:
    for child in error.__subclasses__():
        if "exit_code" in vars(child):
            yield child
        yield from _with_own_code(child)


def _first_sentence(text: str | None) -> str:
    first = (text or "").strip().split("\n")[0].removesuffix(".")
    return first[:1].lower() + first[1:]
