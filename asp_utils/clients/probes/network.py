"""Whether hosts can be reached: their names, their ports, their TLS certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from asp_utils.errors import AspError, ConfigInvalid, Fault, TimedOut, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asp_utils.clients.probes.report import Report

_PORTS: Final = {"http": 80, "https": 443}
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF", "HTTP_REQUEST")


@dataclass(frozen=True)
class Server:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def server_of(url: str) -> Server:
    """Where a URL leads.

    Raises:
        ConfigInvalid: It leads nowhere; the URL itself is not shown.
    """
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.scheme in _PORTS:
            return Server(parts.hostname, parts.port or _PORTS[parts.scheme])
    except ValueError:
        pass
    raise ConfigInvalid("connection", [Fault("$.connection", "a URL of it names no host")])


def servers_of(bootstrap: str) -> list[Server]:
    """Brokers out of a list `host:port,…` that has no faults."""
    pairs = (server.strip().rpartition(":") for server in bootstrap.split(","))
    return [Server(host.strip("[]"), int(port)) for host, _, port in pairs]


def reach(
    report: Report, servers: Sequence[Server], *, tls: bool, authority: str | None = None
) -> bool:
    """Take the steps `resolve`, `connect` and, with TLS, `tls`; one server that answers will do.

    Args:
        report: Takes the steps.
        servers: The servers to try.
        tls: Whether they speak TLS.
        authority: PEM of the authority that signed their certificates; else this machine's.

    Returns:
        Whether all steps succeeded.
    """
    steps: list[tuple[str, Callable[[Server], str]]] = [
        ("resolve", lambda server: _resolved(server, report.left_s)),
        ("connect", lambda server: _connected(server, report.left_s)),
    ]
    if tls:
        steps.append(("tls", lambda server: _encrypted(server, authority, report.left_s)))
    for name, attempt in steps:
        if not report.run(name, lambda attempt=attempt: any_of(servers, attempt)):  # type: ignore[misc]
            return False
    return True


def any_of(servers: Sequence[Server], attempt: Callable[[Server], str]) -> str:
    """What an attempt says of the first server with which it succeeds; the others are named.

    Raises:
        AspError: It succeeds with none; that of the first, with what the others said.
    """
    errors: list[AspError] = []
    for server in servers:
        try:
            said = attempt(server)
        except AspError as error:
            errors.append(error)
        else:
            others = "; ".join(error.message for error in errors)
            return f"{said} (but {others})" if others else said
    first = errors[0]
    first.message = "; ".join(error.message for error in errors)
    raise first


def connect_all(servers: Sequence[Server], timeout_s: float) -> list[str]:
    """Why some of these servers cannot be reached, one sentence each."""
    reasons = []
    for server in servers:
        try:
            _resolved(server, timeout_s)
            _connected(server, timeout_s)
        except AspError as error:
            reasons.append(error.message)
    return reasons


def _resolved(server: Server, timeout_s: float) -> str:
    """Look the name up; in a thread of its own, as the resolver knows no time-out."""
    found: list[str] = []
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(info[4][0]) for info in infos))
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failures:
        reason = failures[0].strerror or str(failures[0])
        hint = "check the spelling of the host name, and this machine's DNS"
        raise Unreachable(f"the name {server.host} cannot be resolved: {reason}", hint=hint)
    if not found:
        raise TimedOut(f"the name {server.host} was not resolved in time", hint="check the DNS")
    return f"{server.host} is {', '.join(found)}"


def _connected(server: Server, timeout_s: float) -> str:
    try:
        socket.create_connection((server.host, server.port), timeout_s).close()
    except ConnectionRefusedError as error:
        hint = "is the server running, and is the port right?"
        raise Unreachable(f"{server} refuses connections", hint=hint) from error
    except TimeoutError as error:
        hint = "a firewall, an IP access list or a private network may be in between"
        raise TimedOut(f"{server} does not answer", hint=hint) from error
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "check the host name, and this machine's network"
        raise Unreachable(f"{server} cannot be reached: {reason}", hint=hint) from error
    return f"{server} accepts connections"


def _encrypted(server: Server, authority: str | None, timeout_s: float) -> str:
    """Shake hands and verify the certificate; a client's own certificate is not shown here."""
    try:
        context = ssl.create_default_context(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        message = "the authority's certificate cannot be read"
        raise ConfigInvalid("connection", [Fault("$.connection", message)]) from error
    try:
        with (
            socket.create_connection((server.host, server.port), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=server.host) as encrypted,
        ):
            return f"{server} speaks {encrypted.version()}, its certificate is trusted"
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate of {server} is not trusted: {error.verify_message}"
        raise Unreachable(message, hint=_certificate_hint(error.verify_message)) from error
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        plain_text = any(word in reason for word in _NO_TLS)
        hint = "this port speaks no TLS: leave TLS off, or take the port that does"
        message = f"no TLS with {server}: {reason}"
        raise Unreachable(message, hint=hint if plain_text else "") from error
    except TimeoutError as error:
        hint = "this port speaks no TLS: leave TLS off, or take the port that does"
        raise TimedOut(f"{server} does not answer in TLS", hint=hint) from error
    except OSError as error:
        message = f"no TLS with {server}: {error.strerror or error}"
        raise Unreachable(message, hint="does this port speak TLS?") from error


def _certificate_hint(reason: str) -> str:
    if "match" in reason.lower():
        return "the certificate is for another name: use that name"
    if "expired" in reason.lower():
        return "renew the server's certificate"
    return "give the authority that signed it (of Kafka: security.brokerPublicCertificate)"
