"""The text of `--help`."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any, Final

from asp_utils.generation.shapes import example_config, exit_codes, result_keys
from asp_utils.introspection.wording import type_words
from asp_utils.operation import EFFECT_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asp_utils.introspection.specification import OperationSpec

_WIDTH: Final = 96
_WIDEST_KEY: Final = 24
_OPTIONS: Final = """\
Options:
  --dry-run                  check the config and show the request; send nothing
  --output FORMAT            json (default), ndjson (one document a line) or pretty
  --allow-literal-secrets    accept a secret written into the config (it is not stored)
  --schema                   print input, output and errors as JSON
  --help                     print this text"""


def help_text(spec: OperationSpec) -> str:
    """The whole help of one wrapper; no line ends in a space, the text ends with a newline."""
    file = f"cli_{spec.name}.py"
    parts = [
        f"{file}: {spec.summary}",
        spec.description,
        f"Usage: python {file} {_config(spec)}    (or - to read the config from standard input)",
        _OPTIONS,
        "\n".join(_keys(spec)),
        "\n".join(_example(spec)),
        f"Effect: {spec.effect} ({EFFECT_MEANINGS[spec.effect]}).",
        f"Prints: {printed(spec)}.",
        "\n".join(_result(spec)),
        "\n".join(_exit_code_lines()),
    ]
    return printable("\n\n".join(part for part in parts if part))


def printable(text: str) -> str:
    """Text that a terminal and a formatter leave as it is.

    Lines end in a newline and in no other space; characters that cannot be printed become escapes.
    """
    lines = ("".join(map(_shown, line)).rstrip() for line in text.expandtabs(4).splitlines())
    return "\n".join(lines).strip() + "\n"


def printed(spec: OperationSpec) -> str:
    """What a call prints, in words."""
    if spec.streams:
        return "one JSON document a line, as they come"
    return f"one JSON document: {type_words(spec.output_schema, spec.output_schema.get('$defs'))}"


def key_words(spec: OperationSpec, name: str) -> str:
    """Type and default of one config key: `whole number, default 10`."""
    schema = spec.input_schema
    shape = schema["properties"][name]
    words = type_words(shape, schema.get("$defs"))
    if name in schema.get("required", ()):
        return f"{words}, required"
    if shape.get("default") is None:
        return f"{words.removesuffix(' or null')}, optional"
    return f"{words}, default {_json(shape['default'])}"


def _config(spec: OperationSpec) -> str:
    return "CONFIG.json" if spec.input_schema.get("required") else "[CONFIG.json]"


def _keys(spec: OperationSpec) -> Iterator[str]:
    if not spec.parameters:
        yield "Config keys: none; the config is {}."
        return
    yield "Config keys:"
    column = min(_WIDEST_KEY, max(len(item.name) for item in spec.parameters)) + 4
    for item in spec.parameters:
        words = key_words(spec, item.name)
        gap = " " * max(2, column - 2 - len(item.name))
        yield f"  {item.name}{gap}{words}"
        yield from _wrapped(item.description.splitlines(), " " * column)


def _example(spec: OperationSpec) -> Iterator[str]:
    """A config to begin with, where one is needed."""
    config = example_config(spec.input_schema)
    if config:
        yield "Example config:"
        yield textwrap.indent(json.dumps(config, indent=2, ensure_ascii=False), "  ")


def _result(spec: OperationSpec) -> Iterator[str]:
    keys = result_keys(spec.output_schema)
    if keys:
        yield "Each document:" if spec.streams else "Result keys:"
        column = min(_WIDEST_KEY, max(len(name) for name, _, _ in keys)) + 4
        for name, words, text in keys:
            yield f"  {name}{' ' * max(2, column - 2 - len(name))}{words}"
            yield from _wrapped(text.splitlines(), " " * column)


def _exit_code_lines() -> Iterator[str]:
    yield "Exit codes:"
    listed = " · ".join(f"{code} {meaning}" for code, meaning in exit_codes().items())
    yield from _wrapped([listed], "  ")


def _wrapped(paragraphs: Iterable[str], indent: str) -> Iterator[str]:
    for paragraph in paragraphs:
        yield from textwrap.wrap(
            paragraph, _WIDTH, initial_indent=indent, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "backslashreplace").decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
