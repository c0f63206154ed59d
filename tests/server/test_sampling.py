"""Documents on their way to a client: samples, temporary processors, backpressure."""

from __future__ import annotations

import time
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


def started(admin: Admin, *script: dict[str, Any], **source: Any) -> None:
    steps = script or ({"started": 1}, {"wait": 1})
    stages = [{"$source": {"script": list(steps), **source}}, {"$merge": {"into": "x"}}]
    admin.command("createStreamProcessor", "p", pipeline=stages)
    admin.command("startStreamProcessor", "p")


def process(admin: Admin, *script: dict[str, Any]) -> tuple[str, int]:
    reply = admin.command("processStreamProcessor", [{"$source": {"script": list(script)}}])
    return reply["name"], reply["cursorId"]


def read(admin: Admin, name: str, cursor_id: int, **fields: Any) -> dict[str, Any]:
    return dict(admin.command("getMoreSampleStreamProcessor", name, cursorId=cursor_id, **fields))


def drained(admin: Admin, name: str, cursor_id: int) -> list[int]:
    numbers: list[int] = []
    while cursor_id:
        reply = read(admin, name, cursor_id)
        numbers += [document["n"] for document in reply["messages"]]
        cursor_id = reply["cursorId"]
    return numbers


def test_a_sample_shows_output_under_both_names(admin: Admin) -> None:
    started(admin)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    reply = read(admin, "p", cursor_id)
    assert [document["n"] for document in reply["messages"]] == [0, 1]
    assert reply["nextBatch"] == reply["messages"]
    assert reply["cursorId"] == cursor_id
    assert read(admin, "p", cursor_id)["messages"] == []


def test_old_shells_spell_it_cursorID(admin: Admin) -> None:
    started(admin)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    reply = admin.command("getMoreSampleStreamProcessor", "p", cursorID=cursor_id, batchSize=1)
    assert len(reply["messages"]) == 1


def test_a_sample_ends_at_its_limit(admin: Admin) -> None:
    started(admin, onSample=10)
    cursor_id = admin.command("startSampleStreamProcessor", "p", limit=3)["cursorId"]
    assert drained(admin, "p", cursor_id) == [0, 1, 2]
    with pytest.raises(OperationFailure, match="not found"):
        read(admin, "p", cursor_id)


def test_a_sample_ends_after_its_bytes(admin: Admin) -> None:
    started(admin, {"pad": 10_000}, {"started": 1}, {"wait": 1}, onSample=50)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    assert drained(admin, "p", cursor_id) == list(range(5))


def test_a_sample_ends_with_its_processor(admin: Admin) -> None:
    started(admin)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    admin.command("stopStreamProcessor", "p")
    assert drained(admin, "p", cursor_id) == [0, 1]


def test_two_samples_do_not_disturb_each_other(admin: Admin) -> None:
    started(admin)
    first = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    second = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    assert [d["n"] for d in read(admin, "p", second)["messages"]] == [2, 3]
    assert [d["n"] for d in read(admin, "p", first)["messages"]] == [0, 1]


def test_a_cursor_belongs_to_its_processor(admin: Admin) -> None:
    started(admin)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    with pytest.raises(OperationFailure) as caught:
        read(admin, "other", cursor_id)
    assert caught.value.code == 43


def test_process_gives_every_document_and_then_ends(admin: Admin) -> None:
    name, cursor_id = process(admin, {"started": 1}, {"emit": 1000}, {"finish": 1}, {"wait": 1})
    assert drained(admin, name, cursor_id) == list(range(1000))
    assert admin.command("dropStreamProcessor", name) == {"ok": 1}


def test_a_worker_that_ends_after_finishing_has_not_crashed(admin: Admin) -> None:
    name, cursor_id = process(admin, {"started": 1}, {"emit": 3}, {"finish": 1})
    assert drained(admin, name, cursor_id) == [0, 1, 2]


