"""Which Atlas, which project, and who asks: put together from config, environment and profile.

What was found is told with its place, so that a person can see why it counted; no secret is told.

Source: asp-reference.md 4.1, 4.7.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from asp_utils.clients.atlas.credentials import (
    AccessToken,
    Anonymous,
    ApiKey,
    Found,
    ServiceAccount,
    UserLogin,
)
from asp_utils.clients.atlas.evidence import (
    API_KEYS,
    ATLAS,
    BEARER,
    LEGACY,
    MCP,
    NO_AUTH,
    SERVICE_ACCOUNT,
    WAYS,
    Evidence,
    of_config,
    of_environment,
    of_profile,
    wanted_type,
)
from asp_utils.clients.atlas.profile import find_profile, profile_file
from asp_utils.clients.atlas.tokens import TokenFile, cache_folder
from asp_utils.clients.atlas.transport import is_loopback
from asp_utils.errors import ConfigInvalid, Fault, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.clients.atlas.credentials import Credentials
    from asp_utils.clients.atlas.profile import Profile
    from asp_utils.model.parameters import AtlasAccount

CLOUD: Final = "https://cloud.mongodb.com"
GOVERNMENT: Final = "https://cloud.mongodbgov.com"
_SERVICES: Final = {"cloud": CLOUD, "cloudgov": GOVERNMENT}
_CONFIG: Final = "the config's `atlas`"
_LOCAL: Final = 'without Atlas, {"atlas": "local"} asks the local instance'
_PROJECT: Final = re.compile(r"[0-9a-f]{24}")
_URLS: Final = {
    ATLAS: ("MONGODB_ATLAS_OPS_MANAGER_URL", "MONGODB_ATLAS_BASE_URL"),
    LEGACY: ("MCLI_OPS_MANAGER_URL",),
    MCP: ("MDB_MCP_API_BASE_URL",),
}
"""Only variables of the credentials' own family say where these go."""


@dataclass(frozen=True)
class AtlasSite:
    """Where the Admin API is, and who asks it."""

    base_url: str
    """Scheme, host and port."""
    base_url_source: str
    """The place that named it, in words."""
    project_id: str | None
    """24 hexadecimal digits; None when no place names a project."""
    project_source: str
    """The place that named it, in words; "" for None."""
    credentials: Credentials = field(repr=False)
    ca_file: str | None = None

    @property
    def found(self) -> Found:
        """Which credentials count, and where they were found."""
        return self.credentials.found


def site_of(
    account: AtlasAccount | Mapping[str, Any] | str | None,
    *,
    environment: Mapping[str, str],
    conceal: Callable[[list[str]], None] = lambda _secrets: None,
    wait: Callable[[float], bool] = lambda _seconds: False,
    clock: Callable[[], float] = time.time,
) -> AtlasSite:
    """Find out which Atlas is meant, which project, and with which credentials.

    Args:
        account: What the config says; a string is a base URL.
        environment: The process's variables.
        conceal: Is told every secret that is found.
        wait: Waits so many seconds; tells whether the call is cancelled.
        clock: Seconds since 1970.

    Raises:
        ConfigInvalid: What the config, a variable or a profile says cannot be; all faults of
            the config's `atlas` are named.
        PermissionDenied: There are no credentials, or one half only.
        EnvironmentMissing: The profile's file cannot be read.
    """
    given: dict[str, Any] = {"url": account} if isinstance(account, str) else {**(account or {})}
    places = _Places(given, environment)
    try:
        evidence = places.evidence()
    except PermissionDenied:
        # A mistyped `local` has no need of credentials.
        _check(*places.given_url(), given.get("project_id"), _CONFIG, secret=False)
        raise
    conceal(evidence.secrets)
    base_url, url_source = places.base_url(evidence)
    project_id, project_source = places.project(evidence)
    secret = evidence.kind != NO_AUTH
    _check(base_url, url_source, project_id, project_source, secret=secret)
    credentials = _credentials(evidence, base_url, environment, conceal, wait, clock)
    ca_file = given.get("ca_file")
    return AtlasSite(base_url, url_source, project_id, project_source, credentials, ca_file)


