"""Shards that split, merge, end, expire and disappear while a Kinesis source reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.kinesis_options import KinesisSourceOptions
from asp_utils.engine.sources.kinesis_source import KinesisSource, open_kinesis
from tests.aws.conftest import START_MS
from tests.aws.kinesis_service import KinesisService, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]
    Open = Callable[..., KinesisSource]

WAIT_MS = 2000


@pytest.fixture
def opened(
    surroundings: Callable[..., Surroundings], kinesis_service: KinesisService
) -> Iterator[Open]:
    """Opens sources that begin at the oldest record, unless `config` says otherwise."""
    made: list[KinesisSource] = []

    def build(position: Any = None, **options: Any) -> KinesisSource:
        given = {
            "connectionName": "fake",
            "stream": "s",
            "config": {"initialPosition": "TRIM_HORIZON"},
            **options,
        }
        parsed = KinesisSourceOptions.model_validate(given)
        made.append(open_kinesis(parsed, surroundings(**kinesis_service.connections), position))
        return made[-1]

    yield build
    for source in made:
        source.close()


def read(source: KinesisSource, count: int) -> list[int]:
    """That many numbers; the suite's timeout bounds it."""
    numbers: list[int] = []
    while len(numbers) < count:
        batch = source.read(2000, WAIT_MS)
        numbers += [document["n"] for document in batch.documents] if batch else []
    return numbers


def wait_for(source: KinesisSource, shards: set[str]) -> None:
    """Read on until exactly these shards are left."""
    while set(source.partitions) != shards:
        source.read(2000, WAIT_MS)


def numbers(*values: int) -> list[Document]:
    return [{"n": value} for value in values]


def test_children_are_read_when_their_parent_is_through(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.begin("other")
    kinesis_service.put("a", *numbers(*range(7)))
    kinesis_service.begin("b", "a")
    kinesis_service.begin("c", "a")
    kinesis_service.put("b", *numbers(7))
    source = opened()
    assert set(source.partitions) == {"a", "other"}
    assert read(source, 8) == list(range(8))
    wait_for(source, {"b", "c", "other"})


def test_a_merged_shard_waits_for_both_parents(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.begin("b")
    source = opened()
    kinesis_service.put("a", *numbers(1))
    kinesis_service.put("b", *numbers(*range(10, 30)))
    kinesis_service.begin("c", "a", "b")
    kinesis_service.put("c", *numbers(99))
    found = read(source, 22)
    assert found[-1] == 99
    assert sorted(found[:-1]) == [1, *range(10, 30)]
    wait_for(source, {"c"})


def test_some_partition_always_holds_the_watermark(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.put("a", *numbers(1, 2, 3))
    kinesis_service.begin("b", "a")
    source = opened()
    while set(source.partitions) != {"b"}:
        source.read(1, WAIT_MS)
        assert source.partitions


def test_a_restart_goes_on_at_every_shard(opened: Open, kinesis_service: KinesisService) -> None:
    for name in ("a", "b"):
        kinesis_service.begin(name)
        kinesis_service.put(name, *numbers(1))
    first = opened()
    read(first, 2)
    kinesis_service.begin("c", "a")
    wait_for(first, {"b", "c"})
    first.close()
    # While nobody reads, records come and a shard splits.
    kinesis_service.put("b", *numbers(2))
    kinesis_service.put("c", *numbers(3))
    kinesis_service.begin("d", "b")
    kinesis_service.put("d", *numbers(4))
    kinesis_service.asked.clear()
    second = opened(first.position)
    found = read(second, 3)
    assert sorted(found) == [2, 3, 4]
    assert found.index(2) < found.index(4)
    assert "a" not in {request["ShardId"] for request in kinesis_service.asked}


def test_shards_whose_retention_is_over_do_not_hold_their_children_back(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    position = opened().position
    kinesis_service.begin("b", "a")
    kinesis_service.put("b", *numbers(1))
    kinesis_service.forget("a")
    assert read(opened(position), 1) == [1]


def test_a_first_start_behind_the_newest_skips_ended_shards(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.put("a", *numbers(1))
    kinesis_service.begin("b", "a")
    kinesis_service.put("b", *numbers(2))
    source = opened(config={})
    assert source.partitions == ["b"]
    kinesis_service.put("b", *numbers(3))
    assert read(source, 1) == [3]


@pytest.mark.proves(
    "$source:awskinesisdatastreams.reshardDetectionIntervalSecs",
    "$source:awskinesisdatastreams.config.reshardDetectionIntervalSecs",
)
@pytest.mark.parametrize("place", ["top", "config"])
def test_new_shards_are_looked_for_in_intervals(
    opened: Open, kinesis_service: KinesisService, clock: ManualClock, place: str
) -> None:
    kinesis_service.begin("a")
    interval: Document = {"reshardDetectionIntervalSecs": 60}
    source = opened(**({"config": interval} if place == "config" else interval))
    kinesis_service.begin("b")
    kinesis_service.put("b", *numbers(1))
    clock.advance(59_999)
    assert source.read(10, 500) is None
    clock.advance(1)
    assert 1 in read(source, 1)


def test_an_iterator_that_expired_is_asked_for_again(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.put("a", *numbers(1))
    source = opened()
    assert read(source, 1) == [1]
    kinesis_service.expire()
    kinesis_service.put("a", *numbers(2))
    assert read(source, 1) == [2]


def test_throttling_is_waited_for(
    opened: Open, kinesis_service: KinesisService, clock: ManualClock
) -> None:
    kinesis_service.begin("a")
    kinesis_service.put("a", *numbers(1))
    kinesis_service.refusals = [
        Refused("ProvisionedThroughputExceededException"), Refused("InternalFailure", 500)
    ]  # fmt: skip
    assert read(opened(), 1) == [1]
    assert clock.now_ms() == START_MS + 100 + 200


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [
        ("AccessDeniedException", 460, True),
        ("ExpiredTokenException", 460, True),
        ("KMSDisabledException", 461, False),
    ],
)
def test_what_does_not_pass_fails_the_processor(
    opened: Open, kinesis_service: KinesisService, kind: str, code: int, retryable: bool
) -> None:
    kinesis_service.begin("a")
    kinesis_service.refusals = [Refused(kind)]
    with pytest.raises(ProcessorFailed, match=kind) as failed:
        read(opened(), 1)
    assert (failed.value.code, failed.value.retryable) == (code, retryable)


def test_records_of_before_a_failure_are_still_given(
    opened: Open, kinesis_service: KinesisService
) -> None:
    kinesis_service.begin("a")
    kinesis_service.put("a", *numbers(1))
    source = opened()
    assert read(source, 1) == [1]
    kinesis_service.put("a", *numbers(2))
    assert read(source, 1) == [2]
    kinesis_service.refusals = [Refused("KMSDisabledException")]
    with pytest.raises(ProcessorFailed):
        read(source, 1)
    assert source.position == {"a": {"after": "2"}}
