"""Records written and read: by config, by file, by standard input; from every position."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import AspError, ConfigInvalid, NotFound
from asp_utils.operations.kafka import kafka_consume, kafka_produce

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.context import Context
    from tests.kafka_broker import Broker
    from tests.operations.conftest import Project

    Cluster = dict[str, Any] | str

RECORDS: list[dict[str, Any]] = [
    {"key": "a", "value": {"n": 1}, "timestamp": "2026-01-20T14:30:00.250Z", "partition": 0},
    {"key": "b", "value": "text", "headers": {"site": "roof", "n": 5}, "partition": 1},
    {"key": None, "value": {"$binary": {"base64": "/wA=", "subType": "00"}}, "partition": 1},
    {"key": "a", "value": None, "partition": 0},
]


def numbered(broker: Broker, counts: list[int]) -> str:
    """A topic with so many records in each partition; values count over all, as times do."""
    topic = broker.topic(len(counts))
    number = 0
    for round_ in range(max(counts)):
        for partition, count in enumerate(counts):
            if round_ < count:
                value, time_ms = str(number).encode(), 1_000_000 + number
                broker.send(topic, {"value": value, "partition": partition, "timestamp": time_ms})
                number += 1
    return topic


def values(ctx: Context, broker: Broker, topic: str, **given: Any) -> list[int]:
    return sorted(it["value"] for it in kafka_consume(ctx, broker.bootstrap, topic, **given))


def test_records_come_back_as_they_were_written(
    ctx: Context, cluster: Cluster, real_kafka: Broker
) -> None:
    topic = real_kafka.topic(2)
    done = kafka_produce(ctx, cluster, topic, RECORDS)
    assert done == {
        "topic": topic,
        "changed": True,
        "count": 4,
        "size_bytes": 1 + 7 + 1 + 4 + 2 + 1,
        "partitions": [
            {"partition": number, "count": 2, "first_offset": 0, "last_offset": 1}
            for number in (0, 1)
        ],
    }
    read = list(kafka_consume(ctx, real_kafka.bootstrap, topic))
    read.sort(key=lambda it: (it["partition"], it["offset"]))
    assert [it["value"] for it in read] == [{"n": 1}, None, "text", RECORDS[2]["value"]]
    assert [it["key"] for it in read] == ["a", "a", "b", None]
    assert read[0]["timestamp"] == "2026-01-20T14:30:00.250Z"
    assert read[2]["headers"] == [{"k": "site", "v": "roof"}, {"k": "n", "v": "5"}]
    copy = real_kafka.topic(2)
    assert kafka_produce(ctx, cluster, copy, json.loads(json.dumps(read)))["count"] == 4
    again = [{**it, "topic": topic} for it in kafka_consume(ctx, real_kafka.bootstrap, copy)]
    assert sorted(again, key=lambda it: (it["partition"], it["offset"])) == read


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("earliest", range(10)),
        ("latest", ()),
        (2, (4, 5, 6, 7, 8, 9)),
        ({"1": 1}, (3, 5, 7)),
        ({"0": 0, "1": 99}, (0, 2, 4, 6, 8, 9)),
        ("1970-01-01T00:16:40.007Z", (7, 8, 9)),
        ("2200-01-01", ()),
    ],
)
def test_reading_begins_where_it_is_told(
    ctx: Context, real_kafka: Broker, start: Any, expected: Any
) -> None:
    topic = numbered(real_kafka, [6, 4])
    found = values(ctx, real_kafka, topic, start=start, until_end=True)
    assert found == list(expected)


@pytest.mark.parametrize(("tail", "first"), [(1, 9), (3, 7), (7, 3), (10, 0), (50, 0)])
def test_the_tail_is_over_all_partitions(
    ctx: Context, real_kafka: Broker, tail: int, first: int
) -> None:
    topic = numbered(real_kafka, [6, 4])
    found = [it["value"] for it in kafka_consume(ctx, real_kafka.bootstrap, topic, tail=tail)]
    assert found == list(range(first, 10))


def test_the_tail_passes_over_what_transactions_leave(ctx: Context, real_kafka: Broker) -> None:
    from confluent_kafka import Producer

    topic = real_kafka.topic()
    settings = {"bootstrap.servers": real_kafka.bootstrap, "transactional.id": topic}
    producer = Producer(settings)
    producer.init_transactions(20)
    for number in range(4):
        producer.begin_transaction()
        producer.produce(topic, value=str(number).encode())
        if number % 2:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
    assert values(ctx, real_kafka, topic) == [0, 2]
    assert values(ctx, real_kafka, topic, tail=2) == [0, 2]


def test_bounds_end_the_reading(ctx: Context, real_kafka: Broker) -> None:
    topic = numbered(real_kafka, [10])
    assert values(ctx, real_kafka, topic, limit=3) == [0, 1, 2]
    assert values(ctx, real_kafka, topic, max_bytes=4) == [0, 1, 2, 3]
    assert values(ctx, real_kafka, topic, until_end=False, max_seconds=0.7) == list(range(10))
    assert values(ctx, real_kafka, topic, start="latest", max_seconds=0.3) == []


def test_no_group_is_left_and_no_offset_committed(ctx: Context, real_kafka: Broker) -> None:
    topic = numbered(real_kafka, [3])
    before = {item.group_id for item in groups(real_kafka)}
    assert values(ctx, real_kafka, topic) == [0, 1, 2]
    assert {item.group_id for item in groups(real_kafka)} == before


def groups(broker: Broker) -> list[Any]:
    listed: list[Any] = broker.admin().list_consumer_groups().result(20).valid
    return listed


def test_what_cannot_be_read_is_refused(ctx: Context, real_kafka: Broker) -> None:
    topic = real_kafka.topic(2)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"start": "yesterday"}, "$.start"),
        ({"start": {"2": 0, "7": 0}}, "$.start.2"),
        ({"start": {"x": 0, "0": -1}}, "$.start.x"),
        ({"start": {}}, "$.start"),
        ({"start": 5, "tail": 1}, "$.tail"),
    ]
    for given, path in cases:
        with pytest.raises(ConfigInvalid) as caught:
            list(kafka_consume(ctx, real_kafka.bootstrap, topic, **given))
        assert caught.value.path == path
    with pytest.raises(NotFound, match="no topic 'nowhere'"):
        list(kafka_consume(ctx, real_kafka.bootstrap, "nowhere"))


def test_nothing_is_written_when_a_record_is_wrong(
    ctx: Context, real_kafka: Broker, tmp_path: Path
) -> None:
    topic = real_kafka.topic()
    bad: list[Any] = [{"value": 1}, {"valu": 2}, {"value": 3, "partition": "x"}]
    with pytest.raises(ConfigInvalid) as caught:
        kafka_produce(ctx, real_kafka.bootstrap, topic, bad)
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["$.records[1].valu", "$.records[1]", "$.records[2].partition"]
    file = tmp_path / "records.ndjson"
    file.write_text('{"value": 1}\n{"value": 2, "headers": 1}\nnot json\n')
    with pytest.raises(ConfigInvalid) as caught:
        kafka_produce(ctx, real_kafka.bootstrap, topic, file=str(file))
    assert [fault.path for fault in caught.value.faults] == ["line 2: .headers", "line 3"]
    assert caught.value.message.startswith(f"{file}: line 2: ")
    with pytest.raises(ConfigInvalid, match="no partition 4"):
        kafka_produce(ctx, real_kafka.bootstrap, topic, [{"value": 1, "partition": 4}])
    both: dict[str, Any] = {"records": [], "file": "x"}
    for given in ({}, both):
        with pytest.raises(ConfigInvalid, match="either records or a file"):
            kafka_produce(ctx, real_kafka.bootstrap, topic, **given)
    with pytest.raises(NotFound, match="there is no file"):
        kafka_produce(ctx, real_kafka.bootstrap, topic, file="nowhere.ndjson")
    assert values(ctx, real_kafka, topic) == []


def test_a_topic_that_is_not_there_is_not_created(ctx: Context, cluster: Cluster) -> None:
    with pytest.raises(NotFound) as caught:
        kafka_produce(ctx, cluster, "nowhere", [{"value": 1}])
    assert caught.value.path == "$.topic"


def test_the_record_that_the_broker_refuses_is_named(
    ctx: Context, cluster: Cluster, real_kafka: Broker
) -> None:
    """A large record in the middle takes nothing with it that came before."""
    topic = real_kafka.topic(1, {"max.message.bytes": "10000"})
    records = [{"value": "x" * size} for size in (900, 900, 20_000, 900)]
    with pytest.raises(AspError) as caught:
        kafka_produce(ctx, cluster, topic, records)
    error = caught.value
    assert int(error.exit_code) == 64
    assert error.details["first_failed"] == "$.records[2]"
    assert "$.records[2]" in error.message
    assert "large" in error.message
    assert error.details["written"]["count"] >= 2
    written = list(kafka_consume(ctx, real_kafka.bootstrap, topic))
    assert len(written) == error.details["written"]["count"]


def test_a_file_of_documents_and_standard_input(
    kafka_project: Project, real_kafka: Broker, tmp_path: Path
) -> None:
    topic = real_kafka.topic()
    base = {"kafka": real_kafka.bootstrap, "topic": topic}
    file = tmp_path / "documents.ndjson"
    file.write_text("".join(f'{{"id": "p{n}", "watts": {n}}}\n' for n in range(2000)))
    done = kafka_project.run("kafka_produce", {**base, "file": str(file), "key_field": "id"})
    assert (done.code, done.result["count"]) == (0, 2000)
    config = kafka_project.config({**base, "file": "-"})
    command = kafka_project.command("kafka_produce", config)
    piped = subprocess.run(
        command, input=b'{"value": "from a pipe"}\n\n{"value": 5}\nbroken\n{"value": 6}\n',
        env=kafka_project.environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    result = json.loads(piped.stdout)
    assert piped.returncode == 64
    assert (result["path"], result["details"]["written"]["count"]) == ("line 4", 2)
    read = kafka_project.run("kafka_consume", {**base, "tail": 3}, "--output", "ndjson")
    assert [it["value"] for it in read.documents] == [
        {"id": "p1999", "watts": 1999},
        "from a pipe",
        5,
    ]
    assert read.documents[0]["key"] == "p1999"
    assert not read.err.strip() or "recorded as" in read.err


def test_standard_input_holds_one_thing_only(kafka_project: Project, real_kafka: Broker) -> None:
    config = {"kafka": real_kafka.bootstrap, "topic": real_kafka.topic(), "file": "-"}
    command = kafka_project.command("kafka_produce", config)
    command[-1] = "-"
    done = subprocess.run(
        command, input=json.dumps(config), text=True,
        env=kafka_project.environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 64
    assert "standard input held the config already" in done.stderr
