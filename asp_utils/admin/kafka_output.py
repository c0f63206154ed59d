"""Records of a topic, from a position on, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asp_utils.clients.kafka_messages import MessageReader
from asp_utils.clients.kafka_positions import position_of, resolved, topic_bounds
from asp_utils.errors import AspError, ConfigInvalid, Fault

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from confluent_kafka import Message

    from asp_utils.clients.kafka_admin import KafkaAdmin
    from asp_utils.context import Context


@dataclass(frozen=True)
class Selection:
    """Which records; see the operation `kafka_consume`."""

    start: Any
    tail: int | None
    until_end: bool | None
    limit: int | None
    max_seconds: float | None
    max_bytes: int | None


def consumed(
    ctx: Context, cluster: KafkaAdmin, topic: str, wanted: Selection
) -> Generator[Message, None, None]:
    """The records; see the operation `kafka_consume`.

    Raises:
        AspError: Where reading breaks off, `details` have `count` and `next_offsets`.
    """
    position = position_of(wanted.start, "$.start")
    if wanted.tail is not None and wanted.start != "earliest":
        raise ConfigInvalid("config", [Fault("$.tail", "tail and start exclude each other")])
    partitions = cluster.partitions(topic)
    around = topic_bounds(cluster.calls, topic, partitions, committed_only=True)
    missing = sorted(set(partitions) - set(around))
    if missing:
        ctx.progress(f"warning: partitions {missing} have no leader and are left out")
    starts = resolved(cluster.calls, topic, position, around, "$.start")
    until_end = position.kind != "latest" if wanted.until_end is None else wanted.until_end
    ends = {number: high for number, (_, high) in around.items()} if until_end else None
    reader = MessageReader(cluster.connection, topic, cluster.calls.timeout_s, ctx.cancelled)
    count = size = 0
    try:
        if wanted.tail is not None:
            found: Iterable[Message] = reader.tail(wanted.tail, around, wanted.max_seconds)
        else:
            found = reader.read(starts, ends, wanted.max_seconds)
        for message in found:
            yield message
            count += 1
            size += len(message.key() or b"") + len(message.value() or b"")
            if count == wanted.limit or (wanted.max_bytes and size >= wanted.max_bytes):
                return
    except AspError as error:
        error.details |= {"count": count, "next_offsets": _named(reader.next_offsets)}
        raise
    finally:
        with ctx.undisturbed():
            reader.close()


def _named(offsets: dict[int, int]) -> dict[str, int]:
    """Offsets as `start` takes them."""
    return {str(number): offset for number, offset in sorted(offsets.items())}
