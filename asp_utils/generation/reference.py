"""The reference page and the README's table of operations."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.generation.help_text import key_words, printed
from asp_utils.generation.shapes import (
    documented_errors,
    example_config,
    exit_codes,
    result_keys,
)
from asp_utils.operation import EFFECT_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from asp_utils.introspection.specification import OperationSpec

OPENING: Final = "<!-- operations -->"
CLOSING: Final = "<!-- /operations -->"
_TABLE: Final = re.compile(f"{OPENING}.*?{CLOSING}", re.DOTALL)


def reference_page(specs: Sequence[OperationSpec], environment: Environment) -> str:
    """`docs/reference.md`: every operation with parameters, result, effect, errors, example."""
    return environment.get_template("reference.md.j2").render(
        effects=EFFECT_MEANINGS,
        exit_codes=exit_codes(),
        operations=[_section(spec) for spec in specs],
    )


def with_table(readme: str, specs: Sequence[OperationSpec], environment: Environment) -> str:
    """The README with its table of operations renewed; unchanged where it has no place for it."""
    template = environment.get_template("operations_table.md.j2")
    rows = [(spec.name, spec.effect, _cell(spec.summary)) for spec in specs]
    table = f"{OPENING}\n{template.render(rows=rows)}{CLOSING}"
    return _TABLE.sub(lambda _: table, readme)


def has_place_for_table(readme: str) -> bool:
    """Whether a README has the two markers between which the table goes."""
    return _TABLE.search(readme) is not None


def _section(spec: OperationSpec) -> dict[str, Any]:
    """All that the template prints of one operation."""
    keys = [
        (item.name, _cell(key_words(spec, item.name)), _cell(item.description))
        for item in spec.parameters
    ]
    return {
        "name": spec.name,
        "summary": spec.summary,
        "description": spec.description.partition("Raises:\n")[0].strip(),
        "effect": f"{spec.effect} ({EFFECT_MEANINGS[spec.effect]})",
        "keys": keys,
        "printed": printed(spec),
        "result": [
            (name, _cell(words), _cell(text))
            for name, words, text in result_keys(spec.output_schema)
        ],
        "errors": documented_errors(spec.description),
        "example": json.dumps(example_config(spec.input_schema), indent=2, ensure_ascii=False),
    }


def _cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
