"""What can be asked of a Kafka cluster, whichever way it is reached, and the shapes of the answers.

Two transports speak this: Kafka's own protocol (`kafka_admin`) and Confluent's REST API v3
(`confluent_rest`). Operations know `TopicsTransport` only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NotRequired, Protocol, TypedDict

from asp_utils.errors import AspError, NotFound
from asp_utils.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEAD: Final = "DEAD"
"""The state of a group that is not there."""


class TopicListed(TypedDict):
    """A topic in a list."""

    name: str
    """Name of the topic."""
    partition_count: int
    """How many partitions it has."""
    replication_factor: int
    """On how many brokers each partition is kept."""
    is_internal: bool
    """Whether Kafka keeps its own state in it."""


class TopicPartitionState(TypedDict):
    """One partition of a topic."""

    partition: int
    """Its number."""
    leader: int | None
    """The broker that serves it; null while there is none."""
    replicas: list[int] | None
    """The brokers that keep it; null where the transport does not tell."""
    in_sync_replicas: list[int] | None
    """Those of them that are up to date; null where the transport does not tell."""
    low_offset: int | None
    """The first offset that is still there; null where it cannot be known."""
    high_offset: int | None
    """The offset that the next record gets; null where it cannot be known."""


class TopicState(TypedDict):
    """A topic as it is."""

    name: str
    """Name of the topic."""
    topic_id: str | None
    """Its id, which a topic of the same name created later does not share."""
    is_internal: bool
    """Whether Kafka keeps its own state in it."""
    partition_count: int
    """How many partitions it has."""
    replication_factor: int
    """On how many brokers each partition is kept."""
    partitions: list[TopicPartitionState]
    """One object each, by number."""
    estimated_message_count: int | None
    """High minus low offsets; more than there are records where they are compacted or in
    transactions. Null where offsets cannot be known."""
    config: dict[str, str | None]
    """The settings that were given to this topic; null for one that is kept secret."""
    default_config: NotRequired[dict[str, str | None]]
    """All other settings, as they come from the cluster; `topic_describe` alone shows them."""


class GroupListed(TypedDict):
    """A consumer group in a list."""

    group: str
    """Its name."""
    state: str
    """STABLE, EMPTY, PREPARING_REBALANCING, …"""
    is_simple: bool
    """Whether it only keeps offsets: its consumers choose partitions themselves."""


class GroupMember(TypedDict):
    """One consumer of a group."""

    member: str
    """Its id."""
    client: str
    """The name it gives itself (client.id)."""
    host: str | None
    """Where it runs; null where the transport does not tell."""
    partitions: dict[str, list[int]] | None
    """Partitions it reads, by topic; null where the transport does not tell."""


class GroupState(TypedDict):
    """A consumer group as it is."""

    group: str
    """Its name."""
    state: str
    """STABLE, EMPTY, PREPARING_REBALANCING, …"""
    is_simple: bool
    """Whether it only keeps offsets: its consumers choose partitions themselves."""
    partition_assignor: str
    """How partitions are shared out; "" for none."""
    coordinator: int | None
    """The broker that keeps the group."""
    members: list[GroupMember]
    """Its consumers."""


class GroupOffset(TypedDict):
    """How far a group is in one partition."""

    topic: str
    """Name of the topic."""
    partition: int
    """Number of the partition."""
    committed_offset: int | None
    """The offset that the group reads next; null when it never said."""
    end_offset: int | None
    """The offset that the next record gets; null when the topic is gone."""
    lag: int | None
    """Records that the group has not read; null when one of both is not known."""
    client: str | None
    """The consumer that reads the partition; null when none does."""


class BrokerListed(TypedDict):
    """One broker."""

    id: int
    """Its number."""
    host: str
    """Its host name, as it tells clients."""
    port: int
    """Its port."""
    rack: str | None
    """Its rack or zone; null for none."""


class ClusterState(TypedDict):
    """A Kafka cluster."""

    cluster_id: str | None
    """Its id."""
    controller: int | None
    """The broker that answers for the controller; null where the transport does not tell."""
    brokers: list[BrokerListed] | None
    """Its brokers; null where the transport does not tell."""
    authorized_operations: list[str] | None
    """What this user may do with the cluster as a whole; null where the cluster does not tell."""


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """One record, ready to be written."""

    number: int
    """Its place in the input, counted from 1."""
    value: bytes | None
    """None deletes the key from a compacted topic."""
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int | None = None
    """The partition; by the key when None."""
    timestamp_ms: int | None = None
    """Since 1970; the time of writing when None."""

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(slots=True)
class Delivery:
    """What came of writing records."""

    count: int = 0
    """Records that the cluster has confirmed."""
    size_bytes: int = 0
    """Bytes of their keys and values."""
    offsets: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """By partition: how many, the first and the last offset."""
    failed_count: int = 0
    """Records that were sent and not confirmed."""
    failure: tuple[int, AspError] | None = None
    """The number of the first of them, and why."""

    def confirm(self, partition: int, offset: int, size_bytes: int) -> None:
        """Count a record that was written."""
        self.count += 1
        self.size_bytes += size_bytes
        count, first, last = self.offsets.get(partition, (0, offset, offset))
        self.offsets[partition] = count + 1, min(first, offset), max(last, offset)

    def fail(self, number: int, error: AspError) -> None:
        """Count a record that was not, or not for sure."""
        self.failed_count += 1
        if self.failure is None or number < self.failure[0]:
            self.failure = number, error


class TopicsTransport(Protocol):
    """A Kafka cluster that is reached one way or another; every method may raise `AspError`s."""

    kind: Literal["kafka", "rest"]
    """Which transport it is."""

    def topics(self) -> list[TopicListed]:
        """All topics that this user may see, internal ones too, by name."""
        ...

    def find_topic(self, name: str) -> TopicState | None:
        """A topic; None when there is none."""
        ...

    def partitions(self, name: str) -> list[int]:
        """The numbers of a topic's partitions; NotFound when there is no such topic.

        Who may write or read a topic may ask for this, and perhaps for nothing else.
        """
        ...

    def create_topic(
        self,
        name: str,
        partition_count: int | None,
        replication_factor: int | None,
        config: Mapping[str, str],
    ) -> None:
        """Create a topic; what is None is left to the cluster. Conflict when it exists."""
        ...

    def alter_topic(self, name: str, config: Mapping[str, str], reset: Iterable[str]) -> None:
        """Set some settings of a topic, and take others back to the cluster's own."""
        ...

    def grow_topic(self, name: str, partition_count: int) -> None:
        """Give a topic more partitions, that many in all."""
        ...

    def delete_topic(self, name: str) -> None:
        """Delete a topic. NotFound when there is none."""
        ...

    def send(self, topic: str, records: Iterable[OutgoingRecord], delivery: Delivery) -> None:
        """Write records until one fails; what came of each is told to `delivery` as it is known."""
        ...

    def groups(self) -> list[GroupListed]:
        """All consumer groups, by name."""
        ...

    def group(self, name: str) -> GroupState:
        """A consumer group. NotFound when there is none."""
        ...

    def group_offsets(self, name: str) -> list[GroupOffset]:
        """How far a group is, for each partition it read or reads. NotFound when there is none."""
        ...

    def cluster(self) -> ClusterState:
        """The cluster itself."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def no_group(name: str, listed: Callable[[], Iterable[GroupListed]]) -> NotFound:
    """The error for a group that is not there; older clusters say that it is DEAD."""
    hint = _meant(name, lambda: [group["group"] for group in listed()])
    hint = hint or "list the groups: cli_kafka_group_list.py"
    return NotFound(f"there is no consumer group {name!r}", hint=hint, path="$.group")


def no_topic(name: str, listed: Callable[[], Iterable[TopicListed]]) -> NotFound:
    """The error for a topic that is not there, with what the reader may have meant."""
    hint = _meant(name, lambda: [topic["name"] for topic in listed()])
    hint = hint or "list the topics: cli_topic_list.py; create it: cli_topic_create.py"
    return NotFound(f"there is no topic {name!r}", hint=hint, path="$.topic")


def _meant(name: str, known: Callable[[], list[str]]) -> str:
    """A guess; none where these credentials may not list."""
    try:
        return meant(name, known())
    except AspError:
        return ""
