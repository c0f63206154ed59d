"""Patterns of texts that are secrets or personal data, wherever they turn up."""

from __future__ import annotations

from typing import Final

IPV4: Final = r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
JWT: Final = r"eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"
"""A JSON web token, with or without its signature."""
PRIVATE_KEY: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
"""In PEM; one that is cut off goes to the end of the text."""
CREDENTIAL_PARAMETER: Final = (
    r"(?i:[?&;][^=&;#\s]*(?:key|token|secret|password|passwd|signature|sig|code)=)"
    r"(?P<value>[^&;#\s]*)"
)
"""A parameter of a URL that looks like a secret."""
