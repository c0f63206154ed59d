"""Topics: created, changed, deleted, and each time looked at afterwards, over either transport."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.clients.kafka_topics import no_topic
from asp_utils.errors import AspError, ConfigInvalid, Conflict, Fault, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from asp_utils.clients.kafka_topics import TopicState, TopicsTransport
    from asp_utils.context import Context

_POLL_S: Final = 0.1
_RESERVED: Final = ("__", "_schemas", "_confluent")
"""How names begin of topics in which Kafka, or what comes with it, keeps its own state."""
_PARTITIONS: Final = "partitions"
_REPLICATION: Final = "replication_factor"

Value = str | int | float | bool
"""A setting as a config gives it."""


class TopicDifference(TypedDict):
    """Something about a topic that is not as it was asked for."""

    path: str
    """`partitions`, `replication_factor`, or `config.NAME`."""
    wanted: int | str
    """What was asked for."""
    found: int | str | None
    """What there is."""
    why: str
    """Why it was left so."""


class TopicDelta(TypedDict):
    """Something about a topic that was changed."""

    path: str
    """`topic`, `partitions`, or `config.NAME`."""
    before: int | str | None
    """What it was; null for a topic or setting that was not there."""
    after: int | str | None
    """What it is now; null when it is gone."""


class TopicChange(TypedDict):
    """What was observed of a topic after a change."""

    name: str
    """Name of the topic."""
    changed: bool
    """Whether anything is different now."""
    changes: list[TopicDelta]
    """What is different."""
    differences: list[TopicDifference]
    """What is still not as it was asked for; empty when all is."""
    topic: TopicState | None
    """The topic as it is now; null when it is gone."""


def get_topic(transport: TopicsTransport, name: str) -> TopicState:
    """A topic as it is.

    Raises:
        NotFound: There is no such topic.
    """
    found = transport.find_topic(name)
    if found is None:
        raise no_topic(name, transport.topics)
    return found


def create_topic(
    ctx: Context,
    transport: TopicsTransport,
    name: str,
    partitions: int | None,
    replication_factor: int | None,
    config: Mapping[str, Value],
    timeout_s: float,
) -> TopicChange:
    """Create a topic and wait until all its partitions can be used.

    Raises:
        Conflict: It exists.
        ConfigInvalid: The cluster does not take it: replicas, settings, a policy.
        TimedOut: It was created, and cannot be used yet.
    """
    wanted = _texts(config)
    transport.create_topic(name, partitions, replication_factor, wanted)
    aim = f"topic {name!r}, which was created,"
    seen = _settled(
        ctx, transport, name, lambda topic: _is_usable(topic, transport), aim, timeout_s
    )
    differences = _differences(seen, partitions, replication_factor, wanted, "the cluster chose so")
    return _change(name, None, seen, differences)


def ensure_topic(
    ctx: Context,
    transport: TopicsTransport,
    name: str,
    partitions: int | None,
    replication_factor: int | None,
    config: Mapping[str, Value],
    timeout_s: float,
    *,
    apply: bool,
) -> TopicChange:
    """Create a topic that is not there; of one that is, show what differs, or change it.

    Args:
        ctx: Waits.
        transport: The cluster.
        name: Name of the topic.
        partitions: How many it is to have; what is None is not looked at.
        replication_factor: On how many brokers each is to be kept.
        config: The settings it is to have; others are not looked at.
        timeout_s: How long to wait for what was changed to be seen.
        apply: Change a topic that differs.

    Raises:
        Conflict: It is to be changed in what cannot be: fewer partitions, other replicas. Nothing
            was changed.
    """
    before = transport.find_topic(name)
    if before is None:
        try:
            return create_topic(
                ctx, transport, name, partitions, replication_factor, config, timeout_s
            )
        except Conflict:
            # Somebody else created it in between.
            before = transport.find_topic(name)
            if before is None:
                raise
    wanted = _texts(config)
    why = "it cannot be changed" if apply else "apply_differences: true changes it"
    differences = _differences(before, partitions, replication_factor, wanted, why)
    if not differences or not apply:
        return _change(name, before, before, differences)
    _refuse_impossible(name, differences)
    settings = {key: text for key, text in wanted.items() if _effective(before, key) != text}
    grown = partitions if partitions != before["partition_count"] else None
    return _altered(ctx, transport, before, settings, [], grown, timeout_s)


def alter_topic(
    ctx: Context,
    transport: TopicsTransport,
    name: str,
    config: Mapping[str, Value],
    reset: Sequence[str],
    partitions: int | None,
    timeout_s: float,
) -> TopicChange:
    """Set settings, take settings back to the cluster's own, add partitions.

    Raises:
        NotFound: There is no such topic.
        ConfigInvalid: A setting is wrong, there are more partitions already, or nothing is to
            change.
    """
    before = get_topic(transport, name)
    if not config and not reset and partitions is None:
        hint = "give config, reset_config or partitions"
        raise ConfigInvalid("config", [Fault("$", "nothing is to change", hint)])
    have = before["partition_count"]
    if partitions is not None and partitions < have:
        hint = f"ask for more than {have}, or create another topic"
        message = f"topic {name!r} has {have} partitions, and none can be taken away"
        raise ConfigInvalid("config", [Fault("$.partitions", message, hint)])
    wanted = _texts(config)
    settings = {key: text for key, text in wanted.items() if before["config"].get(key) != text}
    dropped = [key for key in reset if key in before["config"]]
    grown = partitions if partitions != have else None
    return _altered(ctx, transport, before, settings, dropped, grown, timeout_s)


def delete_topic(
    ctx: Context, transport: TopicsTransport, name: str, timeout_s: float
) -> TopicChange:
    """Delete a topic and wait until it is gone.

    Raises:
        NotFound: There is no such topic.
        ConfigInvalid: Kafka keeps its own state in it.
        TimedOut: It was still there when the time was up.
    """
    before = get_topic(transport, name)
    if before["is_internal"] or name.startswith(_RESERVED):
        message = f"Kafka, or what comes with it, keeps its own state in {name!r}"
        hint = "without it consumer groups, transactions or schemas are lost: it stays"
        raise ConfigInvalid("config", [Fault("$.topic", message, hint)])
    transport.delete_topic(name)
    aim = f"topic {name!r}, which was deleted,"
    _wait_for(ctx, transport, name, lambda topic: topic is None, aim, timeout_s)
    return _change(name, before, None, [])


def _altered(
    ctx: Context,
    transport: TopicsTransport,
    before: TopicState,
    settings: Mapping[str, str],
    dropped: Sequence[str],
    partitions: int | None,
    timeout_s: float,
) -> TopicChange:
    """Carry out what is to be changed, settings first: they are what a cluster may refuse."""
    name = before["name"]
    done = ""
    if settings or dropped:
        transport.alter_topic(name, settings, dropped)
        done = f"the settings {', '.join([*settings, *dropped])} were changed before that"
    if partitions is not None:
        with _telling(done):
            transport.grow_topic(name, partitions)

    def arrived(topic: TopicState) -> bool:
        return (
            all(topic["config"].get(key) == text for key, text in settings.items())
            and not set(dropped) & set(topic["config"])
            and partitions in (None, topic["partition_count"])
            and _is_usable(topic, transport)
        )

    if not settings and not dropped and partitions is None:
        return _change(name, before, before, [])
    aim = f"topic {name!r}, which was changed,"
    seen = _settled(ctx, transport, name, arrived, aim, timeout_s)
    return _change(name, before, seen, [])


@contextmanager
def _telling(done: str) -> Iterator[None]:
    """Add to an error what was done before it."""
    try:
        yield
    except AspError as error:
        if done:
            error.hint = f"{error.hint}; {done}" if error.hint else done
            error.details["done"] = done
        raise


def _settled(
    ctx: Context,
    transport: TopicsTransport,
    name: str,
    arrived: Callable[[TopicState], bool],
    aim: str,
    timeout_s: float,
) -> TopicState:
    """The topic, once it is as it should be."""
    found = _wait_for(
        ctx, transport, name, lambda it: it is not None and arrived(it), aim, timeout_s
    )
    return get_topic(transport, name) if found is None else found


def _wait_for(
    ctx: Context,
    transport: TopicsTransport,
    name: str,
    arrived: Callable[[TopicState | None], bool],
    aim: str,
    timeout_s: float,
) -> TopicState | None:
    """Look at a topic until it is as it should be.

    Raises:
        TimedOut: It is not in time; the details show it.
    """
    deadline_s = ctx.now_s() + timeout_s
    while True:
        found = transport.find_topic(name)
        if arrived(found):
            return found
        left_s = deadline_s - ctx.now_s()
        if left_s <= 0 or ctx.wait(min(_POLL_S, left_s)):
            raise TimedOut(
                f"{aim} is not as it should be after {timeout_s:g} s",
                hint="look at it: cli_topic_describe.py",
                details={"topic": dict(found) if found else None},
            )


def _is_usable(topic: TopicState, transport: TopicsTransport) -> bool:
    """Whether each partition has a leader, and says so where the transport can tell."""
    if transport.kind == "rest":
        return True
    return all(
        part["leader"] is not None and part["high_offset"] is not None
        for part in topic["partitions"]
    )


def _refuse_impossible(name: str, differences: Sequence[TopicDifference]) -> None:
    impossible = [
        item
        for item in differences
        if item["path"] == _REPLICATION
        or (item["path"] == _PARTITIONS and int(item["wanted"]) < int(item["found"] or 0))
    ]
    if impossible:
        told = "; ".join(f"{it['path']} is {it['found']}, not {it['wanted']}" for it in impossible)
        raise Conflict(
            f"topic {name!r} cannot become as asked: {told}",
            hint="partitions can only be added, and replicas are moved by whoever runs the "
            "cluster; nothing was changed",
            path="$.topic",
            details={"differences": [dict(item) for item in impossible]},
        )


def _differences(
    topic: TopicState,
    partitions: int | None,
    replication_factor: int | None,
    config: Mapping[str, str],
    why: str,
) -> list[TopicDifference]:
    numbers = (
        (_PARTITIONS, partitions, topic["partition_count"]),
        (_REPLICATION, replication_factor, topic["replication_factor"]),
    )
    found = [
        TopicDifference(path=path, wanted=wanted, found=have, why=why)
        for path, wanted, have in numbers
        if wanted is not None and wanted != have
    ]
    found += [
        TopicDifference(path=f"config.{key}", wanted=text, found=_effective(topic, key), why=why)
        for key, text in config.items()
        if _effective(topic, key) != text
    ]
    return found


def _effective(topic: TopicState, key: str) -> str | None:
    return (topic.get("default_config", {}) | topic["config"]).get(key)


def _change(
    name: str,
    before: TopicState | None,
    after: TopicState | None,
    differences: list[TopicDifference],
) -> TopicChange:
    """What is different between two looks at a topic."""
    if before is None or after is None:
        old, new = (None if it is None else it["partition_count"] for it in (before, after))
        changes = [TopicDelta(path="topic", before=_size(old), after=_size(new))]
    else:
        changes = list(_deltas(before, after))
    if after is not None:
        after = after.copy()
        after.pop("default_config", None)
    return TopicChange(
        name=name, changed=bool(changes), changes=changes, differences=differences, topic=after
    )


def _deltas(before: TopicState, after: TopicState) -> Iterator[TopicDelta]:
    if before["partition_count"] != after["partition_count"]:
        old, new = before["partition_count"], after["partition_count"]
        yield TopicDelta(path=_PARTITIONS, before=old, after=new)
    for key in sorted({*before["config"], *after["config"]}):
        had, has = before["config"].get(key), after["config"].get(key)
        if had != has:
            yield TopicDelta(path=f"config.{key}", before=had, after=has)


def _size(partition_count: int | None) -> str | None:
    if partition_count is None:
        return None
    return "1 partition" if partition_count == 1 else f"{partition_count} partitions"


def _texts(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings as Kafka keeps them: text."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in config.items()
    }
