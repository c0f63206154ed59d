"""What is configured outside of this machine: Kafka, workspace endpoint, Atlas."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from asp_utils.checkup.check import Check, from_error
from asp_utils.errors import AspError, NotFound, PermissionDenied
from asp_utils.workspace import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

    from asp_utils.admin.project import Project
    from asp_utils.checkup.check import Look, State
    from asp_utils.context import Context

_PORT: Final = 27017
_REACH_S: Final = 5.0
_SKEW_S: Final = 60.0
"""Tokens and certificates hold from and until an instant: more than this breaks them."""
_READ_ROLE: Final = "Project Read Only"
_WRITE_ROLE: Final = "Project Stream Processing Manager (or Owner)"
_WAYS: Final = (
    "export MONGODB_ATLAS_CLIENT_ID=… MONGODB_ATLAS_CLIENT_SECRET=… (Atlas: Organization, "
    "Applications, Service Accounts), or atlas auth login"
)
_KAFKA_WAY: Final = 'give it: {"kafka": "host:9092"}; or, for trying out: make kafka'
_ENDPOINT_WAY: Final = (
    'give it: {"stream_processor_url": "mongodb://atlas-stream-….a.query.mongodb.net/", '
    '"connection_user": "…", "connection_password": {"$env": "…"}}; "local" needs nothing'
)


def kafka_looks(ctx: Context, kafka: Any, timeout_s: float) -> list[Look]:
    """The check of a Kafka cluster."""
    return [("kafka", lambda: _kafka(ctx, kafka, timeout_s))]


def endpoint_looks(
    ctx: Context, url: str | None, user: str | None, password: SecretStr | None
) -> list[Look]:
    """The check of a workspace's endpoint and of what its user may do there."""
    return [("stream endpoint", lambda: _endpoint(ctx, url, user, password))]


def atlas_looks(ctx: Context, atlas: Any, workspace: str | None) -> list[Look]:
    """The checks of an Atlas project: credentials, roles, clock, workspaces."""
    return [("atlas", lambda: _atlas(ctx, atlas, workspace))]


def _kafka(ctx: Context, kafka: Any, timeout_s: float) -> Iterator[Check]:
    if kafka is None:
        yield Check("kafka", "missing", "no cluster was named", _KAFKA_WAY)
        return
    # librdkafka is slow to load, and most check-ups name no cluster.
    from asp_utils.admin.kafka import kafka_cluster

    with kafka_cluster(ctx, kafka, timeout_s) as cluster:
        topics = [topic for topic in cluster.topics() if not topic["is_internal"]]
        brokers = cluster.cluster()["brokers"]
    count = "" if brokers is None else f" of {len(brokers)}"
    yield Check("kafka", "ok", f"the cluster{count} answers; topics for this user: {len(topics)}")


def _endpoint(
    ctx: Context, url: str | None, user: str | None, password: SecretStr | None
) -> Iterator[Check]:
    if url is None:
        yield Check("stream endpoint", "missing", "no workspace was named", _ENDPOINT_WAY)
        return
    with connect(ctx, url, user, password) as workspace:
        processors = workspace.listed({"listStreamProcessors": 1}, "streamProcessors")
        yield Check("stream endpoint", "ok", f"answers; stream processors: {len(processors)}")
        try:
            names = workspace.listed({"listStreamConnections": 1}, "connections")
        except PermissionDenied as error:
            yield from_error("database role", error)
        else:
            message = f"may list processors and {len(names)} connections"
            yield Check("database role", "ok", message)


def _atlas(ctx: Context, atlas: Any, workspace: str | None) -> Iterator[Check]:
    # httpx is slow to load, and a check-up of this machine needs none.
    from asp_utils.admin.project import project

    try:
        with project(ctx, atlas) as here:
            yield from _project(here, workspace)
    except PermissionDenied as error:
        # With nothing at hand there is nothing wrong: Atlas is one of two places to work in.
        nobody_asked = atlas is None and not error.details.get("status")
        state: State = "missing" if nobody_asked else "wrong"
        yield Check("atlas credentials", state, error.message, error.hint or _WAYS)


def _project(here: Project, workspace: str | None) -> Iterator[Check]:
    from asp_utils.admin.reading import get_workspace, list_workspaces

    try:
        found = list_workspaces(here)
    except NotFound as error:
        yield from_error("atlas project", error)
        return
    yield Check("atlas credentials", "ok", f"{here.api.found}")
    count = f"{len(found)} workspaces"
    yield Check("atlas project", "ok", f"{here.id} can be read: {count}")
    yield _roles(here)
    yield _clock(here.api.last_headers)
    if workspace is not None:
        try:
            seen = get_workspace(here, workspace)
        except AspError as error:
            yield from_error(f"workspace {workspace}", error)
        else:
            yield _reachable(seen)


def _roles(here: Project) -> Check:
    """What the credentials may do, as far as Atlas says; writing is not tried out."""
    granted = here.api.roles()
    if granted is None:
        message = f"reading works ({_READ_ROLE}); whether writing does is seen when it is tried"
        fix = f"if it is refused, grant {_WRITE_ROLE} in Project Access"
        return Check("atlas roles", "ok", message, fix)
    writes = [role for role in granted if "STREAM" in role or role.endswith(("OWNER", "ADMIN"))]
    if writes:
        return Check("atlas roles", "ok", f"has {', '.join(granted)}")
    message = f"has {', '.join(granted)}: reading works, creating and starting will be refused"
    return Check("atlas roles", "wrong", message, f"grant {_WRITE_ROLE} in Project Access")


def _clock(headers: Mapping[str, str]) -> Check:
    """This machine's clock beside that of the server."""
    date = headers.get("date")
    if not date:
        return Check("clock", "ok", "the server tells no time to compare with")
    skew_s = time.time() - parsedate_to_datetime(date).timestamp()
    if abs(skew_s) > _SKEW_S:
        message = f"this machine is {skew_s:+.0f} s off the server's clock: tokens will be refused"
        return Check("clock", "wrong", message, "sudo timedatectl set-ntp true")
    return Check("clock", "ok", f"{skew_s:+.0f} s off the server's")


def _reachable(workspace: Mapping[str, Any]) -> Check:
    """Whether a connection to the workspace's endpoint can be opened from here."""
    import socket

    name = f"workspace {workspace['name']}"
    hosts = workspace.get("hostnames") or []
    if not hosts:
        return Check(name, "wrong", "it has no hostname yet", "wait until it is complete")
    host, _, port = str(hosts[0]).partition(":")
    try:
        socket.create_connection((host, int(port or _PORT)), timeout=_REACH_S).close()
    except OSError as error:
        message = f"{hosts[0]} cannot be reached: {error.strerror or error}"
        fix = "look at the network, the firewall, and the IP access list of the project"
        return Check(name, "wrong", message, fix)
    return Check(name, "ok", f"{hosts[0]} can be reached")
