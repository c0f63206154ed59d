"""Atlas' own example: collections copied to another place and kept current, by a whole processor.

Source: Atlas page "Configure Multi-Collection Initial Sync".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.catalogue import catalogue
from asp_utils.pipeline.check import check_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

IS_DELETE = {"$eq": [{"$meta": "stream.source.operationType"}, "delete"]}
CONNECTIONS = {"c": {"type": "atlas"}}


def replication(db: str, to: str) -> list[dict[str, Any]]:
    key = {"$meta": "stream.source.documentKey"}
    return [
        {
            "$source": {
                "connectionName": "c",
                "db": db,
                "coll": ["orders", "customers"],
                "config": {"fullDocument": "required"},
                "initialSync": {"enable": True},
            }
        },
        {"$replaceRoot": {"newRoot": {"$cond": {"if": IS_DELETE, "then": key, "else": "$fullDocument"}}}},  # noqa: E501
        {
            "$merge": {
                "into": {
                    "connectionName": "c",
                    "db": to,
                    "coll": {"$meta": "stream.source.ns.coll"},
                },
                "on": "_id",
                "whenMatched": {"$cond": {"if": IS_DELETE, "then": "delete", "else": "replace"}},
                "whenNotMatched": {"$cond": {"if": IS_DELETE, "then": "discard", "else": "insert"}},
            }
        },
    ]  # fmt: skip


@pytest.mark.proves("$source:atlas.initialSync", "$source:atlas.coll")
def test_two_collections_are_copied_and_kept_current(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    source, target = cluster[database], cluster[f"{database}_copy"]
    images = {"changeStreamPreAndPostImages": {"enabled": True}}
    for coll in ("orders", "customers"):
        source.create_collection(coll, **images)  # type: ignore[arg-type]  # options of mongod's
        source[coll].insert_many([{"_id": n, "n": n} for n in range(50)])
    made = rig(replication(database, target.name), checkpointed=True)
    source["orders"].update_one({"_id": 7}, {"$set": {"n": "changed"}})
    source["customers"].delete_one({"_id": 3})
    source["orders"].insert_one({"_id": "last"})
    while target["orders"].find_one({"_id": "last"}) is None:
        made.processor.step(100)
        made.processor.checkpoint()
    for coll in ("orders", "customers"):
        copied = list(target[coll].find().sort("_id", 1))
        assert copied == list(source[coll].find().sort("_id", 1))
    shown = made.stats
    assert "changeStreamState" in shown
    assert "operator" not in shown
    (first, *_) = shown["operatorStats"]
    assert first["initialSync"]["estimatedDocs"] == 100
    assert 99 <= first["initialSync"]["copiedDocs"] <= 101  # what was written meanwhile may be in
    assert [item["initialSync"]["status"] for item in first["targetStats"]] == ["completed"] * 2
    cluster.drop_database(target.name)


def test_the_pipeline_of_the_example_passes_the_check() -> None:
    assert check_pipeline(replication("d", "e"), catalogue(), CONNECTIONS) == []


@pytest.mark.proves("$source:atlas.initialSync")
def test_a_window_cannot_follow_an_initial_sync() -> None:
    source, _, sink = replication("d", "e")
    minute = {"size": 1, "unit": "minute"}
    window = {"$tumblingWindow": {"interval": minute, "pipeline": [{"$group": {"_id": None}}]}}
    faults = check_pipeline([source, window, sink], catalogue(), CONNECTIONS)
    assert ("[0].$source.initialSync", "initialSync cannot be combined with a window") in [
        (fault.path, fault.message) for fault in faults
    ]
