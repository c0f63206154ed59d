"""Secrets and personal data in log lines, replaced by tags that are equal where the values are.

A tag says what kind of thing stood there (`[email 1f0c2a9be4d7]`), and nobody can read the value
from it: it is a keyed hash. What is found by the name of its key is masked whatever it looks like.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

from asp_utils.model.sensitive import IPV4, JWT, PRIVATE_KEY
from asp_utils.session.secrets import is_secret_key
from asp_utils.session.urls import password_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIGITS: Final = 12
_NOWHERE: Final = IPv6Address("::")
_USER_KEYS: Final = frozenset(
    {
        "user", "username", "userid", "uid", "principal", "principalname", "login", "loginname",
        "displayname", "fullname", "firstname", "lastname", "emailaddress", "emailaddr", "email",
        "publickey", "apikeyid", "clientid", "createdby", "modifiedby", "remoteuser", "authuser",
        "targetusername", "accountname",
    }
)  # fmt: skip
"""Keys of a person or account, written small and without punctuation."""
_PERSONS: Final = frozenset({"user", "users", "actor", "principal", "author", "owner"})
"""Objects about a person: their `name` is one."""
_ADDRESS_KEYS: Final = frozenset(
    {"ip", "ipaddress", "remoteaddress", "clientip", "remoteip", "sourceip", "client", "remote"}
)

_V4_ALONE: Final = rf"(?<![\w.]){IPV4}(?!\.?\w)"
_MAYBE_V6: Final = r"(?<![\w.:])(?:\w+:)?[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"
"""Whether it is an address, behind a word perhaps, only a parser can tell: `10:20:30` is none."""
_WORD: Final = r"[^\s,;&\"']+"
_AFTER_SECRET: Final = "|".join(
    f"(?<={word})" for word in ("password=", "password: ", "passwd=", "secret=", "token=")
)
_KINDS: Final = (
    ("key", PRIVATE_KEY),
    ("token", rf"(?<![\w-]){JWT}"),
    ("token", r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9+/._~=-]{8,}"),
    ("token", r"mdb_sa_sk_[\w-]+"),
    ("account", r"mdb_sa_id_[0-9a-f]+"),
    ("token", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("email", r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"),
    ("ip", _MAYBE_V6),
    ("ip", _V4_ALONE),
    ("secret", rf"(?i:{_AFTER_SECRET}){_WORD}"),
    ("user", rf"(?i:(?<=user=)|(?<=username=)|(?<=user: )){_WORD}"),
)  # fmt: skip
"""What stands in any text, in the order of search; an earlier find is not looked at again."""
_PATTERN: Final = re.compile(
    "|".join(f"(?P<k{number}>{source})" for number, (_, source) in enumerate(_KINDS))
)


class Masker:
    """Masks documents and texts.

    Args:
        tag: Makes a keyed hash of a value, hexadecimal behind its last colon.

    Example:
        >>> Masker(lambda value: "hash:" + "0" * 32).text("from 203.0.113.7 at 9")
        'from [ip 000000000000] at 9'
    """

    def __init__(self, tag: Callable[[str], str]) -> None:
        self._tag = tag
        self._known: dict[tuple[str, str], str] = {}

    def document(self, value: Any) -> Any:
        """A JSON value without secrets and personal data."""
        return self._value(value, key="", inside="")

    def text(self, text: str) -> str:
        """A text without secrets and personal data."""
        for start, end, password in reversed(password_spans(text)):
            user_from = text.rfind("//", 0, start) + 2
            user = text[user_from : start - 1]
            masked = f"{self._mark('user', user)}:" if user else ":"
            text = f"{text[:user_from]}{masked}{self._mark('secret', password)}{text[end:]}"
        return _PATTERN.sub(self._found, text)

    def _value(self, value: Any, key: str, inside: str) -> Any:
        if isinstance(value, dict):
            return self._object(value, inside=key)
        if isinstance(value, list):
            return [self._value(item, key, inside) for item in value]
        kind = _kind_of(key, inside)
        if kind and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return self._mark(kind, str(value))
        return self.text(value) if isinstance(value, str) else value

    def _object(self, value: Mapping[str, Any], inside: str) -> dict[str, Any]:
        if inside and is_secret_key(inside):
            return {key: self._mark("secret", str(item)) for key, item in value.items()}
        return {self.text(key): self._value(item, key, inside) for key, item in value.items()}

    def _found(self, match: re.Match[str]) -> str:
        kind, source = _KINDS[int(str(match.lastgroup)[1:])]
        value = match.group()
        if source != _MAYBE_V6:
            return self._mark(kind, value)
        whole = value.rstrip(".") if value.endswith("::") else value.rstrip(":.")
        for address in (whole, whole.partition(":")[2]):
            if _is_v6(address):
                before, after = value.split(address, 1)
                return before + self._mark(kind, address) + after
        return re.sub(_V4_ALONE, lambda inner: self._mark(kind, inner.group()), value)

    def _mark(self, kind: str, value: str) -> str:
        known = self._known.get((kind, value))
        if known is None:
            digits = self._tag(value).rpartition(":")[2][:_DIGITS]
            known = self._known[kind, value] = f"[{kind} {digits}]"
        return known


def _kind_of(key: str, inside: str) -> str:
    """What a key says of its value; "" when it says nothing."""
    folded = re.sub(r"[\W_]", "", key).lower()
    if is_secret_key(key):
        return "secret"
    if folded in _USER_KEYS or (folded == "name" and inside.lower() in _PERSONS):
        return "email" if folded.startswith("email") else "user"
    return "ip" if folded in _ADDRESS_KEYS else ""


def _is_v6(text: str) -> bool:
    try:
        return IPv6Address(text) != _NOWHERE
    except ValueError:
        return False
