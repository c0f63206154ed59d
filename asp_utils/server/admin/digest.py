"""HTTP Digest authentication with an API key, as Atlas does it (MD5, `qop=auth`).

A nonce carries its own time and signature, so that none has to be kept until it was used. Each
(nonce, nc) passes once: what is sent again gets `stale=true`, and the client asks anew.

Source: RFC 7616; asp-reference.md 4.7; peers.md 2.2 (the challenge's form).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from enum import Enum, auto
from typing import TYPE_CHECKING, Final
from urllib.request import parse_http_list

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REALM: Final = "MMS Public API"
_NONCE_S: Final = 300
_FIELDS: Final = ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce")


class Verdict(Enum):
    """What a digest is worth."""

    RIGHT = auto()
    STALE = auto()
    """Made with the right key, for a nonce that is too old or was used already."""
    WRONG = auto()


class DigestCheck:
    """Checks the digests of one API key.

    Args:
        public_key: The user name.
        private_key: The password.
        clock_s: Seconds that only go forward.
    """

    def __init__(
        self,
        public_key: str,
        private_key: str,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._public_key = public_key
        self._secret = _md5(f"{public_key}:{REALM}:{private_key}")
        self._signing_key = secrets.token_bytes(32)
        self._clock_s = clock_s
        self._used: OrderedDict[str, set[str]] = OrderedDict()

    def challenge(self, *, stale: bool = False) -> str:
        """A new value for `WWW-Authenticate`."""
        nonce = self._signed(f"{int(self._clock_s() * 1000):x}.{secrets.token_hex(8)}")
        return (
            f'Digest realm="{REALM}", domain="", nonce="{nonce}", algorithm=MD5, qop="auth", '
            f"stale={str(stale).lower()}"
        )

    def judge(self, given: str, method: str, target: str) -> Verdict:
        """Check the parameters of an `Authorization: Digest` header.

        Args:
            given: What follows the word `Digest`.
            method: The request's method.
            target: Its target as it was sent: path and query.
        """
        fields = _parameters(given)
        if not self._is_right(fields, method, target):
            return Verdict.WRONG
        return Verdict.RIGHT if self._use(fields["nonce"], fields["nc"]) else Verdict.STALE

    def _is_right(self, fields: Mapping[str, str], method: str, target: str) -> bool:
        if any(name not in fields for name in _FIELDS) or fields["uri"] != target:
            return False
        if fields["realm"] != REALM or fields["qop"] != "auth":
            return False
        if fields.get("algorithm", "MD5").upper() != "MD5":
            return False
        numbers = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
        wanted = _md5(f"{self._secret}:{numbers}:{_md5(f'{method}:{target}')}")
        same_user = _same(fields["username"], self._public_key)
        return _same(fields["response"].lower(), wanted) and same_user

    def _use(self, nonce: str, count: str) -> bool:
        """Note the use of a nonce; False when it is not ours, too old, or used with that count."""
        if not _same(nonce, self._signed(nonce.rpartition(".")[0])):
            return False
        if self._age_s(nonce) > _NONCE_S:
            return False
        used = self._used.setdefault(nonce, set())
        if count in used:
            return False
        used.add(count)
        # Only who has the key gets here, and a rate limit stands before it: this stays small.
        while self._age_s(next(iter(self._used))) > _NONCE_S:
            self._used.popitem(last=False)
        return True

    def _age_s(self, nonce: str) -> float:
        return self._clock_s() - int(nonce.partition(".")[0], 16) / 1000

    def _signed(self, body: str) -> str:
        signature = hmac.new(self._signing_key, body.encode(), hashlib.sha256).hexdigest()
        return f"{body}.{signature[:32]}"


def _parameters(given: str) -> dict[str, str]:
    """`name="value", name=value, …` as a mapping; what is not of that form is left out."""
    pairs = (part.partition("=") for part in parse_http_list(given))
    return {name.strip().lower(): _unquoted(value.strip()) for name, _, value in pairs}


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1].replace("\\\\", "\\").replace('\\"', '"') if quoted else value


def _same(left: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )


def _md5(text: str) -> str:
    # The algorithm of the Admin API's challenge; nothing else is offered there.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
