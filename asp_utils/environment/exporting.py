"""From what exists to a file that says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from asp_utils.admin.connections import target_of
from asp_utils.admin.kafka import kafka_cluster
from asp_utils.admin.reading import get_workspace
from asp_utils.environment.live import live_workspace
from asp_utils.errors import AspError
from asp_utils.pipeline.connections import definition_faults, secret_fields
from asp_utils.pipeline.connections.roles import uses_of
from asp_utils.server.connections import LOCAL_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.admin.project import Project
    from asp_utils.context import Context

Document = dict[str, Any]

_WORKSPACE: Final = ("name", "dataProcessRegion", "streamConfig")
_STATES: Final = ("CREATED", "STARTED", "STOPPED")
_STAGES: Final = ("$source", "$emit")


def exported(
    project: Project, workspace: str, kafka: Mapping[str, Any], timeout_s: float
) -> tuple[Document, list[str]]:
    """What a workspace holds as the content of an environment file, and what could not be had.

    Args:
        project: Where it is.
        workspace: Its name.
        kafka: By the name of a Kafka connection, how its brokers are reached from here; needed
            where that takes a secret, which Atlas never shows.
        timeout_s: Seconds that brokers have.

    Raises:
        NotFound: There is no such workspace.
    """
    live = live_workspace(project, workspace)
    if live["workspace"] is None:
        get_workspace(project, workspace)  # says which there are
    notes: list[str] = []
    processors = [_processor(each, notes) for each in live["processors"].values()]
    used = {use[0] for each in processors for use in uses_of(each["pipeline"], each.get("options"))}
    connections = [
        _connection(project, name, definition, notes)
        for name, definition in live["connections"].items()
        if name not in live["builtIn"] or (name in used and definition["type"] == "Sample")
    ]
    if LOCAL_CLUSTER in used and LOCAL_CLUSTER in live["builtIn"]:
        notes.append(
            f"{LOCAL_CLUSTER} is only in the workspace {workspace} of a local instance: elsewhere, "
            "give the pipelines a connection of type Cluster with a clusterName"
        )
    document: Document = {
        "workspace": {key: live["workspace"][key] for key in _WORKSPACE if key in live["workspace"]}
    }
    topics = list(
        _topics(project.ctx, processors, {**live["connections"], **kafka}, timeout_s, notes)
    )
    document["connections"] = connections
    if topics:
        document["topics"] = topics
    document["processors"] = processors
    return document, notes


def _connection(
    project: Project, name: str, definition: Mapping[str, Any], notes: list[str]
) -> Document:
    """A connection with references where its secrets belong."""
    whole: Document = {"name": name, **definition}
    if definition["type"] == "Https":
        notes.append(f"connection {name}: headers are never shown; add those that it needs")
    for fault in definition_faults(whole, target_of(project)):
        path = fault.path.removeprefix(".")
        variable = "ASP_" + re.sub(r"\W+", "_", f"{name}_{path.rpartition('.')[2]}").upper()
        filled = _with(whole, path.split("."), {"$env": variable})
        if path in secret_fields(filled):
            whole = filled
            notes.append(f"connection {name}: set {variable}, its {path} is never shown")
    return whole


def _with(value: Any, steps: list[str], item: Any) -> Any:
    """A copy with something put in at a path."""
    if not steps:
        return item
    below = value.get(steps[0]) if isinstance(value, Mapping) else None
    return {**(value or {}), steps[0]: _with(below, steps[1:], item)}


def _processor(live: Mapping[str, Any], notes: list[str]) -> Document:
    kept = {key: value for key, value in live.items() if key != "state"}
    options = {key: value for key, value in (live.get("options") or {}).items() if value}
    kept = {**kept, "options": options} if options else {k: kept[k] for k in kept if k != "options"}
    state = live.get("state")
    if state in _STATES:
        return {**kept, "state": state}
    notes.append(f"processor {live['name']} is {state}: the file says nothing of its state")
    return kept


def _topics(
    ctx: Context,
    processors: list[Document],
    connections: Mapping[str, Any],
    timeout_s: float,
    notes: list[str],
) -> Iterator[Document]:
    """The topics that pipelines name and brokers show."""
    for connection, name in sorted({place for each in processors for place in _named(each)}):
        definition = connections.get(connection)
        if definition is None or definition.get("type", "Kafka") != "Kafka":
            continue
        try:
            with kafka_cluster(ctx, definition, timeout_s) as brokers:
                found = brokers.find_topic(name)
        except AspError as error:
            notes.append(f"topic {name} of {connection} was left out: {error.message}")
            continue
        if found is None:
            notes.append(f"topic {name} of {connection} was left out: it does not exist")
            continue
        yield {
            "connectionName": connection,
            "name": name,
            "partitions": found["partition_count"],
            "replicationFactor": found["replication_factor"],
            "config": {key: value for key, value in found["config"].items() if value is not None},
        }


def _named(processor: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Connection and topic of every stage that names a topic plainly."""
    for stage in processor["pipeline"]:
        for name in _STAGES:
            options = stage.get(name)
            if isinstance(options, Mapping) and isinstance(options.get("connectionName"), str):
                topics = options.get("topic")
                for topic in topics if isinstance(topics, list) else [topics]:
                    if isinstance(topic, str) and not topic.startswith("$"):
                        yield options["connectionName"], topic
