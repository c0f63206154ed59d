"""The local instance as it is shipped: real workers, real change streams, real kills."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

from asp_utils.server import lifecycle
from tests.instances import discard
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pymongo.collection import Collection
    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]
    Connect = Callable[[InstanceState], AbstractContextManager[Admin]]

pytestmark = pytest.mark.server
SOLAR = {"$source": {"connectionName": "sample_stream_solar"}}


def merge(coll: str) -> dict[str, Any]:
    return {"$merge": {"into": {"connectionName": "local_cluster", "db": "shop", "coll": coll}}}


def watch(coll: str) -> dict[str, Any]:
    return {
        "$source": {
            "connectionName": "local_cluster",
            "db": "shop",
            "coll": coll,
            "config": {"fullDocument": "required", "fullDocumentOnly": True},
        }
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("shipped")
    yield path
    discard(path)


@pytest.fixture
def admin(folder: Path, connect: Connect) -> Iterator[Admin]:
    with connect(lifecycle.start(folder)) as database:
        yield database
        for processor in database.command("listStreamProcessors", 1)["streamProcessors"]:
            database.command("dropStreamProcessor", processor["name"])


@pytest.fixture
def shop(admin: Admin, folder: Path) -> Iterator[Database[dict[str, Any]]]:
    state = lifecycle.status(folder)
    assert state is not None
    client: MongoClient[dict[str, Any]] = MongoClient(state.mongod_uri)
    with client:
        client.drop_database("shop")
        yield client["shop"]


def run(admin: Admin, pipeline: list[dict[str, Any]], name: str = "p") -> None:
    admin.command("createStreamProcessor", name, pipeline=pipeline)
    admin.command("startStreamProcessor", name)


def worker_pids(folder: Path) -> list[int]:
    """The workers of an instance: the children of its supervisor, without mongod."""
    state = lifecycle.status(folder)
    assert state is not None
    pid = state.supervisor_pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if int(child) != state.pids["mongod"]]


def inserted(collection: Collection[dict[str, Any]], document: dict[str, Any]) -> bool:
    """Insert into a server that may be down; a driver itself tries only twice."""
    with suppress(AutoReconnect):
        collection.replace_one({"_id": document["_id"]}, document, upsert=True)
        return True
    return False


def replaced(folder: Path, worker: int) -> bool:
    return worker_pids(folder) not in ([], [worker])


def test_the_sample_stream_flows_into_a_collection(
    admin: Admin, shop: Database[dict[str, Any]]
) -> None:
    run(admin, [SOLAR, {"$match": {"obs.watts": {"$gte": 0}}}, merge("watts")])
    until(lambda: shop["watts"].count_documents({}) >= 5)
    cursor_id = admin.command("startSampleStreamProcessor", "p")["cursorId"]
    documents = admin.command("getMoreSampleStreamProcessor", "p", cursorId=cursor_id)["messages"]
    assert documents[0]["device_id"].startswith("device_")
    admin.command("stopStreamProcessor", "p")
    stats = admin.command("getStreamProcessorStats", "p")["stats"]
    assert stats["outputMessageCount"] == shop["watts"].count_documents({})


def test_process_gives_documents_and_dead_letters(admin: Admin) -> None:
    documents = [{"a": 4}, {"a": 0}]
    pipeline = [{"$source": {"documents": documents}}, {"$set": {"b": {"$divide": [8, "$a"]}}}]
    reply = admin.command("processStreamProcessor", pipeline)
    name, cursor_id = reply["name"], reply["cursorId"]
    given: list[dict[str, Any]] = []
    while cursor_id:
        more = admin.command("getMoreSampleStreamProcessor", name, cursorId=cursor_id)
        given, cursor_id = given + more["messages"], more["cursorId"]
    assert {"a": 4, "b": 2.0}.items() <= given[0].items()
    assert given[1]["_dlqMessage"]["processorName"] == name


def test_faults_are_found_before_anything_is_made(admin: Admin) -> None:
    wrong = [{"$source": {"connectionName": "nope"}}, {"$matsch": {}}, {"$match": {}}]
    with pytest.raises(OperationFailure) as caught:
        admin.command("createStreamProcessor", "p", pipeline=wrong)
    assert caught.value.details is not None
    paths = {fault["path"] for fault in caught.value.details["faults"]}
    assert {"pipeline[0].$source.connectionName", "pipeline[1].$matsch"} <= paths
    assert admin.command("listStreamProcessors", 1)["streamProcessors"] == []


@pytest.mark.slow
def test_a_worker_killed_among_100_000_documents_loses_none(
    admin: Admin, shop: Database[dict[str, Any]], folder: Path
) -> None:
    count, batch = 100_000, 5_000
    run(admin, [watch("orders"), {"$set": {"seen": True}}, merge("copies")])
    for first in range(0, count, batch):
        shop["orders"].insert_many([{"_id": n} for n in range(first, first + batch)])
        if first in (20_000, 60_000):
            until(lambda: shop["copies"].estimated_document_count() > 0)
            (worker,) = worker_pids(folder)
            os.kill(worker, signal.SIGKILL)
            until(partial(replaced, folder, worker))
    until(lambda: shop["copies"].count_documents({}) == count)
    assert admin.command("getStreamProcessorStats", "p")["stats"]["restartCount"] == 2


@pytest.mark.slow
def test_a_killed_machine_goes_on_where_it_was(
    admin: Admin, shop: Database[dict[str, Any]], folder: Path, connect: Connect
) -> None:
    run(admin, [watch("orders"), merge("copies")])
    shop["orders"].insert_many([{"_id": n} for n in range(1000)])
    state = lifecycle.status(folder)
    assert state is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)
    with connect(lifecycle.start(folder)) as again:
        shop["orders"].insert_many([{"_id": n} for n in range(1000, 2000)])
        until(lambda: shop["copies"].count_documents({}) == 2000)
        assert again.command("getStreamProcessor", "p")["state"] == "STARTED"


@pytest.mark.slow
def test_a_killed_mongod_costs_nothing(
    admin: Admin, shop: Database[dict[str, Any]], folder: Path
) -> None:
    run(admin, [watch("orders"), merge("copies")])
    shop["orders"].insert_many([{"_id": n} for n in range(1000)])
    state = lifecycle.status(folder)
    assert state is not None
    os.kill(state.pids["mongod"], signal.SIGKILL)
    until(partial(inserted, shop["orders"], {"_id": 1000}))
    until(lambda: shop["copies"].count_documents({}) == 1001)
    assert admin.command("getStreamProcessor", "p")["state"] == "STARTED"
