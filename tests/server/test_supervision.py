"""What happens to a processor when its worker, its supervisor or its mongod dies."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from asp_utils.clients.owned_process import OwnedProcess
from asp_utils.model.error_codes import code_name
from asp_utils.server import lifecycle
from asp_utils.server.limits import Limits, Patience
from tests.waiting import until

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
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def create(admin: Admin, *script: dict[str, Any], name: str = "p") -> None:
    stages = [{"$source": {"script": list(script)}}, {"$merge": {"into": "x"}}]
    admin.command("createStreamProcessor", name, pipeline=stages)


def start(admin: Admin, name: str = "p", **options: Any) -> None:
    admin.command("startStreamProcessor", name, **options)


def seen(admin: Admin, name: str = "p") -> dict[str, Any]:
    return dict(admin.command("getStreamProcessorStats", name))


def notes(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def is_gone(pid: int) -> bool:
    return OwnedProcess.find(pid) is None


def test_a_killed_worker_is_restarted(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"started": 1}, {"wait": 1})
    start(admin)
    os.kill(notes(path)[0]["pid"], signal.SIGKILL)
    until(lambda: len(notes(path)) == 2 and seen(admin)["stats"]["status"] == "running")
    reply = seen(admin)
    assert (reply["state"], reply["stats"]["restartCount"]) == ("STARTED", 1)


@pytest.mark.parametrize("end", [{"exit": 0}, {"exit": 3}, {"garbage": 1}])
def test_every_kind_of_crash_leads_to_a_restart(
    admin: Admin, tmp_path: Path, end: dict[str, Any]
) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"started": 1}, end)
    start(admin)
    until(lambda: len(notes(path)) >= 3)
    assert seen(admin)["state"] == "STARTED"


def test_a_restart_resumes_from_the_checkpoint_if_there_is_one(
    admin: Admin, tmp_path: Path
) -> None:
    path, crashes = tmp_path / "notes", str(tmp_path / "crashes")
    steps: list[dict[str, Any]] = [
        {"note": str(path)},
        {"crashes": [crashes, 1]},
        {"checkpoint": 1},
    ]
    create(admin, *steps, {"crashes": [crashes, 3]}, {"started": 1}, {"wait": 1})
    start(admin, startAfter={"_data": "x"})
    until(lambda: seen(admin)["stats"]["status"] == "running")
    resumed = [note["resumeFromCheckpoint"] for note in notes(path)]
    assert resumed[:2] == [False, False]
    assert resumed[-1] is True


def test_start_from_an_operation_time_discards_the_checkpoint(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"checkpoint": 1}, {"started": 1}, {"wait": 1})
    for options in ({}, {}, {"startAtOperationTime": NEW_YEAR}, {"clearCheckpoints": True}):
        start(admin, options=options)
        admin.command("stopStreamProcessor", "p")
    told = notes(path)
    assert [note["resumeFromCheckpoint"] for note in told] == [False, True, False, False]
    assert [bool(note["startAt"]) for note in told] == [False, False, True, False]


def test_a_sample_goes_on_after_a_restart(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"started": 1}, {"wait": 1})
    start(admin)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]

    def two_have_come() -> bool:
        more = admin.command("getMoreSampleStreamProcessor", "p", cursorId=cursor_id)
        return [document["n"] for document in more["messages"]] == [0, 1]

    until(two_have_come)
    os.kill(notes(path)[0]["pid"], signal.SIGKILL)
    until(two_have_come)


def test_a_failure_that_cannot_be_retried_is_final(admin: Admin) -> None:
    failure = {"code": 418, "codeName": "StreamProcessorWorkerOutOfMemory", "retryable": False}
    create(admin, {"started": 1}, {"fail": {**failure, "message": "out of memory"}})
    start(admin)
    until(lambda: seen(admin)["state"] == "FAILED")
    reply = admin.command("getStreamProcessor", "p")
    assert (reply["errorMsg"], reply["errorCode"]) == ("out of memory", 418)
    assert (reply["errorRetryable"], reply["stats"]["status"]) == (False, "error")


@pytest.mark.parametrize("code", [418, 420])
def test_what_no_retry_can_help_fails_at_once(admin: Admin, tmp_path: Path, code: int) -> None:
    path = tmp_path / "notes"
    failure = {"code": code, "codeName": "X", "message": "m", "retryable": True}
    create(admin, {"note": str(path)}, {"started": 1}, {"fail": failure})
    start(admin)
    until(lambda: seen(admin)["state"] == "FAILED")
    assert len(notes(path)) == 1
    assert admin.command("getStreamProcessor", "p")["errorRetryable"] is False


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (419, "StreamProcessorKafkaConnectionError"),
        (422, "StreamProcessorAtlasUnauthorizedError"),
        (436, "StreamProcessorHTTPSConnectionError"),
        (440, "StreamProcessorExternalFunctionConnectionError"),
        (443, "StreamProcessorS3ConnectionError"),
        (451, "StreamProcessorS3TokenExpired"),
        (460, "StreamProcessorKinesisConnectionError"),
    ],
)
def test_every_connection_failure_is_retried_and_keeps_its_name(
    admin: Admin, tmp_path: Path, code: int, name: str
) -> None:
    path = tmp_path / "notes"
    failure = {"code": code, "codeName": code_name(code), "message": "m", "retryable": True}
    create(admin, {"note": str(path)}, {"fail": failure})
    with pytest.raises(OperationFailure) as caught:
        start(admin)
    assert caught.value.details is not None
    assert (caught.value.code, caught.value.details["codeName"]) == (code, name)
    assert len(notes(path)) == 3


def test_a_failure_at_once_is_the_answer_to_start(admin: Admin) -> None:
    failure = {"code": 420, "codeName": "StreamProcessorInvalidOptions", "retryable": False}
    create(admin, {"fail": {**failure, "message": "bad"}})
    with pytest.raises(OperationFailure, match="bad") as caught:
        start(admin)
    assert caught.value.code == 420
    assert seen(admin)["state"] == "FAILED"


def test_a_retryable_failure_is_retried_and_then_final(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    failure = {"code": 421, "codeName": "StreamProcessorAtlasConnectionError", "retryable": True}
    create(admin, {"note": str(path)}, {"fail": {**failure, "message": "no route"}})
    with pytest.raises(OperationFailure, match="no route"):
        start(admin)
    assert len(notes(path)) == 3
    assert admin.command("getStreamProcessor", "p")["errorRetryable"] is True


def test_an_internal_error_is_retried_without_end(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    failure = {"code": 1, "codeName": "InternalError", "message": "m", "retryable": True}
    create(admin, {"note": str(path)}, {"started": 1}, {"fail": failure})
    start(admin)
    until(lambda: len(notes(path)) > 4)
    assert seen(admin)["state"] == "STARTED"


def test_a_failed_processor_can_be_started_again(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    failure = {"code": 418, "codeName": "X", "message": "m", "retryable": False}
    create(admin, {"note": str(path)}, {"started": 1}, {"fail": failure})
    for _ in range(2):
        start(admin)
        until(lambda: seen(admin)["state"] == "FAILED")
    assert len(notes(path)) == 2


def test_a_deaf_worker_is_killed_when_it_is_stopped(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"started": 1}, {"deaf": 1}, {"wait": 1})
    start(admin)
    admin.command("stopStreamProcessor", "p")
    assert seen(admin)["state"] == "STOPPED"
    until(lambda: is_gone(notes(path)[0]["pid"]))


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    with connect(start_scripted(tmp_path / "i", hung_s=0.3)) as admin:
        create(admin, {"note": str(path)}, {"started": 1}, {"deaf": 1}, {"wait": 1})
        start(admin)
        until(lambda: len(notes(path)) >= 2)
        assert is_gone(notes(path)[0]["pid"])


def test_dropping_a_running_processor_ends_it_and_forgets_its_state(
    admin: Admin, tmp_path: Path, instance: InstanceState
) -> None:
    path = tmp_path / "notes"
    create(admin, {"note": str(path)}, {"checkpoint": 1}, {"started": 1}, {"wait": 1})
    start(admin)
    processor_id = admin.command("getStreamProcessor", "p")["id"]
    admin.command("dropStreamProcessor", "p")
    assert is_gone(notes(path)[0]["pid"])
    client: MongoClient[dict[str, Any]] = MongoClient(instance.mongod_uri)
    with client:
        state = client[notes(path)[0]["stateDb"]]["checkpoints"]
        assert state.count_documents({"processorId": processor_id}) == 0


def test_what_a_worker_prints_is_in_its_log(admin: Admin, instance: InstanceState) -> None:
    create(admin, {"print": "hello from the worker"}, {"started": 1}, {"wait": 1})
    start(admin)
    processor_id = admin.command("getStreamProcessor", "p")["id"]
    log = instance.file.parent / "workers" / f"{processor_id}.log"
    assert "hello from the worker" in log.read_text()


@pytest.mark.slow
def test_a_stopped_machine_comes_back_with_processors_as_they_were(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    folder, path = tmp_path / "i", tmp_path / "notes"
    state = start_scripted(folder)
    with connect(state) as admin:
        for name in ("created", "started", "stopped"):
            create(admin, {"note": str(path)}, {"started": 1}, {"wait": 1}, name=name)
        start(admin, "started")
        start(admin, "stopped")
        admin.command("stopStreamProcessor", "stopped")
    assert lifecycle.stop(folder)
    assert all(is_gone(note["pid"]) for note in notes(path))
    again = start_scripted(folder)
    assert (again.ports, again.connection_password) == (state.ports, state.connection_password)
    with connect(again) as admin:
        until(lambda: seen(admin, "started")["stats"]["status"] == "running")
        found = admin.command("listStreamProcessors", 1)["streamProcessors"]
    assert {item["name"]: item["state"] for item in found} == {
        "created": "CREATED",
        "started": "STARTED",
        "stopped": "STOPPED",
    }


@pytest.mark.slow
def test_a_killed_supervisor_takes_all_with_it_and_the_next_start_recovers(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    folder, path = tmp_path / "i", tmp_path / "notes"
    state = start_scripted(folder)
    with connect(state) as admin:
        create(admin, {"note": str(path)}, {"started": 1}, {"wait": 1})
        start(admin)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    until(lambda: is_gone(notes(path)[0]["pid"]) and is_gone(state.pids["mongod"]))
    assert lifecycle.status(folder) is None
    with connect(start_scripted(folder)) as admin:
        until(lambda: seen(admin)["stats"]["status"] == "running")
    assert len(notes(path)) == 2


@pytest.mark.slow
def test_a_killed_mongod_is_started_again(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "i"
    state = start_scripted(folder)
    with connect(state) as admin:
        create(admin, {"started": 1}, {"wait": 1})
        os.kill(state.pids["mongod"], signal.SIGKILL)
        until(lambda: _mongod_pid(folder) not in (None, state.pids["mongod"]))
        assert seen(admin)["state"] == "CREATED"


def _mongod_pid(folder: Path) -> int | None:
    state = lifecycle.status(folder)
    return state.pids["mongod"] if state else None


def test_patience_doubles_up_to_its_bound_and_recovers() -> None:
    patience = Patience(Limits())
    assert [patience.after_crash() for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    patience.ran(9.9)
    assert patience.after_crash() == 5.0
    patience.ran(10.0)
    assert patience.after_crash() == 0.1


def test_patience_with_failures_ends() -> None:
    patience = Patience(Limits(retry_delays_s=(1.0, 2.0)))
    assert [patience.after_failure() for _ in range(3)] == [1.0, 2.0, None]
