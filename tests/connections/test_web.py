"""Trying out web servers and schema registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.connections.conftest import SECRET
from tests.emit.registry import Registry, Server
from tests.enrich.endpoint import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.connections.conftest import Try
    from tests.enrich.endpoint import Endpoint


def https(url: str, **more: Any) -> dict[str, Any]:
    return {"name": "api", "type": "Https", "url": url, **more}


@pytest.mark.parametrize("status", [200, 204, 302, 404, 405, 500, 503])
def test_any_answer_shows_that_a_server_is_there(
    attempt: Try, endpoint: Endpoint, status: int
) -> None:
    endpoint.answer = lambda _: Reply(b"" if status == 204 else b"{}", status)
    found = attempt(https(f"{endpoint.url}/v1", headers={"Authorization": SECRET}))
    assert found["ok"] is True
    assert found["steps"] == {"resolve": True, "connect": True, "answer": True}
    assert str(status) in found["checks"][-1]["message"]
    assert (endpoint.seen[0].method, endpoint.seen[0].path) == ("GET", "/v1")
    assert endpoint.seen[0].headers["Authorization"] == SECRET


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_not_accepted(attempt: Try, endpoint: Endpoint, status: int) -> None:
    endpoint.answer = lambda _: Reply(b"{}", status)
    found = attempt(https(endpoint.url, headers={"X-Api-Key": SECRET}))
    assert (found["exit"], found["code"]) == (77, "PERMISSION_DENIED")
    assert found["ok"] is False
    assert found["steps"] == {"resolve": True, "connect": True, "answer": False}
    assert "headers" in found["hint"]


def test_a_name_that_nobody_knows(attempt: Try) -> None:
    found = attempt(https("http://no-such-host.invalid/"))
    assert (found["exit"], found["steps"]) == (69, {"resolve": False})
    assert "no-such-host.invalid cannot be resolved" in found["message"]


def test_a_port_that_refuses(attempt: Try, closed_port: int) -> None:
    found = attempt(https(f"http://u:{SECRET}@127.0.0.1:{closed_port}/"))
    assert (found["exit"], found["steps"]) == (69, {"resolve": True, "connect": False})
    assert "refuses connections" in found["message"]


def test_a_certificate_that_is_not_trusted(attempt: Try, tls_port: int) -> None:
    found = attempt(https(f"https://127.0.0.1:{tls_port}/"))
    assert (found["exit"], found["steps"]["tls"]) == (69, False)
    assert "is not trusted" in found["message"]


def test_a_port_without_tls(attempt: Try, endpoint: Endpoint) -> None:
    found = attempt(https(endpoint.url.replace("http:", "https:")))
    assert (found["exit"], found["steps"]["tls"]) == (69, False)
    assert "speaks no TLS" in found["hint"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing(attempt: Try, relay_to_nowhere: str, scheme: str) -> None:
    found = attempt(https(f"{scheme}://{relay_to_nowhere}/"), timeout_s=0.5)
    assert found["exit"] == 124
    assert found["steps"].popitem() == ("answer" if scheme == "http" else "tls", False)


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry(credentials=("u", SECRET))
    server = Server(made)
    yield made
    server.stop()


def definition(url: str, password: str | None = None) -> dict[str, Any]:
    who: dict[str, Any] = {"type": "USER_INFO", "username": "u", "password": password}
    return {
        "name": "r",
        "type": "SchemaRegistry",
        "provider": "CONFLUENT",
        "schemaRegistryUrls": [url],
        "schemaRegistryAuthentication": who if password else {"type": "SASL_INHERIT"},
    }


def test_a_registry_is_asked_for_its_subjects(attempt: Try, registry: Registry) -> None:
    registry.add("a-value", {"type": "string"})
    found = attempt(definition(registry.url, SECRET))
    assert found["ok"] is True
    assert found["checks"][-1]["message"] == "it has 1 subjects"


def test_a_registry_that_does_not_know_the_user(attempt: Try, registry: Registry) -> None:
    found = attempt(definition(registry.url, "wrong"))
    assert (found["exit"], found["steps"]["subjects"]) == (77, False)
    assert "schemaRegistryAuthentication" in found["hint"]


def test_a_user_that_is_kafkas_is_not_tried(attempt: Try, registry: Registry) -> None:
    found = attempt(definition(registry.url))
    assert found["ok"] is True
    assert found["steps"]["sign_in"] is None


def test_a_registry_that_is_broken(attempt: Try, registry: Registry) -> None:
    registry.broken = True
    found = attempt(definition(registry.url, SECRET))
    assert (found["exit"], found["steps"]["subjects"]) == (69, False)


def test_what_is_no_registry(attempt: Try, endpoint: Endpoint) -> None:
    for body in (b"{}", b"<html>", b""):
        endpoint.answer = lambda _, body=body: Reply(body)  # type: ignore[misc]
        assert attempt(definition(endpoint.url, SECRET))["exit"] == 76
