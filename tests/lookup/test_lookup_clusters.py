"""`$lookup` and `$cachedLookup` into other clusters: reached, not reached, refused; end to end."""

from __future__ import annotations

import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.clients.mongod import Mongod, find_mongod, free_port
from asp_utils.engine.check import check_processor
from asp_utils.engine.context import Surroundings
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.stages import cached_lookup, lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

SPECS = [
    pytest.param(lookup.SPEC, {}, id="lookup"),
    pytest.param(cached_lookup.SPEC, {"ttl": {"size": 1, "unit": "minute"}}, id="cachedLookup"),
]


def by_id(coll: str = "f", connection: str = "other", **options: Any) -> Document:
    into = {"connectionName": connection, "db": "enrich", "coll": coll}
    return {"from": into, "localField": "k", "foreignField": "_id", "as": "r", **options}


@pytest.fixture
def opened(
    mongod: Mongod, evaluator: Evaluator, clock: ManualClock
) -> Iterator[Callable[..., Any]]:
    """Opens a stage whose connection `other` has this URI."""
    made: list[Any] = []

    def build(spec: Any, uri: str, options: Document) -> Any:
        connections = {"other": {"type": "atlas", "uri": uri}}
        around = Surroundings("tested", connections, evaluator, clock, threading.Event())
        made.append(around)
        stage = spec.build(spec.options.model_validate(options), around)
        made.append(stage)
        return stage

    yield build
    for item in reversed(made):
        item.close()


@pytest.mark.server
@pytest.mark.parametrize(("spec", "options"), SPECS)
def test_another_cluster_is_read_and_never_written(
    opened: Callable[..., Any],
    elsewhere: Mongod,
    foreign: MongoClient[Any],
    spec: Any,
    options: Document,
) -> None:
    foreign["enrich"]["f"].insert_many([{"_id": n, "name": f"n{n}"} for n in range(10)])
    stage = opened(spec, elsewhere.uri, by_id(**options))
    outcome = stage.process([{"k": 3}, {"k": 99}, {"k": [1, 2]}], None)
    found = [[d["name"] for d in document["r"]] for document in outcome.documents]
    assert found == [["n3"], [], ["n1", "n2"]]
    assert foreign["enrich"].list_collection_names() == ["f"]
    foreign.drop_database("enrich")


@pytest.mark.server
def test_the_end_of_a_pipeline_that_reads_two_clusters(
    rig: Callable[..., Any],
    cluster: MongoClient[Any],
    database: str,
    elsewhere: Mongod,
    foreign: MongoClient[Any],
) -> None:
    foreign["enrich"]["customers"].insert_many([{"_id": 1, "city": "Oslo"}, {"_id": 2}])
    cluster[database]["prices"].insert_many([{"_id": n, "sku": "a", "v": n} for n in range(3)])
    orders = [{"k": n, "sku": sku} for n, sku in [(1, "a"), (9, "a"), (2, "b")]]
    prices = {"connectionName": "c", "db": database, "coll": "prices"}
    part = {"$divide": [1, "$$k"]}
    inner = [{"$set": {"part": part, "from": {"$meta": "stream.source.type"}}}]
    processor = rig(
        [
            {"$source": {"documents": orders}},
            {"$lookup": by_id("customers", let={"k": "$k"}, pipeline=inner)},
            {"$unwind": {"path": "$r", "preserveNullAndEmptyArrays": True}},
            {
                "$cachedLookup": {
                    "ttl": {"size": 1, "unit": "hour"},
                    "from": prices,
                    "localField": "sku",
                    "foreignField": "sku",
                    "as": "prices",
                }
            },
        ],
        connections={"other": {"type": "atlas", "uri": elsewhere.uri}},
    ).drain()
    assert [
        (d["k"], d.get("r"), [price["v"] for price in d["prices"]]) for d in processor.output
    ] == [
        (1, {"_id": 1, "city": "Oslo", "part": 1.0, "from": "generated"}, [0, 1, 2]),
        (9, None, [0, 1, 2]),
        (2, {"_id": 2, "part": 0.5, "from": "generated"}, []),
    ]
    [item] = [
        item for item in processor.stats["operatorStats"] if item["name"] == "CachedLookupOperator"
    ]
    assert item["cache"]["misses"] == 2
    assert item["cache"]["hits"] == 1
    foreign.drop_database("enrich")


