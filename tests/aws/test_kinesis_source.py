"""`$source` from Kinesis: records, shards that split and merge, and going on from a position."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.kinesis_options import KinesisSourceOptions
from asp_utils.engine.sources.kinesis_source import KinesisSource, open_kinesis
from asp_utils.pipeline.grammar import option_faults
from asp_utils.units import datetime_of
from tests.aws.conftest import KEYS, client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.batch import Batch
    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]
    Open = Callable[..., KinesisSource]

_NUMBERS = itertools.count(1)
WAIT_MS = 2000
HALF = str(2**127)
"""The hash key in the middle."""


@pytest.fixture
def stream(kinesis: Any) -> str:
    """A stream with two shards."""
    name = f"stream-{next(_NUMBERS)}"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    return name


@pytest.fixture
def opened(surroundings: Callable[..., Surroundings], stream: str) -> Iterator[Open]:
    """Opens sources of the stream."""
    made: list[KinesisSource] = []

    def build(position: Any = None, **options: Any) -> KinesisSource:
        given = {"connectionName": "stream_store", "stream": stream, **options}
        parsed = KinesisSourceOptions.model_validate(given)
        made.append(open_kinesis(parsed, surroundings(), position))
        return made[-1]

    yield build
    for source in made:
        source.close()


def put(kinesis: Any, stream: str, document: Any, *, second_half: bool = False) -> None:
    """Put a record into the lower or the upper half of the hash keys."""
    kinesis.put_record(
        StreamName=stream,
        Data=document if isinstance(document, bytes) else json.dumps(document).encode(),
        PartitionKey=f"key of {document!r:.40}",
        ExplicitHashKey=HALF if second_half else "0",
    )


def read(source: KinesisSource, count: int) -> list[Document]:
    """That many documents; the suite's timeout bounds it."""
    documents: list[Document] = []
    while len(documents) < count:
        batch = source.read(2000, WAIT_MS)
        documents += batch.documents if batch else []
    return documents


FROM_START: Any = {"config": {"initialPosition": "TRIM_HORIZON"}}


@pytest.mark.proves(
    "$source:awskinesisdatastreams", "$source:awskinesisdatastreams.connectionName",
    "$source:awskinesisdatastreams.stream", "$source:awskinesisdatastreams.config.initialPosition",
)  # fmt: skip
def test_from_the_oldest_record_with_metadata(
    rig: Callable[..., Any], kinesis: Any, stream: str, connections: Document
) -> None:
    put(kinesis, stream, {"n": 1, "at": {"$date": "2026-01-01T00:00:00Z"}})
    source = {"connectionName": "stream_store", "stream": stream, **FROM_START}
    made = rig(
        [{"$source": source}, {"$addFields": {"m": {"$meta": "stream.source"}}}],
        connections=connections,
    )
    while not made.output:
        made.processor.step(WAIT_MS)
    (document,) = made.output
    metadata = document.pop("m")
    assert document == {"n": 1, "at": datetime_of(1_767_225_600_000)}
    moment = metadata.pop("ts")
    assert abs(time.time() - moment.timestamp()) < 86_400
    assert metadata.pop("sequenceNumber").isdigit()
    assert metadata == {
        "type": "kinesis",
        "kinesisStream": stream,
        "shardId": "shardId-000000000000",
        "partitionKey": "key of {'n': 1, 'at': {'$date': '2026-01-01T00:",
    }


@pytest.mark.proves("$source:awskinesisdatastreams.config.initialPosition")
def test_by_default_from_the_newest_record(opened: Open, kinesis: Any, stream: str) -> None:
    put(kinesis, stream, {"n": 1})
    source = opened()
    put(kinesis, stream, {"n": 2})
    assert read(source, 1) == [{"n": 2}]


def test_a_crash_before_the_first_record_loses_nothing(
    opened: Open, kinesis: Any, stream: str
) -> None:
    position = opened().position
    put(kinesis, stream, {"n": 1})
    put(kinesis, stream, {"n": 2}, second_half=True)
    assert sorted(d["n"] for d in read(opened(position), 2)) == [1, 2]


def test_a_source_goes_on_behind_its_position(opened: Open, kinesis: Any, stream: str) -> None:
    for n in range(10):
        put(kinesis, stream, {"n": n}, second_half=n % 2 == 1)
    first = opened(**FROM_START)
    batch = first.read(4, WAIT_MS)
    assert batch is not None
    rest = read(opened(batch.position), 10 - len(batch.documents))
    assert sorted(d["n"] for d in (*batch.documents, *rest)) == list(range(10))


