"""Examples of values that look like secrets or personal data, shown without their content.

What a field is called decides, and what its values look like. It is a guess in favour of silence:
a masked example tells the form only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils.model.sensitive import IPV4, JWT, PRIVATE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

RULE: Final = (
    "Examples of fields that look like secrets or personal data, by name or by value, are masked: "
    "every letter became x, every digit 0, other values became their type; minimum, maximum and "
    "lengths are left out."
)
"""How masking works, in words for whoever reads a result."""

_SHOWN_CHARS: Final = 60
_LOOKED_AT: Final = 200
_SECRET_NAMES: Final = re.compile(
    r"(password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|master_?key|credentials?|"
    r"authorization|cookie|connection_?string|jwt|salt|otp|pin)$"
)
_PERSONAL_NAMES: Final = re.compile(
    r"(e_?mail|(^|_)mail|phone|mobile|fax|(first|last|middle|full|maiden|sur)_?name|surname|"
    r"(^|_)(user|person|customer|contact|patient|employee|owner|holder)_?name|street|address|"
    r"zip_?code|post_?code|postal_?code|ssn|social_?security|passport|iban|birth|dob|"
    r"(^|_)ip(_?v[46])?(_?addr)?$|card_?(no|num|number)|credit_?card|account_?(no|num|number)|"
    r"tax_?(id|no|number)|licen[cs]e_?plate)"
)
_PERSONS: Final = frozenset(
    ("user", "person", "customer", "contact", "patient", "employee", "owner", "member", "author")
)
_VALUES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("an e-mail address", re.compile(r"[^\s@]+@[^\s@]+\.[A-Za-z]{2,}")),
    ("a private key", re.compile(PRIVATE_KEY)),
    ("a URL with a password", re.compile(r"[A-Za-z][\w+.-]*://[^\s:@/]*:[^\s@]+@\S+")),
    ("a signed token", re.compile(JWT)),
    ("an IP address", re.compile(IPV4)),
    ("an IBAN", re.compile(r"[A-Z]{2}\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}")),
    ("a telephone number", re.compile(r"\+\d[\d ()/.-]{6,}\d|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}")),
    ("a random token", re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9_+/=-]{32,}")),
)
_CARD: Final = re.compile(r"\d(?:[ -]?\d){12,18}")


def reason_to_mask(path: str, values: Iterable[Any]) -> str | None:
    """Why a field's values should not be shown; None when they may.

    Args:
        path: `customer.contacts[].email`.
        values: Some of its values.
    """
    steps = [_snake(step) for step in path.replace("[]", "").split(".")]
    name = steps[-1]
    if _SECRET_NAMES.search(name):
        return "its name says that it is a secret"
    if _PERSONAL_NAMES.search(name):
        return "its name says that it is personal data"
    if name == "name" and any(step.rstrip("s") in _PERSONS for step in steps[:-1]):
        return "it is the name of a person"
    for _, value in zip(range(_LOOKED_AT), values, strict=False):
        found = _looks_like(value)
        if found is not None:
            return f"a value looks like {found}"
    return None


def masked(value: Any) -> Any:
    """The form of a value without its content."""
    if not isinstance(value, str):
        return f"({type(value).__name__})"
    plain = re.sub(r"\d", "0", value[:_SHOWN_CHARS])
    return re.sub(r"[^\W\d_]", "x", plain) + ("…" if len(value) > _SHOWN_CHARS else "")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", name).lower()


def _looks_like(value: Any) -> str | None:
    if isinstance(value, str):
        for what, pattern in _VALUES:
            if pattern.fullmatch(value):
                return what
        if _CARD.fullmatch(value) and _passes_luhn(value):
            return "a card number"
    elif isinstance(value, int) and not isinstance(value, bool) and 10**15 <= value < 10**16:
        return "a card number" if _passes_luhn(str(value)) else None
    return None


def _passes_luhn(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
