"""The ways to prove to Atlas who asks: service account, API key, user login, or not at all.

Source: Atlas page "Atlas Administration API Authentication"; asp-reference.md 4.7; the open source
of atlas-cli-core for the user login.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx
import orjson

from asp_utils.clients.atlas.tokens import MemoryToken, token_of
from asp_utils.errors import PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from asp_utils.clients.atlas.login import Login
    from asp_utils.clients.atlas.tokens import Token, TokenFile

ISSUER: Final = "/api/oauth/token"
"""Path at which service accounts get their tokens."""
_EARLY_S: Final = 30.0


@dataclass(frozen=True)
class Found:
    """Which credentials were found, and where; no secret is in it."""

    kind: str
    """service_account, api_keys, user_account, access_token, no_auth."""
    source: str
    """The place: `environment MONGODB_ATLAS_CLIENT_ID`, `profile default (key ring)`, …"""

    def __str__(self) -> str:
        return f"{_WORDS[self.kind]} of {self.source}"


_WORDS: Final = {
    "service_account": "the service account",
    "api_keys": "the API key",
    "user_account": "the login",
    "access_token": "the access token",
    "no_auth": "no credentials, as says auth_type",
}


class PostForm(Protocol):
    """Posts a form to a token endpoint."""

    def __call__(
        self,
        url: str,
        form: Mapping[str, str],
        basic: tuple[str, str] | None = None,
        *,
        once: bool = False,
    ) -> dict[str, Any]:
        """The JSON reply; `once` forbids to send the form again when no reply came."""
        ...


class Credentials(Protocol):
    """What proves who asks."""

    found: Found

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """What signs a request; fetches a token where one is needed.

        Raises:
            PermissionDenied: Atlas refuses the credentials.
        """
        ...

    def renewed(self, post: PostForm) -> bool:
        """After a 401: whether there is a new token, with which the same call may go through."""
        ...


@dataclass
class Anonymous:
    """Nobody: an emulator that asks no questions."""

    found: Found

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """Nothing signs the request."""
        return None

    def renewed(self, post: PostForm) -> bool:
        """There is nothing to renew."""
        return False


@dataclass
class ApiKey:
    """An API key: HTTP digest, each first request answered with a challenge."""

    found: Found
    public_key: str
    private_key: str = field(repr=False)
    _digest: httpx.Auth | None = field(default=None, repr=False)

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """Digest; the last challenge serves for the next requests too."""
        if self._digest is None:
            self._digest = httpx.DigestAuth(self.public_key, self.private_key)
        return self._digest

    def renewed(self, post: PostForm) -> bool:
        """A refused key stays refused."""
        return False


@dataclass
class AccessToken:
    """A token that somebody else fetched and will renew."""

    found: Found
    token: str = field(repr=False)

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """The token as it is."""
        return Bearer(self.token)

    def renewed(self, post: PostForm) -> bool:
        """Who gave it has to give a new one."""
        return False


class ServiceAccount:
    """A service account: its id and secret are exchanged for tokens that hold an hour.

    Args:
        found: Where it was found.
        client_id: Its id.
        client_secret: Its secret.
        conceal: Is told each token.
        file: Keeps the token between processes; None keeps it in memory only.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        found: Found,
        client_id: str,
        client_secret: str,
        conceal: Callable[[list[str]], None],
        file: TokenFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.found = found
        self._pair = (client_id, client_secret)
        self._conceal = conceal
        self._kept = MemoryToken(file, clock)

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """The current token, or a new one."""
        token = self._kept.current()
        if token is None:
            token = self._fetched(post)
        self._conceal([token.text])
        return Bearer(token.text)

    def renewed(self, post: PostForm) -> bool:
        """A token may have been revoked before its time: fetch another."""
        self._fetched(post)
        return True

    def _fetched(self, post: PostForm) -> Token:
        reply = post(ISSUER, {"grant_type": "client_credentials"}, self._pair)
        token = token_of(reply, self._kept.now_s(), f"POST {ISSUER}")
        self._conceal([token.text])
        self._kept.keep(token)
        return token


class UserLogin:
    """A person's `atlas auth login`: its token is refreshed as the Atlas CLI does it.

    Args:
        found: Where it was found.
        login: Reads and writes both tokens where the Atlas CLI keeps them.
        conceal: Is told each token.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        found: Found,
        login: Login,
        conceal: Callable[[list[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.found = found
        self._login = login
        self._conceal = conceal
        self._clock = clock

    def auth(self, post: PostForm) -> httpx.Auth | None:
        """The current token, refreshed when its time is up."""
        if self._login.refresh_token and not self._holds():
            self._refresh(post, self._login.access_token)
        self._conceal([self._login.access_token])
        return Bearer(self._login.access_token)

    def renewed(self, post: PostForm) -> bool:
        """A token may have been revoked before its time: refresh it."""
        if not self._login.refresh_token:
            return False
        self._refresh(post, self._login.access_token)
        return True

    def _holds(self) -> bool:
        end_s = expiry_s(self._login.access_token)
        in_time = end_s is None or self._clock() < end_s - _EARLY_S
        return bool(self._login.access_token) and in_time

    def _refresh(self, post: PostForm, useless: str) -> None:
        """Refresh the token, unless another process has done so meanwhile.

        A refresh token may be good for one time only, so that processes take turns.
        """
        with self._login.turn():
            self._login.reload()
            if self._login.access_token == useless or not self._holds():
                self._store_fresh(post)

    def _store_fresh(self, post: PostForm) -> None:
        login = self._login
        try:
            reply = post(login.url, login.form(), once=True)
        except PermissionDenied as error:
            expired = f"{self.found}: it has expired ({error.message})"
            raise PermissionDenied(expired, hint=login.again, details=error.details) from error
        fresh = token_of(reply, self._clock(), f"POST {login.url}")
        refresh = str(reply.get("refresh_token") or login.refresh_token)
        self._conceal([fresh.text, refresh])
        login.store(fresh.text, refresh)


class Bearer(httpx.Auth):
    """Signs requests with a token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token into the request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def expiry_s(token: str) -> float | None:
    """When a JSON Web Token says that it expires, in seconds since 1970; None if it does not say.

    Nothing is verified: only Atlas can say whether the token is good.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return float(end) if isinstance(end, int | float) else None
