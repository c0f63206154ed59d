"""Requests of every kind: bodies, envelopes, TLS, many at once, and what comes after a restart."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asp_utils.clients.mongod import URI_VARIABLE, Mongod
from asp_utils.server import lifecycle
from tests.server_admin.conftest import LATEST, Api, client_of, pipeline, token_of

if TYPE_CHECKING:
    import ssl

    from asp_utils.server.lifecycle import InstanceState

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]


def test_envelope_and_pretty(api: Api) -> None:
    plain = api.get("/local")
    assert api.get("/local?envelope=true") == {"status": 200, "content": plain}
    text = api.call("GET", "/local?pretty=true").text
    assert text.startswith('{\n  "_id"')
    wrapped = api.call("GET", "/none?envelope=true&pretty=true")
    assert wrapped.status_code == 404
    assert wrapped.json()["status"] == 404
    assert wrapped.json()["content"]["errorCode"] == "STREAM_TENANT_NOT_FOUND_FOR_NAME"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "MALFORMED_JSON"),
        (b"\xff", "application/json", 400, "MALFORMED_JSON"),
        (b'{"a": ' * 2000, "application/json", 400, "MALFORMED_JSON"),
        (b"[]", "application/json", 400, "VALIDATION_ERROR"),
        (b"null", "application/vnd.atlas.2023-02-01+json", 400, "VALIDATION_ERROR"),
        (b'{"name": NaN}', "application/json", 400, "MALFORMED_JSON"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_bodies_that_are_refused(
    api: Api, body: bytes, content_type: str, status: int, code: str
) -> None:
    error = api.refused("POST", "", content=body, headers={"Content-Type": content_type})
    assert (error["error"], error["errorCode"]) == (status, code)


def test_a_body_without_a_type_or_an_end(api: Api) -> None:
    reply = httpx.post(
        api.state.admin_api_url + api.streams,
        content=b"{}",
        headers={"Authorization": api.http.headers["authorization"]},
    )
    assert reply.status_code == 415
    too_long = (b" " * 1_000_000 for _ in range(41))
    error = api.refused("POST", "", content=too_long, headers={"Content-Type": "application/json"})
    assert (error["error"], error["errorCode"]) == (413, "PAYLOAD_TOO_LARGE")
    assert api.get("/local")["name"] == "local"


def test_a_client_that_goes_away_in_the_middle_changes_nothing(api: Api) -> None:
    host, port = api.state.admin_api_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as link:
        head = f"POST {api.streams} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        head += f"Authorization: {api.http.headers['authorization']}\r\n"
        link.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
    assert len(api.get("")["results"]) == 1


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_what_is_no_request_gets_an_answer_with_a_body(state: InstanceState, sent: bytes) -> None:
    host, port = state.admin_api_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(sent)
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"403")
    assert body


def test_an_answer_does_not_wait_for_the_network(api: Api) -> None:
    """Head and body of a reply go out at once: 40 ms were lost on each before."""
    times = [api.call("GET", "/local", status=200).elapsed.total_seconds() for _ in range(20)]
    assert sorted(times)[10] < 0.02


def test_https_with_the_instances_own_authority(state: InstanceState, tls: ssl.SSLContext) -> None:
    path = f"/api/atlas/v2/groups/{state.project_id}/streams"
    for url in (
        state.admin_api_https_url,
        state.admin_api_https_url.replace("127.0.0.1", "localhost"),
    ):
        auth = httpx.DigestAuth(state.public_key, state.private_key)
        with httpx.Client(base_url=url, verify=tls, trust_env=False) as http:
            reply = http.get(path, auth=auth, headers={"Accept": LATEST})
        assert reply.status_code == 200
        assert reply.json()["links"][0]["href"].startswith(f"{url}{path}?")
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(state.admin_api_https_url)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(state.admin_api_https_url.replace("https", "http"))


def test_a_service_account_over_https(state: InstanceState, tls: ssl.SSLContext) -> None:
    with httpx.Client(base_url=state.admin_api_https_url, verify=tls, trust_env=False) as http:
        data = {"grant_type": "client_credentials"}
        auth = (state.client_id, state.client_secret)
        token = http.post("/api/oauth/token", auth=auth, data=data).json()["access_token"]
        reply = http.get("/api/atlas/v2/groups", headers={"Authorization": f"Bearer {token}"})
        assert reply.json()["results"][0]["id"] == state.project_id


def test_the_switch_for_nobody(state: InstanceState) -> None:
    path = "/api/atlas/v2/groups"
    with client_of(state) as http:
        assert http.get(path).status_code == 401
        lifecycle.allow_anonymous(state, wanted=True)
        try:
            assert http.get(path).status_code == 200
            # A web page may make a browser send this; it could do without reading the answer.
            page = {"Origin": "https://evil.example"}
            assert http.get(path, headers=page).status_code == 403
        finally:
            lifecycle.allow_anonymous(state, wanted=False)
        assert http.get(path).status_code == 401


def test_fifty_requests_at_once(api: Api) -> None:
    async def asked() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(
            base_url=api.state.admin_api_url, headers=api.http.headers, limits=limits, timeout=60
        ) as http:
            path = f"{api.streams}/local/processor"
            bodies = [{"name": f"p{number}", "pipeline": pipeline()} for number in range(20)]
            changes = [http.post(path, json=body) for body in bodies for _ in range(2)]
            looks = [http.get(f"{api.streams}/local/processors") for _ in range(10)]
            return await asyncio.gather(*changes, *looks)

    replies = asyncio.run(asked())
    assert [reply.status_code for reply in replies[40:]] == [200] * 10
    # Each name was asked for twice, and exactly one of the two has it.
    pairs = [sorted(r.status_code for r in replies[at : at + 2]) for at in range(0, 40, 2)]
    assert pairs == [[200, 409]] * 20
    assert len(api.get("/local/processors")["results"]) == 20


@pytest.mark.slow
def test_processors_and_tokens_after_a_restart(start_scripted: Any, tmp_path: Any) -> None:
    folder = tmp_path / "instance"
    first = start_scripted(folder)
    token = token_of(first)
    with client_of(first, Authorization=f"Bearer {token}") as http:
        api = Api(first, http)
        region = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}
        made = api.call("POST", "", {"name": "shop", "dataProcessRegion": region}, status=200)
        body = {"name": "p", "pipeline": pipeline()}
        api.call("POST", "/shop/processor", body, status=200)
        api.call("POST", "/shop/processor/p:start", status=200)
    lifecycle.stop(folder)
    second = start_scripted(folder)
    assert (second.client_id, second.project_id) == (first.client_id, first.project_id)
    with client_of(second, Authorization=f"Bearer {token}") as http:
        assert http.get(api.streams).status_code == 401  # tokens are kept in memory only
    with client_of(second, Authorization=f"Bearer {token_of(second)}") as http:
        api = Api(second, http)
        assert api.get("/shop")["_id"] == made.json()["_id"]
        shown = api.get("/shop/processor/p")
        assert shown["state"] in ("PROVISIONING", "STARTED"), shown


@pytest.mark.slow
def test_mongod_that_is_gone_is_said_to_be(
    start_scripted: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mongod that the instance does not start again: calls are refused until it is back."""
    mongod = Mongod.start(tmp_path)
    monkeypatch.setenv(URI_VARIABLE, mongod.uri)
    region = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/local/processors", None),
        ("GET", "/local/connections/sampleiot", None),
        ("POST", "/local/processor", {"name": "p", "pipeline": pipeline()}),
        ("POST", "/local/connections", {"name": "c", "type": "Cluster", "clusterName": "C"}),
        ("POST", "", {"name": "shop", "dataProcessRegion": region}),
    ]
    try:
        state = start_scripted(tmp_path / "instance")
        with client_of(state, Authorization=f"Bearer {token_of(state)}") as http:
            api = Api(state, http)
            mongod.stop()
            with ThreadPoolExecutor(len(calls)) as pool:
                refused = list(pool.map(lambda call: (call, api.call(*call)), calls))
            for call, reply in refused:
                assert reply.status_code == 503, (call, reply.text)
                assert reply.headers["retry-after"] == "1"
                assert reply.json()["errorCode"] == "SERVICE_UNAVAILABLE"
                assert reply.json()["detail"]
            mongod = Mongod.start(tmp_path, port=mongod.port)
            assert api.get("/local/processors")["results"] == []
            assert [each["name"] for each in api.get("")["results"]] == ["local"]
            for method, path, body in calls:
                api.call(method, path, body, status=200)
    finally:
        mongod.stop()
