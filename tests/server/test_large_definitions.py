"""Definitions of 16 MB, as Atlas takes them: kept, listed, filtered, started, modified, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from asp_utils.model.local_names import LOCAL_DATABASE as DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]

pytestmark = pytest.mark.server
NEARLY_16_MB = 16 * 1024 * 1024 - 300


def large(letter: str = "x", size_bytes: int = NEARLY_16_MB) -> list[dict[str, Any]]:
    return [
        {"$source": {"script": [{"started": 1}, {"wait": 1}]}},
        {"$match": {"a": letter * size_bytes}},
        {"$merge": {"into": "x"}},
    ]


@pytest.fixture
def stored(instance: InstanceState) -> Iterator[Database[dict[str, Any]]]:
    """The database in which the instance keeps everything."""
    with MongoClient[Any](instance.mongod_uri) as client:
        yield client[DATABASE]


def names(admin: Admin, criteria: dict[str, Any]) -> list[str]:
    found = admin.command("listStreamProcessors", 1, filter=criteria)["streamProcessors"]
    return [item["name"] for item in found]


@pytest.mark.slow
def test_it_lives_like_a_small_one(admin: Admin, stored: Database[dict[str, Any]]) -> None:
    admin.command("createStreamProcessor", "p", pipeline=large())
    assert admin.command("getStreamProcessor", "p")["pipeline"] == large()
    admin.command("startStreamProcessor", "p")
    assert admin.command("listStreamProcessors", 1)["streamProcessors"][0]["pipeline"] == large()
    assert names(admin, {"name": "p", "state": "running"}) == ["p"]
    admin.command("stopStreamProcessor", "p")
    assert stored["blobs.files"].count_documents({}) == 1

    admin.command("modifyStreamProcessor", "p", pipeline=large("y"), name="q")
    assert admin.command("getStreamProcessor", "q")["pipeline"] == large("y")
    assert stored["blobs.files"].count_documents({}) == 1
    admin.command("modifyStreamProcessor", "q", pipeline=large("z", 10))
    assert stored["blobs.chunks"].count_documents({}) == 0

    admin.command("modifyStreamProcessor", "q", pipeline=large())
    admin.command("dropStreamProcessor", "q")
    assert stored["blobs.chunks"].count_documents({}) == 0


def test_a_refused_one_leaves_nothing_behind(
    admin: Admin, stored: Database[dict[str, Any]]
) -> None:
    admin.command("createStreamProcessor", "p", pipeline=large("a", 6_000_000))
    with pytest.raises(OperationFailure) as caught:
        admin.command("createStreamProcessor", "p", pipeline=large())
    assert caught.value.code == 416
    admin.command("createStreamProcessor", "q", pipeline=large("b", 6_000_000))
    with pytest.raises(OperationFailure) as caught:
        admin.command("modifyStreamProcessor", "q", name="p", pipeline=large())
    assert caught.value.code == 416
    assert admin.command("getStreamProcessor", "q")["pipeline"] == large("b", 6_000_000)
    assert stored["blobs.files"].count_documents({}) == 2


def test_filters_see_pipelines_of_many_processors(admin: Admin) -> None:
    for name in "abcde":
        admin.command("createStreamProcessor", name, pipeline=large(name, 5_000_000))
    assert names(admin, {"name": {"$in": ["b", "d"]}}) == ["b", "d"]
    assert names(admin, {"pipeline": {"$size": 3}}) == [*"abcde"]
    assert names(admin, {"pipeline": {"$size": 2}}) == []


def test_a_list_that_no_reply_can_hold_leaves_pipelines_out(admin: Admin) -> None:
    for name in "abcd":
        admin.command("createStreamProcessor", name, pipeline=large(name))
    listed = admin.command("listStreamProcessors", 1)["streamProcessors"]
    assert ["pipeline" in item for item in listed] == [True, True, False, False]
    assert [item.get("pipelineOmitted", False) for item in listed] == [False, False, True, True]
