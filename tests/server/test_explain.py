"""Why nothing comes out: the worker's word, or what is known while there is no worker."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]
    Connect = Callable[[InstanceState], AbstractContextManager[Admin]]
    Start = Callable[..., InstanceState]

pytestmark = pytest.mark.server
WAITING = ({"started": 1}, {"wait": 1})


def create(admin: Admin, *script: dict[str, Any], **source: Any) -> None:
    stages = [{"$source": {"script": list(script), **source}}, {"$merge": {"into": "x"}}]
    admin.command("createStreamProcessor", "p", pipeline=stages)


def explained(admin: Admin, name: str = "p") -> dict[str, Any]:
    return dict(admin.command("localExplainStreamProcessor", name)["explanation"])


def test_a_running_one_is_explained_by_its_worker(admin: Admin) -> None:
    said = {"sentence": "Output flows.", "findings": [{"kind": "flowing"}], "stages": []}
    create(admin, *WAITING, explanation=said)
    admin.command("startStreamProcessor", "p")
    found = explained(admin)
    assert found.items() >= {"name": "p", "state": "STARTED", **said}.items()
    assert found["stats"]["operatorStats"][0]["name"] == "Op"


def test_one_that_does_not_run_is_explained_by_its_state(admin: Admin) -> None:
    create(admin, *WAITING)
    assert "never been started" in explained(admin)["sentence"]
    admin.command("startStreamProcessor", "p")
    admin.command("startSampleStreamProcessor", "p")
    admin.command("stopStreamProcessor", "p")
    found = explained(admin)
    assert "it is stopped" in found["sentence"]
    assert found["findings"][0]["kind"] == "not_running"
    assert found["stats"]["outputMessageCount"] == 2


def test_a_failed_one_says_why(admin: Admin) -> None:
    failure = {"code": 425, "codeName": "X", "message": "the oplog is gone", "retryable": False}
    create(admin, {"fail": failure})
    with pytest.raises(OperationFailure):
        admin.command("startStreamProcessor", "p")
    found = explained(admin)
    assert (found["state"], found["errorMsg"]) == ("FAILED", "the oplog is gone")
    assert "the oplog is gone (modify it" in found["sentence"]


@pytest.mark.slow
def test_one_between_two_workers_says_what_ended_the_last(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    crashes = str(tmp_path / "crashes")
    with connect(start_scripted(tmp_path / "i", backoff_first_s=60.0, backoff_max_s=60.0)) as admin:
        create(admin, {"started": 1}, {"crashes": [crashes, 9]})
        admin.command("startStreamProcessor", "p")
        while "is started again" not in (found := explained(admin))["sentence"]:
            select.select([], [], [], 0.02)
    assert found["state"] == "STARTED"
    assert "ended with code 3" in found["sentence"]


@pytest.mark.slow
def test_a_deaf_worker_is_not_waited_for_long(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    with connect(start_scripted(tmp_path / "i", stats_s=0.2)) as admin:
        create(admin, {"started": 1}, {"deaf": 1}, {"wait": 1})
        admin.command("startStreamProcessor", "p")
        while "does not answer" not in explained(admin)["sentence"]:
            select.select([], [], [], 0.02)


def test_a_temporary_one_can_be_explained(admin: Admin) -> None:
    source = {"script": list(WAITING), "explanation": {"sentence": "It waits.", "findings": []}}
    name = admin.command("processStreamProcessor", [{"$source": source}])["name"]
    assert explained(admin, name)["sentence"] == "It waits."
    admin.command("dropStreamProcessor", name)


def test_a_worker_killed_while_it_is_asked_is_no_answer(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, *WAITING, explanation={"sentence": "fine", "findings": []})
    admin.command("startStreamProcessor", "p")
    os.kill(int(path.read_text().split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    assert explained(admin)["sentence"]