def test_a_batch_holds_no_more_than_asked(admin: Admin) -> None:
    name, cursor_id = process(admin, {"started": 1}, {"emit": 5}, {"finish": 1}, {"wait": 1})
    sizes = []
    while cursor_id:
        reply = read(admin, name, cursor_id, batchSize=2)
        sizes.append(len(reply["messages"]))
        cursor_id = reply["cursorId"]
    assert max(sizes) <= 2
    assert sum(sizes) == 5


def test_a_temporary_processor_is_not_listed_but_has_stats(admin: Admin) -> None:
    name, cursor_id = process(admin, {"started": 1}, {"emit": 4}, {"wait": 1})
    assert len(read(admin, name, cursor_id)["messages"]) == 4
    stats = admin.command("getStreamProcessorStats", name)["stats"]
    assert (stats["status"], stats["outputMessageCount"]) == ("running", 4)
    assert admin.command("listStreamProcessors", 1)["streamProcessors"] == []
    admin.command("dropStreamProcessor", name)
    with pytest.raises(OperationFailure) as caught:
        admin.command("getStreamProcessorStats", name)
    assert caught.value.code == 415


def test_a_flood_waits_for_its_reader_and_loses_nothing(admin: Admin, tmp_path: Path) -> None:
    # 40 MB against a buffer of 100 kB: the worker must be held back, and everything must arrive.
    done = tmp_path / "done"
    script = ({"pad": 10_000}, {"started": 1}, {"emit": 4000}, {"note": str(done)}, {"finish": 1})
    name, cursor_id = process(admin, *script, {"wait": 1})
    numbers = [document["n"] for document in read(admin, name, cursor_id)["messages"]]
    assert not done.exists()
    assert numbers + drained(admin, name, cursor_id) == list(range(4000))


def test_a_failure_at_once_is_the_answer_to_process(admin: Admin) -> None:
    failure = {"code": 421, "codeName": "StreamProcessorAtlasConnectionError", "retryable": True}
    with pytest.raises(OperationFailure, match="no cluster") as caught:
        process(admin, {"fail": {**failure, "message": "no cluster"}})
    assert caught.value.code == 421


def test_a_failure_comes_after_the_documents_before_it(admin: Admin) -> None:
    failure = {"code": 425, "codeName": "X", "message": "gone", "retryable": False}
    name, cursor_id = process(admin, {"started": 1}, {"emit": 3}, {"fail": failure})
    with pytest.raises(OperationFailure, match="gone") as caught:
        assert drained(admin, name, cursor_id) is None
    assert caught.value.code == 425
    assert admin.command("dropStreamProcessor", name) == {"ok": 1}


@pytest.mark.parametrize("end", [{"exit": 3}, {"garbage": 1}])
def test_a_crash_of_a_temporary_processor_is_told(admin: Admin, end: dict[str, Any]) -> None:
    name, cursor_id = process(admin, {"started": 1}, {"emit": 3}, end)
    with pytest.raises(OperationFailure, match="the worker"):
        drained(admin, name, cursor_id)


def test_a_long_poll_answers_as_soon_as_there_is_something(admin: Admin) -> None:
    # The instance of these tests waits 0.2 s for documents; an empty batch takes that long.
    name, cursor_id = process(admin, {"started": 1}, {"wait": 1})
    began_s = time.monotonic()
    assert read(admin, name, cursor_id)["messages"] == []
    assert 0.15 < time.monotonic() - began_s < 2.0
    admin.command("dropStreamProcessor", name)


@pytest.mark.slow
def test_a_temporary_processor_ends_when_its_client_is_gone_or_its_time_is_over(
    start_scripted: Start, connect: Connect, tmp_path: Path
) -> None:
    state = start_scripted(tmp_path / "i", client_gone_s=0.3, temporary_s=1.0)
    with connect(state) as admin:
        left, _ = process(admin, {"started": 1}, {"wait": 1})
        kept, cursor_id = process(admin, {"started": 1}, {"emit": 2}, {"wait": 1})
        assert drained(admin, kept, cursor_id) == [0, 1]
        with pytest.raises(OperationFailure) as caught:
            admin.command("getStreamProcessorStats", left)
    assert caught.value.code == 415
