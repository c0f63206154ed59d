"""`$emit` into Kinesis."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from bson import Decimal128

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks.emit_kinesis import SPEC
from asp_utils.engine.sinks.emit_kinesis_options import KinesisEmitOptions
from asp_utils.engine.sinks.emit_kinesis_sink import KinesisSink, open_kinesis_emit
from asp_utils.units import datetime_of
from tests.aws.conftest import KEYS, START_MS, client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.context import Surroundings
    from tests.aws.kinesis_service import KinesisService

    Document = dict[str, Any]
    Open = Callable[..., KinesisSink]

_NUMBERS = itertools.count(1)


@pytest.fixture
def stream(kinesis: Any) -> str:
    name = f"target-{next(_NUMBERS)}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    return name


@pytest.fixture
def opened(surroundings: Callable[..., Surroundings], stream: str) -> Iterator[Open]:
    """Opens sinks into the stream."""
    made: list[KinesisSink] = []

    def build(more: Document | None = None, **options: Any) -> KinesisSink:
        given = {
            "connectionName": "stream_store", "stream": stream, "partitionKey": "k", **options
        }  # fmt: skip
        parsed = KinesisEmitOptions.model_validate(given)
        made.append(open_kinesis_emit(parsed, surroundings(**(more or {}))))
        return made[-1]

    yield build
    for sink in made:
        sink.close()


def records(kinesis: Any, stream: str) -> list[tuple[str, Any]]:
    """Partition key and content of everything in the one shard."""
    iterator = kinesis.get_shard_iterator(
        StreamName=stream, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found = kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
    return [(item["PartitionKey"], json.loads(item["Data"])) for item in found]


@pytest.mark.proves(
    "$emit:awskinesisdatastreams", "$emit:awskinesisdatastreams.connectionName",
    "$emit:awskinesisdatastreams.stream", "$emit:awskinesisdatastreams.partitionKey",
)  # fmt: skip
def test_documents_become_records(
    rig: Callable[..., Any], kinesis: Any, stream: str, connections: Document
) -> None:
    documents = [{"who": "a", "n": 1}, {"n": 2}, {"who": 5}, {"who": "b" * 257}, {"who": "c"}]
    emit = {"connectionName": "stream_store", "stream": stream, "partitionKey": "$who"}
    pipeline = [{"$source": {"documents": documents}}, {"$emit": emit}]
    made = rig(pipeline, connections=connections).drain()
    assert records(kinesis, stream) == [("a", {"who": "a", "n": 1}), ("c", {"who": "c"})]
    assert [letter["doc"] for letter in made.dead] == documents[1:4]
    assert {letter["operatorName"] for letter in made.dead} == {"KinesisEmitOperator"}
    assert "partitionKey gave not a string" in made.dead[0]["errInfo"]["reason"]


@pytest.mark.proves("$emit:awskinesisdatastreams.partitionKey")
def test_a_constant_key_and_one_that_is_computed(opened: Open, kinesis: Any, stream: str) -> None:
    opened().write([{"n": 1}], None)
    divided = {"$toString": {"$divide": [1, "$n"]}}
    rejected = opened(partitionKey=divided).write([{"n": 0}, {"n": 2}], None)
    assert [item.index for item in rejected] == [0]
    assert records(kinesis, stream) == [("k", {"n": 1}), ("0.5", {"n": 2})]


@pytest.mark.proves(
    "$emit:awskinesisdatastreams.config", "$emit:awskinesisdatastreams.config.outputFormat",
    "$emit:awskinesisdatastreams.config.dateFormat",
)  # fmt: skip
def test_formats(opened: Open, kinesis: Any, stream: str) -> None:
    document = {"d": Decimal128("1.5"), "at": datetime_of(0)}
    opened().write([document], None)
    opened(config={"outputFormat": "basicJson"}).write([document], None)
    opened(config={"dateFormat": "ISO8601"}).write([document], None)
    assert [content for _, content in records(kinesis, stream)] == [
        {"d": {"$numberDecimal": "1.5"}, "at": {"$date": "1970-01-01T00:00:00Z"}},
        {"d": "1.5", "at": 0},
        {"d": {"$numberDecimal": "1.5"}, "at": "1970-01-01T00:00:00.000Z"},
    ]


@pytest.mark.proves("$emit:awskinesisdatastreams.region")
def test_region(opened: Open, moto_url: str) -> None:
    there = client("kinesis", moto_url, region="eu-west-1")
    there.create_stream(StreamName="far", ShardCount=1)
    opened(stream="far", region="eu-west-1").write([{"n": 1}], None)
    assert records(there, "far") == [("k", {"n": 1})]
    there.close()


def test_a_record_above_1_mb_is_refused(opened: Open, kinesis: Any, stream: str) -> None:
    largest = 1024 * 1024 - len('{"t":""}') - len("k")
    rejected = opened().write([{"t": "x" * (largest + 1)}, {"t": "x" * largest}], None)
    assert [item.index for item in rejected] == [0]
    assert "1 MB is allowed" in rejected[0].reason
    assert len(records(kinesis, stream)) == 1


def test_many_records_go_in_several_calls(opened: Open, kinesis_service: KinesisService) -> None:
    sink = opened(more=kinesis_service.connections, connectionName="fake")
    sink.write([{"n": n} for n in range(1200)], None)
    sink.write([{"t": "x" * 1_000_000} for _ in range(6)], None)
    assert [len(call) for call in kinesis_service.calls] == [500, 500, 200, 5, 1]
    assert [record["n"] for call in kinesis_service.calls[:3] for record in call] == list(
        range(1200)
    )


def test_records_that_were_throttled_are_put_again(
    opened: Open, kinesis_service: KinesisService, clock: ManualClock
) -> None:
    kinesis_service.throttled = [{1, 2}, {1}]
    sink = opened(more=kinesis_service.connections, connectionName="fake")
    assert sink.write([{"n": n} for n in range(4)], None) == []
    assert kinesis_service.calls == [
        [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}], [{"n": 1}, {"n": 2}], [{"n": 2}]
    ]  # fmt: skip
    assert clock.now_ms() == START_MS + 100 + 200
    target = {"stream": sink.stats()["targetStats"][0]["stream"], "outputMessageCount": 4}
    assert sink.stats() == {"targetStats": [{**target, "outputMessageSize": 28}]}


def test_throttled_for_too_long(opened: Open, kinesis_service: KinesisService) -> None:
    kinesis_service.throttled = [{0}] * 6
    sink = opened(more=kinesis_service.connections, connectionName="fake")
    with pytest.raises(ProcessorFailed, match="1 records were not taken: Provisioned") as failed:
        sink.write([{"n": 1}], None)
    assert (failed.value.code, failed.value.retryable) == (460, True)


def test_no_such_stream(opened: Open) -> None:
    with pytest.raises(ProcessorFailed, match="ResourceNotFoundException") as failed:
        opened(stream="missing")
    assert (failed.value.code, failed.value.retryable) == (461, False)


def test_an_endpoint_that_does_not_answer(opened: Open) -> None:
    gone = {"type": "awskinesisdatastreams", "endpointUrl": "http://127.0.0.1:1", **KEYS}
    with pytest.raises(ProcessorFailed) as failed:
        opened(more={"gone": gone}, connectionName="gone")
    assert (failed.value.code, failed.value.retryable) == (460, True)


def test_expressions_are_put_before_mongod() -> None:
    assert SPEC.probes is not None
    assert [probe.path for probe in SPEC.probes({"partitionKey": "$k"})] == [".partitionKey"]
    assert list(SPEC.probes({"partitionKey": "k"})) == []
