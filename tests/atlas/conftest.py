"""An Admin API client whose waiting costs no time, and a home folder of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from asp_utils.clients.atlas.api import AtlasApi
from asp_utils.clients.atlas.site import site_of
from asp_utils.clients.atlas.transport import TimeLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from asp_utils.clients.atlas.site import AtlasSite

LIMITS = TimeLimits(connect_s=5, silence_s=0.3, reply_s=5)


@dataclass
class Surroundings:
    """What a process finds around it, and what it does with it."""

    environment: dict[str, str]
    waits: list[float] = field(default_factory=list)
    """How long the client wanted to wait each time."""
    secrets: set[str] = field(default_factory=set)
    """What was concealed."""
    now_s: float = 1_700_000_000.0
    cancelled: bool = False
    _opened: list[AtlasApi] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        """Take no time."""
        self.waits.append(seconds)
        self.now_s += seconds
        return self.cancelled

    def site(self, account: Mapping[str, Any] | str | None = None) -> AtlasSite:
        """What the search finds."""
        return site_of(
            account,
            environment=self.environment,
            conceal=self.secrets.update,
            wait=self.wait,
            clock=lambda: self.now_s,
        )

    def api(self, account: Mapping[str, Any] | str | None = None) -> AtlasApi:
        """A client for what the search finds."""
        site = self.site(account)
        api = AtlasApi(
            site.base_url,
            site.credentials,
            ca_file=site.ca_file,
            wait=self.wait,
            user_agent="asp-toolkit/test",
            limits=LIMITS,
            clock=lambda: self.now_s,
        )
        self._opened.append(api)
        return api

    def close(self) -> None:
        """Close every client."""
        for api in self._opened:
            api.close()


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    """A process with an empty home."""
    surroundings = Surroundings({"HOME": str(tmp_path)})
    yield surroundings
    surroundings.close()


class MemoryRing(KeyringBackend):
    """A key ring as the Secret Service is one: entries of different makers stand side by side."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], list[tuple[str, str]]] = {}
        """By service and name: maker and value, oldest first."""
        self.fault: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        if self.fault is not None:
            raise self.fault
        found = self.entries.get((service, username), [])
        return found[0][1] if found else None

    def set_password(self, service: str, username: str, password: str) -> None:
        entries = self.entries.setdefault((service, username), [])
        entries[:] = [entry for entry in entries if entry[0] != "python"]
        entries.append(("python", password))

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username][0]

    def by_cli(self, profile: str, **values: str) -> None:
        """Put values there as the Atlas CLI does."""
        for name, value in values.items():
            self.entries[f"atlascli_{profile}", name] = [("go", value)]


@pytest.fixture
def ring(restored_ring: Callable[[KeyringBackend], None]) -> MemoryRing:
    """The system's key ring, for this test."""
    backend = MemoryRing()
    restored_ring(backend)
    return backend


@pytest.fixture
def restored_ring() -> Iterator[Callable[[KeyringBackend], None]]:
    """Sets the system's key ring for this test."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _no_real_ring(restored_ring: Callable[[KeyringBackend], None]) -> None:
    restored_ring(NoKeyring())  # type: ignore[no-untyped-call]


@pytest.fixture
def config_toml(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the Atlas CLI's file, mode 0600."""

    def write(text: str) -> Path:
        file = tmp_path / ".config" / "atlascli" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        return file

    return write
