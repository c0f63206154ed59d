"""A connected workspace: its stream processors found, waited for and sampled.

Every change is read back through here: a result says what was observed, never what was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.errors import Conflict, NotFound, TimedOut, UnexpectedReply
from asp_utils.model.local_names import LOCAL
from asp_utils.model.processor_states import DROPPED, FAILED

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from types import TracebackType
    from typing import Self

    from pydantic import SecretStr

    from asp_utils.clients.endpoint import Endpoint
    from asp_utils.context import Context
    from asp_utils.server.lifecycle import InstanceState

_NAMED: Final = f"{LOCAL}:"
_POLL_S: Final = 0.2
_EMPTY_WAIT_S: Final = 1.0


class ProcessorState(TypedDict):
    """What was observed of a stream processor after a change."""

    name: str
    """Name of the stream processor."""
    state: str
    """CREATED, STARTED, STOPPED, FAILED, …; DROPPED when it is gone."""
    previous_state: str | None
    """The state before; null when it did not exist."""
    changed: bool
    """Whether anything is different now."""


class Workspace:
    """The stream processing workspace behind an endpoint; a context manager."""

    def __init__(self, ctx: Context, endpoint: Endpoint) -> None:
        self._ctx = ctx
        self._endpoint = endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._endpoint.close()

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command; see `clients.endpoint.refusal` for the errors."""
        return self._endpoint.command(command)

    def listed(self, command: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        """The list under `key` in a command's reply.

        Raises:
            UnexpectedReply: There is none.
        """
        reply = self.command(command)
        items = reply.get(key)
        if not isinstance(items, list):
            raise UnexpectedReply(f"the endpoint's reply has no list {key!r}: {reply}"[:300])
        return items

    def find(self, name: str) -> dict[str, Any] | None:
        """The listed stream processor of that name; None when there is none."""
        command = {"listStreamProcessors": 1, "filter": {"name": name}}
        found = self.listed(command, "streamProcessors")
        return next((item for item in found if item["name"] == name), None)

    def get(self, name: str) -> dict[str, Any]:
        """The listed stream processor of that name.

        Raises:
            NotFound: No processor has that name.
        """
        found = self.find(name)
        if found is None:
            raise NotFound(
                f"there is no stream processor {name!r}",
                hint="list them: cli_sp_list_stream_processors.py",
                path="$.name",
            )
        return found

    def state_of(self, name: str) -> str:
        """The state of a stream processor.

        Raises:
            NotFound: No processor has that name.
        """
        return str(self.get(name)["state"])

    def wait_for(
        self, name: str, wanted: set[str], before: str | None, timeout_s: float
    ) -> ProcessorState:
        """Poll until the processor is in a wished state, and say what was observed.

        Raises:
            Conflict: It failed, or is gone: the wished state cannot come any more.
            TimedOut: The time was up.
        """
        deadline_s = self._ctx.now_s() + timeout_s
        while True:
            found = self.find(name)
            state = str(found["state"]) if found is not None else DROPPED
            if state in wanted:
                changed = state != before
                return ProcessorState(
                    name=name, state=state, previous_state=before, changed=changed
                )
            aim = " or ".join(sorted(wanted))
            details = {"state": state, "wanted": sorted(wanted)}
            if found is None or state == FAILED:
                why = (found or {}).get("errorMsg") or (found or {}).get("error_msg") or ""
                raise Conflict(
                    f"stream processor {name!r} is {state}, not {aim}" + (why and f": {why}"),
                    hint="look at it: cli_sp_list_stream_processors.py",
                    details=details,
                )
            left_s = deadline_s - self._ctx.now_s()
            if left_s <= 0:
                raise TimedOut(
                    f"stream processor {name!r} is {state}, not {aim}, after {timeout_s:g} s",
                    hint="it may still get there: list it again, or raise timeout_s",
                    details=details,
                )
            self._ctx.wait(min(_POLL_S, left_s))

    def sampled(
        self, name: str, opened: Mapping[str, Any], limit: int | None, max_seconds: float | None
    ) -> Generator[dict[str, Any], None, None]:
        """The documents of a sample, within the bounds.

        Atlas answers an empty batch at once and wants its clients to wait a second; the local
        instance holds the call until there are documents.

        Args:
            name: The stream processor.
            opened: The reply that opened the sample.
            limit: Documents at most.
            max_seconds: Seconds at most.
        """
        ctx = self._ctx
        cursor = _cursor(opened)
        deadline_s = None if max_seconds is None else ctx.now_s() + max_seconds
        count = 0
        while cursor:
            asked_s = ctx.now_s()
            reply = self.command({"getMoreSampleStreamProcessor": name, "cursorId": cursor})
            documents = reply.get("messages", reply.get("nextBatch", []))
            for document in documents:
                yield document
                count += 1
                if limit is not None and count >= limit:
                    return
            cursor = _cursor(reply)
            left_s = _EMPTY_WAIT_S if deadline_s is None else deadline_s - ctx.now_s()
            if left_s <= 0:
                return
            if cursor and not documents:
                waited_s = ctx.now_s() - asked_s
                ctx.wait(min(left_s, max(0.0, _EMPTY_WAIT_S - waited_s)))


def connect(
    ctx: Context, url: str, user: str | None = None, password: SecretStr | None = None
) -> Workspace:
    """The workspace that `url` names; `local` starts the local instance when it does not run.

    Args:
        ctx: The call's surroundings.
        url: `local`, `local:NAME` for another workspace of the local instance, or a URL.
        user: Database user, for a URL.
        password: Its password.

    Raises:
        ConfigInvalid: The URL is none.
        EnvironmentMissing: The local instance cannot be started.
        NotFound: The local instance has no workspace of that name.
    """
    if not is_local(url):
        return Workspace(ctx, _remote(url, user, password))
    return Workspace(ctx, _local(ctx, url.removeprefix(_NAMED)))


def is_local(url: str) -> bool:
    """Whether a URL names a workspace of the local instance: `local` or `local:NAME`."""
    return url == LOCAL or url.startswith(_NAMED)


def running_instance(ctx: Context) -> InstanceState:
    """The local instance, started when it does not run.

    Raises:
        EnvironmentMissing: It cannot be started.
    """
    # Only "local" needs the instance's code.
    from asp_utils.server import lifecycle

    state = lifecycle.status(ctx.local_folder)
    if state is None:
        ctx.progress("starting the local instance")
        state = lifecycle.start(ctx.local_folder)
    return state


def told_warnings(ctx: Context, reply: Mapping[str, Any], *, prefix: str = "") -> list[Any]:
    """The warnings of a reply, each also told on stderr; Atlas gives none.

    Args:
        ctx: Where they are told.
        reply: What the endpoint answered.
        prefix: What their paths begin with in the config, `$.` where they are about it.
    """
    warnings = []
    for warning in reply.get("warnings", []):
        path = prefix + warning["path"] if warning["path"] else ""
        place, hint = (f"{path}: " if path else ""), warning.get("hint", "")
        ctx.progress(f"warning: {place}{warning['message']}" + (hint and f" ({hint})"))
        warnings.append({**warning, "path": path})
    return warnings


def _remote(url: str, user: str | None, password: SecretStr | None) -> Endpoint:
    # pymongo costs 90 ms: what stays on this machine does without it.
    from asp_utils.clients.stream_endpoint import StreamEndpoint

    return StreamEndpoint(url, user, password.get_secret_value() if password is not None else None)


def _local(ctx: Context, workspace: str) -> Endpoint:
    """A workspace of the local instance, which is started when it does not run."""
    # Only "local" needs the instance's code.
    from asp_utils.server import lifecycle

    return lifecycle.connect(running_instance(ctx), workspace)


def _cursor(reply: Mapping[str, Any]) -> Any:
    """The cursor of a reply; older servers spell it `cursorID`."""
    return reply.get("cursorId", reply.get("cursorID", 0))
