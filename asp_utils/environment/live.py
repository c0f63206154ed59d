"""What exists of an environment, in the words of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.admin.kafka import kafka_cluster
from asp_utils.admin.reading import find_workspace, list_connections, list_processors
from asp_utils.model.local_names import LOCAL
from asp_utils.model.processor_states import RUNNING_STATES, STARTED
from asp_utils.pipeline.environment.document import items
from asp_utils.pipeline.environment.plan import digest
from asp_utils.server.connections import BUILT_IN, LOCAL_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.admin.project import Project
    from asp_utils.clients.kafka_topics import TopicState
    from asp_utils.context import Context

Document = dict[str, Any]

_WORKSPACE: Final = ("_id", "name", "dataProcessRegion", "streamConfig", "failoverRegions")
_CONNECTION: Final = ("id", "_id", "state", "links", "region")
_PROCESSOR: Final = ("name", "pipeline", "options", "tier", "failoverEnabled", "state")


def live_environment(project: Project, wanted: Mapping[str, Any], timeout_s: float) -> Document:
    """The workspace that a file names and all that is in it, and the topics that it names.

    Args:
        project: Where the workspace is, or will be.
        wanted: The file's content, with secrets: brokers are asked with them.
        timeout_s: Seconds that brokers have.

    Returns:
        What `live_workspace` gives, with `topics` by identity.

    Raises:
        Unreachable, PermissionDenied: A broker whose topics the file names.
    """
    live = live_workspace(project, wanted["workspace"]["name"])
    return {**live, "topics": live_topics(project.ctx, wanted, timeout_s)}


def live_workspace(project: Project, name: str) -> Document:
    """A workspace and all that is in it.

    Returns:
        `workspace` (None when there is none), and `connections` and `processors` by name;
        `builtIn` names what nobody created.
    """
    workspace = find_workspace(project, name)
    built_in = built_in_connections(project, name)
    if workspace is None:
        return {
            "workspace": None,
            "connections": built_in,
            "processors": {},
            "builtIn": list(built_in),
        }
    return {
        "workspace": {key: workspace[key] for key in _WORKSPACE if key in workspace},
        "connections": {
            each["name"]: {key: value for key, value in each.items() if key not in _CONNECTION}
            for each in list_connections(project, name)
        },
        "processors": {each["name"]: _processor(each) for each in list_processors(project, name)},
        "builtIn": list(built_in),
    }


def built_in_connections(project: Project, workspace: str) -> dict[str, Document]:
    """What the built-in workspace of a local instance always has, by name; of others nothing."""
    if not project.is_local or workspace != LOCAL:
        return {}
    kinds = {name: "Cluster" if name == LOCAL_CLUSTER else "Sample" for name in BUILT_IN}
    return {name: {"name": name, "type": kind} for name, kind in kinds.items()}


def live_topics(ctx: Context, wanted: Mapping[str, Any], timeout_s: float) -> dict[str, Document]:
    """The topics of a file that exist, by identity."""
    found: dict[str, Document] = {}
    connections = items(wanted, "connections")
    for identity, topic in items(wanted, "topics").items():
        with kafka_cluster(ctx, connections[topic["connectionName"]], timeout_s) as brokers:
            state = brokers.find_topic(topic["name"])
        if state is not None:
            found[identity] = _topic(topic["connectionName"], state)
    return found


def watched(
    wanted: Mapping[str, Any], live: Mapping[str, Any], names: Mapping[str, list[str]]
) -> str:
    """The digest of all that a plan depends on: if it moves, the plan is no longer true.

    Args:
        wanted: The file's content.
        live: What exists.
        names: What the plan looks at beyond what the file names, by section.
    """
    sections = {
        section: {
            name: live[section].get(name)
            for name in sorted({*items(wanted, section), *names.get(section, ())})
        }
        for section in ("connections", "topics", "processors")
    }
    return digest({"workspace": live["workspace"], **sections})


def _processor(processor: Mapping[str, Any]) -> Document:
    kept = {key: processor[key] for key in _PROCESSOR if key in processor}
    # On its way to running it counts as running: that it arrives meanwhile is no change.
    if kept.get("state") in RUNNING_STATES:
        kept["state"] = STARTED
    return kept


def _topic(connection: str, state: TopicState) -> Document:
    config = {**state["default_config"], **state["config"]}
    return {
        "connectionName": connection,
        "name": state["name"],
        "topicId": state["topic_id"],
        "partitions": state["partition_count"],
        "replicationFactor": state["replication_factor"],
        "config": config,
    }
