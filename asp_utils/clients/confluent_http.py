"""HTTP as Confluent's REST API v3 speaks it: `{error_code, message}`, pages, 429 with Retry-After.

Only calls that change nothing are repeated. httpx is loaded with this module.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import httpx

from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    EnvironmentMissing,
    Fault,
    NotFound,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ADDRESS: Final = "is kafka.rest.endpoint the REST endpoint of the cluster (not of the Cloud API)?"
_ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 0.2
_SHOWN: Final = 300
_MAX_PAGES: Final = 10_000
_DEFAULT_PATH: Final = "/kafka/v3"
_UNKNOWN: Final = "; whether the change was carried out is not known"
_SUB_CODES: Final = 100
"""40403 is status 404 and a reason of its own."""


class Reply(dict[str, Any]):
    """A JSON object of a reply; to ask for what it lacks is an `UnexpectedReply`."""

    def __missing__(self, key: str) -> Any:
        raise unreadable(f"a reply lacks {key!r}: {dict(self)}"[:_SHOWN])


class ConfluentHttp:
    """Calls below one cluster of the API.

    Args:
        target: `endpoint`, `cluster_id`, `api_key`, `api_secret`, and `ca_file` if need be.
        timeout_s: How long one call may take, repeated ones included.
        wait: Waits that many seconds; tells whether the call is cancelled.

    Raises:
        EnvironmentMissing: `ca_file` cannot be used.
    """

    def __init__(
        self, target: Mapping[str, str], timeout_s: float, wait: Callable[[float], bool]
    ) -> None:
        endpoint = target["endpoint"].rstrip("/")
        if not urlsplit(endpoint).path:
            endpoint += _DEFAULT_PATH
        self._base = f"{endpoint}/clusters/{quote(target['cluster_id'], safe='')}"
        self._timeout_s = timeout_s
        self._wait = wait
        self._client = httpx.Client(
            auth=(target["api_key"], target["api_secret"]),
            headers={"User-Agent": "asp-toolkit", "Accept": "application/json"},
            timeout=timeout_s,
            verify=_trusted(target.get("ca_file")),
            follow_redirects=False,
        )

    def get(self, path: str) -> dict[str, Any]:
        """What stands at a path below the cluster; repeated where that may help."""
        return self._get(self._base + path, path)

    def items(self, path: str) -> Iterator[dict[str, Any]]:
        """The items of a list, of all its pages.

        Raises:
            UnexpectedReply: It is no list, or its next page is on another server or never ends.
        """
        url = self._base + path
        for _ in range(_MAX_PAGES):
            page = self._get(url, path)
            data = page.get("data")
            if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
                raise unreadable(f"the reply to GET {path} has no list `data`")
            yield from data
            link = (page.get("metadata") or {}).get("next")
            if not link:
                return
            # The credentials go where the configuration says, and nowhere else.
            if urlsplit(link)[:2] != urlsplit(self._base)[:2] or link == url:
                raise unreadable(f"the next page of {path} is elsewhere: {link}"[:_SHOWN])
            url = link
        raise unreadable(f"{path} has more than {_MAX_PAGES} pages")

    def change(self, method: str, path: str, body: Any = None) -> None:
        """Change something; never repeated. What it did must be looked at."""
        content = None if body is None else json.dumps(body).encode()
        response = self._sent(method, self._base + path, path, content)
        if not response.is_success:
            raise _refusal(response, method, path)

    def stream(self, path: str, body: bytes) -> list[Any]:
        """Send a stream of JSON values; the values that came back, one after the other.

        Raises:
            UnexpectedReply: What came back is not JSON to its end.
        """
        response = self._sent("POST", self._base + path, path, body)
        if not response.is_success:
            raise _refusal(response, "POST", path)
        try:
            return list(_values(response.text))
        except ValueError as error:
            raise unreadable(f"the reply to POST {path} is not JSON: {error}") from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _get(self, url: str, path: str) -> dict[str, Any]:
        deadline_s = time.monotonic() + self._timeout_s
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._got(url, path)
            except Temporary as error:
                pause_s = error.details.get("retry_after_s")
                if pause_s is None:
                    pause_s = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
                in_time = time.monotonic() + pause_s < deadline_s
                if attempt == _ATTEMPTS or not in_time or self._wait(pause_s):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _got(self, url: str, path: str) -> dict[str, Any]:
        response = self._sent("GET", url, path, None)
        if not response.is_success:
            raise _refusal(response, "GET", path)
        try:
            value = response.json(object_hook=Reply)
        except ValueError as error:
            raise unreadable(f"the reply to GET {path} is not JSON") from error
        if not isinstance(value, dict):
            raise unreadable(f"the reply to GET {path} is no JSON object")
        return value

    def _sent(self, method: str, url: str, path: str, body: bytes | None) -> httpx.Response:
        about = "" if method == "GET" else _UNKNOWN
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            return self._client.request(method, url, content=body, headers=headers)
        except httpx.ConnectTimeout as error:
            text = f"{self._base}: no connection within {self._timeout_s:g} s"
            raise TimedOut(text, hint=_ADDRESS) from error
        except httpx.TimeoutException as error:
            text = f"{method} {path}: no answer within {self._timeout_s:g} s{about}"
            raise TimedOut(text, hint="raise timeout_s") from error
        except httpx.ConnectError as error:
            raise _no_connection(self._base, error) from error
        except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
            raise unreadable(f"the reply to {method} {path} broke off: {error}{about}") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(f"{method} {path}: {error}{about}", hint=_ADDRESS) from error


def unreadable(what: str) -> UnexpectedReply:
    """The error for an answer that cannot be trusted."""
    return UnexpectedReply(
        f"Confluent's REST API: {what}",
        hint=_ADDRESS,
    )


def error_of(code: int, body: Any, method: str, path: str) -> AspError:
    """The error for a refusal.

    Args:
        code: HTTP status, or the API's own code, whose first three digits are one.
        body: `{error_code, message}`.
        method: What was called.
        path: Where, below the cluster.
    """
    status = code // _SUB_CODES if code >= _SUB_CODES**2 else code
    said = " ".join(str(body.get("message", "")).split()) if isinstance(body, dict) else ""
    own = body.get("error_code") if isinstance(body, dict) else None
    text = f"{method} {path or '/'}: {said or 'no reason given'} ({own or status})"[:_SHOWN]
    details = {"status": status, "error_code": own, "method": method, "path": path}
    if status == httpx.codes.UNAUTHORIZED:
        hint = "check kafka.rest.api_key and api_secret: a key of this cluster, not a Cloud key"
        return PermissionDenied(text, hint=hint, details=details)
    if status == httpx.codes.FORBIDDEN:
        hint = "this key needs an ACL or a role for it"
        return PermissionDenied(text, hint=hint, details=details)
    if status == httpx.codes.NOT_FOUND:
        hint = "is it there, and is kafka.rest.cluster_id right? cli_topic_list.py"
        return NotFound(text, hint=hint, details=details)
    if status == httpx.codes.CONFLICT or "already exists" in said:
        hint = "it exists already, or is in use: look at it first"
        return Conflict(text, hint=hint, details=details)
    if status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT) or status >= 500:
        return Temporary(text, hint="try again a little later", details=details)
    if status in (400, 413, 422):
        return ConfigInvalid("config", [Fault(_blamed(path), text)])
    return UnexpectedReply(text, hint=_ADDRESS, details=details)


def _blamed(path: str) -> str:
    """JSON path of the parameter that a refusal is about."""
    return "$.config" if "/configs" in path else "$.topic"


def _refusal(response: httpx.Response, method: str, path: str) -> AspError:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error_code" not in body:
        # A proxy's page, or another API: its status is no word of the cluster's.
        if response.status_code in (401, 403, 429) or response.status_code >= 500:
            body = {"message": response.reason_phrase}
        else:
            return unreadable(f"{method} {path} was answered with {response.status_code}")
    error = error_of(response.status_code, body, method, path)
    after = response.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        error.details["retry_after_s"] = int(after)
    return error


def _values(text: str) -> Iterator[Any]:
    """JSON values that stand one after the other."""
    decoder = json.JSONDecoder()
    position, end = 0, len(text)
    while position < end:
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        yield value


def _trusted(ca_file: str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise EnvironmentMissing(
            f"{ca_file} cannot be used as an authority: {error}",
            hint="kafka.rest.ca_file names a PEM file",
            path="$.kafka.rest.ca_file",
        ) from error


def _no_connection(base: str, error: httpx.ConnectError) -> Unreachable:
    text = " ".join(str(error).split())
    hint = "is kafka.rest.endpoint right?"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "give the authority that signed its certificate: kafka.rest.ca_file"
    elif "SSL" in text:
        hint = "does that port speak TLS? Compare http and https"
    return Unreachable(f"{base}: {text}", hint=hint)
