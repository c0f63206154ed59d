"""`$emit` into S3: files, their keys, when they are written, and what a crash leaves."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from typing import TYPE_CHECKING, Any

import cramjam
import pytest
from bson import Decimal128, Int64

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks.emit_s3 import SPEC
from asp_utils.engine.sinks.emit_s3_options import S3Options
from asp_utils.engine.sinks.emit_s3_sink import S3Sink, open_s3
from asp_utils.pipeline.grammar import option_faults
from asp_utils.units import datetime_of
from tests.aws.conftest import KEYS, START_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]
    Open = Callable[..., S3Sink]

_NUMBERS = itertools.count(1)
MINUTE_MS = 60_000


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{next(_NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def opened(surroundings: Callable[..., Surroundings], bucket: str) -> Iterator[Open]:
    """Opens sinks into the bucket."""
    made: list[S3Sink] = []

    def build(**options: Any) -> S3Sink:
        given = {"connectionName": "bucket_store", "bucket": bucket, "path": "out", **options}
        made.append(open_s3(S3Options.model_validate(given), surroundings()))
        return made[-1]

    yield build
    for sink in made:
        sink.close()


def stored(s3: Any, bucket: str) -> dict[str, bytes]:
    """Key to content, in the order of the keys."""
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found
    }


def lines(content: bytes) -> list[Document]:
    return [json.loads(line) for line in content.split(b"\n")]


@pytest.mark.proves(
    "$emit:s3", "$emit:s3.connectionName", "$emit:s3.bucket", "$emit:s3.path",
    "$emit:s3.config", "$emit:s3.config.writeOptions.count",
)  # fmt: skip
def test_a_file_is_written_when_it_holds_enough_documents(
    rig: Callable[..., Any], s3: Any, bucket: str, connections: Document
) -> None:
    config = {"writeOptions": {"count": 2}}
    emit = {"connectionName": "bucket_store", "bucket": bucket, "path": "a/b", "config": config}
    source = {"$source": {"documents": [{"n": n} for n in range(5)]}}
    made = rig([source, {"$emit": emit}], connections=connections, name="orders").drain()
    files = stored(s3, bucket)
    assert [lines(content) for content in files.values()] == [
        [{"n": 0}, {"n": 1}],
        [{"n": 2}, {"n": 3}],
    ]
    assert list(files) == [
        "a/b/orders-20231114T221320000Z-0000000000.json",
        "a/b/orders-20231114T221320000Z-0000000001.json",
    ]
    assert made.dead == []


@pytest.mark.proves("$emit:s3.config.writeOptions.interval", "$emit:s3.config.writeOptions")
def test_a_file_is_written_when_its_time_has_come(
    opened: Open, clock: ManualClock, s3: Any, bucket: str
) -> None:
    sink = opened(config={"writeOptions": {"interval": {"size": 5, "unit": "minute"}}})
    sink.write([{"n": 1}], None)
    clock.advance(4 * MINUTE_MS)
    sink.write([{"n": 2}], None)
    clock.advance(MINUTE_MS - 1)
    sink.poll()
    assert stored(s3, bucket) == {}
    clock.advance(1)
    sink.poll()
    assert [lines(content) for content in stored(s3, bucket).values()] == [[{"n": 1}, {"n": 2}]]


@pytest.mark.proves("$emit:s3.config.writeOptions.interval")
def test_by_default_a_file_is_written_after_a_minute(
    opened: Open, clock: ManualClock, s3: Any, bucket: str
) -> None:
    sink = opened()
    sink.write([{"n": 1}], None)
    clock.advance(MINUTE_MS - 1)
    sink.poll()
    assert stored(s3, bucket) == {}
    clock.advance(1)
    sink.write([{"n": 2}], None)
    assert [lines(content) for content in stored(s3, bucket).values()] == [[{"n": 1}, {"n": 2}]]


@pytest.mark.proves("$emit:s3.config.writeOptions.bytes")
def test_a_file_is_written_when_its_bson_bytes_suffice(opened: Open, s3: Any, bucket: str) -> None:
    sink = opened(config={"writeOptions": {"bytes": 36}})
    sink.write([{"n": Int64(n)} for n in range(5)], None)  # 16 bytes each
    assert [len(lines(content)) for content in stored(s3, bucket).values()] == [3]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"config": {"writeOptions": {"interval": {"size": 8, "unit": "day"}}}}, "interval"),
        ({"config": {"writeOptions": {"interval": {"size": 0, "unit": "day"}}}}, "interval.size"),
        ({"config": {"writeOptions": {"count": 0}}}, "count"),
        ({"config": {"writeOptions": {"bytes": -1}}}, "bytes"),
    ],
)
def test_thresholds_have_bounds(changed: Document, path: str) -> None:
    given = {"connectionName": "c", "bucket": "b", "path": "p", **changed}
    faults = option_faults(S3Options, given, "")
    assert [fault.path for fault in faults] == [f".config.writeOptions.{path}"]


@pytest.mark.proves("$emit:s3.config.delimiter", "$emit:s3.config.outputFormat")
def test_delimiter_and_format(opened: Open, s3: Any, bucket: str) -> None:
    sink = opened(config={"delimiter": " | ", "outputFormat": "basicJson"})
    sink.write([{"n": Decimal128("1.5")}, {"n": 2}], None)
    sink.finish()
    assert list(stored(s3, bucket).values()) == [b'{"n":"1.5"} | {"n":2}']


@pytest.mark.proves("$emit:s3.config.dateFormat")
@pytest.mark.parametrize(
    ("date_format", "expected"),
    [("ISO8601", "1970-01-01T00:00:01.000Z"), ("default", {"$date": "1970-01-01T00:00:01Z"})],
)
def test_dates(opened: Open, s3: Any, bucket: str, date_format: str, expected: Any) -> None:
    sink = opened(config={"dateFormat": date_format})
    sink.write([{"at": datetime_of(1000)}], None)
    sink.finish()
    assert [lines(content) for content in stored(s3, bucket).values()] == [[{"at": expected}]]


@pytest.mark.proves("$emit:s3.config.compression", "$emit:s3.config.compressionLevel")
def test_compression(opened: Open, s3: Any, bucket: str) -> None:
    words = random.Random(1).choices(["one", "two", "three", "four"], k=5000)
    documents = [{"text": " ".join(words)}]
    for path, config in (
        ("plain", {"compression": "none"}),
        ("fast", {"compression": "gzip", "compressionLevel": 1}),
        ("small", {"compression": "gzip", "compressionLevel": "9"}),
        ("snappy", {"compression": "snappy"}),
    ):
        sink = opened(path=path, config=config)
        sink.write(documents, None)
        sink.finish()
    found = {key.split("/")[0]: (key, content) for key, content in stored(s3, bucket).items()}
    assert lines(found["plain"][1]) == documents
    assert gzip.decompress(found["fast"][1]) == found["plain"][1]
    assert gzip.decompress(found["small"][1]) == found["plain"][1]
    assert bytes(cramjam.snappy.decompress(found["snappy"][1])) == found["plain"][1]
    assert len(found["small"][1]) < len(found["fast"][1]) < len(found["plain"][1])
    endings = {name: key.partition(".")[2] for name, (key, _) in found.items()}
    assert endings == {
        "plain": "json", "fast": "json.gz", "small": "json.gz", "snappy": "json.sz"
    }  # fmt: skip


@pytest.mark.proves("$emit:s3.config.compressionLevel")
@pytest.mark.parametrize("level", [0, 10, "high"])
def test_a_compression_level_is_1_to_9(level: Any) -> None:
    given: Document = {"connectionName": "c", "bucket": "b", "path": "p"}
    given |= {"config": {"compression": "gzip", "compressionLevel": level}}
    faults = option_faults(S3Options, given, "")
    assert [fault.path for fault in faults] == [".config.compressionLevel"]


@pytest.mark.proves("$emit:s3.bucket", "$emit:s3.path")
def test_targets_computed_for_every_document(
    rig: Callable[..., Any], s3: Any, bucket: str, connections: Document, clock: ManualClock
) -> None:
    other = f"{bucket}-other"
    s3.create_bucket(Bucket=other)
    documents = [
        {"to": bucket, "who": "x"},
        {"to": other, "who": "y"},
        {"to": bucket, "who": "x/"},
        {"to": "not a bucket", "who": "x"},
        {"to": bucket, "who": 5},
        {"to": bucket, "who": "x" * 1024},
    ]
    emit = {
        "connectionName": "bucket_store",
        "bucket": "$to",
        "path": {"$cond": [{"$isNumber": "$who"}, "$who", {"$concat": ["by/", "$who"]}]},
    }
    pipeline = [{"$source": {"documents": documents}}, {"$emit": emit}]
    made = rig(pipeline, connections=connections, clock=clock).drain()
    clock.advance(MINUTE_MS)
    made.processor.step(0)
    assert [key.rsplit("/", 1)[0] for key in stored(s3, bucket)] == ["by/x", "by/x"]
    assert [lines(content) for content in stored(s3, other).values()] == [
        [{"to": other, "who": "y"}]
    ]
    assert [(letter["doc"]["who"], letter["operatorName"]) for letter in made.dead] == [
        ("x", "S3EmitOperator"),
        (5, "S3EmitOperator"),
        ("x" * 1024, "S3EmitOperator"),
    ]
    reasons = [letter["errInfo"]["reason"] for letter in made.dead]
    assert "no bucket's name but 'not a bucket'" in reasons[0]
    assert "path gave no string but 5" in reasons[1]
    assert "too long" in reasons[2]


def test_an_expression_that_fails_sends_the_document_to_the_dead_letters(
    opened: Open, s3: Any, bucket: str
) -> None:
    sink = opened(path={"$toString": {"$divide": [1, "$n"]}})
    rejected = sink.write([{"n": 2}, {"n": 0}], None)
    assert [(item.index, item.document) for item in rejected] == [(1, {"n": 0})]
    sink.finish()
    assert [key.split("/")[0] for key in stored(s3, bucket)] == ["0.5"]


def test_a_document_above_16_mb_is_refused(opened: Open, s3: Any, bucket: str) -> None:
    sink = opened()
    rejected = sink.write([{"text": "x" * (16 * 1024 * 1024)}, {"n": 1}], None)
    assert [item.index for item in rejected] == [0]
    assert "16 MB are allowed" in rejected[0].reason


def test_a_document_without_a_json_form_is_refused(opened: Open) -> None:
    deep: Document = {}
    for _ in range(5000):
        deep = {"d": deep}
    assert [item.index for item in opened().write([{"n": 1}, deep], None)] == [1]


@pytest.mark.proves("$emit:s3.parallelism", "$emit:s3.partitionBy")
def test_lanes_write_files_of_their_own_and_keep_a_keys_documents_in_order(
    opened: Open, s3: Any, bucket: str
) -> None:
    sink = opened(parallelism=3, partitionBy="$k", config={"writeOptions": {"count": 4}})
    for begin in range(0, 60, 20):
        sink.write([{"k": n % 7, "n": n} for n in range(begin, begin + 20)], None)
    sink.finish()
    files = [lines(content) for content in stored(s3, bucket).values()]
    assert sorted(document["n"] for file in files for document in file) == list(range(60))
    assert max(map(len, files)) == 4
    for key in range(7):
        numbers = [d["n"] for file in files for d in file if d["k"] == key]
        assert numbers == sorted(numbers)


@pytest.mark.proves("$emit:s3.parallelism")
def test_without_a_key_documents_go_to_the_lanes_in_turn(
    opened: Open, s3: Any, bucket: str
) -> None:
    sink = opened(parallelism=2)
    sink.write([{"n": n} for n in range(5)], None)
    sink.finish()
    files = [[d["n"] for d in lines(content)] for content in stored(s3, bucket).values()]
    assert files == [[0, 2, 4], [1, 3]]


@pytest.mark.proves("$emit:s3.region")
def test_the_region_of_the_stage_goes_before_the_connections(
    surroundings: Callable[..., Surroundings], connections: Document, s3: Any
) -> None:
    name = f"bucket-{next(_NUMBERS)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    made = surroundings(far={**connections["bucket_store"], "region": "nowhere-1"})
    given = {"connectionName": "far", "bucket": name, "path": "p", "region": "eu-central-1"}
    sink = open_s3(S3Options.model_validate(given), made)
    sink.write([{"n": 1}], None)
    sink.finish()
    sink.close()
    assert len(stored(s3, name)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_loses_nothing_and_writes_no_file_twice(
    rig: Callable[..., Any], s3: Any, bucket: str, connections: Document, clock: ManualClock,
    when: str,
) -> None:  # fmt: skip
    emit = {"connectionName": "bucket_store", "bucket": bucket, "path": "out"}
    source = {"$source": {"documents": [{"n": n} for n in range(3)]}}
    pipeline = [source, {"$emit": emit}]
    first = rig(pipeline, connections=connections, clock=clock, checkpointed=True)
    first.drain()
    clock.advance(MINUTE_MS)
    if when == "after":
        first.processor.parts.output.poll()
    written = stored(s3, bucket)
    assert len(written) == (1 if when == "after" else 0)
    # The process is gone, and goes on from its checkpoint.
    second = rig(pipeline, connections=connections, clock=clock, checkpointed=True)
    second.processor.step(0)
    ((key, content),) = stored(s3, bucket).items()
    assert lines(content) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert when == "before" or written == {key: content}


def test_what_is_not_written_yet_is_in_the_snapshot(
    opened: Open, s3: Any, bucket: str, clock: ManualClock
) -> None:
    options: Document = {"parallelism": 2, "partitionBy": "$k", "path": "$k"}
    documents = [{"k": f"p{n % 3}", "text": "x" * 1000, "n": n} for n in range(30)]
    first = opened(**options)
    first.write(documents[:20], None)
    kept = list(first.snapshot())
    clock.advance(30_000)
    second = opened(**options)
    second.restore(kept)
    second.write(documents[20:], None)
    clock.advance(30_000)
    second.poll()
    found = [d for content in stored(s3, bucket).values() for d in lines(content)]
    assert sorted(found, key=lambda d: int(d["n"])) == documents
    assert len(stored(s3, bucket)) == 3


def test_a_large_file_is_cut_into_parts_for_the_snapshot(opened: Open) -> None:
    first, second = opened(), opened()
    first.write([{"text": "x" * 15_000_000}, {"text": "y" * 8_000_000}], None)
    kept = list(first.snapshot())
    assert max(len(item.get("text", b"")) for item in kept) <= 8 * 1024 * 1024
    second.restore(kept)
    assert list(second.snapshot()) == kept


def test_no_such_bucket(opened: Open) -> None:
    with pytest.raises(ProcessorFailed, match="there is no bucket 'missing-bucket'") as failed:
        opened(bucket="missing-bucket")
    assert (failed.value.code, failed.value.retryable) == (444, False)


def test_a_computed_bucket_that_is_not_there_fails_the_processor(opened: Open) -> None:
    sink = opened(bucket="$to", config={"writeOptions": {"count": 1}})
    with pytest.raises(ProcessorFailed, match="NoSuchBucket") as failed:
        sink.write([{"to": "missing-bucket"}], None)
    assert (failed.value.code, failed.value.code_name) == (444, "StreamProcessorS3Error")


def test_an_endpoint_that_does_not_answer(
    surroundings: Callable[..., Surroundings], clock: ManualClock
) -> None:
    made = surroundings(gone={"type": "s3", "endpointUrl": "http://127.0.0.1:1", **KEYS})
    given = {"connectionName": "gone", "bucket": "b-1", "path": "p"}
    with pytest.raises(ProcessorFailed, match="Could not connect") as failed:
        open_s3(S3Options.model_validate(given), made)
    assert (failed.value.code, failed.value.retryable) == (443, True)
    assert clock.now_ms() == START_MS + 100 + 200 + 400 + 800 + 1600


def test_stats_name_the_targets(opened: Open, bucket: str) -> None:
    sink = opened(config={"writeOptions": {"count": 2}})
    sink.write([{"n": 1}, {"n": 2}, {"n": 3}], None)
    target = {"bucket": bucket, "path": "out", "outputMessageCount": 2, "outputMessageSize": 24}
    assert sink.stats() == {"targetStats": [target]}


def test_expressions_are_put_before_mongod() -> None:
    assert SPEC.probes is not None
    given = {"bucket": "b", "path": {"$concat": ["a", "$b"]}, "partitionBy": "$k"}
    assert [probe.path for probe in SPEC.probes(given)] == [".path", ".partitionBy"]
