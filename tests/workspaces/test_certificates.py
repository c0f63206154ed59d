"""The instance's certificates: kept, renewed in time, and verified by a real TLS client."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from asp_utils.server.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OHIO = "*.ohio-usa.a.query.mongodb.net"
WORKSPACE_IN_OHIO = "atlas-stream-32b6e34b3d91647abb20e7b8-local.ohio-usa.a.query.mongodb.net"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates(tmp_path)
    made.ensure()
    return made


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """A server that shakes hands with whoever comes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(link, server_side=True).close()
                except OSError:
                    link.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def shown(port: int, ca_file: Path, name: str) -> bytes | None:
    """The certificate that a client accepts for a name."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as link,
    ):
        return link.getpeercert(binary_form=True)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "::1", WORKSPACE_IN_OHIO])
def test_clients_accept_every_name(certificates: Certificates, name: str) -> None:
    certificates.ensure([OHIO])
    with listening(certificates.context()) as port:
        assert shown(port, certificates.ca_file, name)


@pytest.mark.parametrize("name", [WORKSPACE_IN_OHIO, "example.com", f"a.{WORKSPACE_IN_OHIO}"])
def test_clients_refuse_other_names(certificates: Certificates, name: str) -> None:
    with (
        listening(certificates.context()) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="mismatch"),
    ):
        shown(port, certificates.ca_file, name)


def test_strangers_do_not_trust_it(certificates: Certificates, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.ensure()
    with (
        listening(certificates.context()) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        shown(port, other.ca_file, "localhost")


def test_a_new_name_is_covered_without_a_restart(certificates: Certificates) -> None:
    with listening(certificates.context()) as port:
        before = shown(port, certificates.ca_file, "localhost")
        certificates.ensure([OHIO])
        assert shown(port, certificates.ca_file, WORKSPACE_IN_OHIO) != before


def test_everything_is_kept(certificates: Certificates, tmp_path: Path) -> None:
    certificates.ensure([OHIO])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = Certificates(tmp_path)
    again.ensure()
    again.ensure([OHIO])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_certificate_that_ends_soon_is_renewed(tmp_path: Path) -> None:
    soon = Certificates(tmp_path, valid=timedelta(days=29))
    soon.ensure([OHIO])
    before, authority = soon.server_file.read_bytes(), soon.ca_file.read_bytes()
    later = Certificates(tmp_path)
    later.ensure()
    assert later.server_file.read_bytes() != before
    assert later.ca_file.read_bytes() == authority
    with listening(later.context()) as port:
        assert shown(port, later.ca_file, WORKSPACE_IN_OHIO)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "server.pem"])
@pytest.mark.parametrize("kept_bytes", [None, 0, 100, 600])
def test_a_lost_or_broken_file_is_made_anew(
    certificates: Certificates, tmp_path: Path, name: str, kept_bytes: int | None
) -> None:
    file = tmp_path / name
    if kept_bytes is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:kept_bytes])
    again = Certificates(tmp_path)
    again.ensure()
    with listening(again.context()) as port:
        assert shown(port, again.ca_file, "localhost")


def test_an_authority_that_cannot_be_read_is_made_anew(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = tmp_path / "ca.key"
    key.write_bytes(key.read_bytes().replace(b"M", b"N"))
    again = Certificates(tmp_path)
    again.ensure()
    with listening(again.context()) as port:
        assert shown(port, again.ca_file, "localhost")


def test_keys_are_for_the_owner_and_the_authority_for_everybody(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Certificates(tmp_path).ensure()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()
