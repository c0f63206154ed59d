"""Carrying out the actions of a plan, one after the other, each looked at afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.admin.connections import delete_connection, ensure_connection, update_connection
from asp_utils.admin.kafka import kafka_cluster
from asp_utils.admin.processors import (
    create_processor,
    delete_processor,
    modify_processor,
    start_processor,
    stop_processor,
)
from asp_utils.admin.topics import ensure_topic
from asp_utils.admin.workspaces import create_workspace, update_workspace
from asp_utils.errors import AspError
from asp_utils.pipeline.environment.document import items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from asp_utils.admin.project import Project
    from asp_utils.admin.workspaces import WorkspaceChange
    from asp_utils.pipeline.environment.plan import Action

Document = dict[str, Any]
_STATE_ONLY: Final = ("name", "state", "resumeFromCheckpoint")


def applied(
    project: Project, wanted: Mapping[str, Any], found: list[Action], timeout_s: float
) -> Iterator[Document]:
    """Carry out actions in their order and say what was observed after each.

    Args:
        project: Where.
        wanted: The file's content, with secrets.
        found: The actions.
        timeout_s: Seconds for each.

    Yields:
        `{verb, section, name, observed}`.

    Raises:
        AspError: An action failed; `details` name what was done, what failed and what was not
            begun.
    """
    doer = _Doer(project, wanted, timeout_s)
    for index, action in enumerate(found):
        try:
            observed = doer.do(action)
        except AspError as error:
            raise _failed(error, found, index) from error
        yield {
            "verb": action.verb,
            "section": action.section,
            "name": action.name,
            "observed": observed,
        }


class _Doer:
    def __init__(self, project: Project, wanted: Mapping[str, Any], timeout_s: float) -> None:
        self._project = project
        self._wanted = wanted
        self._workspace: str = wanted["workspace"]["name"]
        self._timeout_s = timeout_s

    def do(self, action: Action) -> Any:
        """Carry out one action; what was observed."""
        actions: dict[tuple[str, str], Callable[[Action], Any]] = {
            ("workspace", "create"): self._create_workspace,
            ("workspace", "update"): self._update_workspace,
            ("topics", "create"): self._ensure_topic,
            ("topics", "update"): self._ensure_topic,
            ("connections", "create"): self._create_connection,
            ("connections", "update"): self._update_connection,
            ("connections", "delete"): self._delete_connection,
            ("processors", "create"): self._create_processor,
            ("processors", "update"): self._modify_processor,
            ("processors", "stop"): self._stop_processor,
            ("processors", "start"): self._start_processor,
            ("processors", "delete"): self._delete_processor,
        }
        return actions[action.section, action.verb](action)

    def _create_workspace(self, action: Action) -> Any:
        return _shown(create_workspace(self._project, action.definition, self._timeout_s))

    def _update_workspace(self, action: Action) -> Any:
        changes = {key: item for key, item in action.definition.items() if key != "name"}
        done = update_workspace(self._project, self._workspace, changes, self._timeout_s)
        return _shown(done)

    def _ensure_topic(self, action: Action) -> Any:
        topic = action.definition
        connection = items(self._wanted, "connections")[topic["connectionName"]]
        ctx = self._project.ctx
        with kafka_cluster(ctx, connection, self._timeout_s) as brokers:
            done = ensure_topic(
                ctx,
                brokers,
                topic["name"],
                topic.get("partitions"),
                topic.get("replicationFactor"),
                topic.get("config") or {},
                self._timeout_s,
                apply=True,
            )
        return {"changes": done["changes"]}

    def _create_connection(self, action: Action) -> Any:
        # A new workspace may bring some along: sample connections, the local instance's own.
        done = ensure_connection(self._project, self._workspace, action.definition, self._timeout_s)
        return {"state": done["state"]}

    def _update_connection(self, action: Action) -> Any:
        done = update_connection(
            self._project, self._workspace, action.name, action.definition, self._timeout_s
        )
        return {"state": done["state"]}

    def _delete_connection(self, action: Action) -> Any:
        done = delete_connection(
            self._project, self._workspace, action.name, self._timeout_s, even_if_used=True
        )
        return {"state": done["state"]}

    def _create_processor(self, action: Action) -> Any:
        definition = {k: v for k, v in action.definition.items() if k not in _STATE_ONLY[1:]}
        done = create_processor(self._project, self._workspace, definition, self._timeout_s)
        return {"state": done["state"]}

    def _modify_processor(self, action: Action) -> Any:
        changes = {k: v for k, v in action.definition.items() if k not in _STATE_ONLY}
        resume = action.definition.get("resumeFromCheckpoint", True)
        changes["options"] = {**(changes.get("options") or {}), "resumeFromCheckpoint": resume}
        done = modify_processor(
            self._project, self._workspace, action.name, changes, self._timeout_s
        )
        return {"state": done["state"]}

    def _stop_processor(self, action: Action) -> Any:
        done = stop_processor(self._project, self._workspace, action.name, self._timeout_s)
        return {"state": done["state"]}

    def _start_processor(self, action: Action) -> Any:
        options = {}
        if action.definition.get("resumeFromCheckpoint") is False:
            options["resumeFromCheckpoint"] = False
        done = start_processor(
            self._project, self._workspace, action.name, options, self._timeout_s
        )
        return {"state": done["state"]}

    def _delete_processor(self, action: Action) -> Any:
        done = delete_processor(self._project, self._workspace, action.name, self._timeout_s)
        return {"state": done["state"]}


def _shown(done: WorkspaceChange) -> Any:
    """What of a workspace tells that it is there, and where."""
    seen = done["workspace"] or {}
    return {key: seen[key] for key in ("_id", "hostnames", "streamConfig") if key in seen}


def _failed(error: AspError, found: list[Action], index: int) -> AspError:
    """The error with what was done, and what was not: nothing half-made stays unnamed."""
    names = [f"{each.verb} {each.section.removesuffix('s')} {each.name}" for each in found]
    error.message = f"{names[index]}: {error.message}"
    plan_again = "what was done stays: make a new plan, which begins there"
    error.hint = f"{error.hint}; {plan_again}" if error.hint else plan_again
    error.details = {
        **error.details,
        "done": names[:index],
        "failed": names[index],
        "not_begun": names[index + 1 :],
    }
    return error
