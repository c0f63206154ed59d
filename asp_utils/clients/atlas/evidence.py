"""Looks for credentials: the config first, then the environment, then a profile of the Atlas CLI.

The first place that holds any counts. An id without its secret there is a fault: the other half is
never taken from another place.

Source: asp-reference.md 4.7; open source of atlas-cli-core (config); peers.md 2.1, 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.atlas.login import Login, login_of
from asp_utils.clients.atlas.profile import FILE, KEY_RING
from asp_utils.errors import ConfigInvalid, Fault, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.clients.atlas.profile import Profile

SERVICE_ACCOUNT: Final = "service_account"
API_KEYS: Final = "api_keys"
USER_ACCOUNT: Final = "user_account"
BEARER: Final = "access_token"
NO_AUTH: Final = "no_auth"
ATLAS: Final = "MONGODB_ATLAS_"
LEGACY: Final = "MCLI_"
MCP: Final = "MDB_MCP_API_"
WAYS: Final = (
    "either set MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET (service account), or "
    "MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY (API key), or run: "
    "atlas auth login"
)
_DELEGATION: Final = "user_delegation"
_AUTH_TYPES: Final = (API_KEYS, SERVICE_ACCOUNT, USER_ACCOUNT, _DELEGATION, NO_AUTH)
_PAIRS: Final = (
    (ATLAS, SERVICE_ACCOUNT, "CLIENT_ID", "CLIENT_SECRET"),
    (ATLAS, API_KEYS, "PUBLIC_API_KEY", "PRIVATE_API_KEY"),
    (ATLAS, API_KEYS, "PUBLIC_KEY", "PRIVATE_KEY"),
    (ATLAS, USER_ACCOUNT, "ACCESS_TOKEN", "REFRESH_TOKEN"),
    (MCP, SERVICE_ACCOUNT, "CLIENT_ID", "CLIENT_SECRET"),
    (LEGACY, API_KEYS, "PUBLIC_API_KEY", "PRIVATE_API_KEY"),
    (LEGACY, USER_ACCOUNT, "ACCESS_TOKEN", "REFRESH_TOKEN"),
)
"""Variables that belong together, the first pair that is there counts."""
_CONFIG: Final = (
    (SERVICE_ACCOUNT, "client_id", "client_secret"),
    (API_KEYS, "public_key", "private_key"),
)
_PROFILE: Final = {
    API_KEYS: ("public_api_key", "private_api_key"),
    SERVICE_ACCOUNT: ("client_id", "client_secret"),
}


@dataclass(frozen=True)
class Evidence:
    """Credentials, and where they were found."""

    kind: str
    source: str
    """The place, in words."""
    family: str = ATLAS
    """Prefix of the variables that go with them."""
    name: str = ""
    """Client id or public key."""
    secret: str = field(default="", repr=False)
    """Client secret, private key, or access token."""
    login: Login | None = field(default=None, repr=False)
    in_profile: bool = False
    """Whether they are a profile's."""

    @property
    def secrets(self) -> list[str]:
        """All that nobody may see."""
        login = self.login
        tokens = [login.access_token, login.refresh_token] if login is not None else []
        return [secret for secret in (self.secret, *tokens) if secret]


def of_config(given: Mapping[str, Any]) -> Evidence | None:
    """The credentials that the config's `atlas` holds; None when it holds none.

    Raises:
        ConfigInvalid: A half is missing, or there are two kinds.
    """
    faults, found = [], []
    for kind, name, secret in _CONFIG:
        halves = {key: str(given.get(key) or "") for key in (name, secret)}
        missing = [key for key, value in halves.items() if not value]
        if not missing:
            found.append(_pair(kind, "the config's `atlas`", ATLAS, list(halves.values())))
        elif len(missing) == 1:
            other = secret if missing == [name] else name
            message = f"`{other}` is here without it, and no half comes from another place"
            faults.append(Fault(f"$.atlas.{missing[0]}", message))
    if len(found) > 1:
        both = "a service account and an API key: which one is meant?"
        faults.append(Fault("$.atlas", both, "leave one of the two out"))
    if faults:
        raise ConfigInvalid("atlas", faults)
    return found[0] if found else None


