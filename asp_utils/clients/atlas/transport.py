"""Requests of the Admin API over httpx: time limits, TLS, and what each failure means.

httpx is loaded with this module, so whoever needs it only sometimes imports it late.
"""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from asp_utils.clients.atlas.messages import PROXY, UNKNOWN, Passing, Reply
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    EnvironmentMissing,
    Fault,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.clients.atlas.messages import Asked

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Far more than a page of 500 stream processors takes."""
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class TimeLimits:
    """How long the client waits."""

    connect_s: float = 10.0
    """To reach the server, TLS included."""
    silence_s: float = 60.0
    """Between two signs of life."""
    reply_s: float = 120.0
    """From the first byte sent to the last byte of the reply; downloads may take longer."""


class Transport:
    """Kept connections to one host.

    Args:
        base_url: Scheme, host and port.
        ca_file: PEM of a private authority; None for those that this machine trusts.
        user_agent: How the client names itself.
        limits: How long it waits.

    Raises:
        ConfigInvalid: The file of the authority is none.
    """

    def __init__(
        self, base_url: str, ca_file: str | None, user_agent: str, limits: TimeLimits
    ) -> None:
        self._limits = limits
        self._base_url = base_url
        self._host = urlsplit(base_url).netloc
        self._is_own = is_loopback(base_url)
        try:
            self._client = httpx.Client(
                base_url=base_url,
                headers={"User-Agent": user_agent},
                timeout=httpx.Timeout(limits.silence_s, connect=limits.connect_s),
                verify=_trust(base_url, ca_file),
                # A proxy that the environment names cannot reach this machine's own loopback.
                trust_env=not self._is_own,
                follow_redirects=False,
            )
        except (ValueError, ImportError) as error:
            # The proxy that the environment names is no URL, or a kind that needs more packages.
            fix = "correct HTTPS_PROXY, or unset it"
            raise EnvironmentMissing(f"the proxy cannot be used: {error}", hint=fix) from error

    def send(self, asked: Asked, auth: httpx.Auth | None) -> Reply:
        """Send a request and read the whole reply, whatever its status.

        Raises:
            Passing: A safe request failed in a way that may pass.
            AspError: It failed otherwise.
        """
        deadline_s = time.monotonic() + self._limits.reply_s
        with self._translated(asked), self._opened(asked, auth) as response:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    most = f"the reply is larger than {MAX_BODY_BYTES} bytes"
                    hint = PROXY if asked.safe else UNKNOWN
                    raise UnexpectedReply(f"{asked.name}: {most}", hint=hint)
                if time.monotonic() > deadline_s:
                    # httpx times single reads only; a server that drips is never too slow.
                    raise httpx.ReadTimeout("the reply drips")
            return _reply(response, bytes(body))

    @contextmanager
    def receive(self, asked: Asked, auth: httpx.Auth | None) -> Iterator[Received]:
        """Send a request for something large; its reply is read while it is used.

        Raises:
            Passing, AspError: As `send` does; also while it is read.
        """
        with self._translated(asked), self._opened(asked, auth) as response:
            yield Received(response)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _opened(self, asked: Asked, auth: httpx.Auth | None) -> Iterator[httpx.Response]:
        headers = {"Accept": asked.media_type}
        if "gzip" in asked.media_type:
            headers["Accept-Encoding"] = "identity"
        if asked.body is not None:
            headers["Content-Type"] = asked.body_type or asked.media_type
        with self._client.stream(
            asked.method,
            asked.path,
            params=dict(asked.query) or None,
            content=asked.body,
            headers=headers,
            auth=auth,
        ) as response:
            yield response

    @contextmanager
    def _translated(self, asked: Asked) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise self._failure(asked, error) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            fault = Fault("$.atlas.url", f"{self._base_url!r}: {error}")
            raise ConfigInvalid("the Admin API", [fault]) from error

    def _failure(self, asked: Asked, error: httpx.HTTPError) -> Exception:
        """The error for a request that got no whole reply."""
        fault = _tls_fault(error)
        if fault is not None:
            return self._untrusted(asked, fault)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return ConfigInvalid("the Admin API", [Fault("$.atlas.url", str(error))])
        failure = self._broken(asked, error)
        if isinstance(error, _NOT_SENT):
            # On this machine nothing comes up because somebody waits.
            return Passing(failure) if asked.safe and not self._is_own else failure
        if asked.safe:
            return Passing(failure)
        failure.hint, failure.retryable = UNKNOWN, False
        return failure

    def _broken(self, asked: Asked, error: httpx.HTTPError) -> AspError:
        facts = {"method": asked.method, "path": asked.path}
        place = f"{asked.name}: {self._host}"
        again = "is the service up, and a proxy or firewall in between? ask again later"
        if isinstance(error, httpx.ConnectTimeout):
            late = f"{place} was not reached within {self._limits.connect_s:g} s"
            return TimedOut(late, hint=again, details=facts)
        if isinstance(error, httpx.TimeoutException):
            late = f"{place} gave no complete reply in time"
            return TimedOut(late, hint=again, details=facts)
        said = str(error) or type(error).__name__
        if "incomplete" in said or "complete message body" in said:
            cut = f"{place}: the reply was cut off: {said}"
            return UnexpectedReply(cut, hint=again, details=facts)
        if isinstance(error, httpx.ProtocolError | httpx.DecodingError) and "disconn" not in said:
            odd = f"{place} does not speak HTTP as it should: {said}"
            return UnexpectedReply(odd, hint=PROXY, details=facts)
        return Unreachable(f"{place} does not answer: {said}", hint=again, details=facts)

    def _untrusted(self, asked: Asked, fault: ssl.SSLError) -> Unreachable:
        said = getattr(fault, "verify_message", "") or fault.reason or str(fault)
        hint = "does it speak TLS at all? The base URL may have to begin with http://"
        if isinstance(fault, ssl.SSLCertVerificationError):
            hint = "for a private authority name its PEM file: `ca_file` in `atlas`, SSL_CERT_FILE"
        message = f"{asked.name}: no trusted TLS connection to {self._host}: {said}"
        facts = {"method": asked.method, "path": asked.path, "tls": said}
        return Unreachable(message, hint=hint, details=facts, retryable=False)


class Received:
    """A reply that is read while it is used."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return self._response.status_code

    def whole(self) -> Reply:
        """The reply with its body; for a refusal, which is small."""
        body = bytearray()
        for part in self._response.iter_bytes():
            body += part
            if len(body) > MAX_BODY_BYTES:
                break
        return _reply(self._response, bytes(body))

    def head(self) -> Reply:
        """The reply without its body."""
        return _reply(self._response, b"")

    def parts(self) -> Iterator[bytes]:
        """The body as it comes, in its content coding."""
        return self._response.iter_raw()


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _reply(response: httpx.Response, body: bytes) -> Reply:
    status = response.status_code
    phrase = response.reason_phrase or (
        HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    )
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(status, phrase, headers, body)


def _trust(base_url: str, ca_file: str | None) -> ssl.SSLContext:
    if urlsplit(base_url).scheme == "http":
        # Trusts nobody: reading the authorities takes 15 ms, and there is no TLS here.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        fault = Fault("$.atlas.ca_file", f"{ca_file} holds no certificates: {error}")
        raise ConfigInvalid("the Admin API", [fault]) from error


def _tls_fault(error: BaseException) -> ssl.SSLError | None:
    """The TLS error below a failed request; None when it failed otherwise."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLError) and not isinstance(below, ssl.SSLEOFError):
            return below
        below = below.__cause__ or below.__context__
    return None
