"""Topics and cluster over Kafka's own protocol, by confluent-kafka's admin client.

Source: Kafka protocol guide, as librdkafka speaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin._config import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from asp_utils.clients import kafka_groups
from asp_utils.clients.kafka_calls import AdminCalls, kafka_error
from asp_utils.clients.kafka_messages import send
from asp_utils.clients.kafka_positions import topic_bounds
from asp_utils.clients.kafka_topics import (
    BrokerListed,
    ClusterState,
    TopicListed,
    TopicPartitionState,
    TopicState,
    no_topic,
)
from asp_utils.errors import NotFound, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asp_utils.clients.kafka_topics import (
        Delivery,
        GroupListed,
        GroupOffset,
        GroupState,
        OutgoingRecord,
    )

_AT_ONCE: Final = 500
_PATH: Final = "$.topic"
_BY_CLUSTER: Final = -1
"""What Kafka takes for "as the cluster is set up"."""


class KafkaAdmin:
    """A cluster reached over Kafka's own protocol; see `TopicsTransport`.

    Args:
        connection: A Kafka connection, with the fields that Atlas has for one.
        timeout_s: How long one call may take.

    Raises:
        ConfigInvalid: librdkafka cannot use these settings.
    """

    kind: Literal["kafka", "rest"] = "kafka"

    def __init__(self, connection: Mapping[str, Any], timeout_s: float) -> None:
        self.connection = connection
        self.calls = AdminCalls(connection, timeout_s)
        self._asking = {"request_timeout": timeout_s}
        self._changing = {"operation_timeout": timeout_s, "request_timeout": timeout_s}

    def topics(self) -> list[TopicListed]:
        """All topics that this user may see, internal ones too, by name."""
        # Answers within the slices of a future; the call below would block for all of its time.
        self.cluster()
        try:
            listed = self.calls.client.list_topics(timeout=self.calls.timeout_s).topics
        except KafkaException as error:
            raise kafka_error(error.args[0], "topics", self.calls.trouble) from error
        return [_listed(found) for found in self._described(sorted(listed))]

    def find_topic(self, name: str) -> TopicState | None:
        """A topic; None when there is none."""
        found = next(self._described([name]), None)
        if found is None:
            return None
        config, defaults = self._config(name)
        bounds = topic_bounds(self.calls, name, [part.id for part in found.partitions])
        partitions = [_partition(part, bounds.get(part.id)) for part in found.partitions]
        whole = len(bounds) == len(partitions)
        return TopicState(
            **_listed(found),
            topic_id=str(found.topic_id),
            partitions=partitions,
            estimated_message_count=sum(hi - lo for lo, hi in bounds.values()) if whole else None,
            config=config,
            default_config=defaults,
        )

    def partitions(self, name: str) -> list[int]:
        """The numbers of a topic's partitions.

        Raises:
            NotFound: There is no such topic.
        """
        found = next(self._described([name]), None)
        if found is None:
            raise no_topic(name, self.topics)
        return [part.id for part in found.partitions]

    def create_topic(
        self,
        name: str,
        partition_count: int | None,
        replication_factor: int | None,
        config: Mapping[str, str],
    ) -> None:
        """Create a topic; what is None is left to the cluster."""
        new = NewTopic(
            name, partition_count or _BY_CLUSTER, replication_factor or _BY_CLUSTER,
            config=dict(config),
        )  # fmt: skip
        future = self.calls.client.create_topics([new], **self._changing)[name]
        self.calls.result(future, f"topic {name!r}", _PATH)

    def alter_topic(self, name: str, config: Mapping[str, str], reset: Iterable[str]) -> None:
        """Set some settings of a topic, and take others back to the cluster's own."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        entries += [
            ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in reset
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        futures = self.calls.client.incremental_alter_configs([resource], **self._asking)
        self.calls.result(futures[resource], f"topic {name!r}", "$.config")

    def grow_topic(self, name: str, partition_count: int) -> None:
        """Give a topic more partitions, that many in all."""
        new = NewPartitions(name, partition_count)
        future = self.calls.client.create_partitions([new], **self._changing)[name]
        self.calls.result(future, f"topic {name!r}", "$.partitions")

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        future = self.calls.client.delete_topics([name], **self._changing)[name]
        self.calls.result(future, f"topic {name!r}", _PATH)

    def send(self, topic: str, records: Iterable[OutgoingRecord], delivery: Delivery) -> None:
        """Write records until one fails; what came of each is told to `delivery`."""
        try:
            own, others = self._config(topic)
            limit = (others | own).get("max.message.bytes")
        except PermissionDenied:  # who may write need not be allowed to look at settings
            limit = None
        send(self.connection, topic, records, delivery, self.calls.timeout_s, int(limit or 0))

    def groups(self) -> list[GroupListed]:
        """All consumer groups, by name."""
        return kafka_groups.list_groups(self.calls)

    def group(self, name: str) -> GroupState:
        """A consumer group."""
        return kafka_groups.describe_group(self.calls, name)

    def group_offsets(self, name: str) -> list[GroupOffset]:
        """How far a group is, for each partition it read or reads."""
        return kafka_groups.group_offsets(self.calls, name)

    def cluster(self) -> ClusterState:
        """The cluster itself."""
        future = self.calls.client.describe_cluster(
            include_authorized_operations=True, **self._asking
        )
        found = self.calls.result(future, "the cluster")
        allowed = found.authorized_operations
        return ClusterState(
            cluster_id=found.cluster_id,
            controller=found.controller.id if found.controller is not None else None,
            brokers=[
                BrokerListed(id=node.id, host=node.host, port=node.port, rack=node.rack)
                for node in sorted(found.nodes, key=lambda node: int(node.id))
            ],
            authorized_operations=sorted(item.name for item in allowed) if allowed else None,
        )

    def close(self) -> None:
        """End the connection."""
        self.calls.close()

    def _described(self, names: Sequence[str]) -> Iterator[Any]:
        """The descriptions of topics; those that are not there are left out."""
        for start in range(0, len(names), _AT_ONCE):
            part = TopicCollection(list(names[start : start + _AT_ONCE]))
            futures = self.calls.client.describe_topics(part, **self._asking)
            for name, future in futures.items():
                try:
                    yield self.calls.result(future, f"topic {name!r}", _PATH)
                except NotFound:
                    continue

    def _config(self, name: str) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """The settings given to a topic, and those that it has from the cluster."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        future = self.calls.client.describe_configs([resource], **self._asking)[resource]
        entries = self.calls.result(future, f"topic {name!r}", _PATH)
        own: dict[str, str | None] = {}
        others: dict[str, str | None] = {}
        for key, entry in sorted(entries.items()):
            source = ConfigSource(entry.source)
            (own if source is ConfigSource.DYNAMIC_TOPIC_CONFIG else others)[key] = entry.value
        return own, others


def _listed(found: Any) -> TopicListed:
    first = found.partitions[0].replicas if found.partitions else ()
    return TopicListed(
        name=found.name,
        partition_count=len(found.partitions),
        replication_factor=len(first),
        is_internal=found.is_internal,
    )


def _partition(part: Any, bounds: tuple[int, int] | None) -> TopicPartitionState:
    low, high = bounds or (None, None)
    return TopicPartitionState(
        partition=part.id,
        leader=part.leader.id if part.leader is not None else None,
        replicas=[node.id for node in part.replicas],
        in_sync_replicas=[node.id for node in part.isr],
        low_offset=low,
        high_offset=high,
    )
