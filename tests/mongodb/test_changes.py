"""A change stream, bounded: events, tokens, images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils import ejson
from asp_utils.errors import AspError, ConfigInvalid, Conflict, NotFound
from asp_utils.operations.mongodb_changes import mongodb_watch
from asp_utils.operations.mongodb_collections import (
    mongodb_disable_pre_post_images,
    mongodb_enable_pre_post_images,
)

if TYPE_CHECKING:
    from pymongo import MongoClient

    from asp_utils.context import Context
    from tests.mongodb.conftest import Target

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mongodb")]

Document = dict[str, Any]


@pytest.fixture
def before(cluster: MongoClient[Document]) -> Document:
    """The moment before the test's own writes, as a config says it."""
    # The next second: a moment includes all of its own.
    now = cluster.admin.command("hello")["operationTime"]
    return {"$timestamp": {"t": now.time, "i": now.inc + 1}}


def test_events_come_with_a_token_that_continues(
    ctx: Context, target: Target, before: Document
) -> None:
    target.database.c.insert_many([{"_id": n} for n in range(4)])
    of = target.of("c")
    events = list(mongodb_watch(ctx, **of, start_at_operation_time=before, limit=2))
    assert [each["documentKey"]["_id"] for each in events[:-1]] == [0, 1]
    end = events[-1]["_watch"]
    assert (end["count"], end["ended"]) == (2, "limit")
    as_printed = json.loads(ejson.dumps(end["resume_token"]))
    later = list(mongodb_watch(ctx, **of, start_after=as_printed, limit=2))
    assert [each["documentKey"]["_id"] for each in later[:-1]] == [2, 3]


def test_a_silent_collection_ends_in_time_with_a_token(ctx: Context, target: Target) -> None:
    events = list(mongodb_watch(ctx, **target.of("c"), max_seconds=0.2))
    assert len(events) == 1
    assert events[0]["_watch"]["ended"] == "max_seconds"
    assert "_data" in events[0]["_watch"]["resume_token"]
    assert target.database.list_collection_names() == []


def test_a_pipeline_chooses_and_a_drop_ends(ctx: Context, target: Target, before: Document) -> None:
    db = target.database
    db.c.insert_one({"_id": 1})
    db.c.delete_one({"_id": 1})
    db.c.drop()
    chosen = [{"$match": {"operationType": {"$ne": "insert"}}}]
    events = list(
        mongodb_watch(ctx, **target.of("c"), pipeline=chosen, start_at_operation_time=before)
    )
    kinds = [each.get("operationType") for each in events[:-1]]
    assert kinds == ["delete", "drop", "invalidate"]
    assert events[-1]["_watch"]["ended"] == "invalidated"


def test_a_deployment_is_watched_without_the_instances_own_databases(
    ctx: Context, target: Target, cluster: MongoClient[Document], before: Document
) -> None:
    cluster[f"__asp_local_{target.name}"].c.insert_one({})
    target.database.c.insert_one({"_id": 1})
    mine = [{"$match": {"ns.db": {"$regex": f"{target.name}$"}}}]
    options: Any = {"pipeline": mine, "start_at_operation_time": before, "max_seconds": 0.2}
    events = list(mongodb_watch(ctx, target.uri, **options))
    assert [each["ns"]["db"] for each in events[:-1]] == [target.name]
    every = list(mongodb_watch(ctx, target.uri, include_internal=True, **options))
    assert len(every) == 3
    cluster.drop_database(f"__asp_local_{target.name}")


def test_images_are_kept_when_they_are_enabled(
    ctx: Context, target: Target, before: Document
) -> None:
    db = target.database
    db.c.insert_one({"_id": 1, "n": 1})
    of = target.of("c")
    options: Any = {"start_at_operation_time": before, "max_seconds": 2.0, "limit": 2}
    db.c.update_one({"_id": 1}, {"$set": {"n": 2}})
    with pytest.raises(Conflict) as caught:
        list(mongodb_watch(ctx, **of, full_document="required", **options))
    assert "mongodb_enable_pre_post_images" in caught.value.hint
    enabled = mongodb_enable_pre_post_images(ctx, **of)
    assert enabled == {
        "namespace": f"{target.name}.c",
        "enabled": True,
        "previously_enabled": False,
        "changed": True,
    }
    assert mongodb_enable_pre_post_images(ctx, **of)["changed"] is False
    db.c.update_one({"_id": 1}, {"$set": {"n": 3}})
    db.c.update_one({"_id": 1}, {"$set": {"n": 4}})
    options["limit"] = 4
    events = list(
        mongodb_watch(
            ctx,
            **of,
            full_document="whenAvailable",
            full_document_before_change="whenAvailable",
            **options,
        )
    )
    last = events[-2]
    assert (last["fullDocumentBeforeChange"]["n"], last["fullDocument"]["n"]) == (3, 4)
    disabled = mongodb_disable_pre_post_images(ctx, **of)
    assert (disabled["enabled"], disabled["changed"]) == (False, True)


def test_images_need_an_ordinary_collection(ctx: Context, target: Target) -> None:
    target.database.create_collection("ts", timeseries={"timeField": "t"})
    with pytest.raises(Conflict, match="is a timeseries"):
        mongodb_enable_pre_post_images(ctx, **target.of("ts"))
    with pytest.raises(NotFound):
        mongodb_enable_pre_post_images(ctx, **target.of("nothing"))


@pytest.mark.parametrize(
    ("given", "kind", "path"),
    [
        ({"pipeline": [{"$fo": 1}]}, ConfigInvalid, "$.pipeline[0].$fo"),
        ({"pipeline": [{"$group": {"_id": 1}}]}, AspError, None),
        ({"start_after": {"token": "x"}}, ConfigInvalid, "$.start_after"),
        ({"start_after": {"_data": "zz"}}, ConfigInvalid, "$.start_after"),
        ({"start_at_operation_time": {"a": 1}}, ConfigInvalid, "$.start_at_operation_time"),
        (
            {"start_after": {"_data": "8"}, "start_at_operation_time": {"a": 1}},
            ConfigInvalid,
            "$.start_at_operation_time",
        ),
    ],
)
def test_what_cannot_be_watched(
    ctx: Context, target: Target, given: Document, kind: type[AspError], path: str | None
) -> None:
    target.database.c.insert_one({})
    with pytest.raises(kind) as caught:
        list(mongodb_watch(ctx, **target.of("c"), max_seconds=0.2, **given))
    if path:
        assert caught.value.path == path


def test_a_stage_is_named_as_the_config_has_it(ctx: Context, target: Target) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        list(mongodb_watch(ctx, target.uri, pipeline=[{"$fo": 1}], max_seconds=0.2))
    assert caught.value.path == "$.pipeline[0].$fo"


def test_a_collection_needs_its_database(ctx: Context, target: Target) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        list(mongodb_watch(ctx, target.uri, collection="c"))
    assert caught.value.path == "$.database"


def test_a_view_has_no_change_stream(ctx: Context, target: Target) -> None:
    target.database.create_collection("v", viewOn="c", pipeline=[])
    with pytest.raises(Conflict):
        list(mongodb_watch(ctx, **target.of("v"), max_seconds=0.2))
