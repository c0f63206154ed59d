"""Consumer groups over Kafka's own protocol: who reads, and how far."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from asp_utils.clients.kafka_calls import kafka_error
from asp_utils.clients.kafka_positions import end_offsets
from asp_utils.clients.kafka_topics import (
    DEAD,
    GroupListed,
    GroupMember,
    GroupOffset,
    GroupState,
    no_group,
)
from asp_utils.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asp_utils.clients.kafka_calls import AdminCalls

_PATH = "$.group"


def list_groups(calls: AdminCalls) -> list[GroupListed]:
    """All groups that this user may see, by name.

    Raises:
        AspError: A broker did not tell its groups; then none are shown, as some would be missing.
    """
    future = calls.client.list_consumer_groups(request_timeout=calls.timeout_s)
    found = calls.result(future, "consumer groups")
    if found.errors:
        raise kafka_error(found.errors[0].args[0], "consumer groups", calls.trouble)
    listed = [
        GroupListed(
            group=item.group_id,
            state=_word(item.state),
            is_simple=item.is_simple_consumer_group,
        )
        for item in found.valid
    ]
    return sorted(listed, key=lambda item: item["group"])


def describe_group(calls: AdminCalls, name: str) -> GroupState:
    """A group and its members.

    Raises:
        NotFound: There is no such group.
    """
    futures = calls.client.describe_consumer_groups([name], request_timeout=calls.timeout_s)
    found = calls.result(futures[name], f"consumer group {name!r}", _PATH)
    if _word(found.state) == DEAD:
        raise no_group(name, lambda: list_groups(calls))
    coordinator = found.coordinator.id if found.coordinator is not None else None
    return GroupState(
        group=name,
        state=_word(found.state),
        is_simple=found.is_simple_consumer_group,
        partition_assignor=found.partition_assignor or "",
        coordinator=coordinator,
        members=[_member(member) for member in found.members],
    )


def group_offsets(calls: AdminCalls, name: str) -> list[GroupOffset]:
    """How far a group is, in what it has committed and in what its members read now.

    Raises:
        NotFound: There is no such group.
    """
    state = describe_group(calls, name)
    committed = committed_offsets(calls, name)
    readers = {
        (topic, number): member["client"]
        for member in state["members"]
        for topic, numbers in (member["partitions"] or {}).items()
        for number in numbers
    }
    places = sorted({*committed, *readers})
    ends = _ends(calls, places)
    return [
        GroupOffset(
            topic=topic,
            partition=number,
            committed_offset=committed.get((topic, number)),
            end_offset=ends.get((topic, number)),
            lag=_lag(committed.get((topic, number)), ends.get((topic, number))),
            client=readers.get((topic, number)),
        )
        for topic, number in places
    ]


def committed_offsets(calls: AdminCalls, name: str) -> dict[tuple[str, int], int]:
    """The offsets that a group has committed, by topic and partition."""
    asked = [ConsumerGroupTopicPartitions(name)]
    futures = calls.client.list_consumer_group_offsets(asked, request_timeout=calls.timeout_s)
    found = calls.result(futures[name], f"consumer group {name!r}", _PATH)
    return {
        (place.topic, place.partition): place.offset
        for place in found.topic_partitions
        if place.offset >= 0
    }


def move_group(calls: AdminCalls, name: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Commit offsets in the name of a group that has no members.

    Raises:
        Conflict: It has members; nothing was changed.
    """
    places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
    asked = [ConsumerGroupTopicPartitions(name, places)]
    futures = calls.client.alter_consumer_group_offsets(asked, request_timeout=calls.timeout_s)
    found = calls.result(futures[name], f"consumer group {name!r}", _PATH)
    for place in found.topic_partitions:
        if place.error is not None:
            what = f"consumer group {name!r}, partition {place.partition}"
            raise kafka_error(place.error, what, calls.trouble, _PATH)


def refuse_members(state: GroupState) -> None:
    """Make sure that a group has no members.

    Raises:
        Conflict: It has.
    """
    if state["members"]:
        clients = ", ".join(sorted({member["client"] for member in state["members"]}))
        raise Conflict(
            f"consumer group {state['group']!r} is {state['state']}: {clients} reads in it",
            hint="stop its consumers first",
            path=_PATH,
        )


def _member(member: Any) -> GroupMember:
    partitions: dict[str, list[int]] = defaultdict(list)
    for place in member.assignment.topic_partitions if member.assignment else ():
        partitions[place.topic].append(place.partition)
    return GroupMember(
        member=member.member_id,
        client=member.client_id,
        host=member.host.removeprefix("/"),
        partitions={topic: sorted(numbers) for topic, numbers in sorted(partitions.items())},
    )


def _ends(calls: AdminCalls, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, number in places:
        by_topic[topic].append(number)
    ends: dict[tuple[str, int], int] = {}
    for topic, numbers in by_topic.items():
        try:
            found = end_offsets(calls, topic, numbers)
        except NotFound:
            continue
        ends |= {(topic, number): offset for number, offset in found.items()}
    return ends


def _lag(committed: int | None, end: int | None) -> int | None:
    return None if committed is None or end is None else max(0, end - committed)


def _word(state: Any) -> str:
    return str(getattr(state, "name", state))
