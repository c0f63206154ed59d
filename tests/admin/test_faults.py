"""Every change over the Admin API, and at each of its requests everything that may go wrong.

A call that failed is never a success, says what failed and what to do next, and names whatever it
had changed before. By default each request meets some of the faults; `ASP_ALL_FAULTS=1` lets each
meet all of them (a minute of CPU time).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import AspError, ExitCode, Interrupted
from asp_utils.introspection.registry import registry
from tests.admin.changing import CHANGING, PASSWORD, standing
from tests.admin.conftest import FastContext, Here
from tests.admin.fake_atlas import (
    CLIENT_ID,
    CLIENT_SECRET,
    PROJECT,
    FakeAtlas,
    Reply,
    problem,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.admin.changing import Changing
    from tests.admin.fake_atlas import Request

MODULES = ("connections", "networking", "processor_runs", "processors", "workspaces")
ALSO = {"connection_rotate_secret", "environment_apply"}
EVERY = 23
"""One of so many is tried, unless all are; each request meets one or two faults."""


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong with a request."""

    reply: Reply
    code: ExitCode
    unknown: bool = False
    """Whether nobody knows what became of a change that it meets."""


def _page(text: str) -> bytes:
    return f"<html><title>{text}</title></html>".encode()


_LATER = {"Retry-After": "7"}
TROUBLES = {
    "401": Trouble(problem(401, "UNAUTHORIZED", "no"), ExitCode.PERMISSION),
    "401 empty": Trouble(Reply(401), ExitCode.PERMISSION),
    "403": Trouble(problem(403, "USER_UNAUTHORIZED", "no"), ExitCode.PERMISSION),
    "403 empty": Trouble(Reply(403), ExitCode.PERMISSION),
    "404": Trouble(problem(404, "RESOURCE_NOT_FOUND", "no"), ExitCode.NOT_FOUND),
    "404 of a proxy": Trouble(Reply(404, raw=_page("Hm"), media="html"), ExitCode.NOT_FOUND),
    "404 empty": Trouble(Reply(404), ExitCode.NOT_FOUND),
    "409": Trouble(problem(409, "RESOURCE_BUSY", "no"), ExitCode.CONFLICT),
    "409 empty": Trouble(Reply(409), ExitCode.CONFLICT),
    "429": Trouble(
        Reply(429, problem(429, "RATE_LIMITED", "no").body, headers=_LATER), ExitCode.TEMPORARY
    ),
    "429 empty": Trouble(Reply(429, headers=_LATER), ExitCode.TEMPORARY),
    "500": Trouble(problem(500, "UNEXPECTED_ERROR", "no"), ExitCode.TEMPORARY, unknown=True),
    "500 empty": Trouble(Reply(500), ExitCode.TEMPORARY, unknown=True),
    "503": Trouble(Reply(503, raw=_page("Down"), media="html"), ExitCode.TEMPORARY, unknown=True),
    "503 empty": Trouble(Reply(503), ExitCode.TEMPORARY, unknown=True),
    "cut off": Trouble(
        Reply(200, raw=b'{"name": "ma', missing=40), ExitCode.UNEXPECTED_REPLY, unknown=True
    ),
    "no JSON": Trouble(
        Reply(200, raw=_page("Log in"), media="html"), ExitCode.UNEXPECTED_REPLY, unknown=True
    ),
    "empty": Trouble(Reply(200), ExitCode.UNEXPECTED_REPLY, unknown=True),
    "something else": Trouble(Reply(200, {"status": "ok"}), ExitCode.UNEXPECTED_REPLY),
    "dropped": Trouble(Reply(0, dropped=True), ExitCode.UNREACHABLE, unknown=True),
}
PASSING = (ExitCode.TEMPORARY, ExitCode.UNREACHABLE)