class _Places:
    """The three places, of which the profile is read only when it is needed."""

    def __init__(self, given: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._given = given
        self._environment = environment
        self._named: str | None = given.get("profile")
        self._profile: Profile | None = None
        self._looked = False

    def evidence(self) -> Evidence:
        """The credentials that count."""
        found = of_config(self._given)
        if found is None and self._named is None:
            found = of_environment(self._environment)
        if found is None:
            found = self._of_profile()
        if found is None:
            raise self._nothing()
        return found

    def given_url(self) -> tuple[str, str]:
        """The base URL of the config, or else that of Atlas itself, and which of both it is."""
        url = self._given.get("url")
        return (str(url), _CONFIG) if url else (CLOUD, "Atlas itself")

    def base_url(self, evidence: Evidence) -> tuple[str, str]:
        """Where the Admin API is, and which place says so."""
        if self._given.get("url"):
            return self.given_url()
        profile = self.profile() if evidence.in_profile or self._named else None
        if self._named is None:
            family = evidence.family
            for name in _URLS[family]:
                if self._environment.get(name):
                    return self._environment[name], f"environment {name}"
            name = f"{family}SERVICE"
            if self._environment.get(name):
                return _service(self._environment[name], name), f"environment {name}"
        if profile is not None:
            source = profile.place(profile.file.name)
            url = profile.text("ops_manager_url") or profile.text("base_url")
            service = profile.text("service")
            if url or service:
                return url or _service(service, source), source
        return CLOUD, "Atlas itself"

    def project(self, evidence: Evidence) -> tuple[str | None, str]:
        """The project, and which place names it."""
        if self._given.get("project_id"):
            return str(self._given["project_id"]), _CONFIG
        if self._named is not None:
            return self._of_file() or self._of_variable(evidence) or (None, "")
        return self._of_variable(evidence) or self._of_file() or (None, "")

    def _of_variable(self, evidence: Evidence) -> tuple[str, str] | None:
        name = f"{LEGACY if evidence.family == LEGACY else ATLAS}PROJECT_ID"
        value = self._environment.get(name)
        return (value, f"environment {name}") if value else None

    def _of_file(self) -> tuple[str, str] | None:
        profile = self.profile()
        value = profile.text("project_id") if profile is not None else ""
        return (value, profile.place(profile.file.name)) if profile and value else None

    def _of_profile(self) -> Evidence | None:
        profile = self.profile()
        if profile is None:
            return None
        wanted = "" if self._named else wanted_type(self._environment)
        government = profile.text("service") == "cloudgov"
        return of_profile(profile, wanted, government=government)

    def profile(self) -> Profile | None:
        """The profile, if there is one."""
        if not self._looked:
            self._profile, self._looked = find_profile(self._environment, self._named), True
        return self._profile

    def _nothing(self) -> PermissionDenied:
        profile, file = self.profile(), profile_file(self._environment)
        if profile is None:
            where = f"no profile of the Atlas CLI ({file})"
        else:
            where = f"profile {profile.name} of the Atlas CLI has none ({file}, key ring)"
            if profile.ring_fault:
                where += f": {profile.ring_fault}"
        if self._named is None:
            where = f"none in the config's `atlas`, none in the environment, {where}"
        return PermissionDenied(
            f"there are no Atlas credentials: {where}", hint=f"{WAYS}; {_LOCAL}"
        )


def _service(name: str, source: str) -> str:
    url = _SERVICES.get(name)
    if url is None:
        message = f"{name!r} is no service of Atlas; there are {', '.join(_SERVICES)}"
        raise ConfigInvalid("atlas", [Fault(source, message)])
    return url


def _check(
    base_url: str, url_source: str, project_id: str | None, project_source: str, *, secret: bool
) -> None:
    faults = []
    why = _url_fault(base_url, secret=secret)
    if why:
        place = "$.atlas.url" if url_source == _CONFIG else url_source
        hint = f"for instance {CLOUD}, or `local` for the local instance"
        faults.append(Fault(place, why, hint))
    if project_id is not None and not _PROJECT.fullmatch(project_id):
        place = "$.atlas.project_id" if project_source == _CONFIG else project_source
        faults.append(Fault(place, f"{project_id!r} is no project id: 24 hexadecimal digits"))
    if faults:
        raise ConfigInvalid("atlas", faults)


def _url_fault(url: str, *, secret: bool) -> str:
    """Why a base URL cannot be used; "" when it can."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        return f"{url!r} is no URL: {error}"
    if not whole:
        return f"{url!r} is no base URL: it begins with https:// and names a host"
    if parts.username is not None or parts.password is not None:
        return "user and password have no place in a base URL"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return f"{url!r} is scheme, host and port, with nothing behind"
    if parts.scheme == "http" and secret and not is_loopback(url):
        return f"{url!r} would carry credentials in clear: only this machine itself may have http"
    return ""


def _credentials(
    evidence: Evidence,
    base_url: str,
    environment: Mapping[str, str],
    conceal: Callable[[list[str]], None],
    wait: Callable[[float], bool],
    clock: Callable[[], float],
) -> Credentials:
    found = Found(evidence.kind, evidence.source)
    if evidence.kind == SERVICE_ACCOUNT:
        file = TokenFile(cache_folder(environment), base_url, evidence.name, evidence.secret)
        return ServiceAccount(found, evidence.name, evidence.secret, conceal, file, clock)
    if evidence.kind == API_KEYS:
        return ApiKey(found, evidence.name, evidence.secret)
    if evidence.kind == BEARER:
        return AccessToken(found, evidence.secret)
    if evidence.login is not None:
        evidence.login.locks, evidence.login.wait = cache_folder(environment), wait
        return UserLogin(found, evidence.login, conceal, clock)
    return Anonymous(found)
