"""Passwords inside URLs: `mongodb://user:password@host`."""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "$redacted"
"""Key, and prefix inside a URL, of what stands for a secret that was taken out."""
_USERINFO: Final = re.compile(
    r"(?P<head>[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:@/?#]*:)(?P<rest>\S*@)"
)
_PORT: Final = re.compile(r"[0-9]*[/?#]")


def password_spans(text: str) -> list[tuple[int, int, str]]:
    """Where the passwords of the URLs in a text are: start, end (exclusive), password.

    A password may hold unescaped `@`, `/` or `?`, though a URL should not: everything up to the
    last `@` counts, unless what follows the colon is a port.
    """
    if "://" not in text or "@" not in text:
        return []
    found = []
    match = _USERINFO.search(text)
    while match is not None:
        start, end = match.start("rest"), match.end("rest") - 1
        password = text[start:end]
        is_other = password.startswith(f"{REDACTED}:hmac-sha256:") or _PORT.match(password)
        if password and not is_other:
            found.append((start, end, password))
        # What is no password may still hold the next URL.
        match = _USERINFO.search(text, start if is_other else end)
    return found


def url_passwords(text: str) -> list[str]:
    """The passwords in the URLs of a text, as written and decoded."""
    found = [password for _, _, password in password_spans(text)]
    if not found:
        return []
    # Costs 3 ms, and few configs hold a URL with a password.
    from urllib.parse import unquote, unquote_plus

    return list(dict.fromkeys(f(word) for word in found for f in (str, unquote, unquote_plus)))