def test_inside_a_window_it_looks_up_what_the_window_gives(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_many([{"_id": "a", "name": "A"}])
    day = "2026-01-01T00:0"
    documents = [
        {"k": k, "t": f"{day}{m}:00Z"} for k, m in [("a", 0), ("b", 0), ("a", 0), ("a", 5)]
    ]
    joined = {
        "from": {"connectionName": "c", "db": database, "coll": "f"},
        "localField": "_id",
        "foreignField": "_id",
        "let": {"start": {"$meta": "stream.window.start"}},
        "pipeline": [{"$set": {"minute": {"$minute": "$$start"}}}],
        "as": "r",
    }
    window = {
        "interval": {"size": 1, "unit": "minute"},
        "allowedLateness": 0,
        "pipeline": [
            {"$group": {"_id": "$k", "n": {"$sum": 1}}},
            {"$lookup": joined},
            {"$sort": {"_id": 1}},
        ],
    }
    source = {"documents": documents, "timeField": {"$toDate": "$t"}}
    processor = rig([{"$source": source}, {"$tumblingWindow": window}]).drain()
    assert processor.output == [
        {"_id": "a", "n": 2, "r": [{"_id": "a", "name": "A", "minute": 0}]},
        {"_id": "b", "n": 1, "r": []},
    ]


def test_a_failed_lookup_is_a_dead_letter(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    cluster[database]["f"].insert_one({"_id": 1})
    joined = {
        "from": {"connectionName": "c", "db": database, "coll": "f"},
        "let": {"n": "$n"},
        "pipeline": [{"$set": {"x": {"$divide": [1, "$$n"]}}}],
        "as": "r",
    }
    source = {"$source": {"documents": [{"n": 1}, {"n": 0}, {"n": 2}]}}
    processor = rig([source, {"$lookup": joined}]).drain()
    assert [document["n"] for document in processor.output] == [1, 2]
    [dead] = processor.dead
    assert dead["doc"] == {"n": 0}
    assert dead["operatorName"] == "LookupOperator"
    assert "divide by zero" in dead["errInfo"]["reason"]


@pytest.mark.parametrize(("spec", "options"), SPECS)
def test_nobody_answers(opened: Callable[..., Any], spec: Any, options: Document) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100"
    with pytest.raises(ProcessorFailed) as failed:
        opened(spec, uri, by_id(**options))
    assert (failed.value.code, failed.value.retryable) == (421, True)


@pytest.mark.parametrize(("spec", "options"), SPECS)
def test_the_cluster_goes_away(
    opened: Callable[..., Any], mongod: Mongod, spec: Any, options: Document
) -> None:
    with Relay(mongod.port) as relay:
        uri = (
            f"mongodb://127.0.0.1:{relay.port}/?directConnection=true&serverSelectionTimeoutMS=100"
        )
        stage = opened(spec, uri, by_id(**options))
        assert len(stage.process([{"k": 1}, {"k": 2}], None).documents) == 2
        relay.cut()
        with pytest.raises(ProcessorFailed) as failed:
            stage.process([{"k": 3}, {"k": 4}], None)
    assert (failed.value.code, failed.value.retryable) == (421, True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a mongod that lets nobody in without a password."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    port = free_port()
    command = [str(find_mongod()), "--auth", "--dbpath", str(folder), "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--logpath", str(folder / "log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    uri = f"mongodb://127.0.0.1:{port}/"
    with MongoClient[Any](uri) as client:
        client.admin.command("createUser", "admin", pwd="pw", roles=["root"])
    yield uri
    process.terminate()
    process.wait(20)


@pytest.mark.server
@pytest.mark.parametrize(("spec", "options"), SPECS)
@pytest.mark.parametrize("user", ["", "admin:wrong@"])
def test_the_cluster_refuses(
    opened: Callable[..., Any], guarded: str, spec: Any, options: Document, user: str
) -> None:
    uri = guarded.replace("mongodb://", f"mongodb://{user}")
    with pytest.raises(ProcessorFailed) as failed:
        opened(spec, uri, by_id(**options))
    assert (failed.value.code, failed.value.retryable) == (422, True)


def test_what_only_the_cluster_can_parse_fails_at_the_start(
    opened: Callable[..., Any], mongod: Mongod
) -> None:
    options = by_id(pipeline=[{"$search": {"text": {}}}])
    del options["localField"], options["foreignField"]
    with pytest.raises(ProcessorFailed) as failed:
        opened(lookup.SPEC, mongod.uri, options)
    assert (failed.value.code, failed.value.retryable) == (420, False)
    assert "the cluster refuses the stage" in failed.value.message


IN_C: Document = {"from": {"connectionName": "c", "db": "d", "coll": "f"}, "as": "r"}
FAULTS: list[tuple[str, Document, str, str]] = [
    ("$lookup", {**by_id(), "connectionName": "c"}, ".connectionName", "it stands in from"),
    ("$lookup", {**IN_C, "localField": "k"}, ".localField", "localField"),
    ("$lookup", {**IN_C, "localField": "k", "foreignField": "$k"}, ".foreignField", "begin with $"),
    ("$lookup", {**IN_C, "let": {}, "localField": "k", "foreignField": "k"}, ".let", "pipeline"),
    ("$lookup", {"as": "r", "localField": "k", "foreignField": "k"}, ".from", "$documents"),
    (
        "$lookup",
        {
            "as": "r",
            "pipeline": [{"$documents": []}, {"$lookup": {"from": "f", "as": "x", "pipeline": []}}],
        },
        ".from",
        "no cluster",
    ),
    (
        "$lookup",
        {**IN_C, "pipeline": [{"$lookup": {"from": {"db": "d", "coll": "c"}, "as": "x"}}]},
        ".pipeline",
        "plain name",
    ),
    ("$lookup", {**IN_C, "pipeline": [{"$match": {"$no": 1}}]}, ".pipeline[0]", "$no"),
    ("$lookup", {**IN_C, "pipeline": [{"$out": "x"}]}, ".pipeline[0]", "$out"),
    ("$lookup", {**IN_C, "let": {"a": {"$no": 1}}, "pipeline": []}, ".let", "$no"),
    (
        "$lookup",
        {**IN_C, "localField": "k", "foreignField": "k", "partitionBy": {"$no": 1}},
        ".partitionBy",
        "$no",
    ),
    (
        "$lookup",
        {**IN_C, "localField": "k", "foreignField": "k", "parallelism": 65},
        ".parallelism",
        "64",
    ),
    (
        "$cachedLookup",
        {**by_id(connection="c"), "ttl": {"size": 1, "unit": "hour"}, "pipeline": []},
        ".pipeline",
        "only $lookup takes a pipeline",
    ),
    ("$cachedLookup", by_id(connection="c"), ".ttl", "missing"),
    (
        "$cachedLookup",
        {**by_id(connection="solar"), "ttl": {"size": 1, "unit": "hour"}},
        ".from.connectionName",
        "solar",
    ),
]


@pytest.mark.parametrize(("name", "options", "path", "words"), FAULTS, ids=range(len(FAULTS)))
def test_faults_are_named_where_they_stand(
    mongod: Mongod, name: str, options: Document, path: str, words: str
) -> None:
    connections = {
        "c": {"type": "atlas", "uri": mongod.uri},
        "other": {"type": "atlas", "uri": mongod.uri},
        "solar": {"type": "inmemory"},
    }
    pipeline = [{"$source": {"documents": [{"k": 1}]}}, {name: options}]
    faults = check_processor(pipeline, {}, connections, mongod.uri, persistent=False)
    assert faults
    where = {fault.path: f"{fault.message} {fault.hint}" for fault in faults}
    assert words in where.get(f"pipeline[1].{name}{path}", f"only {where}")


def test_a_cached_lookup_stands_in_the_main_pipeline_only(mongod: Mongod) -> None:
    cached = {"$cachedLookup": {**by_id(connection="c"), "ttl": {"size": 1, "unit": "day"}}}
    window = {"interval": {"size": 1, "unit": "day"}, "pipeline": [cached]}
    connections = {"c": {"type": "atlas", "uri": mongod.uri}}
    pipeline = [{"$source": {"documents": [{"k": 1}]}}, {"$tumblingWindow": window}]
    [fault] = check_processor(pipeline, {}, connections, mongod.uri, persistent=False)
    assert fault.path == "pipeline[1].$tumblingWindow.pipeline[0].$cachedLookup"


def test_good_stages_pass_the_check(mongod: Mongod) -> None:
    connections = {"c": {"type": "atlas", "uri": mongod.uri}}
    stages: list[Document] = [
        {
            "$lookup": {
                **IN_C,
                "localField": "k",
                "foreignField": "k",
                "let": {"a": "$a", "t": {"$meta": "stream.source.ts"}, "now": {"$currentDate": {}}},
                "pipeline": [
                    {"$match": {"$expr": {"$eq": ["$a", "$$a"]}, "b": 1}},
                    {"$set": {"type": {"$meta": "stream.source.type"}}},
                    {"$lookup": {"from": "g", "localField": "a", "foreignField": "b", "as": "c"}},
                    {"$sort": {"a": 1}},
                    {"$limit": 1},
                ],
                "parallelism": 2,
                "partitionBy": "$k",
            }
        },
        {
            "$lookup": {
                "let": {"a": "$a"},
                "pipeline": [{"$documents": [{"a": "$$a"}]}, {"$match": {"a": 1}}],
                "as": "r",
            }
        },
        {"$cachedLookup": {**by_id(connection="c"), "ttl": {"size": 1, "unit": "day"}}},
    ]
    pipeline = [{"$source": {"documents": [{"k": 1}]}}, *stages]
    assert check_processor(pipeline, {}, connections, mongod.uri, persistent=False) == []


class Relay:
    """Passes connections on to a port of this machine until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """End every connection and take no more."""
        for end in (self._listener, *self._ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in list(self._threads):
            thread.join(5)
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                thread = threading.Thread(target=self._pass_on, args=(one, other), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
