"""The options of a wrapper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.errors import UsageError
from asp_utils.running.command_line import Arguments, parse


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.json"], Arguments("a.json")),
        (["-"], Arguments("-")),
        (["--dry-run", "a.json"], Arguments("a.json", dry_run=True)),
        (["a.json", "--output", "pretty"], Arguments("a.json", "pretty")),
        (["a.json", "--output=ndjson"], Arguments("a.json", "ndjson")),
        (["a", "--allow-literal-secrets"], Arguments("a", allow_literal_secrets=True)),
    ],
)
def test_options_are_read(words: list[str], expected: Arguments) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["a", "b"], "'b' is one config too many", "CONFIG.json"),
        (["a", "--dryrun"], "there is no option '--dryrun'", "did you mean --dry-run?"),
        (["a", "--limit=5"], "there is no option '--limit'", "there is: --dry-run"),
        (["a", "-x"], "there is no option '-x'", "there is: "),
        (["a", "--output", "prety"], "got 'prety'", "did you mean pretty?"),
        (["a", "--output"], "got ''", "there is: json"),
    ],
)
def test_mistakes_are_named_with_a_way_out(words: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert message in caught.value.message
    assert hint in caught.value.hint


@given(st.lists(st.text(max_size=8), max_size=4))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        assert parse(words).config in (*words, "")
    except UsageError as error:
        assert error.hint
