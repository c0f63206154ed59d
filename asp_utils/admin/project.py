"""A project of Atlas, or the one of the local instance: its Admin API, its paths, its waiting."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asp_utils.errors import AspError, ConfigInvalid, Conflict, Fault, Interrupted, TimedOut
from asp_utils.model.local_names import LOCAL
from asp_utils.session.version import TOOL_VERSION
from asp_utils.workspace import running_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self, TypeVar

    from asp_utils.clients.atlas.api import AtlasApi
    from asp_utils.clients.atlas.site import AtlasSite
    from asp_utils.context import Context
    from asp_utils.model.parameters import AtlasAccount

    T = TypeVar("T")

GROUPS: Final = "/api/atlas/v2/groups"
GROUPS_VERSION: Final = "2023-01-01"
_USER_AGENT: Final = f"asp-toolkit/{TOOL_VERSION}"
_FIRST_POLL_S: Final = 0.2
_LONGEST_POLL_S: Final = 3.0
_POLL_GROWTH: Final = 1.5
_MOST_NAMED: Final = 20
_WAYS: Final = "`project_id` in `atlas`, MONGODB_ATLAS_PROJECT_ID, or the Atlas CLI's profile"


class Project:
    """A project and its Admin API; a context manager.

    Args:
        ctx: The call's surroundings.
        api: The Admin API.
        site: Which Atlas, and where that was found.
        is_local: Whether it is the local instance's own.
    """

    def __init__(self, ctx: Context, api: AtlasApi, site: AtlasSite, *, is_local: bool) -> None:
        self.ctx = ctx
        self.api = api
        self.site = site
        self.is_local = is_local

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.api.close()
        told = _told(self.api.done, self.api.doubtful)
        if isinstance(error, AspError) and told:
            error.hint = "; ".join(filter(None, (error.hint, told)))
            named = {"changes_done": self.api.done, "changes_in_doubt": self.api.doubtful}
            error.details = {**error.details, **named}
        elif error is not None and told:
            # A signal's own error carries no words of ours.
            self.ctx.progress(told)

    @property
    def id(self) -> str:
        """Its id, 24 hexadecimal digits.

        Raises:
            ConfigInvalid: No place names a project; those that can be seen are listed.
        """
        if self.site.project_id is None:
            raise self._nameless()
        return self.site.project_id

    def streams(self, *segments: str, verb: str = "") -> str:
        """A path below the project's `/streams`; each segment is quoted.

        Args:
            segments: Names and words; none can lead elsewhere, whatever it is made of.
            verb: What is to be done with it, where a method does not say that.

        Example: `streams("ws", "processor", "a b", verb="start")` ends in
            `/ws/processor/a%20b:start`.
        """
        path = "".join(f"/{quoted(segment)}" for segment in segments)
        return f"{GROUPS}/{self.id}/streams{path}" + (f":{verb}" if verb else "")

    def wait_until(
        self,
        what: str,
        look: Callable[[], T],
        done: Callable[[T], bool],
        timeout_s: float,
        *,
        failed: Callable[[T], str] = lambda _seen: "",
    ) -> T:
        """Look again and again until it is done; return what was seen last.

        A look that fails in a way that may pass is no end of waiting: the change goes on.

        Args:
            what: What is waited for, in words that follow "waited for".
            look: Reads the state.
            done: Whether it is as wished.
            timeout_s: Seconds to wait.
            failed: Why it can never be as wished; "" while it can.

        Raises:
            Conflict: It can never be as wished.
            TimedOut: The time was up; `details` hold what was seen last.
            Interrupted: The call was cancelled.
        """
        deadline_s = self.ctx.now_s() + timeout_s
        pause_s = _FIRST_POLL_S
        while True:
            seen, trouble = _looked(look)
            if seen is not None and done(seen[0]):
                return seen[0]
            why = failed(seen[0]) if seen is not None else ""
            if why:
                raise Conflict(
                    f"waited for {what}, in vain: {why}",
                    hint="it stays as it is: mend the cause, then update, start or delete it",
                    details=_last(seen),
                )
            left_s = deadline_s - self.ctx.now_s()
            if left_s <= 0:
                state = _last(seen).get("state")
                said = f": it is {state}" if state else ""
                said += f"; the last look failed: {trouble}" if trouble is not None else ""
                raise TimedOut(
                    f"waited {timeout_s:g} s for {what}, in vain{said}",
                    hint="it may still come: look again, or raise timeout_s",
                    details={**(trouble.details if trouble is not None else {}), **_last(seen)},
                ) from trouble
            if self.ctx.wait(min(pause_s, left_s)):
                raise Interrupted(
                    f"cancelled while waiting for {what}",
                    hint="the change goes on without us: look at the state",
                    details=_last(seen),
                )
            pause_s = min(pause_s * _POLL_GROWTH, _LONGEST_POLL_S)

    def _nameless(self) -> ConfigInvalid:
        """The error for a project that nobody named."""
        hint = f"name it: {_WAYS}"
        try:
            found = list(self.api.items(GROUPS, version=GROUPS_VERSION))
        except AspError as error:
            fault = Fault("$.atlas.project_id", "no place names the project", hint)
            nameless = ConfigInvalid("atlas", [fault])
            nameless.details["projects_not_listed"] = error.message
            return nameless
        shown = [f"{item.get('id')} ({item.get('name')})" for item in found[:_MOST_NAMED]]
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        there = f"there are {', '.join(shown)}{more}" if shown else "the credentials see none"
        fault = Fault("$.atlas.project_id", f"no place names the project; {there}", hint)
        nameless = ConfigInvalid("atlas", [fault])
        nameless.details["projects"] = [
            {"id": item.get("id"), "name": item.get("name")} for item in found
        ]
        return nameless


def project(ctx: Context, atlas: AtlasAccount | Mapping[str, Any] | str | None) -> Project:
    """The project that `atlas` names; `local` starts the local instance when it does not run.

    Args:
        ctx: The call's surroundings.
        atlas: The config's account; what it leaves out comes from the environment and the
            Atlas CLI's profile.

    Raises:
        ConfigInvalid: What is given cannot be.
        PermissionDenied: There are no credentials.
        EnvironmentMissing: The local instance cannot be started, or a profile cannot be read.
    """
    # httpx costs 100 ms, and help needs none of it.
    from asp_utils.clients.atlas.api import AtlasApi

    is_local = atlas == LOCAL or (not isinstance(atlas, str) and (atlas or {}).get("url") == LOCAL)
    site = _local_site(ctx) if is_local else _site(ctx, atlas)
    api = AtlasApi(
        site.base_url,
        site.credentials,
        ca_file=site.ca_file,
        wait=ctx.wait,
        user_agent=_USER_AGENT,
    )
    return Project(ctx, api, site, is_local=is_local)


def quoted(segment: str) -> str:
    """A name as one segment of a path.

    Raises:
        ConfigInvalid: It is empty, no text, or `.` or `..`, which every server takes for a way.

    Example:
        >>> quoted("a/b c")
        'a%2Fb%20c'
    """
    try:
        step = quote(segment, safe="")
    except UnicodeEncodeError:
        step = ""
    if step in ("", ".", ".."):
        hint = "give the name of what is meant, as a list shows it"
        raise ConfigInvalid("config", [Fault("$", f"{segment!r} is no name", hint)])
    return step


def _site(ctx: Context, atlas: AtlasAccount | Mapping[str, Any] | str | None) -> AtlasSite:
    from asp_utils.clients.atlas.site import site_of

    return site_of(atlas, environment=os.environ, conceal=ctx.conceal, wait=ctx.wait)


def _local_site(ctx: Context) -> AtlasSite:
    """The local instance's own Admin API, asked with its own service account."""
    # Only "local" needs the instance's code.
    from asp_utils.clients.atlas.credentials import Found, ServiceAccount
    from asp_utils.clients.atlas.site import AtlasSite

    state = running_instance(ctx)
    if not state.admin_api_url:
        raise Conflict(
            "the local instance that runs is of an older version, without an Admin API",
            hint="stop it, and it starts anew: cli_local_stop.py",
        )
    source = f"the local instance in {ctx.local_folder}"
    ctx.conceal([state.client_secret])
    account = ServiceAccount(
        Found("service_account", source), state.client_id, state.client_secret, ctx.conceal
    )
    return AtlasSite(state.admin_api_url, source, state.project_id, source, account)


def _looked(look: Callable[[], T]) -> tuple[tuple[T] | None, AspError | None]:
    """What a look shows, or the failure that may pass."""
    try:
        return (look(),), None
    except AspError as error:
        if not error.retryable:
            raise
        return None, error


def _told(done: list[str], doubtful: list[str]) -> str:
    """Which changes came before an error, so that none is left behind unnamed."""
    words = (("done before", done), ("perhaps done", doubtful))
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in words if names)


def _last(seen: tuple[Any] | None) -> dict[str, Any]:
    if seen is None:
        return {}
    last = seen[0]
    state = last.get("state") if isinstance(last, dict) else None
    return {"last_seen": last, **({"state": state} if state else {})}
