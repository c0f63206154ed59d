"""The instance's own certificate authority, and the certificate of its TLS ports.

Both are kept, so that a client that trusts `ca.pem` goes on trusting it after a restart. A
certificate is made anew before it ends and when it has to cover another name; contexts that were
handed out then show the new one.
"""

from __future__ import annotations

import hashlib
import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from asp_utils.whole_files import replace_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trustme import CA

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_VALID: Final = timedelta(days=397)
"""As long as public authorities allow."""
_RENEW_BEFORE: Final = timedelta(days=30)
_CLOCK_SLACK: Final = timedelta(days=1)
"""How much earlier a certificate begins, for clients whose clock is behind."""
_KEY_END: Final = b"PRIVATE KEY-----\n"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE_END: Final = b"-----END CERTIFICATE-----"
_ORGANIZATION: Final = "ASP toolkit, local instance"


class Certificates:
    """The certificate files in an instance's folder; blocking, and cheap unless one is made.

    Args:
        folder: Where they are kept.
        valid: How long a new certificate holds.
    """

    def __init__(self, folder: Path, valid: timedelta = _VALID) -> None:
        self.ca_file = folder / "ca.pem"
        """What a client is to trust; readable by everybody."""
        self.server_file = folder / "server.pem"
        """Key and certificate of the TLS ports; a first line says what it covers and how long."""
        self._authority_file = folder / "ca.key"
        self._valid = valid
        self._contexts: list[ssl.SSLContext] = []

    def ensure(self, names: Iterable[str] = ()) -> None:
        """Have a certificate for loopback, for `names` and for what it covered before.

        Args:
            names: Host names; `*.` at the beginning stands for one label.
        """
        authority = self._authority_text()
        kept = self._kept(authority)
        covered = LOOPBACK_NAMES | set(names) | set(kept.get("names", ()))
        if covered == set(kept.get("names", ())) and _holds(kept):
            return
        try:
            self._issue(covered, authority)
        except ValueError:  # what looks like an authority cannot be read
            self._issue(covered, self._authority_text(anew=True))
        for context in self._contexts:
            context.load_cert_chain(self.server_file)

    def context(self) -> ssl.SSLContext:
        """A server's TLS settings; they stay up to date for as long as the process lives."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        self._contexts.append(context)
        return context

    def _authority_text(self, *, anew: bool = False) -> bytes:
        """Key and certificate of the authority; made when there is none, or `anew`.

        They are one file, so that no crash leaves a key with another's certificate; `ca.pem` is a
        copy of its second part.
        """
        text = _read(self._authority_file)
        if anew or not _is_authority(text):
            text = _new_authority()
            replace_private(self._authority_file, text)
        certificate = text[text.index(_CERTIFICATE) :]
        if _read(self.ca_file) != certificate:
            replace_private(self.ca_file, certificate, mode=0o644)
        return text

    def _kept(self, authority: bytes) -> dict[str, Any]:
        """The first line of the server's file; empty when it is of no use."""
        text = _read(self.server_file)
        try:
            kept: dict[str, Any] = json.loads(text[: text.index(b"\n")])
            made_by, content = kept["authority"], kept["content"]
        except (ValueError, KeyError, TypeError):
            return {}
        whole = content == _fingerprint(text[text.index(b"\n") + 1 :])
        return kept if whole and made_by == _fingerprint(authority) else {}

    def _issue(self, names: Iterable[str], authority: bytes) -> None:
        now = datetime.now(UTC)
        ends = now + self._valid
        leaf = _loaded(authority).issue_cert(
            *sorted(names),
            organization_name=_ORGANIZATION,
            not_before=now - _CLOCK_SLACK,
            not_after=ends,
        )
        content = leaf.private_key_and_cert_chain_pem.bytes()
        about = {
            "names": sorted(names),
            "endsAt": ends.isoformat(),
            "authority": _fingerprint(authority),
            "content": _fingerprint(content),
        }
        # A PEM reader passes over what stands before the first block.
        replace_private(self.server_file, json.dumps(about).encode() + b"\n" + content)


def _holds(kept: dict[str, Any]) -> bool:
    """Whether a certificate still holds for a while."""
    return datetime.fromisoformat(kept["endsAt"]) - datetime.now(UTC) > _RENEW_BEFORE


def _fingerprint(authority: bytes) -> str:
    return hashlib.sha256(authority).hexdigest()


def _is_authority(text: bytes) -> bool:
    """Whether a file's content is a key followed by a certificate, both to their ends."""
    key, found, certificate = text.partition(_CERTIFICATE)
    return bool(found) and _KEY_END in key and _CERTIFICATE_END in certificate


def _new_authority() -> bytes:
    # trustme costs 50 ms and is needed once in a year.
    from trustme import CA

    made = CA(organization_name=_ORGANIZATION, organization_unit_name="certificate authority")
    return made.private_key_pem.bytes() + made.cert_pem.bytes()


def _loaded(authority: bytes) -> CA:
    from trustme import CA

    at = authority.index(_CERTIFICATE)
    return CA.from_pem(authority[at:], authority[:at])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
