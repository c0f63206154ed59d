"""What goes wrong between here and Atlas: each fault with its class, hint and exit code."""

from __future__ import annotations

import socket
import ssl
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    ExitCode,
    Interrupted,
    NotFound,
    PermissionDenied,
    PipelineInvalid,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)
from tests.atlas.scripted import Answer, ScriptedAtlas, failure, gzip_answer, html, json_answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.atlas.conftest import Surroundings

V = "2023-02-01"
PATH = "/api/atlas/v2/groups/32b6e34b3d91647abb20e7b8/streams/my%20ws"
OK = json_answer({"name": "ws"})
GENERIC = "STREAM_PROCESSOR_GENERIC_ERROR"
PROBLEM = "Streams Processor with this name (p) had a problem occur: "
SILENT, DROPPED = Answer(silent=True), Answer(dropped=True)
CUT = Answer(200, b'{"name": "w', {"Content-Type": "application/json"}, length=100)


@pytest.mark.parametrize(
    ("answer", "error", "said", "hint"),
    [
        (failure(401, "UNAUTHORIZED"), PermissionDenied, "UNAUTHORIZED", "expired or revoked"),
        (failure(402, "NO_PAYMENT"), PermissionDenied, "NO_PAYMENT", "payment method"),
        (failure(403, "USER_UNAUTHORIZED"), PermissionDenied, "no", "role"),
        (
            failure(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST"),
            PermissionDenied,
            "ACCESS_LIST",
            "add this machine's address",
        ),
        (
            failure(403, "STREAM_TENANT_HAS_STREAM_PROCESSORS"),
            Conflict,
            "HAS_STREAM",
            "delete its stream processors",
        ),
        (
            failure(403, "STREAM_CONNECTION_HAS_STREAM_PROCESSORS"),
            Conflict,
            "HAS_STREAM",
            "stop the stream processors that use it",
        ),
        (failure(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME"), NotFound, "NOT_FOUND", ""),
        (failure(406, "NO_VERSION"), UnexpectedReply, "NO_VERSION", ""),
        (failure(409, "ANY"), Conflict, "409 ANY: no", ""),
        (failure(400, "STREAM_PRIVATE_LINK_IN_USE"), Conflict, "IN_USE", "delete the connections"),
        (failure(400, "STREAM_PROCESSOR_NOT_FOUND"), NotFound, "NOT_FOUND", ""),
        (failure(400, "VALIDATION_ERROR", "wrong"), ConfigInvalid, "wrong", ""),
        (failure(400, GENERIC, "x"), PipelineInvalid, "pipeline: ", ""),
        (
            failure(400, GENERIC, f"{PROBLEM}p has already been started"),
            Conflict,
            "already",
            "look",
        ),
        (failure(400, GENERIC, f"{PROBLEM}it must be stopped first"), Conflict, "stopped", "look"),
        (failure(400, GENERIC, f"{PROBLEM}stream processor doesn't exist"), NotFound, "exist", ""),
        (failure(429, "RATE_LIMITED"), Temporary, "RATE_LIMITED", "wait a minute"),
        (failure(500, "UNEXPECTED_ERROR"), Temporary, "500", "Atlas has a fault"),
        (html(502), Temporary, "'Bad gateway'", ""),
        (html(503, "Down &amp; out"), Temporary, "'Down & out'", ""),
        (Answer(504), Temporary, "no body", ""),
        (Answer(409), Conflict, "409 Conflict: the reply has no body", ""),
        (Answer(401), PermissionDenied, "no body", "expired or revoked"),
        (Answer(302, headers={"Location": "https://login"}), UnexpectedReply, "login", "base URL"),
        (Answer(200), UnexpectedReply, "has no body", "proxy"),
        (html(200, "Log in"), UnexpectedReply, "is text/html, not JSON", "proxy"),
        (Answer(200, b"{"), UnexpectedReply, "is no JSON", "proxy"),
        (json_answer([1]), UnexpectedReply, "is no JSON object", "proxy"),
        (json_answer("", 418), UnexpectedReply, "418", ""),
        (CUT, UnexpectedReply, "cut off", ""),
        (SILENT, TimedOut, "in time", "ask again later"),
        (DROPPED, Unreachable, "does not answer", "ask again later"),
    ],
)
def test_each_fault_has_its_error(
    around: Surroundings, answer: Answer, error: type[AspError], said: str, hint: str
) -> None:
    with ScriptedAtlas(*[answer] * 5) as atlas, pytest.raises(AspError) as caught:
        around.api(atlas.account).get(PATH, version=V)
    assert type(caught.value) is error
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code != ExitCode.OK
    assert "GET " + PATH in caught.value.message
    assert "never-shown" not in f"{caught.value.to_json()}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503])
@pytest.mark.parametrize("method", ["post", "patch", "delete"])
def test_a_refusal_without_a_body_is_no_success(
    around: Surroundings, method: str, status: int
) -> None:
    body: list[Any] = [] if method == "delete" else [{}]
    more = {"empty_ok": True} if method == "post" else {}
    with ScriptedAtlas(*[Answer(status)] * 2) as atlas, pytest.raises(AspError):
        getattr(around.api(atlas.account), method)(PATH, *body, version=V, **more)
    assert around.waits == []


def test_details_say_what_atlas_said(around: Surroundings) -> None:
    fields = {"pipeline[1].$match": "no such operator", "name": "too long"}
    answer = failure(400, "STREAM_PROCESSOR_GENERIC_ERROR", "two faults", fields)
    with ScriptedAtlas(answer) as atlas, pytest.raises(PipelineInvalid) as caught:
        around.api(atlas.account).post(PATH, {"name": "x"}, version=V)
    assert [(fault.path, fault.message) for fault in caught.value.faults] == [
        ("$.pipeline[1].$match", "no such operator"),
        ("$.name", "too long"),
    ]
    details = caught.value.details
    assert len(details.pop("faults")) == 2
    assert details == {
        "status": 400,
        "errorCode": "STREAM_PROCESSOR_GENERIC_ERROR",
        "reason": "Bad Request",
        "detail": "two faults",
        "parameters": [],
        "method": "POST",
        "path": PATH,
    }


def test_a_get_is_sent_again_ever_later_and_at_random(around: Surroundings) -> None:
    passing = [Answer(503), DROPPED, SILENT, CUT]
    with ScriptedAtlas(*passing, OK) as atlas:
        assert around.api(atlas.account).get(PATH, version=V) == {"name": "ws"}
    assert len(atlas.requests) == 5
    assert len(around.waits) == 4
    assert all(wait <= most for wait, most in zip(around.waits, [0.5, 1, 2, 4], strict=True))
    assert len(set(around.waits)) == 4


@pytest.mark.parametrize("answer", [Answer(503), DROPPED, SILENT, CUT, Answer(429)])
def test_what_changes_something_is_sent_once(around: Surroundings, answer: Answer) -> None:
    with ScriptedAtlas(answer, OK) as atlas, pytest.raises(AspError) as caught:
        around.api(atlas.account).post(PATH, {"name": "x"}, version=V)
    assert len(atlas.requests) == 1
    assert around.waits == []
    if answer.status != 429:
        assert "whether it took effect is unknown" in caught.value.hint
        assert not caught.value.retryable


def test_a_doubtful_success_of_a_change_is_an_error(around: Surroundings) -> None:
    with ScriptedAtlas(Answer(200), html(200)) as atlas:
        api = around.api(atlas.account)
        for _ in range(2):
            with pytest.raises(UnexpectedReply, match="the reply 200") as caught:
                api.patch(PATH, {"tier": "SP10"}, version=V)
            assert "whether it took effect is unknown" in caught.value.hint


def test_retry_after_is_honoured(around: Surroundings) -> None:
    answers = [failure(429, "RATE_LIMITED", Retry_After="7"), Answer(503, headers=_at(around, 9))]
    with ScriptedAtlas(*answers, OK) as atlas:
        around.api(atlas.account).get(PATH, version=V)
    assert 7 <= around.waits[0] < 7.1
    assert 1 <= around.waits[1] < 10


def _at(around: Surroundings, later_s: float) -> dict[str, str]:
    from email.utils import formatdate

    return {"Retry-After": formatdate(around.now_s + later_s, usegmt=True)}


def test_a_long_wish_is_told_to_a_person(around: Surroundings) -> None:
    answer = failure(429, "RATE_LIMITED", Retry_After="3600")
    with ScriptedAtlas(answer) as atlas, pytest.raises(Temporary) as caught:
        around.api(atlas.account).get(PATH, version=V)
    assert caught.value.hint == "ask again in 3600 s"
    assert caught.value.details["retry_after_s"] == 3600
    assert around.waits == []


def test_spent_requests_are_waited_for(around: Surroundings) -> None:
    answers = [
        json_answer({"n": 1}, Ratelimit_Limit="1200", Ratelimit_Remaining="0"),
        json_answer({"n": 2}, Ratelimit_Remaining="0", Ratelimit_Reset="5"),
        json_answer({"n": 3}, Ratelimit_Remaining="1199"),
        json_answer({"n": 4}),
    ]
    with ScriptedAtlas(*answers) as atlas:
        api = around.api(atlas.account)
        assert [api.get(PATH, version=V)["n"] for _ in range(4)] == [1, 2, 3, 4]
        assert api.last_headers["content-type"].startswith("application/vnd.atlas")
    assert around.waits == [1.0, 5.0]


def test_waiting_can_be_cancelled(around: Surroundings) -> None:
    around.cancelled = True
    with ScriptedAtlas(Answer(503), OK) as atlas, pytest.raises(Interrupted):
        around.api(atlas.account).get(PATH, version=V)
    assert len(atlas.requests) == 1


def test_nothing_listens(around: Surroundings) -> None:
    with ScriptedAtlas() as atlas:
        account = atlas.account
    with pytest.raises(Unreachable, match="does not answer") as caught:
        around.api(account).get(PATH, version=V)
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert around.waits == []


def test_a_reply_that_drips_is_too_slow(around: Surroundings) -> None:
    from asp_utils.clients.atlas import transport

    assert transport.TimeLimits().reply_s == 120
    big = Answer(200, b'{"a": "' + b"x" * 200_000 + b'"}', {"Content-Type": "application/json"})
    with ScriptedAtlas(big) as atlas:
        api = around.api(atlas.account)
        api._transport._limits = transport.TimeLimits(reply_s=-1)
        with pytest.raises(TimedOut, match="no complete reply in time"):
            api.post(PATH, {}, version=V)


def test_a_reply_without_end_is_refused(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asp_utils.clients.atlas.transport.MAX_BODY_BYTES", 1000)
    refused = pytest.raises(UnexpectedReply, match="larger than 1000 bytes")
    with ScriptedAtlas(json_answer({"a": "x" * 2000})) as atlas, refused:
        around.api(atlas.account).get(PATH, version=V)


def test_what_is_sent(around: Surroundings) -> None:
    body = {"name": "p", "pipeline": [{"$match": {"z": 1, "a": 2}}], "another": None}
    reply = {"z": 1, "a": {"y": 1, "b": 2}}
    answers = [json_answer(reply), json_answer(reply), Answer(202, b"{}"), Answer(204), Answer()]
    with ScriptedAtlas(*answers) as atlas:
        api = around.api(atlas.account)
        assert list(api.post(PATH, body, version="2024-05-30")) == ["z", "a"]
        assert list(api.get(PATH, version=V, query={"x": "a b"})["a"]) == ["y", "b"]
        api.delete(PATH, version=V)
        api.delete(PATH, version=V)
        assert api.post(PATH + "/processor/a%2Fb:start", version=V, empty_ok=True) == {}
    created, got, _, deleted, started = atlas.requests
    assert created.headers["accept"] == "application/vnd.atlas.2024-05-30+json"
    assert created.headers["content-type"] == "application/vnd.atlas.2024-05-30+json"
    assert created.headers["user-agent"] == "asp-toolkit/test"
    assert created.body.startswith(b'{"name":"p","pipeline":[{"$match":{"z":1,"a":2}}]')
    assert got.query == {"x": "a b"}
    assert deleted.body == b""
    assert started.path.endswith("/my%20ws/processor/a%2Fb:start")


class TestDownload:
    """Files are unzipped while they come."""

    def read(self, around: Surroundings, *answers: Answer) -> tuple[bytes, ScriptedAtlas]:
        with ScriptedAtlas(*answers) as atlas:
            got = around.api(atlas.account).download(PATH, version=V, query={"startDate": "1"})
            return b"".join(got), atlas

    def test_a_file(self, around: Surroundings) -> None:
        content = bytes(range(256)) * 8000
        got, atlas = self.read(around, gzip_answer(content))
        assert got == content
        assert atlas.requests[0].headers["accept"] == "application/vnd.atlas.2023-02-01+gzip"
        assert atlas.requests[0].query == {"startDate": "1"}

    def test_several_files_in_one(self, around: Surroundings) -> None:
        two = Answer(200, gzip_answer(b"one").body + gzip_answer(b"two").body)
        assert self.read(around, two)[0] == b"onetwo"

    def test_an_empty_file(self, around: Surroundings) -> None:
        assert self.read(around, gzip_answer(b""))[0] == b""

    def test_what_passes_before_the_first_byte(self, around: Surroundings) -> None:
        assert self.read(around, Answer(503), DROPPED, gzip_answer(b"x"))[0] == b"x"

    def test_a_revoked_token_is_renewed(self, around: Surroundings) -> None:
        got, atlas = self.read(around, Answer(401), gzip_answer(b"x"))
        assert got == b"x"
        assert len(atlas.token_requests) == 2

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (gzip_answer(b"some lines", cut=12), "cut off"),
            (Answer(200), "no file came"),
            (Answer(200, b"plain"), "no gzip file"),
            (Answer(204), "204"),
        ],
    )
    def test_no_whole_file(self, around: Surroundings, answer: Answer, said: str) -> None:
        with pytest.raises(UnexpectedReply, match=said):
            self.read(around, answer)

    def test_a_file_that_breaks_off_is_not_started_again(self, around: Surroundings) -> None:
        whole = gzip_answer(Random(1).randbytes(400_000))
        half = Answer(200, whole.body[:300_000], whole.headers, length=len(whole.body))
        with pytest.raises(UnexpectedReply, match="cut off"):
            self.read(around, half, whole)
        assert around.waits == []

    def test_a_refusal(self, around: Surroundings) -> None:
        with pytest.raises(NotFound, match="TENANT_NOT_FOUND"):
            self.read(around, failure(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME"))


def test_roles(around: Surroundings) -> None:
    roles = [{"groupId": "1", "roleName": "GROUP_OWNER"}, {"roleName": "ORG_MEMBER"}]
    answers = [
        json_answer({"apiKey": {"roles": roles}}),
        json_answer({"apiKey": None}),
        Answer(404),
    ]
    with ScriptedAtlas(*answers) as atlas:
        api = around.api(atlas.account)
        assert [api.roles() for _ in range(3)] == [["GROUP_OWNER", "ORG_MEMBER"], None, None]
    assert atlas.requests[0].path == "/api/atlas/v2"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class TestTls:
    """Connections that cannot be trusted carry nothing."""

    def context(self, authority: trustme.CA, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> str:
        file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        return str(file)

    def test_a_private_authority(
        self, around: Surroundings, authority: trustme.CA, tmp_path: Path
    ) -> None:
        with ScriptedAtlas(OK, tls=self.context(authority, "127.0.0.1")) as atlas:
            account = {**atlas.account, "ca_file": self.ca_file(authority, tmp_path)}
            assert around.api(account).get(PATH, version=V) == {"name": "ws"}

    def test_an_unknown_authority(self, around: Surroundings, authority: trustme.CA) -> None:
        with (
            ScriptedAtlas(OK, tls=self.context(authority, "127.0.0.1")) as atlas,
            pytest.raises(Unreachable, match="no trusted TLS connection") as caught,
        ):
            around.api(atlas.account).get(PATH, version=V)
        assert "`ca_file`" in caught.value.hint
        assert caught.value.details["tls"] == "unable to get local issuer certificate"
        assert not caught.value.retryable
        assert atlas.requests == atlas.token_requests == []

    def test_a_certificate_of_another_host(
        self, around: Surroundings, authority: trustme.CA, tmp_path: Path
    ) -> None:
        with ScriptedAtlas(OK, tls=self.context(authority, "elsewhere.test")) as atlas:
            account = {**atlas.account, "ca_file": self.ca_file(authority, tmp_path)}
            with pytest.raises(Unreachable, match="IP address mismatch"):
                around.api(account).get(PATH, version=V)

    def test_a_server_without_tls(self, around: Surroundings) -> None:
        with ScriptedAtlas(OK) as atlas:
            account = {**atlas.account, "url": atlas.url.replace("http:", "https:")}
            with pytest.raises(Unreachable, match="no trusted TLS connection") as caught:
                around.api(account).get(PATH, version=V)
        assert "http://" in caught.value.hint

    def test_a_connection_closed_in_the_handshake(self, around: Surroundings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            account: dict[str, Any] = {"url": f"https://127.0.0.1:{port}", **_KEY}
            api = around.api(account)
            listener.close()
            with pytest.raises(Unreachable, match="does not answer"):
                api.get(PATH, version=V)

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_no_file_of_an_authority(
        self, around: Surroundings, tmp_path: Path, content: str | None
    ) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigInvalid) as caught:
            around.api({"url": "https://x.test", "ca_file": str(file), **_KEY})
        assert caught.value.path == "$.atlas.ca_file"


_KEY = {"public_key": "abcdefgh", "private_key": "secret"}
