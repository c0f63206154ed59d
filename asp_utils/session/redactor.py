"""Taking known secrets out of texts and documents, whatever way they are written there."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MARKS: Final = ("[redacted]", "***", "•••")
SHORT_CHARS: Final = 4
"""A shorter secret is taken out only where it stands alone: else every `a` would vanish."""
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "_.-~")


class Redactor:
    """Takes a set of secret values out of what is shown, logged or recorded.

    A secret is found raw, percent-encoded and escaped as in JSON or in a Python literal. Numbers
    in documents are never touched.
    """

    def __init__(self, secret_values: Iterable[str]) -> None:
        secrets = {value for value in secret_values if value}
        forms = {form for secret in secrets for form in _forms(secret)}
        self._mark = _mark_for(forms)
        self._pattern = _pattern_of(forms, SHORT_CHARS)
        # In a line of JSON an escape such as \n may stand before a short secret.
        self._anywhere = _pattern_of(forms, 0)

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return self._pattern.sub(self._mark, text) if self._pattern else text

    def document(self, value: Any) -> Any:
        """A JSON-like value without the secrets in its strings and keys."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return [self.document(item) for item in value]
        return value

    def line(self, line: bytes) -> bytes:
        """One line of JSON without the secrets; a line that holds none comes back as it is."""
        if self._anywhere is None:
            return line
        text = line.decode("utf-8", "surrogateescape")
        if not self._anywhere.search(text):
            return line
        try:
            document = json.loads(text)
        except ValueError:
            return self.text(text).encode("utf-8", "surrogateescape")
        end = b"\n" if line.endswith(b"\n") else b""
        return json.dumps(self.document(document), separators=(",", ":")).encode() + end

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        for key, item in value.items():
            name = self.text(key)
            # Two keys that become one must not swallow a value.
            while name != key and (name in redacted or name in value):
                name += self._mark
            redacted[name] = self.document(item)
        return redacted


def _pattern_of(forms: set[str], short_chars: int) -> re.Pattern[str] | None:
    """One pattern for all forms, longest first, so that no end of a longer one is left over."""
    ordered = sorted(forms, key=lambda form: (-len(form), form))
    sources = []
    for form in ordered:
        # The digits of percent-encoding may be written small or large.
        source = re.sub("%[0-9A-F]{2}", r"(?i:\g<0>)", re.escape(form))
        sources.append(source if len(form) >= short_chars else rf"(?<!\w){source}(?!\w)")
    return re.compile("|".join(sources)) if sources else None


def _mark_for(forms: set[str]) -> str:
    """A mark of which no secret can be a part, alone or together with what stands around it."""
    private_use = (chr(code) for code in range(0xE000, 0xF900))
    return next(mark for mark in (*MARKS, *private_use) if not _any_touches(forms, mark))


def _any_touches(forms: set[str], mark: str) -> bool:
    return any(form in mark or mark[0] in form or mark[-1] in form for form in forms)


def _forms(secret: str) -> Iterator[str]:
    """The ways in which a secret may be written."""
    yield secret
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
    yield repr(secret)[1:-1]
    for safe in ("", "/", "/:@"):
        percent = _percent_encoded(secret, safe)
        yield percent
        yield percent.replace("%20", "+")


def _percent_encoded(text: str, safe: str) -> str:
    """As `urllib.parse.quote`, whose import costs more than a whole run may."""
    kept = _UNRESERVED | set(safe)
    return "".join(
        character
        if character in kept
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in text
    )
