"""What an environment file says: one workspace, its connections, topics and processors.

The words are those of the Admin API, so that its replies and the file can be compared. The same
file serves Atlas and the local instance: what only one of them needs (`uri` of a cluster,
`clusterName`) is left out for the other.

Source: Atlas Admin API, "Streams"; asp-reference.md 4.3 to 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from asp_utils.errors import Fault
from asp_utils.model.tiers import TierName
from asp_utils.pipeline.grammar import INVALID_OPTIONS, Name, Options, option_faults
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTIONS: Final = ("workspace", "connections", "topics", "processors")


class Region(Options):
    """Where a workspace processes."""

    cloud_provider: Name
    region: Name


class StreamConfig(Options):
    """The tiers of a workspace."""

    tier: TierName | None = None
    max_tier_size: TierName | None = None


class WorkspaceSection(Options):
    """The workspace; what is left out stays as it is, or gets Atlas' own default."""

    name: Name
    data_process_region: Region | None = None
    stream_config: StreamConfig | None = None


class TopicSection(Options):
    """A Kafka topic on the brokers of one of the file's Kafka connections."""

    connection_name: Name
    name: Name
    partitions: Annotated[int, Field(gt=0)] | None = None
    replication_factor: Annotated[int, Field(gt=0)] | None = None
    config: dict[str, str] | None = None


class ProcessorOptions(Options):
    """Options of a processor."""

    dlq: dict[str, str] | None = None
    autoscaling: dict[str, Any] | None = None


class ProcessorSection(Options):
    """A stream processor, and the state that it is to be in."""

    name: Name
    pipeline: Annotated[list[dict[str, Any]], Field(min_length=1)]
    options: ProcessorOptions | None = None
    tier: TierName | None = None
    failover_enabled: bool | None = None
    state: Literal["CREATED", "STARTED", "STOPPED"] | None = None
    """Left out, it stays as it is; a new one is not started."""
    resume_from_checkpoint: bool = True
    """Whether a changed pipeline goes on with position and open windows."""


class Environment(Options):
    """A whole file; sections that are left out are not looked at."""

    workspace: WorkspaceSection
    connections: list[dict[str, Any]] | None = None
    topics: list[TopicSection] | None = None
    processors: list[ProcessorSection] | None = None


def environment_faults(document: Any) -> list[Fault]:
    """Faults of shape, of names given twice, and of topics without a connection.

    What connections and pipelines say is checked by those who know them.
    """
    if not isinstance(document, dict):
        return [Fault("$", "an environment is an object with `workspace`, `connections`, …")]
    faults = option_faults(Environment, document, "$")
    if faults:
        return faults
    return [*_twice(document), *_topic_faults(document)]


def identity(section: str, item: Mapping[str, Any]) -> str:
    """What tells an item of a section from its neighbours: its name, `connection/topic`."""
    name = str(item.get("name"))
    return f"{item.get('connectionName')}/{name}" if section == "topics" else name


def items(document: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """The items of a section by identity, in the file's order."""
    return {identity(section, item): item for item in document.get(section) or []}


def _twice(document: Mapping[str, Any]) -> Iterator[Fault]:
    for section in SECTIONS[1:]:
        seen: set[str] = set()
        for index, item in enumerate(document.get(section) or []):
            key = identity(section, item)
            if key in seen:
                path = f"$.{section}[{index}].name"
                yield Fault(path, f"{key} is there twice", "", INVALID_OPTIONS)
            seen.add(key)


def _topic_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    kafka = [each.get("name") for each in document.get("connections") or []
             if each.get("type") == "Kafka"]  # fmt: skip
    for index, topic in enumerate(document.get("topics") or []):
        name = topic["connectionName"]
        if name not in kafka:
            near = nearest(name, [str(each) for each in kafka])
            yield Fault(
                f"$.topics[{index}].connectionName",
                f"the file has no Kafka connection {name!r}",
                f"did you mean {near!r}?" if near else "add it under connections",
                INVALID_OPTIONS,
            )
