"""Whole environments in one file: planned, applied exactly as planned, exported.

The same file serves the local instance and Atlas; `atlas` says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.errors import ConfigInvalid, Conflict, Fault, UnexpectedReply
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Annotated

    from pydantic import Field

    from asp_utils.admin.project import Project
    from asp_utils.context import Context
    from asp_utils.model.parameters import Atlas, TimeoutSeconds, WorkspaceName

_SUFFIXES: Final = (".json", ".yaml", ".yml")


class EnvironmentPlan(TypedDict):
    """What is to be done so that a project is as a file says."""

    diff: list[str]
    """The actions with every difference, line by line, to be read."""
    actions: list[dict[str, Any]]
    """The same for programs: `{verb, section, name, changes, reason}`."""
    has_changes: bool
    """Whether there is anything to do."""
    plan_file: str | None
    """The numbered config that `environment_apply` takes; null without a session."""
    digest: str
    """SHA-256 of the plan; apply refuses a plan that does not have it."""
    warnings: list[dict[str, Any]]
    """What is allowed and may surprise: `{path, message, hint}`."""


class ExportedEnvironment(TypedDict):
    """A workspace as an environment file."""

    file: str | None
    """The file that was written; null when it was only asked to be shown."""
    environment: dict[str, Any]
    """What the file says."""
    notes: list[str]
    """What is missing in it, and which variables it needs."""


@operation(effect="read")
def environment_plan(
    ctx: Context,
    file: Annotated[
        str,
        Field(
            min_length=1,
            description="The environment, JSON or YAML: `workspace` (name, dataProcessRegion, "
            "streamConfig), and `connections` (fields of the Admin API), `topics` "
            "(connectionName, name, partitions, replicationFactor, config), `processors` (name, "
            "pipeline, options, tier, state CREATED, STARTED or STOPPED). Sections left out are "
            'not touched. Secrets by reference: `{"$env": "NAME"}`.',
            examples=["examples/environment/solar.yaml"],
        ),
    ],
    atlas: Atlas = None,
    prune: Annotated[
        bool,
        Field(
            description="Whether connections and processors that exist and are not in the file "
            "are removed. Topics never are: they hold data."
        ),
    ] = False,
    update_secrets: Annotated[
        bool,
        Field(
            description="Whether connections get their secrets anew although nothing else differs: "
            "secrets cannot be read back, and so not be compared."
        ),
    ] = False,
    timeout_s: TimeoutSeconds = 30,
) -> EnvironmentPlan:
    """Compare an environment file with what exists, and save the plan that makes it so.

    The plan is a numbered config of the session: `environment_apply` carries out exactly that one.

    Raises:
        NotFound: There is no such file.
        ConfigInvalid: The file is wrong; all faults are named.
        Conflict: It asks for what cannot be: a topic with fewer partitions.

    Source: asp-reference.md 4.2 to 4.5.
    """
    path = _path(ctx, file)
    plan, warnings = _planned(ctx, atlas, path, prune, update_secrets, timeout_s)
    whole = _digest(plan)
    config: dict[str, Any] = {"plan": plan, "digest": whole}
    if atlas is not None:
        config["atlas"] = _place(atlas)
    return EnvironmentPlan(
        diff=plan["diff"],
        actions=plan["actions"],
        has_changes=bool(plan["actions"]),
        plan_file=_saved(ctx, config),
        digest=whole,
        warnings=[warning.to_json() for warning in warnings],
    )


@operation(effect="destroy")
def environment_apply(
    ctx: Context,
    plan: Annotated[dict[str, Any], Field(description="The plan, as `environment_plan` saved it.")],
    digest: Annotated[str, Field(description="Its SHA-256, as `environment_plan` gave it.")],
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> Iterator[dict[str, Any]]:
    """Carry out a plan, exactly it, and look afterwards that everything is as the file says.

    Gives `{verb, section, name, observed}` after each action, then `{applied, converged}`.

    Raises:
        Conflict: What exists has moved since, or the plan is for another project; nothing was done.
        ConfigInvalid: The plan was changed after it was made.
        UnexpectedReply: All was done, and something is not as it should be.

    Source: asp-reference.md 4.2 to 4.5.
    """
    from asp_utils.admin.project import project
    from asp_utils.environment.applying import applied
    from asp_utils.environment.file import with_secrets
    from asp_utils.environment.planning import actions_of, normalized, remaining, wanted_of

    if _digest(plan) != digest:
        fault = Fault("$.plan", "this is not the plan that was made", "make a new plan")
        raise ConfigInvalid("config", [fault])
    given = normalized(with_secrets(ctx, wanted_of(plan), "plan"))
    with project(ctx, atlas) as here:
        _check_target(here, plan)
        found = actions_of(here, plan, given, timeout_s)
        yield from applied(here, given.document, found, timeout_s)
        left = remaining(here, plan, given, timeout_s)
        if left:
            raise UnexpectedReply(
                f"{len(found)} actions were carried out, and {len(left)} would still be to do",
                hint="make a new plan and look at what differs: cli_environment_plan.py",
                details={"left": [each.to_json() | {"definition": None} for each in left]},
            )
        yield {"applied": len(found), "converged": True, "changed": bool(found)}


@operation(effect="read")
def environment_export(
    ctx: Context,
    workspace: WorkspaceName,
    atlas: Atlas = None,
    file: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Where to write it, `.json`, `.yaml` or `.yml`; only shown when left out.",
            examples=["solar.yaml"],
        ),
    ] = None,
    overwrite: Annotated[bool, Field(description="Whether an existing file is replaced.")] = False,
    kafka: Annotated[
        dict[str, Any] | None,
        Field(
            description="How brokers are reached to describe the topics that pipelines name: by "
            "the name of a Kafka connection, its definition with secrets by reference. Not needed "
            "for brokers without authentication."
        ),
    ] = None,
    timeout_s: TimeoutSeconds = 30,
) -> ExportedEnvironment:
    """Write what a workspace holds as an environment file; secrets become references.

    Raises:
        NotFound: There is no such workspace.
        Conflict: The file exists, and `overwrite` is not set.

    Source: asp-reference.md 4.2 to 4.5.
    """
    from asp_utils.admin.project import project
    from asp_utils.environment.exporting import exported
    from asp_utils.environment.file import write_environment

    path = _path(ctx, file) if file is not None else None
    if path is not None and path.suffix not in _SUFFIXES:
        fault = Fault("$.file", f"the name ends in {', '.join(_SUFFIXES)}, which says the format")
        raise ConfigInvalid("config", [fault])
    if path is not None and path.exists() and not overwrite:
        raise Conflict(f"{file} exists", hint="overwrite: true replaces it", path="$.file")
    with project(ctx, atlas) as here:
        document, notes = exported(here, workspace, kafka or {}, timeout_s)
    if path is not None:
        write_environment(path, document)
    return {"file": file, "environment": document, "notes": notes}


def _planned(
    ctx: Context,
    atlas: Any,
    path: Path,
    prune: bool,
    update_secrets: bool,
    timeout_s: float,
) -> tuple[dict[str, Any], list[Fault]]:
    """The plan for a file, and what is allowed in it and may surprise."""
    # httpx and pydantic are slow to load, and help needs neither.
    from asp_utils.admin.project import project
    from asp_utils.environment.file import read_environment, with_secrets
    from asp_utils.environment.planning import plan_of

    raw = read_environment(path)
    given = with_secrets(ctx, raw, str(path))
    with project(ctx, atlas) as here:
        return plan_of(
            here,
            raw,
            given,
            str(path),
            prune=prune,
            update_secrets=update_secrets,
            timeout_s=timeout_s,
        )


def _digest(plan: dict[str, Any]) -> str:
    from asp_utils.pipeline.environment.plan import digest

    return digest(plan)


def _path(ctx: Context, file: str) -> Path:
    """A file as the config names it: from the project folder, not from wherever we are called."""
    from pathlib import Path

    here = Path(file)
    return here if here.is_absolute() or here.exists() else ctx.root / file


def _place(atlas: Any) -> Any:
    """The account parameter without credentials, which are looked for again when it is applied."""
    if isinstance(atlas, str):
        return atlas
    kept = ("url", "project_id", "profile", "ca_file")
    return {key: value for key, value in atlas.items() if key in kept}


def _saved(ctx: Context, config: dict[str, Any]) -> str | None:
    """Put the plan into the session; its path from the project folder."""
    if ctx.session_folder is None:
        return None
    from asp_utils.session.secrets import refuse_literals
    from asp_utils.session.session import Session

    session = Session(ctx.session_folder)
    # Stored with a part taken out, it could not be applied.
    refuse_literals("environment", session.replace_secrets(config))
    path = session.add_config(config, "environment_apply", "environment_apply")
    return str(path.relative_to(ctx.root)) if path.is_relative_to(ctx.root) else str(path)


def _check_target(here: Project, plan: dict[str, Any]) -> None:
    from asp_utils.environment.planning import FORMAT, target_document

    if plan.get("format") != FORMAT:
        fault = Fault("$.plan.format", f"this toolkit knows plans of format {FORMAT}")
        raise ConfigInvalid("config", [fault], hint="make a new plan")
    if plan["target"] != target_document(here):
        raise Conflict(
            f"this plan is for {plan['target']}, not for {target_document(here)}",
            hint="make a plan for this project from the same file: cli_environment_plan.py",
            path="$.atlas",
        )
