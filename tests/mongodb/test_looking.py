"""Databases, collections, counts and samples of a real deployment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, NotFound, TimedOut
from asp_utils.operations.mongodb import (
    mongodb_count,
    mongodb_list_collections,
    mongodb_list_databases,
    mongodb_sample,
)

if TYPE_CHECKING:
    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod
    from asp_utils.context import Context
    from tests.mongodb.conftest import Target

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mongodb")]


def test_databases_are_listed_and_those_of_the_instance_are_hidden(
    ctx: Context, target: Target, cluster: MongoClient[Any], mongod: Mongod
) -> None:
    target.database.c.insert_one({})
    own = f"__asp_local_{target.name}"
    cluster[own].c.insert_one({})
    listed = mongodb_list_databases(ctx, mongod.uri)
    names = {each["name"] for each in listed["databases"]}
    assert target.name in names
    assert own not in names
    assert listed["topology"] == "replica set asp"
    assert listed["version"].count(".") == 2
    everything = mongodb_list_databases(ctx, mongod.uri, include_internal=True)
    assert own in {each["name"] for each in everything["databases"]}
    cluster.drop_database(own)


def test_collections_show_kind_options_and_sizes(ctx: Context, target: Target) -> None:
    db = target.database
    db.plain.insert_many([{"n": n} for n in range(5)])
    db.create_collection("ring", capped=True, size=4096, max=7)
    db.create_collection(
        "ts",
        timeseries={"timeField": "t", "metaField": "m"},
        expireAfterSeconds=3600,
    )
    db.create_collection("seen", viewOn="plain", pipeline=[{"$match": {"n": 1}}])
    db.create_collection(
        "kept",
        changeStreamPreAndPostImages={"enabled": True},
        validator={"n": {"$type": "int"}},
        validationAction="warn",
    )
    found = mongodb_list_collections(ctx, target.uri, target.name)
    by_name = {each["name"]: each for each in found["collections"]}
    assert list(by_name) == ["kept", "plain", "ring", "seen", "ts"]
    plain = by_name["plain"]
    assert (plain["type"], plain["documents_estimate"], plain["index_count"]) == (
        "collection",
        5,
        1,
    )
    assert (plain["size_bytes"] or 0) > 100
    assert by_name["ring"]["capped"] == {"size_bytes": 4096, "max_documents": 7}
    assert by_name["ts"]["type"] == "timeseries"
    assert (by_name["ts"]["timeseries"] or {})["metaField"] == "m"
    assert by_name["ts"]["expire_after_seconds"] == 3600
    assert by_name["seen"]["view"] == {"on": "plain", "pipeline": [{"$match": {"n": 1}}]}
    assert by_name["seen"]["documents_estimate"] is None
    assert by_name["kept"]["pre_and_post_images"]
    assert by_name["kept"]["validator"] == {
        "validator": {"n": {"$type": "int"}},
        "level": "strict",
        "action": "warn",
    }
    internal = mongodb_list_collections(
        ctx, target.uri, target.name, include_internal=True, with_sizes=False
    )
    assert "system.buckets.ts" in {each["name"] for each in internal["collections"]}


def test_an_unknown_database_is_not_found(ctx: Context, target: Target) -> None:
    with pytest.raises(NotFound, match="no database 'nowhere'"):
        mongodb_list_collections(ctx, target.uri, "nowhere")


def test_counts_are_estimates_unless_asked(ctx: Context, target: Target) -> None:
    target.database.c.insert_many([{"n": n} for n in range(10)])
    of = target.of("c")
    assert mongodb_count(ctx, **of) == {
        "namespace": f"{target.name}.c",
        "count": 10,
        "exact": False,
    }
    assert mongodb_count(ctx, **of, exact=True)["exact"]
    assert mongodb_count(ctx, **of, filter={"n": {"$gte": 7}})["count"] == 3
    target.database.create_collection("v", viewOn="c", pipeline=[{"$match": {"n": 1}}])
    assert mongodb_count(ctx, **target.of("v"))["count"] == 1


def test_samples_are_random_or_found(ctx: Context, target: Target) -> None:
    moment = datetime(2024, 1, 1)  # noqa: DTZ001 - naive UTC, as pymongo gives it
    target.database.c.insert_many([{"_id": n, "n": n, "t": moment} for n in range(50)])
    of = target.of("c")
    drawn = [each["n"] for each in mongodb_sample(ctx, **of, limit=20)]
    assert len(drawn) == 20
    assert drawn != sorted(drawn)
    first = mongodb_sample(ctx, **of, limit=3, random=False, projection={"n": 1, "_id": 0})
    assert list(first) == [{"n": 0}, {"n": 1}, {"n": 2}]
    last = mongodb_sample(ctx, **of, sort={"n": -1}, limit=2)
    assert [each["n"] for each in last] == [49, 48]
    dated = {"n": 4, "t": {"$date": "2024-01-01T00:00:00Z"}}
    assert [each["_id"] for each in mongodb_sample(ctx, **of, filter=dated)] == [4]
    projected = list(mongodb_sample(ctx, **of, projection={"t": 1}, limit=1))
    assert set(projected[0]) == {"_id", "t"}


def test_reading_creates_nothing(ctx: Context, target: Target) -> None:
    for call in (mongodb_count, lambda *a, **k: list(mongodb_sample(*a, **k))):
        with pytest.raises(NotFound) as caught:
            call(ctx, **target.of("nothing"))
        assert caught.value.path == "$.database"
    target.database.c.insert_one({})
    with pytest.raises(NotFound) as caught:
        mongodb_count(ctx, **target.of("nothing"))
    assert caught.value.path == "$.collection"
    assert target.database.list_collection_names() == ["c"]


@pytest.mark.parametrize(
    ("part", "value", "path"),
    [
        ("filter", {"a.b": {"$gtt": 1}}, "$.filter.a.b.$gtt"),
        ("filter", {"$and": [{"x": 1}, {"$foo": 1}]}, "$.filter.$and[1].$foo"),
        ("filter", {"t": {"$date": "yesterday"}}, "$.filter.t"),
        ("projection", {"a": 1, "b": 0}, "$.projection"),
        ("sort", {"a": 7}, "$.sort"),
        ("filter", {"n": 2**70}, "$.filter"),
    ],
)
def test_what_the_server_refuses_is_named_by_its_path(
    ctx: Context, target: Target, part: str, value: Any, path: str
) -> None:
    target.database.c.insert_one({"a": {"b": {"c": 1}}})
    with pytest.raises(ConfigInvalid) as caught:
        list(mongodb_sample(ctx, **target.of("c"), random=False, **{part: value}))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("named", "collection", "path"), [("a b", "c", "$.database"), (None, "a$b", "$.collection")]
)
def test_impossible_names_are_refused(
    ctx: Context, target: Target, named: str | None, collection: str, path: str
) -> None:
    with pytest.raises((ConfigInvalid, NotFound)) as caught:
        mongodb_count(ctx, target.uri, named or target.name, collection)
    assert caught.value.path in (path, "$.database")


def test_the_server_is_told_when_the_time_is_up(ctx: Context, target: Target) -> None:
    target.database.c.insert_many([{"n": n} for n in range(20)])
    script = {"body": "function() { sleep(300); return true }", "args": [], "lang": "js"}
    slow = {"$expr": {"$function": script}}
    with pytest.raises(TimedOut) as caught:
        mongodb_count(ctx, **target.of("c"), filter=slow, timeout_s=0.4)
    assert "timeout_s" in caught.value.hint