class FaultyAtlas(FakeAtlas):
    """Answers wrongly from one request on: the same request always, or everything."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Reply | None = None
        self.begins_at = 0
        self.everything = False
        self.met: Request | None = None
        """The first request that was answered wrongly."""
        self.wrong: list[Request] = []
        """All that were."""
        self.accepted: list[str] = []
        """The changes that were made, in the words of errors."""
        self.accepted_before: list[str] = []
        """Those of them that came before the first wrong answer."""

    def answer(self, request: Request) -> Reply:
        if self.trouble is None or not self._is_due(request):
            reply = super().answer(request)
            if request.method != "GET" and reply.status < 300:
                self.accepted.append(named(request))
            return reply
        if self.met is None:
            self.met = request
            self.accepted_before = list(self.accepted)
        self.requests.append(request)
        self.wrong.append(request)
        return self.trouble

    def _is_due(self, request: Request) -> bool:
        if self.met is None:
            return len(self.requests) >= self.begins_at
        same = (request.method, request.path) == (self.met.method, self.met.path)
        return self.everything or same


def named(request: Request) -> str:
    """A request in the words of errors; no name in these tests needs quoting."""
    return f"{request.method} /api/atlas/v2/groups/{PROJECT}/streams{request.path}"


@dataclass
class Audit:
    """Calls operations of an Atlas that is as new each time."""

    fake: FaultyAtlas
    url: str
    root: Path

    def run(
        self, changing: Changing, trouble: Reply | None, begins_at: int = 0, *, all_of: bool = False
    ) -> Any:
        """What a call returns."""
        here = self.anew(changing)
        self.fake.trouble, self.fake.begins_at = trouble, begins_at
        self.fake.everything = all_of
        return changing.call(here)

    def anew(self, changing: Changing) -> Here:
        """An Atlas as the call expects it."""
        vars(self.fake).update({**vars(FaultyAtlas()), "lock": self.fake.lock})
        standing(self.fake)
        changing.before(self.fake)
        account: Any = {
            "url": self.url,
            "project_id": PROJECT,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        return Here(self.fake, account, FastContext(root=self.root))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    fake = FaultyAtlas()
    with serving(fake) as url:
        yield Audit(fake, url, tmp_path_factory.mktemp("root"))


def test_every_changing_operation_is_audited() -> None:
    changing = {
        spec.name
        for spec in registry("asp_utils.operations")
        if spec.module.rpartition(".")[2] in MODULES and spec.effect != "read"
    }
    assert {each.operation for each in CHANGING} == changing | ALSO


@pytest.mark.parametrize("changing", CHANGING, ids=lambda each: each.name)
def test_no_fault_is_taken_for_a_success(audit: Audit, changing: Changing) -> None:
    audit.run(changing, None)
    plain = [named(request) for request in audit.fake.requests]
    cases = [
        (index, label, all_of)
        for index in range(len(plain))
        for label in TROUBLES
        for all_of in (False, True)
    ]
    every = 1 if os.environ.get("ASP_ALL_FAULTS") else EVERY
    first = sum(map(ord, changing.name)) % every
    wrong = [
        f"{label} at {index} ({plain[index]}), {all_of=}: {said}"
        for index, label, all_of in cases[first::every]
        if (said := _judged(audit, changing, index, label, all_of=all_of))
    ]
    assert not wrong, "\n".join(wrong)


def _judged(audit: Audit, changing: Changing, index: int, label: str, *, all_of: bool) -> str:
    """What is wrong with how a call takes a fault; "" when nothing is."""
    trouble = TROUBLES[label]
    try:
        result = audit.run(changing, trouble.reply, index, all_of=all_of)
    except AspError as error:
        return _wrong_with(error, audit.fake, trouble, changing)
    return "" if _is_true(audit.fake, label) else f"SUCCESS: {str(result)[:200]}"


def _is_true(fake: FaultyAtlas, label: str) -> bool:
    """Whether what looks like a fault may be the truth: what was deleted is not there."""
    assert fake.met is not None
    deleted = [name.removeprefix("DELETE ") for name in fake.accepted_before]
    looked_for = named(fake.met).removeprefix("GET ")
    return label == "404" and fake.met.method == "GET" and looked_for in deleted


def _wrong_with(error: AspError, fake: FaultyAtlas, trouble: Trouble, changing: Changing) -> str:
    met = fake.met
    assert met is not None
    text = json.dumps(error.to_json())
    done, in_doubt = (error.details.get(f"changes_{word}", []) for word in ("done", "in_doubt"))
    believed = trouble is TROUBLES["404"] and error.exit_code != trouble.code
    faults = {
        f"exit code {error.exit_code!r}": error.exit_code not in _codes(met, trouble, changing),
        "no hint": not error.hint,
        "nothing named": not any(_says_where(error, each) for each in fake.wrong) and not believed,
        "no status": _has_status(error, met, trouble) and error.details.get("status") is None,
        "done and not named": not set(fake.accepted_before) <= set(done),
        "in doubt and not named": _is_in_doubt(error, met, trouble) and named(met) not in in_doubt,
        "not in the hint": any(name not in error.hint for name in (*done, *in_doubt)),
        "a secret": any(it in text for it in (CLIENT_SECRET, PASSWORD, "n3w-p4ssw0rd")),
    }
    found = [name for name, is_wrong in faults.items() if is_wrong]
    return f"{', '.join(found)}: {text}" if found else ""


def _has_status(error: AspError, met: Request, trouble: Trouble) -> bool:
    """Whether a refusal's status is to be told; where nothing was found, its name is."""
    looked_for = met.method == "GET" and trouble.code == ExitCode.NOT_FOUND
    is_own = error.exit_code == trouble.code and "has its new secrets" not in error.message
    return is_own and trouble.reply.status >= 300 and not looked_for


