"""`$emit` into time series collections of a real mongod."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
import pytest

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks.emit_time_series_options import (
    TimeSeriesEmitOptions,
    time_series_probes,
)
from asp_utils.engine.sinks.emit_time_series_sink import open_time_series
from asp_utils.pipeline.check import check_pipeline
from asp_utils.pipeline.rewrite import METADATA_FIELD, WINDOW_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks.emit_time_series_sink import TimeSeriesSink

    Document = dict[str, Any]

AT = datetime(2026, 1, 20, 14, 30)  # noqa: DTZ001
SERIES = {"timeField": "at", "metaField": "device"}


@pytest.fixture
def emit(surroundings: Surroundings, database: str) -> Iterator[Callable[..., TimeSeriesSink]]:
    """Makes sinks: `emit(coll, timeseries, **options)`, of a database of this test's own."""
    opened: list[TimeSeriesSink] = []

    def make(coll: Any, timeseries: Any = None, **options: Any) -> TimeSeriesSink:
        given = {"connectionName": "c", "db": database, "coll": coll, **options}
        if timeseries is not None:
            given["timeseries"] = timeseries
        sink = open_time_series(TimeSeriesEmitOptions.model_validate(given), surroundings)
        opened.append(sink)
        return sink

    yield make
    for sink in opened:
        sink.close()


def stored(cluster: MongoClient[Any], database: str, coll: str = "m") -> list[Document]:
    return list(cluster[database][coll].find().sort("n", 1))


def options_of(cluster: MongoClient[Any], database: str, coll: str = "m") -> Document:
    (entry,) = cluster[database].list_collections(filter={"name": coll})
    assert entry["type"] == "timeseries"
    options: Document = entry["options"]["timeseries"]
    return options


