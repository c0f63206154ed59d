"""HTTP requests over a pool of kept connections; httpx sends them.

httpx is loaded with this module, so whoever needs it only sometimes imports it late.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx

from asp_utils.errors import TimedOut, Unreachable
from asp_utils.model.sensitive import CREDENTIAL_PARAMETER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
"""More fits into no document."""
_USER_AGENT: Final = "asp-toolkit"
_SECRET: Final = re.compile(CREDENTIAL_PARAMETER)
_UNSENDABLE: Final = (
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    # From the socket: a host name or a port that cannot be.
    UnicodeError,
    OverflowError,
)


class UnsendableRequest(ValueError):
    """A request that cannot be put on the wire: no URL, a forbidden character."""


@dataclass(frozen=True)
class HttpRequest:
    """One request, ready to be sent."""

    method: str
    url: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes | None = None


@dataclass(frozen=True)
class HttpReply:
    """What came back, read to its end."""

    status: int
    phrase: str
    """The standard words for the status, `Not Found`."""
    media_type: str
    """Lower-case type without parameters, `application/json`; "" when the server named none."""
    charset: str
    body: bytes
    """Decoded from its transfer and content coding."""
    fault: str = ""
    """Why the body could not be read."""


class HttpPool:
    """Sends requests; any number of threads may do so at once.

    Args:
        connections: How many connections are open at most.
        connect_timeout_s: Time to reach the server.
        request_timeout_s: Time from the first byte sent to the last byte received.
    """

    def __init__(
        self, connections: int, connect_timeout_s: float, request_timeout_s: float
    ) -> None:
        self._request_timeout_s = request_timeout_s
        self._client = httpx.Client(
            headers={"User-Agent": _USER_AGENT},
            timeout=httpx.Timeout(request_timeout_s, connect=connect_timeout_s, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
        )

    def send(self, request: HttpRequest) -> HttpReply:
        """Send a request and read the whole reply.

        Raises:
            UnsendableRequest: The request itself is at fault.
            TimedOut: Server silent for too long.
            Unreachable: No connection, it broke, or what answers speaks no HTTP.
        """
        try:
            return self._send(request)
        except _UNSENDABLE as error:
            raise UnsendableRequest(str(error)) from error
        except httpx.ConnectTimeout as error:
            raise TimedOut("no connection within the connection timeout") from error
        except httpx.TimeoutException as error:
            raise TimedOut(self._too_slow()) from error
        except httpx.TransportError as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(self, request: HttpRequest) -> HttpReply:
        deadline_s = time.monotonic() + self._request_timeout_s
        with self._client.stream(
            request.method, request.url, headers=list(request.headers), content=request.body
        ) as response:
            body, fault = self._body(response, deadline_s)
            return HttpReply(
                response.status_code,
                response.reason_phrase,
                response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                response.charset_encoding or "utf-8",
                body,
                fault,
            )

    def _body(self, response: httpx.Response, deadline_s: float) -> tuple[bytes, str]:
        """The body, and why there is none."""
        body = bytearray()
        try:
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_REPLY_BYTES:
                    return b"", f"it is larger than {MAX_REPLY_BYTES} bytes"
                # httpx times single reads only; a server that drips would never be too slow.
                if time.monotonic() > deadline_s:
                    raise TimedOut(self._too_slow())
        except httpx.DecodingError as error:
            return b"", f"it cannot be decoded: {error}"
        return bytes(body), ""

    def _too_slow(self) -> str:
        return f"no complete reply within {self._request_timeout_s:g} s"


def joined_url(base: str, path: str, parameters: Mapping[str, str]) -> str:
    """A URL with a path appended to its own, and parameters added behind its own.

    A query that stands in `path` stays one.

    Raises:
        UnsendableRequest: It is no http or https URL.
    """
    try:
        url = httpx.URL(base)
        if url.scheme not in ("http", "https") or not url.host:
            raise UnsendableRequest("it must begin with https:// and name a host")
        own, _, query = url.raw_path.decode("ascii").partition("?")
        appended, _, more = path.replace("#", "%23").partition("?")
        if appended:
            own = f"{own.rstrip('/')}/{appended.lstrip('/')}"
        given = (f"{quote(name, safe='')}={quote(v, safe='')}" for name, v in parameters.items())
        query = "&".join(filter(None, (query, more, *given)))
        origin = str(url.copy_with(raw_path=b"/", fragment=None)).rstrip("/")
        return str(httpx.URL(f"{origin}{own}{'?' * bool(query)}{query}"))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UnsendableRequest(str(error)) from error


def without_credentials(url: str) -> str:
    """A URL as it may be shown: without user and password, and parameters that look like them."""
    shown = str(httpx.URL(url).copy_with(username=None, password=None))
    return _SECRET.sub(lambda found: found[0].removesuffix(found["value"]) + "***", shown)
