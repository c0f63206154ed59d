"""The reference page and the README's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from asp_utils.generation.reference import has_place_for_table, reference_page, with_table
from asp_utils.generation.wrappers import templates
from asp_utils.introspection.registry import registry

ENVIRONMENT = templates(Path(__file__).parents[2] / "templates")


@pytest.fixture
def page(importable: None) -> str:
    return reference_page(registry("sample_library.marked"), ENVIRONMENT)


@pytest.mark.parametrize(
    "text",
    [
        "## echo",
        "- Effect: read (changes nothing)",
        "| `text` | text, required | Some text. |",
        '| `mood` | one of "glad", "sad", default "glad" | In which mood. |',
        "| `words` | list of text | The text, as often as wished. |",
        "| 66 | Never, but it is documented. |",
        '```json\n{\n  "text": "hello"\n}\n```',
        "- Prints: one JSON document a line, as they come",
        "| 64 | a config does not fit its operation |",
    ],
)
def test_reference_has_parameters_results_effects_codes_and_examples(page: str, text: str) -> None:
    assert text in page


def test_the_table_goes_between_the_markers(importable: None) -> None:
    readme = "before\n<!-- operations -->\nold\n<!-- /operations -->\nafter\n"
    renewed = with_table(readme, registry("sample_library.shelf.jars"), ENVIRONMENT)
    assert "| [`load`](docs/reference.md#load) | write | Load from the jars. |" in renewed
    assert renewed.startswith("before\n<!--")
    assert renewed.endswith("-->\nafter\n")
    assert "old" not in renewed


def test_a_readme_without_markers_is_left_alone(importable: None) -> None:
    assert with_table("text", registry("sample_library.shelf.jars"), ENVIRONMENT) == "text"
    assert not has_place_for_table("text")
