"""Change streams of a real replica set, option by option."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Binary, Timestamp
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.change_events import copied_event, token_time
from asp_utils.engine.sources.change_options import KEPT_FIELDS, ChangeStreamOptions, probes
from asp_utils.pipeline.grammar import option_faults
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.context import Surroundings

KEEPS_IMAGES: dict[str, Any] = {"changeStreamPreAndPostImages": {"enabled": True}}


def ids(events: list[dict[str, Any]]) -> list[Any]:
    return [event["documentKey"]["_id"] for event in events]


def now_of(cluster: MongoClient[Any]) -> Timestamp:
    moment: Timestamp = cluster.admin.command("ping")["operationTime"]
    return moment


# Scopes


@pytest.mark.proves("$source:atlas", "$source:atlas.connectionName", "$source:atlas.coll")
def test_one_collection(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["other"].insert_one({"_id": 2})
    cluster[database]["in"].delete_one({"_id": 1})
    assert made.operations(2) == ["insert", "delete"]
    assert made.documents[0]["fullDocument"] == {"_id": 1}
    assert made.metadata[0] == {
        "operationType": "insert",
        "ns": {"db": database, "coll": "in"},
        "documentKey": {"_id": 1},
    }
    assert made.times_ms[0] == ms_of(made.documents[0]["wallTime"])


@pytest.mark.proves("$source:atlas.db", "$source:atlas.coll")
def test_several_collections_a_whole_database_and_the_cluster(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    two, every, all_of_it = reading(coll=["a", "b"]), reading(), reading(db=None)
    elsewhere = f"{database}_too"
    for number, coll in enumerate("abc"):
        cluster[database][coll].insert_one({"_id": number})
    cluster[elsewhere]["a"].insert_one({"_id": 3})
    cluster[database]["a"].insert_one({"_id": 4})
    assert ids(two.until(3)) == [0, 1, 4]
    assert ids(every.until(4)) == [0, 1, 2, 4]
    seen = [event for event in all_of_it.until(5) if event["ns"]["db"].startswith(database)]
    assert ids(seen) == [0, 1, 2, 3, 4]
    cluster.drop_database(elsewhere)


# Where it begins


@pytest.mark.proves("$source:atlas.config.startAfter")
def test_it_starts_after_a_token(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    first = reading(coll="in")
    cluster[database]["in"].insert_many([{"_id": n} for n in range(3)])
    token = first.until(3)[0]["_id"]
    assert ids(reading(coll="in", config={"startAfter": token}).until(2)) == [1, 2]
    told = reading(coll="in", start={"startAfter": first.documents[1]["_id"]})
    assert ids(told.until(1)) == [2]


@pytest.mark.proves("$source:atlas.config.startAtOperationTime")
def test_it_starts_at_a_time(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["in"].insert_one({"_id": 0})
    moment = now_of(cluster)
    cluster[database]["in"].insert_one({"_id": 1})
    at_moment = reading(coll="in", config={"startAtOperationTime": moment})
    assert ids(at_moment.until(2)) == [0, 1]
    date = datetime.fromtimestamp(moment.time, UTC) - timedelta(seconds=1)
    for when in (date, date.replace(tzinfo=None)):
        made = reading(coll="in", config={"startAtOperationTime": when})
        assert ids(made.until(2))[-2:] == [0, 1]


def test_the_time_told_to_start_counts_for_more_than_the_checkpoint(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    first = reading(coll="in")
    moment = now_of(cluster)
    cluster[database]["in"].insert_many([{"_id": n} for n in range(3)])
    first.until(3)
    behind = first.source.position
    again = reading(behind, start={"startAtOperationTime": moment}, coll="in")
    assert ids(again.until(3)) == [0, 1, 2]


def test_it_goes_on_where_the_checkpoint_stands(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    first = reading(coll="in")
    untouched = first.source.position
    cluster[database]["in"].insert_many([{"_id": n} for n in range(4)])
    while not first.documents:
        first.step(max_documents=2)
    assert ids(first.documents) in ([0], [0, 1])
    left = list(range(len(first.documents), 4))
    assert ids(reading(first.source.position, coll="in").until(len(left))) == left
    assert ids(reading(untouched, coll="in").until(4)) == [0, 1, 2, 3]


def test_the_position_of_a_silent_stream_moves_on(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    before = token_time(made.source.position)
    cluster[database]["other"].insert_one({})
    after = now_of(cluster)
    while token_time(made.source.position) < after:
        assert made.step() == 0
    assert before is not None
    assert before < after


# What the events hold


@pytest.mark.proves("$source:atlas.config.fullDocument")
def test_the_document_of_an_update(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    kept = cluster[database].create_collection("in", **KEEPS_IMAGES)
    modes = ["default", "updateLookup", "whenAvailable", "required"]
    made = {mode: reading(coll="in", config={"fullDocument": mode}) for mode in modes}
    kept.insert_one({"_id": 1, "n": 0})
    for _ in range(2):
        kept.update_one({"_id": 1}, {"$inc": {"n": 1}})
    kept.delete_one({"_id": 1})
    found = {mode: made[mode].until(4)[1:3] for mode in ("default", "whenAvailable", "required")}
    assert all("fullDocument" not in event for event in found["default"])
    for mode in ("whenAvailable", "required"):
        assert [event["fullDocument"]["n"] for event in found[mode]] == [1, 2]
    looked_up = made["updateLookup"].until(4)[1:3]
    assert all("fullDocument" in event for event in looked_up)


def test_an_update_lookup_gives_the_document_as_it_is_now(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["in"].insert_one({"_id": 1, "n": 0})
    moment = now_of(cluster)
    for _ in range(3):
        cluster[database]["in"].update_one({"_id": 1}, {"$inc": {"n": 1}})
    config = {"fullDocument": "updateLookup", "startAtOperationTime": moment}
    updates = reading(coll="in", config=config).until(4)[1:]
    assert [event["fullDocument"] for event in updates] == [{"_id": 1, "n": 3}] * 3


@pytest.mark.proves("$source:atlas.config.fullDocumentBeforeChange")
def test_the_document_before_the_change(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("in", **KEEPS_IMAGES)
    modes = ["off", "required", "whenAvailable"]
    made = [reading(coll="in", config={"fullDocumentBeforeChange": mode}) for mode in modes]
    cluster[database]["in"].insert_one({"_id": 1, "n": 7})
    cluster[database]["in"].delete_one({"_id": 1})
    off, required, when_available = (item.until(2)[1] for item in made)
    assert "fullDocumentBeforeChange" not in off
    assert required["fullDocumentBeforeChange"] == {"_id": 1, "n": 7}
    assert when_available["fullDocumentBeforeChange"] == {"_id": 1, "n": 7}


@pytest.mark.proves(
    "$source:atlas.config.fullDocument", "$source:atlas.config.fullDocumentBeforeChange"
)
@pytest.mark.parametrize("option", ["fullDocument", "fullDocumentBeforeChange"])
def test_a_required_image_that_was_not_kept(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str, option: str
) -> None:
    required = reading(coll="in", config={option: "required"})
    lenient = reading(coll="in", config={option: "whenAvailable"})
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].update_one({"_id": 1}, {"$set": {"n": 1}})
    assert lenient.until(2)[1][option] is None
    with pytest.raises(ProcessorFailed, match="enable changeStreamPreAndPostImages") as caught:
        required.until(2)
    assert (caught.value.code, caught.value.retryable) == (420, False)


@pytest.mark.proves("$source:atlas.config.fullDocumentOnly")
def test_only_the_documents(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    config = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    made = reading(coll="in", config=config)
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].update_one({"_id": 1}, {"$set": {"n": 1}})
    made.until(2)  # the update's document is looked up when its event is read
    cluster[database]["in"].delete_one({"_id": 1})
    cluster[database]["in"].insert_one({"_id": 2})
    assert made.until(3) == [{"_id": 1}, {"_id": 1, "n": 1}, {"_id": 2}]
    assert [item["operationType"] for item in made.metadata] == ["insert", "update", "insert"]
    assert made.unreadable == []


@pytest.mark.proves("$source:atlas.config.fullDocumentOnly")
def test_a_change_whose_document_was_not_kept_becomes_a_dead_letter(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    config = {"fullDocument": "whenAvailable", "fullDocumentOnly": True}
    made = reading(coll="in", config=config)
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].update_one({"_id": 1}, {"$set": {"n": 1}})
    cluster[database]["in"].delete_one({"_id": 1})
    cluster[database]["in"].insert_one({"_id": 2})
    assert made.until(2) == [{"_id": 1}, {"_id": 2}]
    (bad,) = made.unreadable
    assert "changeStreamPreAndPostImages" in bad.reason
    assert bad.document["updateDescription"]["updatedFields"] == {"n": 1}
    assert bad.metadata["operationType"] == "update"


def test_text_that_is_no_utf_8_becomes_a_dead_letter(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    broken = bson.encode({"_id": 1, "t": "XX"}).replace(b"XX", b"\xff\xfe")
    cluster[database]["in"].insert_one(RawBSONDocument(broken))
    cluster[database]["in"].insert_one({"_id": 2})
    assert ids(made.until(1)) == [2]
    (bad,) = made.unreadable
    assert "UTF-8" in bad.reason
    assert bad.metadata["documentKey"] == {"_id": 1}


@pytest.mark.proves("$source:atlas.timeField")
def test_event_time_may_stand_in_the_document(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    source = {"connectionName": "c", "db": database, "coll": "in"}
    ts = {"$set": {"ts": {"$meta": "stream.source.ts"}}}
    made = rig([{"$source": {**source, "timeField": {"$toDate": "$fullDocument.at"}}}, ts])
    cluster[database]["in"].insert_one({"_id": 1, "at": "2026-01-20T14:30:15Z"})
    cluster[database]["in"].insert_one({"_id": 2, "at": "yesterday"})
    while len(made.shown) < 2:
        made.processor.step(100)
    assert [event["ts"] for event in made.output] == [datetime(2026, 1, 20, 14, 30, 15)]  # noqa: DTZ001
    assert [letter["doc"]["documentKey"] for letter in made.dead] == [{"_id": 2}]


# What the cluster is asked to do


@pytest.mark.proves("$source:atlas.config.pipeline")
def test_a_pipeline_runs_in_the_cluster(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    stages = [
        {"$match": {"ns.db": database, "fullDocument.n": {"$gt": 1}}},
        {"$project": {"clusterTime": 1, "wallTime": 1, "n": "$fullDocument.n"}},
    ]
    made = reading(db=None, config={"pipeline": stages})
    cluster[database]["in"].insert_many([{"n": 1}, {"n": 2}])
    (event,) = made.until(1)
    assert set(event) == {*KEPT_FIELDS, "n"}
    assert made.metadata == [{}]


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ({"$replaceRoot": {"newRoot": {"_id": "$_id"}}}, "must keep both"),
        ({"$replaceWith": {"wallTime": "$wallTime"}}, "config.pipeline must keep _id"),
        ({"$replaceWith": {"_id": 1, "wallTime": "$wallTime"}}, "config.pipeline must keep _id"),
        ({"$match": {"$expr": {"$eq": [1, {"$toInt": "$operationType"}]}}}, "insert"),
    ],
)
def test_a_pipeline_that_spoils_the_events_fails_the_processor(
    reading: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    stage: dict[str, Any],
    reason: str,
) -> None:
    made = reading(coll="in", config={"pipeline": [stage]})
    cluster[database]["in"].insert_one({})
    with pytest.raises(ProcessorFailed) as caught:
        made.until(1)
    assert reason in caught.value.message
    assert (caught.value.code, caught.value.retryable) == (420, False)


@pytest.mark.proves("$source:atlas.config.maxAwaitTimeMS")
def test_how_long_the_cluster_waits(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("in")
    cluster[database].command("profile", 2)
    made = reading(coll="in", config={"maxAwaitTimeMS": 37})
    asked = {"command.getMore": {"$exists": True}, "command.collection": "in"}
    while (found := cluster[database]["system.profile"].find_one(asked)) is None:
        made.step()
    cluster[database].command("profile", 0)
    assert found["command"]["maxTimeMS"] == 37


@pytest.mark.proves("$source:atlas.readPreference", "$source:atlas.readPreferenceTags")
def test_which_member_is_read(
    reading: Callable[..., Any],
    surroundings: Surroundings,
    mongod: Mongod,
    cluster: MongoClient[Any],
    database: str,
) -> None:
    member = f"127.0.0.1:{mongod.port}/?replicaSet=asp&serverSelectionTimeoutMS=300"
    surroundings.connections = {"c": {"type": "atlas", "uri": f"mongodb://{member}"}}
    for preference in ("secondary",):
        with pytest.raises(ProcessorFailed, match="No replica set members") as caught:
            reading(coll="in", readPreference=preference)
        assert (caught.value.code, caught.value.retryable) == (421, True)
    elsewhere = [{"region": "elsewhere"}]
    with pytest.raises(ProcessorFailed, match="elsewhere"):
        reading(coll="in", readPreference="nearest", readPreferenceTags=elsewhere)
    made = [
        reading(coll="in", readPreference="secondaryPreferred"),
        reading(coll="in", readPreference="nearest", readPreferenceTags=[*elsewhere, {}]),
    ]
    cluster[database]["in"].insert_one({"_id": 1})
    assert [ids(item.until(1)) for item in made] == [[1], [1]]


# Invalidation and failure


def test_a_collection_that_is_dropped_and_created_anew_is_followed(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].drop()
    cluster[database]["in"].insert_one({"_id": 2})
    assert made.operations(4) == ["insert", "drop", "invalidate", "insert"]
    cluster[database]["in"].rename("old")
    cluster[database]["in"].insert_one({"_id": 3})
    assert made.operations(7)[4:] == ["rename", "invalidate", "insert"]


def test_it_can_be_restarted_behind_an_invalidation(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    cluster[database]["in"].insert_one({"_id": 1})
    cluster[database]["in"].drop()
    while [event["operationType"] for event in made.documents][-1:] != ["invalidate"]:
        made.step(max_documents=1)
    position = made.source.position
    made.source.close()
    cluster[database]["in"].insert_one({"_id": 2})
    assert reading(position, coll="in").operations(1) == ["insert"]


def test_a_filter_that_hides_the_invalidation_does_not_end_the_stream(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in", config={"pipeline": [{"$match": {"operationType": "insert"}}]})
    for number in range(3):
        cluster[database]["in"].insert_one({"_id": number})
        cluster[database]["in"].drop()
    assert ids(made.until(3)) == [0, 1, 2]


def test_a_dropped_database_is_followed_too(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading()
    cluster[database]["in"].insert_one({"_id": 1})
    cluster.drop_database(database)
    cluster[database]["in"].insert_one({"_id": 2})
    expected = ["insert", "drop", "dropDatabase", "invalidate", "insert"]
    assert made.operations(5) == expected


def test_an_event_that_is_too_large(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("in", **KEEPS_IMAGES)
    config = {"fullDocument": "required", "fullDocumentBeforeChange": "required"}
    made = reading(coll="in", config=config)
    cluster[database]["in"].insert_one({"_id": 1, "text": "x" * 9_000_000})
    # Taken before the update: mongod gives no part of a reply in which it fails.
    made.until(1)
    cluster[database]["in"].update_one({"_id": 1}, {"$set": {"n": 1}})
    with pytest.raises(ProcessorFailed, match="16 MB") as caught:
        made.until(2)
    assert (caught.value.code, caught.value.retryable) == (423, False)


@pytest.mark.parametrize("token", ["nonsense", "8263", "82" + "0" * 80])
def test_an_unusable_token_says_what_to_do(reading: Callable[..., Any], token: str) -> None:
    with pytest.raises(ProcessorFailed, match="change stream") as caught:
        reading(coll="in", config={"startAfter": {"_data": token}})
    assert (caught.value.code, caught.value.retryable) == (420, False)


def test_what_has_no_change_stream(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("view", viewOn="in", pipeline=[])
    with pytest.raises(ProcessorFailed, match="is a view") as caught:
        reading(coll="view")
    assert caught.value.code == 448


# What it tells about itself


def test_stats(reading: Callable[..., Any], cluster: MongoClient[Any], database: str) -> None:
    made = reading(coll=["a", "b"])
    cluster[database]["a"].insert_many([{}, {}])
    cluster[database]["b"].insert_one({})
    made.until(3)
    stats = made.source.stats()
    assert stats["changeStreamState"] == made.source.position
    assert stats["changeStreamTimeDifferenceSecs"] in (0, 1)
    targets = stats["operator"]["targetStats"]
    assert [(t["coll"], t["inputMessageCount"]) for t in targets] == [("a", 2), ("b", 1)]
    assert targets[1]["inputMessageSize"] == len(bson.encode(made.documents[2]))


def test_the_lag_is_that_of_the_last_event_taken(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    # A token of an event long ago; the oplog of the test is not that old.
    old = {"_data": "8200000064000000012B0229296E04"}
    made = reading(coll="in")
    made.source._token = old
    assert made.source.stats()["changeStreamTimeDifferenceSecs"] == now_of(cluster).time - 100


def test_a_token_holds_its_time(
    reading: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    made = reading(coll="in")
    cluster[database]["in"].insert_one({})
    (event,) = made.until(1)
    assert token_time(event["_id"]) == event["clusterTime"]
    in_bytes = {"_data": Binary(bytes.fromhex(event["_id"]["_data"]))}
    assert token_time(in_bytes) == event["clusterTime"]


@given(st.binary(), st.text())
def test_what_is_no_token_has_no_time_or_any(data: bytes, text: str) -> None:
    for value in (data, text, None):
        found = token_time({"_data": value})
        assert found is None or isinstance(found, Timestamp)


# Faults found before anything runs


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"coll": "c"}, ".coll", "needs db"),
        ({"db": "d", "coll": ["c", "c"]}, ".coll", "twice"),
        ({"db": "d", "coll": []}, ".coll", "empty"),
        ({"config": {"startAfter": {"x": 1}}}, ".config.startAfter", "_data"),
        ({"config": {"startAtOperationTime": "2026"}}, ".config.startAtOperationTime", "Date"),
        (
            {"config": {"startAfter": {"_data": "x"}, "startAtOperationTime": Timestamp(9, 1)}},
            ".config.startAtOperationTime",
            "either",
        ),
        (
            {"config": {"startAtOperationTime": datetime(1970, 1, 1)}},  # noqa: DTZ001
            ".config.startAtOperationTime",
            "1970",
        ),
        ({"config": {"fullDocument": "always"}}, ".config.fullDocument", "updateLookup"),
        ({"config": {"fullDocumentOnly": True}}, ".config.fullDocumentOnly", "updateLookup"),
        ({"config": {"pipeline": [{"$group": {}}]}}, ".config.pipeline[0]", "$match"),
        ({"config": {"pipeline": [{"$unset": ["a", "wallTime"]}]}}, ".config.pipeline[0]", "keep"),
        ({"config": {"pipeline": [{"$set": {"_id.x": 1}}]}}, ".config.pipeline[0]", "_id"),
        ({"config": {"pipeline": [{"$project": {"_id": 0}}]}}, ".config.pipeline[0]", "_id"),
        (
            {"config": {"pipeline": [{"$match": {}}, {"$project": {"fullDocument": 1}}]}},
            ".config.pipeline[1]",
            "clusterTime, wallTime",
        ),
        ({"config": {"maxAwaitTimeMS": 0}}, ".config.maxAwaitTimeMS", "greater"),
        ({"readPreferenceTags": [{"a": "b"}]}, ".readPreferenceTags", "other than primary"),
        ({"readPreference": "first"}, ".readPreference", "nearest"),
        ({"initialSync": {"parallelism": 2}, "db": "d"}, ".initialSync.enable", "missing"),
        ({"initialSync": {"enable": True, "parallelism": 0}, "db": "d"}, ".parallelism", "0"),
        ({"initialSync": {"enable": True}}, ".initialSync", "needs db"),
        (
            {
                "db": "d",
                "initialSync": {"enable": True},
                "config": {"startAtOperationTime": Timestamp(9, 1)},
            },
            ".config",
            "leave out",
        ),
        ({"fullDocument": "updateLookup"}, ".fullDocument", "config.fullDocument"),
    ],
)
def test_faults(options: dict[str, Any], path: str, words: str) -> None:
    given_options = {"connectionName": "c", **options}
    (fault,) = option_faults(ChangeStreamOptions, given_options, "[0].$source")
    assert fault.path.startswith("[0].$source")
    assert fault.path.endswith(path)
    assert words in f"{fault.message} {fault.hint}"


@pytest.mark.parametrize(
    "stage",
    [
        {"$project": {"fullDocument.secret": 0}},
        {"$project": {"fullDocument": {"secret": 0}}},
        {"$project": {"clusterTime": 1, "wallTime": True, "fullDocument": {"n": 1}}},
        {"$set": {"fullDocument.n": 1}},
        {"$match": {"wallTime": {"$gt": datetime(2026, 1, 1)}}},  # noqa: DTZ001
        {"$redact": "$$KEEP"},
        {"$replaceWith": "$$ROOT"},
        {"$unset": "fullDocument.secret"},
    ],
)
def test_stages_that_may_be_pushed_down(stage: dict[str, Any]) -> None:
    options = {"connectionName": "c", "config": {"pipeline": [stage]}}
    assert option_faults(ChangeStreamOptions, options, "") == []
    (probe,) = probes(options)
    assert (probe.path, probe.stage) == (".config.pipeline[0]", stage)


def test_a_copied_documents_event_looks_like_an_insert() -> None:
    moment, wall_time = Timestamp(5, 1), datetime(2026, 1, 1)  # noqa: DTZ001
    event = copied_event({"_id": 1, "n": 2}, "d", "c", moment, wall_time)
    assert list(event) == [
        *("_id", "operationType", "clusterTime", "wallTime", "fullDocument", "ns", "documentKey")
    ]
    again = copied_event({"_id": 1, "n": 3}, "d", "c", Timestamp(6, 1), wall_time)
    other = copied_event({"_id": 1, "n": 2}, "d", "x", moment, wall_time)
    assert event["_id"] == again["_id"] != other["_id"]
