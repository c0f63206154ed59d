"""Who is let in: tokens, digests, and nobody else; with a clock that the test moves."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.server.admin.access import Access, basic_credentials
from asp_utils.server.admin.digest import DigestCheck, Verdict
from asp_utils.server.admin.failures import ApiFailure
from asp_utils.server.admin.rate import RateLimiter
from asp_utils.server.admin.resource import Gate
from asp_utils.server.admin.routes import build_app
from asp_utils.server.admin.tokens import Tokens
from asp_utils.server.instance_folder import Settings

if TYPE_CHECKING:
    from asp_utils.server.admin.exchange import Services

NOWHERE = "/api/atlas/v2/nowhere"
KNOWN = Settings("user", "password", {}, client_id="mdb_sa_id_1", client_secret="s3cret+/=")


@dataclass
class Door:
    """The whole application in this process: 404 says that a caller was let in."""

    now_s: float = 1000.0
    settings: Settings = KNOWN
    per_minute: int = 1200
    address: str = "127.0.0.1"
    app: Any = field(init=False)

    def __post_init__(self) -> None:
        access = Access(lambda: self.settings, lambda: self.now_s)
        limiter = RateLimiter(self.per_minute, lambda: self.now_s)
        self.app = build_app(Gate(access, limiter, cast("Services", None)), access)

    def ask(self, method: str = "GET", path: str = NOWHERE, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.request(method, path, **options)

        return asyncio.run(asked())

    def token(self, **options: Any) -> httpx.Response:
        given: dict[str, Any] = {
            "auth": (KNOWN.client_id, KNOWN.client_secret),
            "data": {"grant_type": "client_credentials"},
            **options,
        }
        return self.ask("POST", "/api/oauth/token", **given)

    def bearer(self, token: str) -> httpx.Response:
        return self.ask(headers={"Authorization": f"Bearer {token}"})

    def digest(self, password: str = KNOWN.private_key) -> httpx.Response:
        return self.ask(auth=httpx.DigestAuth(KNOWN.public_key, password))


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_token_lets_in_for_an_hour(door: Door) -> None:
    reply = door.token()
    assert reply.status_code == 200
    assert reply.json().keys() == {"access_token", "expires_in", "token_type"}
    assert (reply.json()["expires_in"], reply.json()["token_type"]) == (3600, "Bearer")
    assert reply.headers["cache-control"] == "no-store"
    token = reply.json()["access_token"]
    door.now_s += 3599
    assert door.bearer(token).status_code == 404
    door.now_s += 1
    expired = door.bearer(token)
    assert expired.status_code == 401
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]
    assert expired.json()["errorCode"] == "USER_UNAUTHORIZED"


def test_a_token_can_be_revoked(door: Door) -> None:
    token = door.token().json()["access_token"]
    data = {"token": token, "token_type_hint": "access_token"}
    stranger = door.ask("POST", "/api/oauth/revoke", data=data, auth=("a", "b"))
    assert stranger.status_code == 401
    assert door.bearer(token).status_code == 404
    auth = (KNOWN.client_id, KNOWN.client_secret)
    for _ in range(2):  # an unknown token is revoked as well as any
        assert door.ask("POST", "/api/oauth/revoke", data=data, auth=auth).status_code == 200
    assert door.bearer(token).status_code == 401
    assert door.ask("POST", "/api/oauth/revoke", data={}, auth=auth).json()["error"] == (
        "invalid_request"
    )


def test_secrets_in_the_form_and_escaped_secrets_are_taken(door: Door) -> None:
    own = {"client_id": KNOWN.client_id, "client_secret": KNOWN.client_secret}
    data = {"grant_type": "client_credentials", **own}
    assert door.token(auth=None, data=data).status_code == 200
    escaped = (KNOWN.client_id, "s3cret%2B%2F%3D")
    assert door.token(auth=escaped).status_code == 200


@pytest.mark.parametrize(
    ("options", "status", "error"),
    [
        ({"auth": ("mdb_sa_id_1", "wrong")}, 401, "invalid_client"),
        ({"auth": ("wrong", "s3cret+/=")}, 401, "invalid_client"),
        ({"auth": None}, 401, "invalid_client"),
        ({"headers": {"Authorization": "Basic %%%"}, "auth": None}, 401, "invalid_client"),
        ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": {}}, 400, "invalid_request"),
        ({"data": None, "json": {"grant_type": "client_credentials"}}, 400, "invalid_request"),
    ],
)
def test_refused_tokens(door: Door, options: Any, status: int, error: str) -> None:
    reply = door.token(**options)
    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert reply.json()["error_description"]
    assert ("www-authenticate" in reply.headers) == (status == 401)


def test_the_token_endpoint_takes_post_and_small_forms_only(door: Door) -> None:
    reply = door.ask("GET", "/api/oauth/token")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["errorCode"] == "METHOD_NOT_ALLOWED"
    assert door.token(data={"grant_type": "x" * 100_000}).status_code == 413


def test_a_digest_lets_in(door: Door) -> None:
    reply = door.digest()
    assert reply.status_code == 404
    assert len(reply.history) == 1
    challenge = reply.history[0].headers["www-authenticate"]
    assert re.fullmatch(
        r'Digest realm="MMS Public API", domain="", nonce="[^"]+", algorithm=MD5, qop="auth", '
        "stale=false",
        challenge,
    )


def test_a_digest_with_a_wrong_key_does_not(door: Door) -> None:
    reply = door.digest("wrong")
    assert reply.status_code == 401
    assert "stale=false" in reply.headers["www-authenticate"]
    assert reply.json()["detail"] == "The API key is wrong."


def test_a_digest_is_taken_once_and_not_after_five_minutes(door: Door) -> None:
    authorization = door.digest().request.headers["authorization"]
    again = door.ask(headers={"Authorization": authorization})
    assert again.status_code == 401
    assert "stale=true" in again.headers["www-authenticate"]
    auth = httpx.DigestAuth(KNOWN.public_key, KNOWN.private_key)
    assert len(door.ask(auth=auth).history) == 1
    assert len(door.ask(auth=auth).history) == 0
    door.now_s += 301
    late = door.ask(auth=auth)
    assert (late.status_code, len(late.history)) == (404, 1)
    assert "stale=true" in late.history[0].headers["www-authenticate"]


def test_a_digest_for_another_path_or_method_does_not_count(door: Door) -> None:
    authorization = door.digest().request.headers["authorization"]
    for method, path in (("GET", NOWHERE + "?a=1"), ("DELETE", NOWHERE)):
        reply = door.ask(method, path, headers={"Authorization": authorization})
        assert "stale=false" in reply.headers["www-authenticate"]


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=80))
def test_any_digest_header_is_judged(given_header: str) -> None:
    check = DigestCheck("public", "private", lambda: 0.0)
    assert check.judge(given_header, "GET", "/") is Verdict.WRONG


@given(st.text(max_size=60))
def test_any_basic_header_is_read(authorization: str) -> None:
    found = basic_credentials(authorization)
    assert found is None or len(found) == 2


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "Bearer x", "Negotiate x", "x"])
def test_other_headers_do_not_let_in(door: Door, authorization: str) -> None:
    reply = door.ask(headers={"Authorization": authorization})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"]
    assert reply.json()["error"] == 401


def test_nobody_is_let_in_on_this_machine_while_that_is_allowed(door: Door) -> None:
    assert door.ask().status_code == 401
    door.settings = replace(KNOWN, allow_anonymous=True)
    assert door.ask().status_code == 404
    assert door.digest("wrong").status_code == 404  # who is let in is not asked
    assert door.bearer("wrong").status_code == 401
    door.settings = KNOWN
    assert door.ask().status_code == 401


def test_nobody_is_never_let_in_from_elsewhere() -> None:
    door = Door(settings=replace(KNOWN, allow_anonymous=True), address="192.0.2.1")
    assert door.ask().status_code == 401


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"Host": "localhost:1234"}, True),
        ({"Host": "127.0.0.1"}, True),
        ({"Host": "[::1]:80"}, True),
        ({"Host": "LOCALHOST"}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "127.0.0.1.evil.example:80"}, False),
        ({"Host": "localhost:80@evil.example"}, False),
        ({"Host": ""}, False),
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_web_pages_of_others_are_turned_away(headers: dict[str, str], let_in: bool) -> None:
    door = Door(settings=replace(KNOWN, allow_anonymous=True))
    reply = door.ask(headers=headers)
    assert reply.status_code == (404 if let_in else 403)
    if not let_in:
        assert reply.json()["errorCode"] == "FORBIDDEN"
        assert door.token(headers=headers).status_code == 403


def test_too_many_requests_are_refused_until_there_was_time(door: Door) -> None:
    door = Door(per_minute=60)
    first, second = door.token().json()["access_token"], door.token().json()["access_token"]
    left = [int(door.bearer(first).headers["ratelimit-remaining"]) for _ in range(60)]
    assert left == list(range(59, -1, -1))
    refused = door.bearer(second)  # another token of the same caller
    assert (refused.status_code, refused.json()["errorCode"]) == (429, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit-limit"] == "60"
    assert door.digest().status_code == 404  # another caller
    door.now_s += 1
    assert door.bearer(first).status_code == 404
    assert door.bearer(first).status_code == 429
    door.now_s += 1000
    assert door.bearer(first).headers["ratelimit-remaining"] == "59"


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.integers(1, 30))
def test_never_more_than_the_limit(waits_s: list[float], per_minute: int) -> None:
    now_s = 0.0
    limiter = RateLimiter(per_minute, lambda: now_s)
    taken = 0
    for wait_s in waits_s:
        now_s += wait_s
        try:
            limiter.take("somebody")
            taken += 1
        except ApiFailure as failure:
            assert failure.status == 429
    assert taken <= per_minute + now_s * per_minute / 60 + 1e-6


def test_old_tokens_are_forgotten() -> None:
    now_s = 0.0
    tokens = Tokens(lambda: now_s)
    for _ in range(10):
        tokens.issue()
        now_s += 3600
    assert len(tokens._ends_s) == 1
    assert not tokens.is_valid("\ud800")


def test_secrets_are_not_shown() -> None:
    assert KNOWN.client_secret not in repr(KNOWN)
    assert KNOWN.private_key not in repr(KNOWN)
