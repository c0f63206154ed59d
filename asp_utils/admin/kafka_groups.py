"""Consumer groups: how far behind they are, and how they are moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.errors import NotFound, TimedOut

if TYPE_CHECKING:
    from asp_utils.clients.kafka_admin import KafkaAdmin
    from asp_utils.clients.kafka_topics import GroupOffset, TopicsTransport


class GroupLag(TypedDict):
    """How far behind one consumer group is."""

    group: str
    """Its name."""
    state: str
    """STABLE, EMPTY, …"""
    lag: int
    """Records it has not read, where that is known."""
    partitions: list[GroupOffset]
    """One object for each partition that it has read or reads."""


class Lag(TypedDict):
    """How far behind consumer groups are."""

    lag: int
    """Records that they have not read, of all groups together."""
    groups: list[GroupLag]
    """One object each, by name."""


class OffsetMove(TypedDict):
    """How one offset of a group moves."""

    partition: int
    """Number of the partition."""
    before: int | None
    """The offset that was committed; null for none."""
    after: int
    """The offset that is committed now, or would be."""


class GroupMove(TypedDict):
    """A consumer group moved to another position."""

    group: str
    """Its name."""
    topic: str
    """Name of the topic."""
    changed: bool
    """Whether any offset is another one now."""
    offsets: list[OffsetMove]
    """One object for each partition."""


def lag_of(cluster: TopicsTransport, group: str | None, topic: str | None) -> Lag:
    """How far behind a group is, or all are, in a topic or in all.

    Raises:
        NotFound: There is no such group.
    """
    if group is not None:
        states = {group: cluster.group(group)["state"]}
    else:
        states = {item["group"]: item["state"] for item in cluster.groups()}
    found: list[GroupLag] = []
    for name, state in states.items():
        try:
            offsets = cluster.group_offsets(name)
        except NotFound:
            if group is not None:
                raise
            continue  # it went since it was listed
        kept = [item for item in offsets if topic in (None, item["topic"])]
        if kept or group is not None or topic is None:
            total = sum(item["lag"] or 0 for item in kept)
            found.append(GroupLag(group=name, state=state, lag=total, partitions=kept))
    return Lag(lag=sum(item["lag"] for item in found), groups=found)


def move_group(
    cluster: KafkaAdmin, group: str, topic: str, to: Any, *, plan_only: bool
) -> GroupMove:
    """Commit another position in the name of a group, which may be a new one.

    Raises:
        Conflict: It has members.
        TimedOut: It was moved, and that is not to be seen.
    """
    # Only this needs confluent-kafka here.
    from asp_utils.clients import kafka_groups
    from asp_utils.clients.kafka_positions import position_of, resolved, topic_bounds

    position = position_of(to, "$.to")
    bounds = topic_bounds(cluster.calls, topic, cluster.partitions(topic))
    wanted = resolved(cluster.calls, topic, position, bounds, "$.to")
    before: dict[tuple[str, int], int] = {}
    try:
        kafka_groups.refuse_members(kafka_groups.describe_group(cluster.calls, group))
        before = kafka_groups.committed_offsets(cluster.calls, group)
    except NotFound:
        pass
    moves = [
        OffsetMove(partition=number, before=before.get((topic, number)), after=offset)
        for number, offset in sorted(wanted.items())
    ]
    changed = [move for move in moves if move["before"] != move["after"]]
    if changed and not plan_only:
        kafka_groups.move_group(cluster.calls, group, topic, wanted)
        seen = kafka_groups.committed_offsets(cluster.calls, group)
        if any(seen.get((topic, number)) != offset for number, offset in wanted.items()):
            details = {"moves": [dict(move) for move in moves]}
            text = f"consumer group {group!r} was moved, and is somewhere else now"
            raise TimedOut(text, hint="does a consumer run again?", details=details)
    return GroupMove(
        group=group, topic=topic, changed=bool(changed) and not plan_only, offsets=moves
    )