def of_environment(environment: Mapping[str, str]) -> Evidence | None:
    """The credentials that the environment holds; None when it holds none.

    Raises:
        PermissionDenied: A half of the first pair is missing.
        ConfigInvalid: `MONGODB_ATLAS_AUTH_TYPE` is none.
    """
    wanted = wanted_type(environment)
    if wanted == NO_AUTH:
        return Evidence(NO_AUTH, f"environment {ATLAS}AUTH_TYPE")
    faults: list[Fault] = []
    for family, kind, first, second in _PAIRS:
        if wanted not in ("", kind):
            continue
        names = (family + first, family + second)
        values = [environment.get(name, "") for name in names]
        source = f"environment {names[0]}"
        if kind == USER_ACCOUNT and values[0]:
            found = _token(source, family, *values)
        elif all(values):
            found = _pair(kind, source, family, values)
        else:
            faults += _half(dict(zip(names, values, strict=True)), "environment")
            continue
        _refuse(faults)
        return found
    _refuse(faults)
    return None


def wanted_type(environment: Mapping[str, str]) -> str:
    """The `auth_type` that the environment asks for; "" when it asks for none.

    Raises:
        ConfigInvalid: There is no such type.
    """
    name = f"{ATLAS}AUTH_TYPE"
    wanted = environment.get(name, "")
    _check_type(wanted, name)
    return USER_ACCOUNT if wanted == _DELEGATION else wanted


def of_profile(profile: Profile, wanted: str = "", *, government: bool = False) -> Evidence | None:
    """The credentials of a profile; None when it holds none.

    Args:
        profile: The profile.
        wanted: The `auth_type` that counts instead of the profile's own.
        government: Whether it is one of Atlas for Government.

    Raises:
        PermissionDenied: A half of the first pair is missing.
        ConfigInvalid: The profile's `auth_type` is none.
    """
    own = profile.text("auth_type")
    _check_type(own, profile.place(f"{FILE}, auth_type"))
    kind = wanted or (USER_ACCOUNT if own == _DELEGATION else own)
    if kind == NO_AUTH:
        return Evidence(NO_AUTH, profile.place(FILE), in_profile=True)
    faults: list[Fault] = []
    for where in (KEY_RING, FILE):
        for found in _kept(profile, where, kind, faults):
            _refuse(faults)
            return found
        login = login_of(profile, where, government=government, delegated=own == _DELEGATION)
        if login.access_token and (kind == USER_ACCOUNT or (not kind and login.refresh_token)):
            source = profile.place(where)
            return Evidence(USER_ACCOUNT, source, login=login, in_profile=True)
    _refuse(faults)
    return None


def _kept(profile: Profile, where: str, kind: str, faults: list[Fault]) -> Iterator[Evidence]:
    """The pairs of one place of a profile; halves go to `faults`."""
    for pair_kind, keys in _PROFILE.items():
        if kind not in ("", pair_kind):
            continue
        values = {key: profile.secret(key, where) for key in keys}
        if all(values.values()):
            source = profile.place(where)
            pair = _pair(pair_kind, source, ATLAS, list(values.values()))
            yield replace(pair, in_profile=True)
        elif kind or not profile.secret("refresh_token", where):
            # A login may come with a client id of its own.
            faults += _half(values, profile.place(where))


def _pair(kind: str, source: str, family: str, values: Sequence[str]) -> Evidence:
    name, secret = values
    return Evidence(kind, source, family, name, secret)


def _half(values: Mapping[str, str], place: str) -> list[Fault]:
    """The fault of a pair of which one is missing."""
    missing = [name for name, value in values.items() if not value]
    if len(missing) != 1 or missing[0].endswith("REFRESH_TOKEN"):
        return []
    other = next(name for name in values if name != missing[0])
    message = f"it is missing, and its other half {other} is there: {place}"
    return [Fault(missing[0], message, f"set {missing[0]}, or take {other} away")]


def _refuse(faults: list[Fault]) -> None:
    if faults:
        said = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        raise PermissionDenied(
            f"half of a pair of Atlas credentials: {said}",
            hint=f"{faults[0].hint}; no half is taken from another place",
            details={"faults": [fault.to_json() for fault in faults]},
        )


def _token(source: str, family: str, access: str, refresh: str) -> Evidence:
    if not refresh:
        return Evidence(BEARER, source, family, secret=access)
    return Evidence(USER_ACCOUNT, source, family, login=Login(access, refresh))


def _check_type(wanted: str, place: str) -> None:
    if wanted and wanted not in _AUTH_TYPES:
        message = f"{wanted!r} is no auth_type; there are {', '.join(_AUTH_TYPES)}"
        raise ConfigInvalid("atlas", [Fault(place, message)])
