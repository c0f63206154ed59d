"""Where the two tokens of a user login are kept, and how they are renewed.

Source: open source of atlas-cli-core (transport) and go-client-mongodb-atlas (auth).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asp_utils.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asp_utils.clients.atlas.profile import Profile

LOGIN_PATH: Final = "/api/private/unauth/account/device/token"
_CLIENT: Final = "0oabtxactgS3gHIR0297"
"""The Atlas CLI's public client id; its government sibling below."""
_CLIENT_GOV: Final = "0oabtyfelbTBdoucy297"
_SCOPE: Final = "openid profile offline_access"
_TURN_S: Final = 0.05


@dataclass
class Login:
    """The tokens of a user login."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    """"" where the access token cannot be renewed."""
    url: str = LOGIN_PATH
    """Where tokens are renewed; a path is one of the Admin API's own host."""
    client_id: str = _CLIENT
    delegated: bool = False
    """Whether it came from the dedicated authorization server, which wants no scope."""
    profile: Profile | None = None
    """Where both are kept; None: in memory only, as an environment cannot be written."""
    where: str = ""
    """Of the profile: key ring or file."""
    locks: Path | None = None
    """Folder of lock files, with which processes take turns."""
    wait: Callable[[float], bool] = field(default=lambda _seconds: False, repr=False)

    @property
    def again(self) -> str:
        """What a person does when it has expired for good."""
        if self.profile is None:
            return "set MONGODB_ATLAS_ACCESS_TOKEN anew, or use a service account"
        return f"log in again: atlas auth login --profile {self.profile.name}"

    def form(self) -> dict[str, str]:
        """What is posted to renew the access token."""
        form = {
            "client_id": self.client_id,
            "refresh_token": self.refresh_token,
            "grant_type": "refresh_token",
        }
        return form if self.delegated else form | {"scope": _SCOPE}

    def reload(self) -> None:
        """Read both again, as another process may have renewed them."""
        if self.profile is None:
            return
        self.profile.reload()
        access = self.profile.secret("access_token", self.where)
        refresh = self.profile.secret("refresh_token", self.where)
        if access and refresh:
            self.access_token, self.refresh_token = access, refresh

    def store(self, access_token: str, refresh_token: str) -> None:
        """Use new tokens, and write them where the old ones came from.

        Raises:
            EnvironmentMissing: They cannot be written.
        """
        self.access_token, self.refresh_token = access_token, refresh_token
        if self.profile is not None:
            both = {"access_token": access_token, "refresh_token": refresh_token}
            self.profile.store(both, self.where)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the one right to renew this login, among all processes.

        Raises:
            Interrupted: The call was cancelled meanwhile.
        """
        lock = self._lock()
        try:
            while lock is not None and not _taken(lock):
                if self.wait(_TURN_S):
                    raise Interrupted(
                        "cancelled while another process renews the login", hint="ask again"
                    )
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _lock(self) -> int | None:
        """A lock file, open; None where none can be made."""
        if self.locks is None or self.profile is None:
            return None
        owner = f"{self.profile.file}\n{self.profile.name}".encode()
        file = self.locks / f"login-{hashlib.sha256(owner).hexdigest()[:32]}.lock"
        try:
            self.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None


def login_of(profile: Profile, where: str, *, government: bool, delegated: bool) -> Login:
    """The login that a profile keeps.

    Args:
        profile: The profile.
        where: Key ring or file.
        government: Whether it is one of Atlas for Government.
        delegated: Whether its `auth_type` is `user_delegation`.
    """
    own = profile.text("client_id") or profile.secret("client_id", where)
    login = Login(
        profile.secret("access_token", where),
        profile.secret("refresh_token", where),
        client_id=own or (_CLIENT_GOV if government else _CLIENT),
        delegated=delegated,
        profile=profile,
        where=where,
    )
    account_url = profile.text("account_url")
    if delegated:
        login.url = _token_endpoint(profile)
    elif account_url:
        login.url = account_url.rstrip("/") + LOGIN_PATH
    return login


def _token_endpoint(profile: Profile) -> str:
    kept = profile.values.get("auth_server_metadata")
    metadata = kept.get("metadata") if isinstance(kept, dict) else None
    endpoint = metadata.get("token_endpoint") if isinstance(metadata, dict) else None
    return endpoint if isinstance(endpoint, str) else ""


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
