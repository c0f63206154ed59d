"""Trying a cluster: whether it answers, lets these credentials in, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError, ConfigInvalid, Fault, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.clients.probes.report import Report

_READ: Final = frozenset({"find", "changeStream"})
_WRITE: Final = frozenset({"insert", "update", "remove"})
_READING_ROLES: Final = ("read", "readAnyDatabase")


def probe_cluster(report: Report, connection: Mapping[str, Any], database: str | None) -> None:
    """Take every step up to the first that fails.

    Args:
        report: Takes the steps.
        connection: The definition, without faults.
        database: Where the role must hold; any database when None.
    """
    uri = connection.get("uri")
    if uri is None:
        name = connection.get("clusterName")
        message = f"only Atlas knows where the cluster {name!r} is" if name else "it names no place"
        report.untested("reach", message, "give uri, a connection string, to test it from here")
        return
    answers: list[dict[str, Any]] = []
    refusals: list[PermissionDenied] = []

    def reach() -> str:
        try:
            answers.extend(_asked(str(uri), report.left_s))
        except PermissionDenied as refusal:
            refusals.append(refusal)
            return "it answers"
        return _kind(answers[1])

    def sign_in() -> str:
        if refusals:
            raise refusals[0]
        return _who(answers[0]["authInfo"])

    def role() -> str:
        wanted = (connection.get("dbRoleToExecute") or {}).get("role")
        return _allowed(answers[0]["authInfo"], str(wanted or "readWrite"), database)

    if report.run("reach", reach) and report.run("sign_in", sign_in):
        report.run("role", role)


def _asked(uri: str, timeout_s: float) -> list[dict[str, Any]]:
    """The replies to connectionStatus and hello; errors speak of the connection's `uri`."""
    from asp_utils.clients.mongodb import Deployment

    try:
        with Deployment(uri, timeout_s=timeout_s) as deployment:
            status = deployment.command("admin", {"connectionStatus": 1, "showPrivileges": True})
            return [status, deployment.command("admin", {"hello": 1})]
    except AspError as error:
        raise _about_uri(error) from error


def _about_uri(error: AspError) -> AspError:
    """The error of a deployment, said of the connection's `uri`."""
    error.path = "$.connection.uri"
    error.hint = error.hint.replace("mongodb_uri", "uri")
    error.message = error.message.replace("mongodb_uri", "uri")
    if isinstance(error, ConfigInvalid):
        faults = [Fault(error.path, fault.message, fault.hint) for fault in error.faults]
        return ConfigInvalid("connection", faults, hint=error.hint)
    return error


def _kind(hello: Mapping[str, Any]) -> str:
    """What answers, and whether it has change streams."""
    if hello.get("setName"):
        return f"the replica set {hello['setName']!r} answers"
    if hello.get("msg") == "isdbgrid":
        return "a sharded cluster answers"
    return "a single mongod answers: it has no change streams, so it cannot be a $source"


def _who(info: Mapping[str, Any]) -> str:
    users = [f"{user['user']}@{user['db']}" for user in info["authenticatedUsers"]]
    return f"signed in as {', '.join(users)}" if users else "nobody has to sign in there"


def _allowed(info: Mapping[str, Any], role: str, database: str | None) -> str:
    """Whether these privileges are enough for the role.

    Raises:
        PermissionDenied: They are not; the message names the actions that are missing.
    """
    if not info["authenticatedUsers"]:
        return "without a user everything is allowed: what the role forbids shows on Atlas only"
    needed = _READ if role in _READING_ROLES else _READ | _WRITE
    held = _by_database(info["authenticatedUserPrivileges"])
    everywhere = held.get("", frozenset())
    if database is not None:
        missing = needed - held.get(database, frozenset()) - everywhere
    else:
        missing = min((needed - actions for actions in held.values()), key=len, default=needed)
    if missing:
        where = f"on {database!r}" if database is not None else "on any database"
        raise PermissionDenied(
            f"these credentials may not {', '.join(sorted(missing))} {where}",
            hint=f"give the user the role {'read' if needed is _READ else 'readWrite'} {where}",
        )
    fitting = [name or "all databases" for name, held_ in held.items() if not needed - held_]
    where = repr(database) if database is not None else ", ".join(sorted(fitting))
    return f"may {'read' if needed is _READ else 'read and write'} in {where}"


def _by_database(privileges: list[Any]) -> dict[str, frozenset[str]]:
    """Database ("": every one) to the actions that are allowed on all its collections."""
    found: dict[str, frozenset[str]] = {}
    for privilege in privileges:
        resource = privilege["resource"]
        if resource.get("anyResource"):
            name = ""
        elif resource.get("collection") == "" and "db" in resource:
            name = resource["db"]
        else:
            continue
        found[name] = found.get(name, frozenset()) | frozenset(privilege["actions"])
    return found
