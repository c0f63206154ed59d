"""The Atlas Admin API: requests, retries, pages, downloads.

Only what changes nothing is sent twice. A reply counts as success only if its status says so and
its body is what was asked for.

Source: Atlas page "Atlas Administration API"; asp-reference.md 4.1.
"""

from __future__ import annotations

import re
import time
import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson
from httpx import BasicAuth
from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from asp_utils.clients.atlas.messages import PROXY, UNKNOWN, Asked, Passing
from asp_utils.clients.atlas.pages import all_items
from asp_utils.clients.atlas.refusals import refusal, retry_after_s
from asp_utils.clients.atlas.transport import TimeLimits, Transport
from asp_utils.errors import (
    AspError,
    Interrupted,
    NotFound,
    PermissionDenied,
    UnexpectedReply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import TypeVar

    from tenacity import RetryCallState

    from asp_utils.clients.atlas.credentials import Credentials, Found
    from asp_utils.clients.atlas.messages import Reply

    T = TypeVar("T")

ATTEMPTS: Final = 5
"""How often a safe request is sent at most."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 20.0
_LONGEST_WISH_S: Final = 60.0
"""A server that wants its client to wait longer is told to a person instead."""
_SPENT_PAUSE_S: Final = 1.0
_JITTER_SHARE: Final = 0.1
_GUNZIPPED_BYTES: Final = 256 * 1024
_GZIP: Final = 31
_JSON: Final = re.compile(r"(application|text)/([\w.+-]+\+)?json")
_PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED_STATUS: Final = frozenset({400, 401, 403})
_BACK_OFF: Final = wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S)
_ROOT: Final = "/api/atlas/v2"
_STATUS_VERSION: Final = "2023-01-01"


class AtlasApi:
    """The Admin API of one Atlas, for one caller.

    Args:
        base_url: Scheme, host and port.
        credentials: Who asks.
        ca_file: PEM of a private authority.
        wait: Waits so many seconds; tells whether the call is cancelled.
        user_agent: How the client names itself.
        limits: How long it waits for the server.
        clock: Seconds since 1970.

    Every method raises:
        PermissionDenied: 401, 402, 403.
        NotFound: 404, and a 400 that says so.
        Conflict: 409, and a 400 or 403 that says so.
        ConfigInvalid, PipelineInvalid: 400, each wrong field a fault.
        Temporary: 429 and 5xx, after retries of what changes nothing.
        Unreachable: No connection, or it broke; TLS without trust.
        TimedOut: No complete reply in time.
        UnexpectedReply: A redirect, no JSON, nothing, or half of it.
        Interrupted: The call was cancelled while it waited.

    An error's `details` hold status, errorCode, reason, detail, parameters, method and path.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        ca_file: str | None = None,
        wait: Callable[[float], bool],
        user_agent: str = "asp-toolkit",
        limits: TimeLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._wait = wait
        self._clock = clock
        self._transport = Transport(base_url, ca_file, user_agent, limits or TimeLimits())
        self._spent_s = 0.0
        self.last_headers: Mapping[str, str] = {}
        """Headers of the last reply, by lower-case name."""
        self.done: list[str] = []
        """The changes that were accepted, `POST /api/…` each."""
        self.doubtful: list[str] = []
        """The changes that were sent and not answered so that one knows what became of them."""

    @property
    def found(self) -> Found:
        """Which credentials are used, and where they were found."""
        return self._credentials.found

    def get(
        self, path: str, *, version: str, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One resource.

        Args:
            path: Absolute below the host, each segment quoted; as for every method.
            version: Date of the resource's version; as for every method.
            query: Further parameters.
        """
        return self._document(Asked("GET", path, _json(version), query or {}))

    def items(
        self, path: str, *, version: str, query: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every item of a list, however many pages it has.

        Raises:
            UnexpectedReply: The list is not whole; see `pages.all_items`.
        """

        def look(asked: Mapping[str, str]) -> Mapping[str, Any]:
            return self.get(path, version=version, query=asked)

        return all_items(look, query or {}, f"GET {path}")

    def post(
        self, path: str, body: Any = None, *, version: str, empty_ok: bool = False
    ) -> dict[str, Any]:
        """Create something, or act on it.

        Args:
            path: As above.
            body: JSON; its keys keep their order.
            version: As above.
            empty_ok: Whether success without a body is one (`:start`); `{}` then.
        """
        asked = Asked("POST", path, _json(version), body=_encoded(body))
        return self._document(asked, empty_ok=empty_ok)

    def patch(
        self, path: str, body: Any, *, version: str, shows: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Change something; `shows` are fields of a reply that is about it."""
        asked = Asked("PATCH", path, _json(version), body=_encoded(body))
        return self._document(asked, shows=shows or {})

    def delete(self, path: str, *, version: str) -> None:
        """Delete something; that it is gone shows only when it is looked for."""
        self._document(Asked("DELETE", path, _json(version)), empty_ok=True)

    def download(
        self, path: str, *, version: str, query: Mapping[str, str] | None = None
    ) -> Generator[bytes, None, None]:
        """The bytes of a gzip file, unzipped, in pieces of at most 256 KiB.

        Raises:
            UnexpectedReply: What comes is no gzip file, or its end is missing.
        """
        asked = Asked("GET", path, f"application/vnd.atlas.{version}+gzip", query or {})

        def opened() -> tuple[bytes, Generator[bytes, None, None]]:
            pieces = self._pieces(asked)
            return next(pieces, b""), pieces

        # What fails before the first piece may be tried again, what fails later may not.
        first, pieces = self._retried(opened, safe=True)
        try:
            if first:
                yield first
            yield from pieces
        except Passing as passing:
            raise passing.error from passing.__cause__
        finally:
            pieces.close()

    def roles(self) -> list[str] | None:
        """Names of the roles that the credentials have; None where Atlas does not say.

        Source: Admin API, `GET /api/atlas/v2` (status of this service).
        """
        try:
            key = self.get(_ROOT, version=_STATUS_VERSION).get("apiKey")
        except (NotFound, PermissionDenied):
            return None
        roles = key.get("roles") if isinstance(key, dict) else None
        if not isinstance(roles, list):
            return None
        return [str(role["roleName"]) for role in roles if isinstance(role, dict)]

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _document(
        self, asked: Asked, *, empty_ok: bool = False, shows: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            reply = self._retried(lambda: self._answer(asked), safe=asked.safe)
            document = _body(asked, reply, empty_ok=empty_ok)
            if not (shows or {}).items() <= document.items():
                raise _doubtful(asked, reply, f"is about something else: {document!r:.200}")
        except AspError as error:
            if not asked.safe and error.hint == UNKNOWN:
                self.doubtful.append(asked.name)
            raise
        if not asked.safe:
            self.done.append(asked.name)
        return document

    def _answer(self, asked: Asked) -> Reply:
        """A successful reply; a token that does not hold is renewed once, as a 401 did nothing."""
        self._pace()
        reply = self._transport.send(asked, self._credentials.auth(self._post_form))
        if reply.status == 401 and self._credentials.renewed(self._post_form):
            reply = self._transport.send(asked, self._credentials.auth(self._post_form))
        if not 200 <= reply.status < 300:
            raise self._refused(asked, reply)
        self._note(reply)
        return reply

    def _pieces(self, asked: Asked) -> Generator[bytes, None, None]:
        self._pace()
        for may_renew in (True, False):
            auth = self._credentials.auth(self._post_form)
            with self._transport.receive(asked, auth) as received:
                expired = received.status == 401 and may_renew
                if not (expired and self._credentials.renewed(self._post_form)):
                    if received.status != 200:
                        raise self._refused(asked, received.whole())
                    self._note(received.head())
                    yield from _unzipped(received.parts(), asked.name)
                    return

    def _post_form(
        self,
        url: str,
        form: Mapping[str, str],
        basic: tuple[str, str] | None = None,
        *,
        once: bool = False,
    ) -> dict[str, Any]:
        """What a token endpoint answers.

        Raises:
            PermissionDenied: It does not accept what it was given.
        """
        body, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
        asked = Asked("POST", url, body=body, body_type=kind, repeatable=not once)

        def sent() -> Reply:
            reply = self._transport.send(asked, None if basic is None else BasicAuth(*basic))
            if not 200 <= reply.status < 300:
                raise self._refused(asked, reply)
            return reply

        return _body(asked, self._retried(sent, safe=asked.safe), empty_ok=False)

    def _refused(self, asked: Asked, reply: Reply) -> Exception:
        """The error for a reply without success."""
        error = refusal(asked, reply, str(self.found))
        if asked.body_type and reply.status in _REFUSED_STATUS:
            hint = f"is it expired or revoked: {self.found}?"
            return PermissionDenied(error.message, hint=hint, details=error.details)
        pause_s = retry_after_s(reply.headers, self._clock)
        if pause_s is not None:
            error.details["retry_after_s"] = pause_s
        if reply.status == 429 and pause_s:
            error.hint = f"ask again in {pause_s:g} s"
        if asked.safe and reply.status in _PASSING_STATUS:
            return Passing(error, pause_s)
        return error

    def _retried(self, call: Callable[[], T], *, safe: bool) -> T:
        """What `call` returns, called again after a failure that may pass."""

        def gives_up(state: RetryCallState) -> bool:
            wished_s = _passing(state).pause_s or 0.0
            return not safe or state.attempt_number >= ATTEMPTS or wished_s > _LONGEST_WISH_S

        again = retry_if_exception_type(Passing)
        retrying = Retrying(
            stop=gives_up, wait=_pause_s, retry=again, sleep=self._sleep, reraise=True
        )
        try:
            return retrying(call)
        except Passing as passing:
            raise passing.error from passing.__cause__

    def _sleep(self, seconds: float) -> None:
        if self._wait(seconds):
            raise Interrupted(
                "cancelled while waiting to ask Atlas again", hint="ask again when you can wait"
            )

    def _pace(self) -> None:
        """Wait when the last reply said that no more requests are left for now."""
        if self._spent_s:
            pause_s, self._spent_s = self._spent_s, 0.0
            self._sleep(pause_s)

    def _note(self, reply: Reply) -> None:
        self.last_headers = reply.headers
        if reply.headers.get("ratelimit-remaining", "").strip() == "0":
            reset = reply.headers.get("ratelimit-reset", "").strip()
            wished_s = float(reset) if reset.isascii() and reset.isdigit() else _SPENT_PAUSE_S
            self._spent_s = min(wished_s, _LONGEST_WISH_S)


def _json(version: str) -> str:
    return f"application/vnd.atlas.{version}+json"


def _encoded(body: Any) -> bytes | None:
    return None if body is None else orjson.dumps(body)


def _passing(state: RetryCallState) -> Passing:
    failure = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(failure, Passing):
        raise TypeError("only what may pass is tried again")
    return failure


def _pause_s(state: RetryCallState) -> float:
    """How long to wait: what the server wishes and a little more, else ever longer, at random."""
    wished_s, own_s = _passing(state).pause_s, _BACK_OFF(state)
    return own_s if wished_s is None else wished_s + _JITTER_SHARE * own_s


def _body(asked: Asked, reply: Reply, *, empty_ok: bool) -> dict[str, Any]:
    """The JSON object of a successful reply.

    Raises:
        UnexpectedReply: There is none.
    """
    if not reply.body:
        if reply.status == 204 or empty_ok:
            return {}
        raise _doubtful(asked, reply, "has no body")
    if reply.media_type and not _JSON.fullmatch(reply.media_type):
        raise _doubtful(asked, reply, f"is {reply.media_type}, not JSON")
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise _doubtful(asked, reply, f"is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise _doubtful(asked, reply, "is no JSON object")
    return document


def _doubtful(asked: Asked, reply: Reply, why: str) -> UnexpectedReply:
    return UnexpectedReply(
        f"{asked.name}: the reply {reply.status} {why}",
        hint=PROXY if asked.safe else UNKNOWN,
        details={"status": reply.status, "method": asked.method, "path": asked.path},
    )


def _unzipped(parts: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The content of a gzip file that comes in pieces."""
    inflater, came = zlib.decompressobj(_GZIP), False
    try:
        for part in parts:
            rest, came = part, True
            while rest:
                if inflater.eof:
                    # A file may be several, one after the other.
                    inflater = zlib.decompressobj(_GZIP)
                piece = inflater.decompress(rest, _GUNZIPPED_BYTES)
                rest = inflater.unconsumed_tail or inflater.unused_data
                if piece:
                    yield piece
        last = inflater.flush()
    except zlib.error as error:
        raise UnexpectedReply(f"{name}: this is no gzip file: {error}", hint=PROXY) from error
    if last:
        yield last
    if not inflater.eof:
        cut = f"{name}: the file was cut off" if came else f"{name}: no file came"
        raise UnexpectedReply(cut, hint="what came before is whole: ask again for the rest")
