"""No known secret survives redaction, however it is written; nothing else is lost."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.session.redactor import SHORT_CHARS, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = st.text(min_size=SHORT_CHARS)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, small": lambda text: re.sub(
        "%..", lambda match: match[0].lower(), quote(text, safe="")
    ),
    "path": quote,
    "query": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "repr": lambda text: repr(text)[1:-1],
}


def all_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in all_texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in all_texts(item)]
    return [value] if isinstance(value, str) else []


def all_numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in all_numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in all_numbers(item)]
    return [value] if isinstance(value, int | float) else []


@given(secrets=st.lists(LONG, min_size=1, max_size=4), around=st.text(), data=st.data())
def test_no_secret_survives_in_a_text(secrets: list[str], around: str, data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.sampled_from([*secrets, around])))
    redacted = Redactor(secrets).text("".join(pieces))

    assert not any(secret in redacted for secret in secrets)


@given(secret=st.text(st.characters(codec="utf-8"), min_size=SHORT_CHARS))
@pytest.mark.parametrize("form", FORMS)
def test_no_written_form_survives(form: str, secret: str) -> None:
    written = FORMS[form](secret)

    assert written not in Redactor([secret]).text(f"before {written} after")


@given(document=DOCUMENTS, secret=LONG)
def test_no_secret_survives_in_a_document(document: Any, secret: str) -> None:
    planted = {"plain": document, "text": f"x{secret}x", secret: [secret, {f"k{secret}": 1}]}
    redacted = Redactor([secret]).document(planted)

    assert not any(secret in text for text in all_texts(redacted))
    assert all_numbers(redacted) == all_numbers(planted)


@given(document=DOCUMENTS, secret=LONG)
def test_no_secret_survives_in_a_line(document: Any, secret: str) -> None:
    planted = {"plain": document, "text": f"x{secret}x", secret: 1}
    line = json.dumps(planted).encode() + b"\n"
    redacted = Redactor([secret]).line(line)

    assert redacted.endswith(b"\n")
    assert not any(secret in text for text in all_texts(json.loads(redacted)))
    assert all_numbers(json.loads(redacted)) == all_numbers(planted)


@given(document=DOCUMENTS)
def test_without_secrets_everything_is_left(document: Any) -> None:
    line = json.dumps(document).encode()

    assert Redactor([""]).document(document) == document
    assert Redactor([]).line(line) == line


def test_a_line_without_the_secret_keeps_its_bytes() -> None:
    line = b'{ "a": 1.50, "b": "\xc3\xbc" }\n'

    assert Redactor(["hunter2"]).line(line) is line


def test_numbers_stay_numbers() -> None:
    redactor = Redactor(["12345"])

    assert redactor.document({"n": 12345, "s": "12345"}) == {"n": 12345, "s": "[redacted]"}
    assert redactor.line(b'{"n":1234567}\n') == b'{"n":1234567}\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a=x", "a=[redacted]"), ("axe", "axe"), ("x-x", "[redacted]-[redacted]"), ("1x", "1x")],
)
def test_short_secrets_are_taken_out_where_they_stand_alone(text: str, expected: str) -> None:
    assert Redactor(["x"]).text(text) == expected


def test_a_short_secret_after_an_escape_is_found_in_a_line() -> None:
    assert Redactor(["abc"]).line(rb'{"t":"one\nabc"}') == b'{"t":"one\\n[redacted]"}'


@pytest.mark.parametrize("secret", ["[redacted]", "redacted", "d]x]", "***•", "[[[["])
def test_the_mark_never_brings_a_secret_back(secret: str) -> None:
    assert secret not in Redactor([secret, "d]yy"]).text(f"{secret}{secret} d]yy {secret}")


def test_longer_secrets_go_first() -> None:
    assert Redactor(["pass", "password1"]).text("password1 pass") == "[redacted] [redacted]"


def test_keys_that_become_equal_keep_their_values() -> None:
    redacted = Redactor(["one-1", "two-2"]).document({"one-1": 1, "two-2": 2})

    assert sorted(redacted.values()) == [1, 2]


def test_a_line_that_is_no_json_is_redacted_as_text() -> None:
    assert Redactor(["hunter2"]).line(b"hunter2 \xff\n") == b"[redacted] \xff\n"
