"""From a file to a plan: checked as a whole, compared with what exists, and pinned to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.admin.connections import body_for, target_of
from asp_utils.admin.processor_definition import definition_faults as processor_faults
from asp_utils.admin.processor_definition import on_wire
from asp_utils.admin.processors import pipeline_findings
from asp_utils.environment.file import escaped, unescaped
from asp_utils.environment.live import (
    live_environment,
    live_topics,
    live_workspace,
    watched,
)
from asp_utils.errors import ConfigInvalid, Conflict, Fault
from asp_utils.model.regions import region_faults
from asp_utils.pipeline.connections import definition_faults
from asp_utils.pipeline.environment.document import items
from asp_utils.pipeline.environment.plan import actions, picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.admin.project import Project
    from asp_utils.environment.file import Wanted
    from asp_utils.pipeline.environment.plan import Action

Document = dict[str, Any]

FORMAT: Final = 1
"""Of a plan's file; another one is refused."""


def plan_of(
    project: Project,
    raw: Mapping[str, Any],
    given: Wanted,
    subject: str,
    *,
    prune: bool,
    update_secrets: bool,
    timeout_s: float,
) -> tuple[Document, list[Fault]]:
    """The plan that makes a project's workspace what a file says; with what may surprise.

    Args:
        project: Where.
        raw: The file's content, references as they stand.
        given: The same with secrets.
        subject: How errors call the file.
        prune: Whether what the file does not name is removed.
        update_secrets: Whether connections are updated for the sake of their secrets.
        timeout_s: Seconds that brokers have.

    Raises:
        ConfigInvalid: The file is wrong; all faults are named.
        Conflict: A topic would have to shrink or move, which Kafka cannot do.
    """
    live = live_workspace(project, given.document["workspace"]["name"])
    warnings = check_environment(project, given.document, subject, live["connections"])
    given = normalized(given)
    wanted = given.document
    # Brokers are asked with what has been found to be right.
    live["topics"] = live_topics(project.ctx, wanted, timeout_s)
    found = _actions(project, wanted, live, prune=prune, update_secrets=update_secrets)
    _refuse_impossible(found)
    named = {
        section: sorted({each.name for each in found if each.section == section})
        for section in ("connections", "processors")
    }
    if prune:
        named = {section: sorted(live[section]) for section in named}
    plan = {
        "format": FORMAT,
        "target": target_document(project),
        "workspace": wanted["workspace"]["name"],
        "prune": prune,
        "updateSecrets": update_secrets,
        "environment": escaped(raw),
        "actions": _shown(found, given),
        "watched": named,
        "live": watched(wanted, live, named),
        "diff": given.redactor.text(picture(found)).splitlines(),
    }
    return plan, warnings


def actions_of(
    project: Project, plan: Mapping[str, Any], given: Wanted, timeout_s: float
) -> list[Action]:
    """The actions of a plan, found again in what exists now; `given` is normalized.

    Raises:
        Conflict: What exists has moved since the plan was made.
    """
    wanted = given.document
    live = live_environment(project, wanted, timeout_s)
    found = _actions(
        project, wanted, live, prune=plan["prune"], update_secrets=plan["updateSecrets"]
    )
    is_same = watched(wanted, live, plan["watched"]) == plan["live"]
    if not is_same or _shown(found, given) != plan["actions"]:
        raise Conflict(
            f"workspace {plan['workspace']!r} has changed since this plan was made",
            hint="look at the difference and make a new plan: cli_environment_plan.py",
            path="$.plan.live",
            details={"planned": plan["diff"], "now": picture(found).splitlines()},
        )
    return found


def remaining(
    project: Project, plan: Mapping[str, Any], given: Wanted, timeout_s: float
) -> list[Action]:
    """What would still be to do: nothing after a plan was applied; `given` is normalized."""
    wanted = given.document
    live = live_environment(project, wanted, timeout_s)
    return _actions(project, wanted, live, prune=plan["prune"], update_secrets=False)


def target_document(project: Project) -> Document:
    """What a plan is for: it can be applied nowhere else."""
    return {"project_id": project.id, "local": project.is_local}


def wanted_of(plan: Mapping[str, Any]) -> Any:
    """The file's content in a plan, references as they stood in the file."""
    return unescaped(plan["environment"])


