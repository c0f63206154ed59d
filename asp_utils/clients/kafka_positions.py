"""Places in a topic: beginning and end, an offset, a moment in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.errors import ConfigInvalid, Fault, Temporary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asp_utils.clients.kafka_calls import AdminCalls

Bounds = dict[int, tuple[int, int]]
"""By partition: the first offset that is there, and the one that the next record gets."""

_FORMS: Final = (
    'earliest, latest, an offset, {"0": offset, …} by partition, or a time such as '
    "2026-01-20T14:30:00Z"
)


@dataclass(frozen=True)
class Position:
    """Where to begin in each partition."""

    kind: Literal["earliest", "latest", "offset", "offsets", "timestamp"]
    offset: int = 0
    """For `offset` in all partitions; for `timestamp` the milliseconds since 1970."""
    offsets: tuple[tuple[int, int], ...] = ()
    """For `offsets`: partition and offset; other partitions are left out."""


def position_of(value: Any, path: str) -> Position:
    """The position that a parameter names.

    Args:
        value: `earliest`, `latest`, an offset, `{"0": offset, …}`, or a time in ISO 8601 (UTC where
            it names no zone).
        path: JSON path of the parameter.

    Raises:
        ConfigInvalid: It names none.
    """
    if value == "earliest" or value == "latest":
        return Position(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Position("offset", value)
    if isinstance(value, dict) and list(value) == ["$date"]:
        value = value["$date"]
    if isinstance(value, str):
        moment = moment_ms(value)
        if moment is not None:
            return Position("timestamp", moment)
    if isinstance(value, dict):
        return Position("offsets", offsets=_by_partition(value, path))
    raise ConfigInvalid("config", [Fault(path, "this is no position in a topic", _FORMS)])


def moment_ms(text: str) -> int | None:
    """Milliseconds since 1970 of a time in ISO 8601, UTC unless it says else; None for no time."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def topic_bounds(
    calls: AdminCalls, topic: str, partitions: Iterable[int], *, committed_only: bool = False
) -> Bounds:
    """Where each partition begins and ends; partitions without a leader are left out.

    Args:
        calls: The client.
        topic: Name of the topic.
        partitions: Its partitions.
        committed_only: End before the first transaction that is open.
    """
    numbers = list(partitions)
    low = _offsets(calls, topic, numbers, "earliest", committed_only=committed_only)
    high = _offsets(calls, topic, numbers, "latest", committed_only=committed_only)
    return {number: (low[number], high[number]) for number in low if number in high}


def end_offsets(calls: AdminCalls, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """The offset that the next record of each partition gets."""
    return _offsets(calls, topic, list(partitions), "latest")


def resolved(
    calls: AdminCalls, topic: str, position: Position, bounds: Bounds, path: str
) -> dict[int, int]:
    """The offset that a position means in each partition, kept within what is there.

    Raises:
        ConfigInvalid: It names partitions that the topic does not have.
    """
    if position.kind == "earliest":
        return {number: low for number, (low, _) in bounds.items()}
    if position.kind == "latest":
        return {number: high for number, (_, high) in bounds.items()}
    if position.kind == "timestamp":
        found = _offsets(calls, topic, list(bounds), position.offset)
        # -1: there is no record that late.
        return {
            number: found[number] if found.get(number, -1) >= 0 else high
            for number, (_, high) in bounds.items()
        }
    wanted = dict(position.offsets) or dict.fromkeys(bounds, position.offset)
    unknown = sorted(set(wanted) - set(bounds))
    if unknown:
        hint = f"it has {', '.join(map(str, sorted(bounds)))}"
        message = f"topic {topic!r} has no such partition"
        raise ConfigInvalid(
            "config", [Fault(f"{path}.{number}", message, hint) for number in unknown]
        )
    return {
        number: min(max(offset, bounds[number][0]), bounds[number][1])
        for number, offset in wanted.items()
    }


def _by_partition(value: dict[str, Any], path: str) -> tuple[tuple[int, int], ...]:
    faults = []
    for partition, offset in value.items():
        if not (str(partition).isascii() and str(partition).isdigit()):
            faults.append(Fault(f"{path}.{partition}", "this is no partition's number", _FORMS))
        elif not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            faults.append(Fault(f"{path}.{partition}", "this is no offset", "a number from 0 up"))
    if not value:
        faults.append(Fault(path, "no partition is named", _FORMS))
    if faults:
        raise ConfigInvalid("config", faults)
    return tuple((int(partition), offset) for partition, offset in value.items())


def _offsets(
    calls: AdminCalls,
    topic: str,
    partitions: list[int],
    where: Literal["earliest", "latest"] | int,
    *,
    committed_only: bool = False,
) -> dict[int, int]:
    """Offsets by partition; those without a leader are left out."""
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin._listoffsets import OffsetSpec

    if not partitions:
        return {}
    spec: Any = OffsetSpec
    asked = spec.for_timestamp(where) if isinstance(where, int) else getattr(spec, where)()
    level = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
    futures = calls.client.list_offsets(
        {TopicPartition(topic, number): asked for number in partitions},
        isolation_level=level,
        request_timeout=calls.timeout_s,
    )
    found = {}
    for place, future in futures.items():
        try:
            found[place.partition] = calls.result(future, f"topic {topic!r}", "$.topic").offset
        except Temporary:
            continue
    return found
