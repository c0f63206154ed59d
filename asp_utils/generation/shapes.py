"""An operation in JSON: what `--schema` prints and the index lists."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.introspection.specification import OperationSpec

GENERATOR: Final = "generate_cli_wrappers.py"
"""The script that writes all this; each file names it, which marks the file as generated."""

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


def json_bytes(document: Any) -> bytes:
    """JSON with a fixed layout; half surrogate pairs are written as escapes."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _with_own_code(error: type[AspError]) -> Iterator[type[AspError]]:
    for child in error.__subclasses__():
        if "exit_code" in vars(child):
            yield child
        yield from _with_own_code(child)


def _first_sentence(text: str | None) -> str:
    first = (text or "").strip().split("\n")[0].removesuffix(".")
    return first[:1].lower() + first[1:]