@pytest.mark.proves(
    "$emit:atlas",
    "$emit:atlas.connectionName",
    "$emit:atlas.db",
    "$emit:atlas.coll",
    "$emit:atlas.timeseries",
    "$emit:atlas.timeseries.timeField",
    "$emit:atlas.timeseries.metaField",
)
def test_the_collection_is_made_and_written(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    sink = emit("m", SERIES)
    documents = [{"n": n, "at": AT + timedelta(seconds=n), "device": "a"} for n in range(30)]
    assert sink.write(documents[:20], None) == []
    assert sink.write(documents[20:], None) == []
    found = stored(cluster, database)
    assert [{k: v for k, v in d.items() if k != "_id"} for d in found] == documents
    assert all(isinstance(document["_id"], bson.ObjectId) for document in found)
    options = options_of(cluster, database)
    assert (options["timeField"], options["metaField"]) == ("at", "device")
    target = {"db": database, "coll": "m", "outputMessageCount": 30}
    assert sink.stats() == {"targetStats": [target]}


@pytest.mark.proves("$emit:atlas.timeseries.granularity")
def test_granularity(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    assert emit("m", {**SERIES, "granularity": "hours"}).write([{"at": AT}], None) == []
    assert options_of(cluster, database)["granularity"] == "hours"


@pytest.mark.proves(
    "$emit:atlas.timeseries.bucketMaxSpanSeconds", "$emit:atlas.timeseries.bucketRoundingSeconds"
)
def test_bucket_spans_are_handed_to_mongod(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    series = {**SERIES, "bucketMaxSpanSeconds": 60, "bucketRoundingSeconds": 60}
    if tuple(cluster.server_info()["versionArray"][:2]) >= (6, 3):
        assert emit("m", series).write([{"at": AT}], None) == []
        assert options_of(cluster, database)["bucketMaxSpanSeconds"] == 60
        return
    with pytest.raises(ProcessorFailed, match="bucketRoundingSeconds") as caught:
        emit("m", series).write([{"at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (420, False)
    series = {**SERIES, "granularity": "minutes", "bucketMaxSpanSeconds": 86_400}
    assert emit("m", series).write([{"at": AT}], None) == []
    assert options_of(cluster, database)["bucketMaxSpanSeconds"] == 86_400


@pytest.mark.proves("$emit:atlas.timeseries")
def test_an_existing_collection_needs_no_options(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("m", timeseries={"timeField": "when"})
    assert emit("m").write([{"when": AT, "n": 1}], None) == []
    assert emit("m", {"timeField": "when"}).write([{"when": AT, "n": 2}], None) == []
    assert [document["n"] for document in stored(cluster, database)] == [1, 2]


@pytest.mark.proves("$emit:atlas.db", "$emit:atlas.coll")
def test_expressions_choose_the_collection(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    sink = emit("$kind", SERIES, db={"$concat": [database, "_", "$tenant"]})
    kinds = [("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")]
    documents = [
        {"n": n, "at": AT, "kind": kind, "tenant": tenant} for n, (kind, tenant) in enumerate(kinds)
    ]
    assert sink.write(documents, None) == []
    try:
        assert [d["n"] for d in stored(cluster, f"{database}_x", "a")] == [0, 3]
        assert [d["n"] for d in stored(cluster, f"{database}_x", "b")] == [1]
        assert [d["n"] for d in stored(cluster, f"{database}_y", "a")] == [2]
    finally:
        for tenant in "xy":
            cluster.drop_database(f"{database}_{tenant}")
    assert sink.stats()["targetStats"][0]["outputMessageCount"] == 2


def test_documents_without_a_target_are_refused(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    wrong: list[Any] = [5, "", "a$b", "system.x", "x" * 300]
    documents = [{"at": AT, "m": name, "n": 1} for name in [*wrong, "m"]] + [{"at": AT}]
    rejected = emit("$m", SERIES).write(documents, None)
    assert sorted(item.index for item in rejected) == [0, 1, 2, 3, 4, 6]
    reasons = {item.index: item.reason for item in rejected}
    assert reasons[0] == "$emit: coll gave no name but 5"
    assert "must not contain '$'" in reasons[2]
    assert len(stored(cluster, database)) == 1


def test_single_documents_are_refused(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    documents: list[Document] = [
        {"n": 0, "at": AT},
        {"n": 1, "at": "yesterday"},
        {"n": 2},
        {"n": 3, "at": AT, "text": "x" * (4 * 1024 * 1024)},
        {"n": 4, "at": AT, "text": "x" * (4 * 1024 * 1024 - 100)},
        {"n": 5, "at": AT, "_id": "mine"},
    ]
    sink = emit("m", SERIES)
    rejected = {item.index: item for item in sink.write(documents, None)}
    assert sorted(rejected) == [1, 2, 3]
    assert "'at' must be present and contain a valid BSON UTC datetime" in rejected[1].reason
    assert "a time series collection takes up to 4 MB" in rejected[3].reason
    assert rejected[2].document == {"n": 2}
    found = stored(cluster, database)
    assert [document["n"] for document in found] == [0, 4, 5]
    assert found[2]["_id"] == "mine"
    assert sink.stats()["targetStats"][0]["outputMessageCount"] == 3


def test_an_ordinary_collection_is_refused(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("m")
    with pytest.raises(ProcessorFailed, match=r"no time series collection.*\$merge") as caught:
        emit("m", SERIES).write([{"at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (420, False)


def test_a_missing_collection_needs_options(emit: Callable[..., TimeSeriesSink]) -> None:
    with pytest.raises(ProcessorFailed, match="does not exist; give timeseries") as caught:
        emit("m").write([{"at": AT}], None)
    assert caught.value.code == 420


def test_other_fields_than_those_of_the_collection_are_refused(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database].create_collection("m", timeseries={"timeField": "when"})
    with pytest.raises(ProcessorFailed, match="exists with timeField 'when', not 'at'"):
        emit("m", SERIES).write([{"at": AT}], None)


def test_options_that_mongod_refuses_fail_the_processor(
    emit: Callable[..., TimeSeriesSink],
) -> None:
    with pytest.raises(ProcessorFailed, match=r"cannot be created: .*timeField") as caught:
        emit("m", {"timeField": "a.b"}).write([{"at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (420, False)


@pytest.mark.parametrize("name", ["a$b", "system.x"])
def test_a_wrong_constant_name_fails_the_processor(
    emit: Callable[..., TimeSeriesSink], name: str
) -> None:
    with pytest.raises(ProcessorFailed, match="cannot be written") as caught:
        emit(name, SERIES).write([{"at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (448, False)


@pytest.mark.proves("$emit:atlas.parallelism")
def test_several_connections_write(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    documents: list[Document] = [{"n": n, "at": AT} for n in range(500)]
    documents[7]["at"] = documents[400]["at"] = None
    rejected = emit("m", SERIES, parallelism=4).write(documents, None)
    assert sorted(item.index for item in rejected) == [7, 400]
    wanted = [n for n in range(500) if n not in (7, 400)]
    assert [document["n"] for document in stored(cluster, database)] == wanted


def test_hidden_fields_stay_here(
    emit: Callable[..., TimeSeriesSink], cluster: MongoClient[Any], database: str
) -> None:
    document = {"n": 1, "at": AT, METADATA_FIELD: {"source": {}}, WINDOW_FIELD: 5}
    assert emit("m", SERIES).write([document], None) == []
    (found,) = stored(cluster, database)
    assert set(found) == {"_id", "n", "at"}


def test_too_many_targets_fail_the_processor(
    emit: Callable[..., TimeSeriesSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asp_utils.engine.sinks.emit_time_series_sink.MAX_TARGETS", 1)
    sink = emit("$m", SERIES)
    with pytest.raises(ProcessorFailed, match="more than 1 different targets") as caught:
        sink.write([{"m": "a", "at": AT}, {"m": "b", "at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (424, False)


def test_a_cluster_that_does_not_answer_fails_the_processor(
    emit: Callable[..., TimeSeriesSink], surroundings: Surroundings
) -> None:
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"
    surroundings.connections = {"c": {"type": "atlas", "uri": uri}}
    with pytest.raises(ProcessorFailed, match=r"127\.0\.0\.1:9") as caught:
        emit("m", SERIES).write([{"at": AT}], None)
    assert (caught.value.code, caught.value.retryable) == (421, True)


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"coll": "$x"}, ".timeseries", "must be given where db or coll is computed"),
        ({"timeseries": {}}, ".timeseries.timeField", "is missing"),
        ({"timeseries": {"timeField": "a", "metaField": "a"}}, ".timeseries.metaField", "another"),
        (
            {"timeseries": {"timeField": "a", "granularity": "days"}},
            ".timeseries.granularity",
            "hours",
        ),
        (
            {"timeseries": {"timeField": "a", "bucketMaxSpanSeconds": 0}},
            ".timeseries.bucketMaxSpanSeconds",
            "greater",
        ),
        ({"parallelism": 0}, ".parallelism", "greater"),
        ({"topic": "t"}, ".topic", "unknown field"),
    ],
)
def test_faults_are_found_before_the_start(options: Any, path: str, words: str) -> None:
    stage = {"$emit": {"connectionName": "c", "db": "d", "coll": "m", **options}}
    pipeline = [{"$source": {"documents": []}}, stage]
    found = check_pipeline(pipeline, catalogue(), {"c": {"type": "atlas"}})
    (fault,) = (fault for fault in found if fault.path == f"[1].$emit{path}")
    assert words in fault.message


def test_expressions_are_put_before_mongod() -> None:
    constant = {"db": "d", "coll": "c"}
    assert list(time_series_probes(constant)) == []
    computed = {"db": "$d", "coll": {"$toString": "$c"}}
    assert [probe.path for probe in time_series_probes(computed)] == [".db", ".coll"]
