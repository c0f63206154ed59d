"""Topics of a Kafka cluster: list, describe, create, ensure, alter, delete.

Every change reads the topic back: a result says what was observed, never what was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from asp_utils.admin import topics
from asp_utils.admin.kafka import kafka_cluster
from asp_utils.operation import operation

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.topics import TopicChange
    from asp_utils.clients.kafka_topics import TopicListed, TopicState
    from asp_utils.context import Context
    from asp_utils.model.parameters import Kafka, TimeoutSeconds, TopicName

    Partitions = Annotated[
        int | None,
        Field(ge=1, description="How many partitions; the cluster's choice if left out."),
    ]
    Replicas = Annotated[
        int | None,
        Field(
            ge=1, description="On how many brokers each is kept; the cluster's choice if left out."
        ),
    ]
    TopicConfig = Annotated[
        dict[str, str | int | float | bool] | None,
        Field(
            description="Settings of the topic, in Kafka's words.",
            examples=[{"retention.ms": 86400000, "cleanup.policy": "compact"}],
        ),
    ]


class Topics(TypedDict):
    """The topics of a cluster."""

    topics: list[TopicListed]
    """One object each, by name."""


@operation(effect="read")
def topic_list(
    ctx: Context,
    kafka: Kafka,
    include_internal: Annotated[
        bool, Field(description="Show those too in which Kafka keeps its own state.")
    ] = False,
    timeout_s: TimeoutSeconds = 30,
) -> Topics:
    """List the topics of a Kafka cluster.

    Raises:
        Unreachable: No broker can be used; the reason of each is named.
        PermissionDenied: The credentials are not accepted.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        found = cluster.topics()
    return {"topics": [it for it in found if include_internal or not it["is_internal"]]}


@operation(effect="read")
def topic_describe(
    ctx: Context, kafka: Kafka, topic: TopicName, timeout_s: TimeoutSeconds = 30
) -> TopicState:
    """Show a topic's partitions, leaders, replicas, offsets and settings.

    Raises:
        NotFound: There is no such topic.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return topics.get_topic(cluster, topic)


@operation(effect="write")
def topic_create(
    ctx: Context,
    kafka: Kafka,
    topic: TopicName,
    partitions: Partitions = None,
    replication_factor: Replicas = None,
    config: TopicConfig = None,
    timeout_s: TimeoutSeconds = 30,
) -> TopicChange:
    """Create a topic and wait until all its partitions can be used.

    Raises:
        Conflict: It exists; `topic_ensure` takes it as it is.
        ConfigInvalid: The cluster does not take it: replicas, settings, a policy of its own.
        TimedOut: It was created, and cannot be used yet.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return topics.create_topic(
            ctx, cluster, topic, partitions, replication_factor, config or {}, timeout_s
        )


@operation(effect="write")
def topic_ensure(
    ctx: Context,
    kafka: Kafka,
    topic: TopicName,
    partitions: Annotated[
        int | None, Field(ge=1, description="How many partitions; not looked at if left out.")
    ] = None,
    replication_factor: Annotated[
        int | None,
        Field(ge=1, description="On how many brokers each is kept; not looked at if left out."),
    ] = None,
    config: Annotated[
        dict[str, str | int | float | bool] | None,
        Field(description="Settings that it is to have; others are not looked at."),
    ] = None,
    apply_differences: Annotated[
        bool,
        Field(
            description="Change a topic that is there and differs: add partitions, set settings. "
            "False only shows the differences."
        ),
    ] = False,
    timeout_s: TimeoutSeconds = 30,
) -> TopicChange:
    """Create a topic unless it is there; show how the one that is differs, or change it.

    Raises:
        Conflict: It is to be changed in what cannot be: fewer partitions, other replicas. Nothing
            was changed.
        ConfigInvalid: The cluster does not take it: replicas, settings, a policy of its own.
        TimedOut: It was changed, and that is not to be seen yet.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return topics.ensure_topic(
            ctx,
            cluster,
            topic,
            partitions,
            replication_factor,
            config or {},
            timeout_s,
            apply=apply_differences,
        )


@operation(effect="write")
def topic_alter(
    ctx: Context,
    kafka: Kafka,
    topic: TopicName,
    config: Annotated[
        dict[str, str | int | float | bool] | None,
        Field(description="Settings to set, in Kafka's words; others stay as they are."),
    ] = None,
    reset_config: Annotated[
        list[str] | None,
        Field(description="Settings to take back to what the cluster has for all topics."),
    ] = None,
    partitions: Annotated[
        int | None, Field(ge=1, description="How many partitions in all; they can only be added.")
    ] = None,
    timeout_s: TimeoutSeconds = 30,
) -> TopicChange:
    """Set or take back settings of a topic, and add partitions.

    Keys go to other partitions after some were added: records of one key may then be in two.

    Raises:
        NotFound: There is no such topic.
        ConfigInvalid: A setting is wrong, the topic has more partitions already, or nothing is to
            change.
        TimedOut: It was changed, and that is not to be seen yet.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return topics.alter_topic(
            ctx, cluster, topic, config or {}, reset_config or [], partitions, timeout_s
        )


@operation(effect="destroy")
def topic_delete(
    ctx: Context, kafka: Kafka, topic: TopicName, timeout_s: TimeoutSeconds = 30
) -> TopicChange:
    """Delete a topic with all its records, and wait until it is gone.

    Raises:
        NotFound: There is no such topic.
        ConfigInvalid: Kafka keeps its own state in it, so it stays.
        TimedOut: It was still there when the time was up.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return topics.delete_topic(ctx, cluster, topic, timeout_s)
