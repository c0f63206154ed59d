"""Records, consumer groups and brokers of a Kafka cluster."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.kafka import kafka_brokers, kafka_cluster
from asp_utils.admin.kafka_groups import GroupMove, Lag, lag_of, move_group
from asp_utils.admin.kafka_input import Production, produce
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.kafka_records import Format
    from asp_utils.clients.kafka_topics import ClusterState, GroupListed, GroupState
    from asp_utils.context import Context
    from asp_utils.model.parameters import Kafka, TimeoutSeconds, TopicName

    GroupName = Annotated[
        str, Field(min_length=1, description="Name of the consumer group.", examples=["billing"])
    ]
    Position = Annotated[
        str | int | dict[str, Any],
        Field(
            description="`earliest`, `latest`, an offset (in every partition), "
            '`{"0": offset, …}` for some partitions, or a time in ISO 8601.',
            examples=["earliest", 120, {"0": 5, "2": 9}, "2026-01-20T14:30:00Z"],
        ),
    ]


class Groups(TypedDict):
    """The consumer groups of a cluster."""

    groups: list[GroupListed]
    """One object each, by name."""


@operation(effect="write")
def kafka_produce(
    ctx: Context,
    kafka: Kafka,
    topic: TopicName,
    records: Annotated[
        list[Any] | None,
        Field(
            description="Records, `{value, key, headers, partition, timestamp}`; documents that "
            "are values themselves with `plain` or `key_field`.",
            examples=[[{"key": "panel-7", "value": {"watts": 210}, "headers": {"site": "roof"}}]],
        ),
    ] = None,
    file: Annotated[
        str | None,
        Field(
            description="NDJSON file with one of them a line, instead of `records`; relative to "
            "where it is called. `-` is standard input, when the config is a file."
        ),
    ] = None,
    plain: Annotated[bool, Field(description="Each document is a value itself.")] = False,
    key_field: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Field of plain documents that is the key, `sensor.id`; implies `plain`.",
        ),
    ] = None,
    key_format: Annotated[
        Format,
        Field(
            description="How keys become bytes: `string`, `json`, `binData` (base64), `int`, "
            "`long`, `double`; `auto` writes text as it is and everything else as JSON."
        ),
    ] = "auto",
    value_format: Annotated[
        Format, Field(description='How values become bytes. `{"$binary": …}` is bytes in each.')
    ] = "auto",
    timeout_s: TimeoutSeconds = 30,
) -> Production:
    """Write records to a topic, in order, each confirmed by all replicas in sync.

    The producer is idempotent: a repeated attempt writes no record twice. A file is read to its end
    before anything is written, standard input is not. What `kafka_consume` prints can be given.

    Raises:
        NotFound: There is no such topic; it is not created.
        ConfigInvalid: Records are wrong, all are named and none was written; or the cluster does
            not take one. `details` say which record was the first, and what was written before.
        Unreachable: The brokers went away; `details` say what was written.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return produce(
            ctx,
            cluster,
            topic,
            records,
            file,
            plain=plain,
            key_field=key_field,
            key_format=key_format,
            value_format=value_format,
        )


@operation(effect="read")
def kafka_consume(
    ctx: Context,
    kafka: Kafka,
    topic: TopicName,
    start: Position = "earliest",
    tail: Annotated[
        int | None,
        Field(ge=1, description="The last so many records over all partitions; excludes `start`."),
    ] = None,
    until_end: Annotated[
        bool | None,
        Field(
            description="Stop where each partition ended when reading began; False waits for more. "
            "If left out: True, but False from `latest`."
        ),
    ] = None,
    limit: Annotated[
        int | None, Field(ge=1, description="Stop after this many records; no bound if left out.")
    ] = None,
    max_seconds: Annotated[
        float | None, Field(gt=0, description="Stop after this many seconds; no bound if left out.")
    ] = None,
    max_bytes: Annotated[
        int | None,
        Field(ge=1, description="Stop with the record that makes keys and values this large."),
    ] = None,
    key_format: Annotated[
        Format,
        Field(description="What keys are: `auto` is text, and `$binary` what is no text."),
    ] = "auto",
    value_format: Annotated[
        Format,
        Field(
            description="What values are: `auto` is JSON where it can be, then text, then `$binary`"
        ),
    ] = "auto",
    timeout_s: TimeoutSeconds = 30,
) -> Iterator[dict[str, Any]]:
    """Print records of a topic: `{topic, partition, offset, timestamp, key, value, headers}`.

    No group is joined and no offset committed: nobody else notices. Records of one partition come
    in order; only records of committed transactions come.

    Raises:
        NotFound: There is no such topic.
        ConfigInvalid: `start` is no position, or names a partition that is not there.
        Unreachable: No broker answers for `timeout_s`; `details` say where to go on.
    """
    # confluent-kafka costs 30 ms.
    from asp_utils.admin.kafka_output import Selection, consumed
    from asp_utils.admin.kafka_records import shown

    wanted = Selection(start, tail, until_end, limit, max_seconds, max_bytes)
    with (
        kafka_brokers(ctx, kafka, timeout_s, "reading records") as cluster,
        closing(consumed(ctx, cluster, topic, wanted)) as messages,
    ):
        for message in messages:
            yield shown(message, key_format, value_format)


@operation(effect="read")
def kafka_group_list(ctx: Context, kafka: Kafka, timeout_s: TimeoutSeconds = 30) -> Groups:
    """List the consumer groups of a Kafka cluster with their states."""
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return {"groups": cluster.groups()}


@operation(effect="read")
def kafka_group_describe(
    ctx: Context, kafka: Kafka, group: GroupName, timeout_s: TimeoutSeconds = 30
) -> GroupState:
    """Show a consumer group: its state, its members and what each reads.

    Raises:
        NotFound: There is no such group.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return cluster.group(group)


@operation(effect="read")
def kafka_lag(
    ctx: Context,
    kafka: Kafka,
    group: Annotated[
        str | None, Field(min_length=1, description="One consumer group; all if left out.")
    ] = None,
    topic: Annotated[
        str | None, Field(min_length=1, description="One topic; all if left out.")
    ] = None,
    timeout_s: TimeoutSeconds = 30,
) -> Lag:
    """Show how many records consumer groups have not read yet, by partition and in all.

    Raises:
        NotFound: There is no such group.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return lag_of(cluster, group, topic)


@operation(effect="write")
def kafka_group_reset(
    ctx: Context,
    kafka: Kafka,
    group: GroupName,
    topic: TopicName,
    to: Position,
    plan_only: Annotated[
        bool, Field(description="Show what would be committed, and commit nothing.")
    ] = False,
    timeout_s: TimeoutSeconds = 30,
) -> GroupMove:
    """Move a stopped consumer group to another position in a topic.

    Offsets beyond what the topic holds are moved to its nearest end. The result shows the offsets
    before, with which the move can be taken back.

    Raises:
        Conflict: Consumers of the group run. Nothing was changed.
        NotFound: There is no such topic.
        ConfigInvalid: `to` is no position, or names a partition that is not there.
    """
    with kafka_brokers(ctx, kafka, timeout_s, "moving a group") as cluster:
        return move_group(cluster, group, topic, to, plan_only=plan_only)


@operation(effect="read")
def kafka_cluster_info(ctx: Context, kafka: Kafka, timeout_s: TimeoutSeconds = 30) -> ClusterState:
    """Show a Kafka cluster: its id, its brokers, and what this user may do with it.

    Raises:
        Unreachable: No broker can be used; the reason of each is named.
        PermissionDenied: The credentials are not accepted.
    """
    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        return cluster.cluster()
