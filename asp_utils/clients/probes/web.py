"""Trying what is reached over HTTP: a web server, a schema registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.probes.network import reach, server_of
from asp_utils.errors import ConfigInvalid, Fault, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.clients.probes.report import Report

_FORBIDDEN: Final = (401, 403, 407)


def probe_https(report: Report, connection: Mapping[str, Any]) -> None:
    """Ask for the URL with the connection's headers: any answer but 401, 403, 407 will do.

    Args:
        report: Takes the steps.
        connection: The definition, without faults.
    """
    url = str(connection["url"])
    if reach(report, [server_of(url)], tls=url.startswith("https:")):
        headers = connection.get("headers") or {}
        report.run("answer", lambda: _answer(url, headers, report.left_s))


def probe_registry(report: Report, connection: Mapping[str, Any]) -> None:
    """Ask each server of a schema registry for its subjects.

    Args:
        report: Takes the steps.
        connection: The definition, without faults.
    """
    who = connection["schemaRegistryAuthentication"]
    inherits = who["type"] == "SASL_INHERIT"
    credentials = None if inherits else (who["username"], who["password"])
    for url in connection["schemaRegistryUrls"]:
        if not reach(report, [server_of(url)], tls=url.startswith("https:")):
            return
        if not report.run("subjects", lambda url=url: _subjects(url, credentials)):  # type: ignore[misc]
            return
    if inherits:
        message = "the user is the Kafka connection's: whether it is let in is not known here"
        report.untested("sign_in", message, "test with type USER_INFO and that user")


def _answer(url: str, headers: Mapping[str, str], timeout_s: float) -> str:
    # Costs 100 ms, and the steps before may have been enough.
    from asp_utils.clients.http import HttpPool, HttpRequest, UnsendableRequest

    pool = HttpPool(1, timeout_s, timeout_s)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        reply = pool.send(HttpRequest("GET", url, pairs))
    except UnsendableRequest as error:
        fault = Fault("$.connection", f"the request cannot be sent: {error}")
        raise ConfigInvalid("connection", [fault]) from error
    finally:
        pool.close()
    if reply.status in _FORBIDDEN:
        raise PermissionDenied(
            f"it answered {reply.status} {reply.phrase}",
            hint="give the credentials that it wants in headers, by reference",
            details={"status": reply.status},
        )
    return f"it answered {reply.status} {reply.phrase}"


def _subjects(url: str, credentials: tuple[str, str] | None) -> str:
    from asp_utils.clients.schema_registry import SchemaRegistry

    registry = SchemaRegistry([url], credentials)
    try:
        return f"it has {len(registry.subjects())} subjects"
    except PermissionDenied as error:
        if credentials is None:
            return "it answers, and wants credentials"
        error.hint = error.hint or "check schemaRegistryAuthentication: username and password"
        raise
    finally:
        registry.close()
