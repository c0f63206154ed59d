"""Java's date patterns as MongoDB's, and expressions that make dates.

Source: Java, `DateTimeFormatter`; MongoDB manual, page "$dateFromString".
"""

from __future__ import annotations

import re
from typing import Any, Final

_LETTERS: Final = {
    "yyyy": "%Y",
    "uuuu": "%Y",
    "MM": "%m",
    "dd": "%d",
    "DDD": "%j",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%L",
    "X": "%z",
    "XX": "%z",
    "XXX": "%z",
    "Z": "%z",
}
_TOKEN: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", re.DOTALL)


def mongodb_format(java: str) -> str | None:
    """MongoDB's format for a Java pattern; None where it has optional or unknown parts.

    Example:
        >>> mongodb_format("yyyy-MM-dd'T'HH:mm:ss'Z'")
        '%Y-%m-%dT%H:%M:%SZ'
    """
    made = []
    for found in _TOKEN.finditer(java):
        text = found.group()
        if text.startswith("'") and len(text) > 1:
            made.append((found[1] or "'").replace("''", "'").replace("%", "%%"))
        elif text[0].isalpha():
            if text not in _LETTERS:
                return None
            made.append(_LETTERS[text])
        elif text in "[]{}#'":
            return None
        else:
            made.append(text.replace("%", "%%"))
    return "".join(made)


def date_of(value: str, java_format: str = "") -> Any:
    """The expression that makes a date of text, milliseconds or a date; None for odd patterns.

    Args:
        value: A field path, `$ts`.
        java_format: How text is written; ISO 8601 when empty.
    """
    form = mongodb_format(java_format) if java_format else ""
    if form is None:
        return None
    text: dict[str, Any] = {"dateString": value} | ({"format": form} if form else {})
    return {
        "$switch": {
            "branches": [
                {"case": {"$isNumber": value}, "then": {"$toDate": {"$toLong": value}}},
                {
                    "case": {"$eq": [{"$type": value}, "string"]},
                    "then": {"$dateFromString": text},
                },
            ],
            "default": value,
        }
    }
