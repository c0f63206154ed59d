"""Wrapper scripts and what lies beside them, as bytes that depend on the operations alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from asp_utils.generation.help_text import help_text
from asp_utils.generation.shapes import GENERATOR, index_entry, json_bytes, schema_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asp_utils.introspection.specification import OperationSpec

_LINE_LENGTH: Final = 100
_QUOTES: Final = re.compile(r'"{3,}')


def templates(folder: Path) -> Environment:
    """The jinja2 environment of all templates: strict, without surprises in white space."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and Markdown; strings are quoted by this module
    )


def wrapper_files(specs: Sequence[OperationSpec], environment: Environment) -> dict[str, bytes]:
    """All files of a wrapper folder by their names in it: scripts, schemas, index."""
    files = {"index.json": json_bytes({"operations": [index_entry(spec) for spec in specs]})}
    for spec in specs:
        files[f"cli_{spec.name}.py"] = wrapper_text(spec, environment).encode()
        files[f"schemas/{spec.name}.json"] = json_bytes(schema_document(spec))
    return dict(sorted(files.items()))


def wrapper_text(spec: OperationSpec, environment: Environment) -> str:
    """The source of one wrapper, laid out as `ruff format` would."""
    return environment.get_template("cli_wrapper.py.j2").render(
        docstring=docstring(help_text(spec)),
        module=spec.module,
        generator=GENERATOR,
        call=_call_lines(quoted(spec.module), quoted(spec.attribute)),
    )


def docstring(text: str) -> str:
    """A triple-quoted literal of printable text that ends with a newline."""
    escaped = text.replace("\\", "\\\\")
    return '"""' + _QUOTES.sub(lambda run: '\\"' * len(run[0]), escaped) + '"""'


def quoted(text: str) -> str:
    """A double-quoted literal of any text."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "backslashreplace").decode()


def _call_lines(module: str, function: str) -> str:
    """The call of `launch`, broken over lines where it is too long for one."""
    arguments = ["__file__", "__doc__", module, function]
    call = f"launch({', '.join(arguments)})"
    if len(f"sys.exit({call})") <= _LINE_LENGTH:
        return f"sys.exit({call})"
    if len(call) + 4 <= _LINE_LENGTH:
        return f"sys.exit(\n    {call}\n)"
    listed = "".join(f"        {argument},\n" for argument in arguments)
    return f"sys.exit(\n    launch(\n{listed}    )\n)"