def normalized(given: Wanted) -> Wanted:
    """A file's content with Extended JSON in the form in which replies have it."""
    document = dict(given.document)
    if document.get("processors"):
        document["processors"] = [
            {**each, "pipeline": on_wire(ejson.revive(each["pipeline"]))}
            for each in document["processors"]
        ]
    return replace(given, document=document)


def check_environment(
    project: Project, wanted: Mapping[str, Any], subject: str, known: Mapping[str, Any]
) -> list[Fault]:
    """Check a whole file; give what is allowed and may surprise.

    Args:
        project: Where it is to hold.
        wanted: The file's content, with secrets.
        subject: How errors call the file.
        known: Connections that exist, by name: the file need not repeat them.

    Raises:
        ConfigInvalid: It is wrong; all faults are named.
    """
    connection_faults = list(_connection_faults(project, wanted))
    faults = [*_workspace_faults(wanted), *connection_faults]
    # What wrong connections may be used for, nobody can say.
    connections = None if connection_faults else {**known, **items(wanted, "connections")}
    warnings: list[Fault] = []
    for index, processor in enumerate(wanted.get("processors") or []):
        path = f"$.processors[{index}]"
        wrong, odd = _processor_findings(project, processor, connections)
        faults += [_placed(fault, path) for fault in wrong]
        warnings += [_placed(fault, path) for fault in odd]
    if faults:
        raise ConfigInvalid(subject, faults, is_file=True)
    return warnings


def _actions(
    project: Project,
    wanted: Document,
    live: Mapping[str, Any],
    *,
    prune: bool,
    update_secrets: bool,
) -> list[Action]:
    def comparable(section: str, item: Mapping[str, Any]) -> Document:
        if section == "connections":
            return body_for(project, item)
        return {key: value for key, value in item.items() if value is not None}

    return actions(wanted, live, comparable, prune=prune, update_secrets=update_secrets)


def _shown(found: list[Action], given: Wanted) -> list[Document]:
    """The actions as a plan keeps them: without definitions, which the file holds."""
    shapes = [each.to_json() for each in found]
    kept = [{key: item for key, item in each.items() if key != "definition"} for each in shapes]
    document: list[Document] = given.redactor.document(kept)
    return document


def _workspace_faults(wanted: Mapping[str, Any]) -> Iterator[Fault]:
    place = wanted["workspace"].get("dataProcessRegion")
    if place:
        for fault in region_faults(place["cloudProvider"], place["region"]):
            yield fault.below("$.workspace.dataProcessRegion")


def _connection_faults(project: Project, wanted: Mapping[str, Any]) -> Iterator[Fault]:
    target = target_of(project)
    for index, connection in enumerate(wanted.get("connections") or []):
        for fault in definition_faults(connection, target):
            yield fault.below(f"$.connections[{index}]")


def _processor_findings(
    project: Project,
    processor: Mapping[str, Any],
    connections: Mapping[str, Any] | None,
) -> tuple[list[Fault], list[Fault]]:
    try:
        pipeline = ejson.revive(processor["pipeline"])
    except ejson.BadExtendedJson as error:
        return [Fault(error.path.replace("$", "$.pipeline", 1), error.reason)], []
    definition = {**processor, "pipeline": pipeline}
    known = None if connections is None else connections.values()
    faults, warnings = pipeline_findings(project, definition, known)
    own = [fault.below("$") for fault in processor_faults(processor)]
    return own + faults, warnings


def _placed(fault: Fault, path: str) -> Fault:
    """A fault whose path begins at a processor, with the path from the file's root."""
    where = fault.path.removeprefix("$")
    if where.startswith(".dlq"):
        where = f".options{where}"
    return Fault(path + where, fault.message, fault.hint, fault.code)


def _refuse_impossible(found: list[Action]) -> None:
    for action in found:
        if action.section != "topics" or action.verb != "update":
            continue
        for change in action.changes:
            smaller = change.path == "partitions" and change.after < change.before
            if smaller or change.path == "replicationFactor":
                raise Conflict(
                    f"topic {action.name}: {change.path} is {change.before} and cannot become "
                    f"{change.after}",
                    hint="Kafka only adds partitions; write what exists into the file, or take "
                    "another topic",
                    path="$.file",
                )