def _is_in_doubt(error: AspError, met: Request, trouble: Trouble) -> bool:
    """Whether nobody knows what became of a change."""
    may_be_empty = met.method == "DELETE" or ":" in met.path.rpartition("/")[2]
    if met.method == "GET" or not trouble.unknown or error.exit_code != trouble.code:
        return False
    return not (may_be_empty and trouble is TROUBLES["empty"])


def _codes(met: Request, trouble: Trouble, changing: Changing) -> set[ExitCode]:
    """The exit codes that a fault may have."""
    codes = {trouble.code}
    if met.method == "GET" and trouble.code in (*PASSING, ExitCode.UNEXPECTED_REPLY):
        codes.add(ExitCode.TIMEOUT)
    if met.method == "GET" and trouble is TROUBLES["404"]:
        # Atlas is believed: what is not there is created, waited for, or still to do.
        codes |= {ExitCode.CONFLICT, ExitCode.TIMEOUT, ExitCode.UNEXPECTED_REPLY}
    if met.method != "GET" and trouble.reply.status == 200:
        # Atlas' own answer to these may be empty: only the look afterwards tells.
        codes |= {ExitCode.TIMEOUT, ExitCode.NOT_FOUND}
    if changing.operation == "connection_rotate_secret":
        codes.add(ExitCode.CONFLICT)
    return codes


def _says_where(error: AspError, met: Request) -> bool:
    name = met.path.rpartition("/")[2].partition(":")[0]
    said = f"{error.message} {error.hint}"
    return named(met) in said or (bool(name) and f"{name!r}" in said)


@pytest.mark.parametrize("changing", CHANGING, ids=lambda each: each.name)
def test_who_is_interrupted_learns_what_goes_on(audit: Audit, changing: Changing) -> None:
    here = audit.anew(changing)
    changing.call(here)
    has_waited = here.ctx.clock_s > 0
    here = audit.anew(changing)
    here.ctx.cancelled.set()
    if not has_waited:
        changing.call(here)
        return
    with pytest.raises(Interrupted, match="cancelled while waiting for") as caught:
        changing.call(here)
    assert audit.fake.accepted
    for request in audit.fake.accepted:
        assert request in caught.value.hint
    assert caught.value.details["changes_done"] == audit.fake.accepted
    # What ran and was stopped only for the time of the change is told to run again.
    if changing.operation in ("processor_modify", "connection_rotate_secret"):
        stops, starts = (
            [it.rpartition(":")[0] for it in audit.fake.accepted if it.endswith(verb)]
            for verb in (":stop", ":start")
        )
        assert stops == starts


def test_a_signal_is_told_what_was_done(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = next(each for each in CHANGING if each.name == "processor_modify")
    here = audit.anew(changing)

    def interrupted(_self: FastContext, _seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(FastContext, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        changing.call(here)
    assert "/main/processor/running:stop" in here.ctx.said
