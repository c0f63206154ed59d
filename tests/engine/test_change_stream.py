"""Change streams of a real replica set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient


def watch(**options: Any) -> dict[str, Any]:
    return {"$source": {"connectionName": "c", **options}}


def read_until(made: Any, count: int) -> list[dict[str, Any]]:
    """Step until that many documents came; the suite's timeout bounds it."""
    while len(made.shown) < count:
        made.processor.step(100)
    output: list[dict[str, Any]] = made.output
    return output


def test_a_collection(rig: Callable[..., Any], cluster: MongoClient[Any], database: str) -> None:
    made = rig(
        [
            watch(db=database, coll="in"),
            {"$project": {"operationType": 1, "fullDocument": 1, "_id": 0}},
        ]
    )
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["other"].insert_one({"_id": 2})
    cluster[database]["in"].delete_one({"_id": 1})
    assert read_until(made, 2) == [
        {"operationType": "insert", "fullDocument": {"_id": 1}},
        {"operationType": "delete"},
    ]


def test_several_collections_and_a_whole_database(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    only = {"$project": {"_id": "$documentKey._id"}}
    two = rig([watch(db=database, coll=["a", "b"]), only], name="two")
    every = rig([watch(db=database), only], name="every")
    for number, coll in enumerate("abc"):
        cluster[database][coll].insert_one({"_id": number})
    assert read_until(two, 2) == [{"_id": 0}, {"_id": 1}]
    assert read_until(every, 3) == [{"_id": 0}, {"_id": 1}, {"_id": 2}]


def test_a_cluster_with_a_pipeline_pushed_down(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    pushed = {"pipeline": [{"$match": {"ns.db": database, "fullDocument.n": {"$gt": 1}}}]}
    made = rig([watch(config=pushed), {"$project": {"_id": "$fullDocument.n"}}])
    cluster[database]["in"].insert_many([{"n": 1}, {"n": 2}])
    assert read_until(made, 1) == [{"_id": 2}]


def test_only_the_documents_with_metadata_of_their_events(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    config = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    kind = {
        "$set": {
            "op": {"$meta": "stream.source.operationType"},
            "of": {"$meta": "stream.source.ns.coll"},
        }
    }
    made = rig([watch(db=database, coll="in", config=config), kind])
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].update_one({"_id": 1}, {"$set": {"n": 1}})
    read_until(made, 2)  # the update's document is looked up when the event is read
    cluster[database]["in"].delete_one({"_id": 1})
    cluster[database]["in"].insert_one({"_id": 2})
    assert [(d["_id"], d["op"], d["of"]) for d in read_until(made, 3)][-1] == (2, "insert", "in")


def test_pre_images_when_the_collection_keeps_them(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("in", changeStreamPreAndPostImages={"enabled": True})
    made = rig(
        [
            watch(db=database, coll="in", config={"fullDocumentBeforeChange": "required"}),
            {"$project": {"_id": "$fullDocumentBeforeChange.n"}},
        ]
    )
    cluster[database]["in"].insert_one({"_id": 1, "n": 7})
    cluster[database]["in"].delete_one({"_id": 1})
    assert read_until(made, 2)[1] == {"_id": 7}


def test_goes_on_where_the_checkpoint_stands(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    pipeline = [watch(db=database, coll="in"), {"$project": {"_id": "$documentKey._id"}}]
    first = rig(pipeline, checkpointed=True)
    cluster[database]["in"].insert_one({"_id": 1})
    read_until(first, 1)
    first.processor.checkpoint()
    first.processor.parts.source.close()
    cluster[database]["in"].insert_many([{"_id": 2}, {"_id": 3}])
    assert read_until(rig(pipeline, checkpointed=True), 2) == [{"_id": 2}, {"_id": 3}]


def test_an_unusable_position_says_what_to_do(rig: Callable[..., Any], database: str) -> None:
    config = {"startAfter": {"_data": "nonsense"}}
    with pytest.raises(ProcessorFailed) as caught:
        rig([watch(db=database, coll="in", config=config)])
    assert "change stream" in caught.value.message
