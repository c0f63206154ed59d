"""Who may call the Admin API: the service account, the API key, and nobody where that is allowed.

Source: asp-reference.md 4.7; peers.md 2.1 and 2.2.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus, urlsplit

from asp_utils.server.admin.digest import DigestCheck, Verdict
from asp_utils.server.admin.failures import ApiFailure
from asp_utils.server.admin.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from asp_utils.server.instance_folder import Settings

ANONYMOUS: Final = "anonymous"
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


class Access:
    """Tells callers apart and turns strangers away.

    Args:
        settings: The service account and the API key that callers must have, and whether those
            on this machine need none; only this last may change.
        clock_s: Seconds that only go forward.
    """

    def __init__(
        self, settings: Callable[[], Settings], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.tokens = Tokens(clock_s)
        self._settings = settings
        self._digest = DigestCheck(settings().public_key, settings().private_key, clock_s)

    def caller_of(self, request: Request) -> str:
        """The client id or public key of who calls, or `anonymous`.

        Raises:
            ApiFailure: 401, with what to answer to.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "bearer" if self.tokens.is_valid(given.strip()):
                return self._settings().client_id
            case "bearer":
                raise _unauthorized(
                    "The access token is unknown, revoked or expired: fetch another one.",
                    'Bearer error="invalid_token", error_description="unknown or expired"',
                )
            case "digest":
                return self._digest_caller(request, given)
            case "" if self._settings().allow_anonymous and _is_loopback(request):
                return ANONYMOUS
            case _:
                raise _unauthorized(
                    "You are not authorized for this resource: give an access token (Bearer) or "
                    "an API key (Digest).",
                    self._digest.challenge(),
                )

    def is_service_account(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the service account's id and secret."""
        pairs = (
            (client_id, self._settings().client_id),
            (client_secret, self._settings().client_secret),
        )
        same = [
            hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())
            for given, wanted in pairs
        ]
        return all(same)

    def _digest_caller(self, request: Request, given: str) -> str:
        scope = request.scope
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        verdict = self._digest.judge(given, request.method, target)
        if verdict is Verdict.RIGHT:
            return self._settings().public_key
        stale = verdict is Verdict.STALE
        detail = "The nonce is stale: try again." if stale else "The API key is wrong."
        raise _unauthorized(detail, self._digest.challenge(stale=stale))


def check_origin(request: Request) -> None:
    """Turn away what a web page of somebody else sends through this machine's browser.

    Raises:
        ApiFailure: 403, when `Host` or `Origin` names another machine.
    """
    host = request.headers.get("host", "")
    if not _is_local(host):
        raise _foreign("Host", host)
    origin = request.headers.get("origin")
    if origin is not None and not _is_local(urlsplit(origin).netloc):
        raise _foreign("Origin", origin)


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header; None when it is none."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def unescaped(pair: tuple[str, str]) -> tuple[str, str]:
    """The same with what RFC 6749 escapes in it; some clients do so, others do not."""
    return unquote_plus(pair[0]), unquote_plus(pair[1])


def _is_local(host: str) -> bool:
    """Whether a host, with or without a port, is a name of this machine for itself."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        host = name
    return host.lower() in _LOCAL_NAMES


def _is_loopback(request: Request) -> bool:
    return request.client is not None and ip_address(request.client.host).is_loopback


def _foreign(header: str, value: str) -> ApiFailure:
    detail = f"The local instance answers on this machine only; {header} is {value[:100]!r}."
    return ApiFailure(403, "FORBIDDEN", detail, parameters=[header])


def _unauthorized(detail: str, challenge: str) -> ApiFailure:
    headers = {"WWW-Authenticate": challenge}
    return ApiFailure(401, "USER_UNAUTHORIZED", detail, headers=headers)
