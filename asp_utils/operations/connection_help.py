"""Help with connections: try one out, see who uses it, give it new secrets, what may stand where.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated

    from pydantic import Field, SecretStr

    from asp_utils.admin.connection_uses import ConnectionUses
    from asp_utils.clients.probes.report import Report
    from asp_utils.context import Context
    from asp_utils.model.admin_parameters import ConnectionDefinition, ConnectionName
    from asp_utils.model.parameters import Atlas, TimeoutSeconds, WorkspaceName

_ADVICE: Final = "nothing was stored"


class ConnectionCheck(TypedDict):
    """One step of trying a connection out."""

    name: str
    """resolve, connect, tls, token_endpoint, sign_in, brokers, topic, reach, role, answer, …"""
    ok: bool | None
    """Whether it succeeded; null where it cannot be tried from this machine."""
    message: str
    """What was seen."""
    hint: str
    """What to do about it; empty where nothing is to be done."""
    elapsed_ms: int
    """How long it took."""


class ConnectionTest(TypedDict):
    """What came of trying a connection out."""

    name: str
    """Name of the connection."""
    type: str
    """Its type."""
    ok: bool | None
    """True when all that could be tried succeeded; null when nothing can be tried from here."""
    checks: list[ConnectionCheck]
    """The steps in their order."""
    warnings: list[dict[str, Any]]
    """What may surprise: `{path, message, hint}`."""


class RotatedSecret(TypedDict):
    """What was observed of a connection with new secrets."""

    name: str
    """Name of the connection."""
    changed: bool
    """Whether the secrets were sent."""
    replaced: list[str]
    """Which fields: `authentication.password`."""
    tested: bool | None
    """Whether they were tried out first, with success; null when that cannot be done from here."""
    checks: list[ConnectionCheck]
    """The steps of that."""
    restarted: list[dict[str, Any]]
    """Stream processors that were stopped for it and run again: `{name, state}` each."""
    connection: dict[str, Any] | None
    """The connection as the Admin API shows it, without its secrets."""
    warnings: list[dict[str, Any]]
    """What may surprise: `{path, message, hint}`."""


class ConnectionRoles(TypedDict):
    """Which type of connection may stand where."""

    types: list[dict[str, Any]]
    """`{type, roles, local}` of each type; `local`: the roles in which it runs here too."""
    roles: list[dict[str, Any]]
    """`{role, place, types}` of each role."""


def _test_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    connection = parameters["connection"]
    faults = _faults(connection, parameters.get("target", "local"))
    kind = connection.get("type")
    return [*faults] or [f"would try the connection out from this machine, as {kind}; {_ADVICE}"]


@operation(effect="test", preview=_test_preview)
def connection_test(
    ctx: Context,
    connection: ConnectionDefinition,
    target: Annotated[
        Literal["local", "atlas"],
        Field(description="Where it is to be stored; Atlas wants fields that need not be here."),
    ] = "local",
    topic: Annotated[
        str | None, Field(description="Kafka: a topic that must be there for this user.")
    ] = None,
    database: Annotated[
        str | None, Field(description="Cluster: where the role must hold; any when left out.")
    ] = None,
    bucket: Annotated[
        str | None, Field(description="S3: a bucket that must be listable; else aws.testBucket.")
    ] = None,
    stream: Annotated[
        str | None, Field(description="AWSKinesisDataStreams: a stream that must be there.")
    ] = None,
    function: Annotated[
        str | None,
        Field(description="AWSLambda: a function that may be called; it is not called."),
    ] = None,
    timeout_s: TimeoutSeconds = 15,
) -> ConnectionTest:
    """Try a connection out before it is stored: name, port, TLS, credentials, role, topic.

    It is tried from this machine, whose network and IP address are not those of Atlas. Nothing is
    changed on the other side. The first step that fails decides the exit code; the error's details
    hold all steps.

    Raises:
        ConfigInvalid: The definition is wrong; all faults are named. Nothing was tried.
        Unreachable: A name is not known, a port refuses, a certificate is not trusted.
        PermissionDenied: The credentials are wrong, or may not do what is needed.
        NotFound: The topic, bucket, stream or function is not there.
        TimedOut: Something did not answer in time.
    """
    from asp_utils.clients.probes.probe import Named
    from asp_utils.pipeline.connections import definition_warnings

    faults = _faults(connection, target)
    if faults:
        raise ConfigInvalid("connection", faults)
    named = Named(topic, database, bucket, stream, function)
    report = _tried(ctx, connection, named, timeout_s)
    warnings = [each.below("$.connection") for each in definition_warnings(connection, target)]
    return {
        "name": connection["name"],
        "type": connection["type"],
        "ok": report.ok,
        "checks": _checks(report),
        "warnings": [warning.to_json() for warning in warnings],
    }


@operation(effect="read")
def connection_where_used(
    ctx: Context,
    name: Annotated[
        str | None, Field(min_length=1, description="Only this connection; all when left out.")
    ] = None,
    stream_processor_url: Annotated[
        str | None,
        Field(description="Endpoint of the workspace, `local` or `mongodb://…`; or `workspace`."),
    ] = None,
    connection_user: Annotated[
        str | None, Field(description="Database user of the workspace. Not needed for `local`.")
    ] = None,
    connection_password: Annotated[
        SecretStr | None, Field(description='Its password, by reference: `{"$env": "NAME"}`.')
    ] = None,
    workspace: Annotated[
        str | None,
        Field(description="Name of the workspace, to look over the Admin API of `atlas`."),
    ] = None,
    atlas: Atlas = None,
) -> ConnectionUses:
    """Say which stream processors name a connection, in which role and where; and which none does.

    Raises:
        ConfigInvalid: Neither or both of `stream_processor_url` and `workspace` are given.
        NotFound: There is no such connection or workspace.
    """
    if (stream_processor_url is None) == (workspace is None):
        message = "give stream_processor_url (the wire) or workspace (the Admin API)"
        raise ConfigInvalid("config", [Fault("$.stream_processor_url", message)])
    from asp_utils.admin.connection_uses import over_rest, over_wire, uses

    if workspace is not None:
        connections, processors = over_rest(ctx, workspace, atlas)
    else:
        url = str(stream_processor_url)
        connections, processors = over_wire(ctx, url, connection_user, connection_password)
    return uses(connections, processors, name)


def _rotate_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    name, workspace = parameters["name"], parameters["workspace"]
    test = "" if parameters.get("test", True) is False else "would try the new secrets out, then "
    return [f"{test}would replace secrets of connection {name!r} in workspace {workspace!r}"]


@operation(effect="write", preview=_rotate_preview)
def connection_rotate_secret(
    ctx: Context,
    workspace: WorkspaceName,
    name: ConnectionName,
    secrets: Annotated[
        dict[str, Any],
        Field(
            description="The secret fields with their new values, by reference, as they stand in a "
            "definition; with them a user, client id or certificate that changes too. All secrets "
            "of the connection: Atlas never shows them.",
            examples=[{"authentication": {"password": {"$env": "NEW_KAFKA_PASSWORD"}}}],
        ),
    ],
    test: Annotated[
        bool, Field(description="Try the new secrets out from this machine before they are sent.")
    ] = True,
    restart_processors: Annotated[
        bool,
        Field(
            description="Stop the stream processors that run with it, and start them again. "
            "Without this nothing is changed while one runs (exit 73)."
        ),
    ] = False,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 180,
) -> RotatedSecret:
    """Give a connection new secrets, tried out first; everything else of it stays as it is.

    Raises:
        NotFound: There is no such connection.
        ConfigInvalid: A field is no secret, or a secret is missing; all are named.
        PermissionDenied: The new secrets are not accepted. Nothing was changed.
        Conflict: A processor runs with it; or one could not be started again, which is said.

    Source: Admin API, `PATCH …/connections/{connectionName}`.
    """
    from asp_utils.admin.connection_secrets import replace_secrets, with_secrets
    from asp_utils.admin.project import project
    from asp_utils.clients.probes.probe import Named

    with project(ctx, atlas) as target:
        whole, replaced = with_secrets(target, workspace, name, secrets)
        report = _tried(ctx, whole, Named(), timeout_s) if test else None
        change, restarted = replace_secrets(
            target, workspace, name, secrets, timeout_s, restart_processors=restart_processors
        )
    return {
        "name": name,
        "changed": change["changed"],
        "replaced": replaced,
        "tested": report.ok if report is not None else None,
        "checks": _checks(report) if report is not None else [],
        "restarted": restarted,
        "connection": change["connection"],
        "warnings": change["warnings"],
    }


@operation(effect="read")
def connection_roles() -> ConnectionRoles:
    """Show which type of connection may be source, sink, lookup, dead letter queue, and so on."""
    from asp_utils.engine.catalogue import catalogue
    from asp_utils.pipeline.connections.kinds import KINDS
    from asp_utils.pipeline.connections.roles import PLACES, ROLES, local_roles

    here = local_roles(catalogue())
    return {
        "types": [
            {
                "type": name,
                "roles": sorted(roles),
                "local": sorted(here.get(KINDS[name].entry_type, ())),
            }
            for name, roles in ROLES.items()
        ],
        "roles": [
            {
                "role": role,
                "place": place,
                "types": [name for name, roles in ROLES.items() if role in roles],
            }
            for role, place in PLACES.items()
        ],
    }


def _faults(connection: Any, target: Any) -> list[Fault]:
    from asp_utils.pipeline.connections import definition_faults

    return [fault.below("$.connection") for fault in definition_faults(connection, target)]


def _tried(ctx: Context, connection: Mapping[str, Any], named: Any, timeout_s: float) -> Report:
    """The report of a connection that passes.

    Raises:
        AspError: That of the first step that failed, with all steps in its details.
    """
    from asp_utils.clients.probes.probe import probe
    from asp_utils.pipeline.connections.views import secret_values

    ctx.conceal(secret_values(connection))
    report = probe(connection, named, timeout_s)
    failed = report.failed
    if failed is not None and failed.error is not None:
        error = failed.error
        error.message = f"connection {connection['name']!r}, {failed.name}: {error.message}"
        error.details = {**error.details, "ok": False, "checks": _checks(report)}
        raise error
    return report


def _checks(report: Report) -> list[ConnectionCheck]:
    return [
        {
            "name": check.name,
            "ok": check.ok,
            "message": check.message,
            "hint": check.hint,
            "elapsed_ms": check.elapsed_ms,
        }
        for check in report.checks
    ]