def test_what_is_no_document_is_unreadable(opened: Open, kinesis: Any, stream: str) -> None:
    for payload in (b"[1]", b"\xff\x00", b'{"n": 1}', b"{"):
        put(kinesis, stream, payload)
    source = opened(**FROM_START)
    batches: list[Batch] = []
    while sum(len(b.documents) + len(b.unreadable) for b in batches) < 4:
        batch = source.read(2000, WAIT_MS)
        batches += [batch] if batch else []
    assert [d for batch in batches for d in batch.documents] == [{"n": 1}]
    unreadable = [bad for batch in batches for bad in batch.unreadable]
    assert [bad.document for bad in unreadable] == ["[1]", b"\xff\x00", "{"]
    assert unreadable[0].reason == "the payload is not an object but an array"
    assert unreadable[0].metadata["shardId"] == "shardId-000000000000"
    (whole,) = [batch for batch in batches if batch.documents]
    assert whole.metadata(0)["partitionKey"] == "key of b'{\"n\": 1}'"


def test_shards_are_partitions(opened: Open, kinesis: Any, stream: str) -> None:
    source = opened(**FROM_START)
    shards = ["shardId-000000000000", "shardId-000000000001"]
    assert sorted(source.partitions) == shards
    put(kinesis, stream, {"n": 1}, second_half=True)
    batch = None
    while batch is None:
        batch = source.read(10, WAIT_MS)
    assert batch.partitions == [shards[1]]


@pytest.mark.proves("$source:awskinesisdatastreams.shardIdleTimeout")
def test_shard_idle_timeout(opened: Open) -> None:
    assert opened().partition_idle_timeout_ms is None
    idle = opened(shardIdleTimeout={"size": 3, "unit": "second"})
    assert idle.partition_idle_timeout_ms == 3000


@pytest.mark.proves("$source:awskinesisdatastreams.region")
def test_region(opened: Open, moto_url: str, kinesis: Any) -> None:
    name = f"stream-{next(_NUMBERS)}"
    there = client("kinesis", moto_url, region="eu-west-1")
    there.create_stream(StreamName=name, ShardCount=1)
    there.put_record(StreamName=name, Data=b'{"n": 1}', PartitionKey="k")
    there.close()
    assert read(opened(stream=name, region="eu-west-1", **FROM_START), 1) == [{"n": 1}]


@pytest.mark.proves("$source:awskinesisdatastreams.timeField")
def test_time_field(
    rig: Callable[..., Any], kinesis: Any, stream: str, connections: Document
) -> None:
    put(kinesis, stream, {"at": "2026-01-01T00:00:00Z"})
    put(kinesis, stream, {"at": "no time"})
    source = {"connectionName": "stream_store", "stream": stream, **FROM_START}
    source["timeField"] = {"$toDate": "$at"}
    made = rig(
        [{"$source": source}, {"$project": {"ts": {"$meta": "stream.source.ts"}}}],
        connections=connections,
    )
    while not (made.output and made.dead):
        made.processor.step(WAIT_MS)
    assert made.output == [{"ts": datetime_of(1_767_225_600_000)}]
    assert made.dead[0]["doc"] == {"at": "no time"}


@pytest.mark.proves("$source:awskinesisdatastreams.tsFieldName")
def test_the_legacy_field_with_the_time_of_arrival(opened: Open, kinesis: Any, stream: str) -> None:
    put(kinesis, stream, {"n": 1})
    (document,) = read(opened(tsFieldName="arrived", **FROM_START), 1)
    assert document.keys() == {"n", "arrived"}


@pytest.mark.proves("$source:awskinesisdatastreams.config.consumerARN")
def test_a_consumer_is_accepted(opened: Open, kinesis: Any, stream: str) -> None:
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    consumer = kinesis.register_stream_consumer(StreamARN=summary["StreamARN"], ConsumerName="mine")
    config = {**FROM_START["config"], "consumerARN": consumer["Consumer"]["ConsumerARN"]}
    put(kinesis, stream, {"n": 1})
    assert read(opened(config=config), 1) == [{"n": 1}]


@pytest.mark.proves("$source:awskinesisdatastreams.config")
def test_an_initial_position_is_one_of_two() -> None:
    given = {"connectionName": "c", "stream": "s", "config": {"initialPosition": "latest"}}
    (fault,) = option_faults(KinesisSourceOptions, given, "")
    assert fault.path == ".config.initialPosition"
    assert "LATEST" in fault.message


def test_no_such_stream(opened: Open) -> None:
    with pytest.raises(ProcessorFailed, match="ResourceNotFoundException") as failed:
        opened(stream="missing")
    assert (failed.value.code, failed.value.retryable) == (461, False)


def test_an_endpoint_that_does_not_answer(surroundings: Callable[..., Surroundings]) -> None:
    gone = {"type": "awskinesisdatastreams", "endpointUrl": "http://127.0.0.1:1", **KEYS}
    options = KinesisSourceOptions.model_validate({"connectionName": "gone", "stream": "s"})
    with pytest.raises(ProcessorFailed) as failed:
        open_kinesis(options, surroundings(gone=gone), None)
    assert (failed.value.code, failed.value.retryable) == (460, True)


def test_a_stream_that_disappears_fails_the_processor(
    opened: Open, kinesis: Any, stream: str
) -> None:
    source = opened(**FROM_START)
    kinesis.delete_stream(StreamName=stream)
    with pytest.raises(ProcessorFailed) as failed:
        read(source, 1)
    assert failed.value.code == 461
