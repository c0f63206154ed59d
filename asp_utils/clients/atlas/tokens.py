"""Access tokens: how long each holds, and the encrypted file that keeps one between processes.

A service account may have few tokens at a time, so each is used until shortly before its end, by
every process. What the file holds can be read with the client secret only.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from asp_utils.clients.atlas.messages import PROXY
from asp_utils.errors import UnexpectedReply
from asp_utils.whole_files import replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAGIC: Final = b"asp-sealed 1 "
_SALT_BYTES: Final = 16
_EARLY_S: Final = 60.0
_EARLY_SHARE: Final = 0.1
_DEFAULT_LIFE_S: Final = 3600.0


@dataclass(frozen=True)
class Token:
    """An access token."""

    text: str = field(repr=False)
    renew_at_s: float
    """When a new one is to be fetched, shortly before it expires; seconds since 1970."""

    def holds(self, now_s: float) -> bool:
        """Whether it may be used."""
        return now_s < self.renew_at_s


def token_of(reply: Mapping[str, Any], now_s: float, asked: str) -> Token:
    """The token of a token endpoint's reply.

    Raises:
        UnexpectedReply: It holds none.
    """
    text, life = reply.get("access_token"), reply.get("expires_in", _DEFAULT_LIFE_S)
    if not isinstance(text, str) or not text:
        raise UnexpectedReply(f"{asked}: the reply holds no access_token", hint=PROXY)
    if isinstance(life, bool) or not isinstance(life, int | float):
        raise UnexpectedReply(f"{asked}: expires_in is no number of seconds", hint=PROXY)
    return Token(text, renewal(now_s, now_s + life))


def renewal(now_s: float, end_s: float) -> float:
    """When to renew a token that expires at `end_s`: a minute earlier, or a tenth of a short life.

    Example:
        >>> renewal(0, 3600), renewal(0, 100)
        (3540.0, 90.0)
    """
    return end_s - min(_EARLY_S, max(0.0, end_s - now_s) * _EARLY_SHARE)


class TokenFile:
    """Keeps the token of one service account, encrypted with a key that its secret gives.

    A file that is damaged, foreign, or of another account counts as none, and one that cannot be
    written is done without: it only saves time.

    Args:
        folder: Where token files are; made (mode 0700) when it is missing.
        base_url: The Atlas that the token is for.
        client_id: The service account.
        client_secret: Its secret.
    """

    def __init__(self, folder: Path, base_url: str, client_id: str, client_secret: str) -> None:
        self._purpose = f"asp-toolkit access token\n{base_url}\n{client_id}".encode()
        name = hashlib.sha256(self._purpose).hexdigest()[:32]
        self.path: Final = folder / f"{name}.token"
        self._secret = client_secret.encode()

    def read(self) -> Token | None:
        """The token that was kept; None when there is none."""
        from cryptography.fernet import InvalidToken

        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        salt, sealed = content[len(_MAGIC) :][:_SALT_BYTES], content[len(_MAGIC) + _SALT_BYTES :]
        if not content.startswith(_MAGIC) or not sealed:
            return None
        try:
            kept = orjson.loads(self._cipher(salt).decrypt(sealed))
            return Token(kept["access_token"], float(kept["renew_at_s"]))
        except (InvalidToken, ValueError, KeyError, TypeError):
            return None

    def write(self, token: Token) -> None:
        """Keep a token in place of the one before."""
        salt = secrets.token_bytes(_SALT_BYTES)
        kept = orjson.dumps({"access_token": token.text, "renew_at_s": token.renew_at_s})
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sealed = _MAGIC + salt + self._cipher(salt).encrypt(kept)
            replace_private(self.path, sealed, durable=True)

    def _cipher(self, salt: bytes) -> Any:
        # 30 ms, and only a service account needs it.
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=self._purpose)
        return Fernet(base64.urlsafe_b64encode(key.derive(self._secret)))


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where tokens are kept: `$XDG_CACHE_HOME/asp-toolkit/tokens`, else below `~/.cache`."""
    named = environment.get("XDG_CACHE_HOME", "")
    root = Path(named) if named.startswith("/") else home(environment) / ".cache"
    return root / "asp-toolkit" / "tokens"


def home(environment: Mapping[str, str]) -> Path:
    """The user's own folder."""
    named = environment.get("HOME", "")
    return Path(named) if named else Path("~").expanduser()


class MemoryToken:
    """A token in memory, and the file behind it if there is one.

    Args:
        file: None where nothing is kept on disk.
        clock: Seconds since 1970.
    """

    def __init__(self, file: TokenFile | None, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._token: Token | None = None
        self._read = False

    def current(self) -> Token | None:
        """The token that may be used; None when one has to be fetched."""
        if self._token is None and self._file is not None and not self._read:
            self._token, self._read = self._file.read(), True
        if self._token is not None and self._token.holds(self._clock()):
            return self._token
        return None

    def keep(self, token: Token) -> None:
        """Use a token from now on, in every process."""
        self._token = token
        if self._file is not None:
            self._file.write(token)

    def now_s(self) -> float:
        """Seconds since 1970."""
        return self._clock()
