"""New secrets for a connection: tried out first, its processors stopped for it and started again.

Source: Atlas page "Manage connections"; asp-reference.md 4.5 (a connection that a running processor
uses cannot be changed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.admin.connection_fields import without_read_only
from asp_utils.admin.connections import target_of, update_connection, users_of
from asp_utils.admin.processor_runs import start_processor, stop_processor
from asp_utils.admin.reading import get_connection, get_processor
from asp_utils.errors import AspError, ConfigInvalid, Conflict, Fault, FaultyInput
from asp_utils.model.processor_states import IDLE_STATES
from asp_utils.pipeline.connections import definition_faults, secret_fields
from asp_utils.pipeline.connections.merging import merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asp_utils.admin.connections import ConnectionChange
    from asp_utils.admin.project import Project

_COMPANIONS: Final = frozenset(
    (
        "authentication.username", "authentication.clientId", "authentication.sslCertificate",
        "security.brokerPublicCertificate", "schemaRegistryAuthentication.username",
        "accessKeyId", "uri", "url",
    )
)  # fmt: skip
"""What is no secret, and changes with one."""


def with_secrets(
    project: Project, workspace: str, name: str, secrets: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The whole connection with its new secrets, checked; and which fields they are.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The connection.
        secrets: The fields to replace, as they stand in a definition.

    Raises:
        NotFound: There is no such connection.
        ConfigInvalid: A field is no secret, a secret is missing, or the whole is wrong.
    """
    before = without_read_only(get_connection(project, workspace, name))
    whole = merged(before, secrets)
    given = list(_leaves(secrets))
    known = {*(each.partition("[")[0] for each in secret_fields(whole)), *_COMPANIONS}
    wrong = definition_faults(whole, target_of(project))
    places = {*known, *(fault.path.removeprefix(".") for fault in wrong)}
    faults = [
        Fault(f".{path}", f"the connection has no secret {path}", _way(path, places))
        for path in given
        if not any(path == each or path.startswith(f"{each}.") for each in known)
    ]
    if not given:
        faults.append(
            Fault("", "there is nothing to replace", 'for instance {"authentication": …}')
        )
    found = {fault.path for fault in faults}
    for fault in wrong:
        if fault.path not in found:
            hint = fault.hint or "Atlas never shows secrets: give all of them"
            faults.append(Fault(fault.path, fault.message, hint, fault.code))
    if faults:
        raise ConfigInvalid("connection", [fault.below("$.secrets") for fault in faults])
    return whole, given


def _way(path: str, known: Iterable[str]) -> str:
    """The place of a secret that was given without what it is in; else the way to change it."""
    last = path.rpartition(".")[2]
    inside = next((each for each in sorted(known) if each.endswith(f".{last}")), "")
    if not inside:
        return "connection_update changes it"
    outer, _, field = inside.rpartition(".")
    return f'it belongs into {outer}: {{"{outer}": {{"{field}": …}}}}'


def replace_secrets(
    project: Project,
    workspace: str,
    name: str,
    secrets: Mapping[str, Any],
    timeout_s: float,
    *,
    restart_processors: bool,
) -> tuple[ConnectionChange, list[dict[str, Any]]]:
    """Send the whole connection with its new secrets; processors that use it are restarted.

    Args:
        project: Where the workspace is.
        workspace: Its name.
        name: The connection.
        secrets: The fields to replace.
        timeout_s: Seconds to wait, for each step.
        restart_processors: Whether those that run may be stopped for it.

    Returns:
        What was observed of the connection; and `{name, state}` of every processor restarted.

    Raises:
        Conflict: A processor runs and may not be stopped; or one could not be started again, which
            the message names.
        AspError: The change failed; the message says what runs again and what is stopped.
    """
    running = _running(project, workspace, name)
    if running and not restart_processors:
        raise Conflict(
            f"connection {name!r} is used by running stream processors: {', '.join(running)}",
            hint="restart_processors: true stops each, changes the secrets and starts it again",
            path="$.restart_processors",
            details={"running": running},
        )
    stopped: list[str] = []
    try:
        for processor in running:
            project.ctx.progress(f"stopping {processor}")
            stopped.append(processor)
            _stop(project, workspace, processor, timeout_s)
        change = update_connection(project, workspace, name, secrets, timeout_s)
    except BaseException as error:
        with project.ctx.undisturbed():
            started, failures = _start_all(project, workspace, stopped, timeout_s)
        left = f"{_outcome(project, workspace, name)}{_left(started, failures)}"
        if isinstance(error, AspError):
            _say_what_is_left(error, left, failures)
        else:
            project.ctx.progress(left)
        raise
    with project.ctx.undisturbed():
        started, failures = _start_all(project, workspace, stopped, timeout_s)
    if failures:
        raise Conflict(
            f"connection {name!r} has its new secrets{_left(started, failures)}",
            hint="see why, then start them: cli_processor_start.py",
            details={"stopped": sorted(failures), "restarted": started},
        )
    return change, started


def _running(project: Project, workspace: str, name: str) -> list[str]:
    """The processors that name the connection and run, each once."""
    users = users_of(project, workspace, name)
    found = [str(it["processor"]) for it in users if it["state"] not in IDLE_STATES]
    return list(dict.fromkeys(found))


def _stop(project: Project, workspace: str, name: str, timeout_s: float) -> None:
    """Stop a processor; one that failed meanwhile, for want of the secrets, is as good."""
    try:
        stop_processor(project, workspace, name, timeout_s)
    except AspError:
        if get_processor(project, workspace, name).get("state") not in IDLE_STATES:
            raise


def _start_all(
    project: Project, workspace: str, names: list[str], timeout_s: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Start processors again, all that can be: `{name, state}` of each, and why others cannot."""
    started: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for name in names:
        project.ctx.progress(f"starting {name}")
        try:
            change = start_processor(project, workspace, name, {}, timeout_s)
            started.append({"name": name, "state": change["state"]})
        except AspError as error:
            failures[name] = error.message
    return started, failures


def _left(started: list[dict[str, Any]], failures: Mapping[str, str]) -> str:
    """What became of the processors, to be put behind a sentence."""
    again = f"; running again: {', '.join(it['name'] for it in started)}" if started else ""
    told = ", ".join(f"{name} ({why})" for name, why in failures.items())
    return again + (f"; NOT seen running again: {told}" if failures else "")


def _outcome(project: Project, workspace: str, name: str) -> str:
    """Whether the secrets were replaced before it went wrong."""
    sent = f"PATCH {project.streams(workspace, 'connections', name)}"
    if sent in project.api.done:
        return "the secrets were replaced"
    unsure = sent in project.api.doubtful
    return (
        "whether the secrets were replaced is unknown"
        if unsure
        else ("the secrets were not replaced")
    )


def _say_what_is_left(error: AspError, left: str, failures: Mapping[str, str]) -> None:
    """Add to an error what it left; a faulty input's message is made of its faults alone."""
    if isinstance(error, FaultyInput):
        error.hint = f"{left}. {error.hint}".rstrip(". ")
    else:
        error.message += f"; {left}"
    error.details = {**error.details, "left": left, "stopped": sorted(failures)}


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of everything that is given: `authentication.password`."""
    for key, inner in value.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(inner, dict) and inner and where != "headers":
            yield from _leaves(inner, where)
        else:
            yield where
