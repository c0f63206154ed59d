"""The local instance: Atlas Stream Processing on this machine, without a cloud account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.operation import operation
from asp_utils.server import lifecycle
from asp_utils.workspace import told_warnings

if TYPE_CHECKING:
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.parameters import TimeoutSeconds


_KAFKA_EXAMPLE: Final = {
    "name": "events",
    "type": "Kafka",
    "bootstrapServers": "127.0.0.1:9092",
    "authentication": {
        "mechanism": "PLAIN",
        "username": "me",
        "password": {"$env": "KAFKA_PASSWORD"},
    },
    "security": {"protocol": "SASL_PLAINTEXT"},
}
_S3_EXAMPLE: Final = {
    "name": "archive",
    "type": "S3",
    "endpointUrl": "http://127.0.0.1:9000",
    "region": "us-east-1",
    "accessKeyId": "me",
    "secretAccessKey": {"$env": "S3_SECRET"},
}


class LocalWorkspaceAddress(TypedDict):
    """A workspace of the local instance."""

    name: str
    """Its name; operations may say `local:NAME`."""
    stream_processor_url: str
    """Endpoint for any MongoDB driver, without TLS."""
    tls_host: str
    """The same by a name of Atlas's form, with TLS: point it at 127.0.0.1 in the hosts file."""


class LocalInstance(TypedDict):
    """The local instance as it was found."""

    running: bool
    """Whether it runs."""
    changed: bool
    """Whether this call started or stopped it."""
    stream_processor_url: str | None
    """Endpoint for any MongoDB driver; operations may simply say `local`."""
    connection_user: str | None
    """Its user; the password stays in `credentials_file`."""
    credentials_file: str | None
    """File (mode 0600) that holds the password, and the secrets of the Admin API."""
    workspaces: list[LocalWorkspaceAddress]
    """Every workspace, `local` first; none when it does not run."""
    admin_api_url: str | None
    """Its own Atlas Admin API; operations may simply say `atlas: local`."""
    admin_api_https_url: str | None
    """The same with TLS."""
    admin_api_allows_anonymous: bool | None
    """Whether that answers callers on this machine that name no credentials."""
    ca_file: str | None
    """The authority (PEM) of its TLS ports, for clients to trust."""
    project_id: str | None
    """The project of its Admin API."""
    client_id: str | None
    """Service account of its Admin API; the client secret stays in `credentials_file`."""
    public_key: str | None
    """API key of its Admin API; the private key stays in `credentials_file`."""
    mongod_uri: str | None
    """The mongod behind the connection `local_cluster`, for reading collections."""
    pid: int | None
    """Process id of the supervisor."""
    started_at: str | None
    """When it was started, ISO 8601 UTC."""


@operation(effect="write")
def local_start(
    ctx: Context,
    connections: Annotated[
        list[dict[str, Any]] | None,
        Field(
            description="Connections to add or replace, each `{name, type, …}` with the fields of "
            "the Atlas Admin API. `type`: Cluster (here with `uri`, a connection string; else the "
            "instance's own mongod), Kafka (bootstrapServers, authentication, security, config), "
            "Https (url, headers), Sample, SchemaRegistry (provider, schemaRegistryUrls, "
            "schemaRegistryAuthentication), AWSLambda, S3, AWSKinesisDataStreams (here with "
            "`endpointUrl`, `region`, `accessKeyId`, `secretAccessKey`); AzureBlobStorage and "
            "GCPPubSub are kept for Atlas. Secrets by reference, wherever they stand: "
            '`{"$env": "NAME"}`. `local_cluster` and the sample streams are always there.',
            examples=[
                [{"name": "orders", "type": "Cluster", "uri": "mongodb://127.0.0.1:27018/"}],
                [_KAFKA_EXAMPLE],
                [{"name": "api", "type": "Https", "url": "http://127.0.0.1:8080/v1"}],
                [_S3_EXAMPLE],
            ],
        ),
    ] = None,
    exactly_once: Annotated[
        bool | None,
        Field(
            description="`engine.exactly_once`: whether output and checkpoint are committed in one "
            "transaction where a `$merge` writes into the instance's own server. On when it was "
            "never set; false delivers at least once, as Atlas does. Holds for processors that are "
            "started from then on."
        ),
    ] = None,
    allow_anonymous_admin_api: Annotated[
        bool | None,
        Field(
            description="Whether the instance's Admin API answers callers on this machine that "
            "name no credentials, as the official MCP server does over http. Off when it was never "
            "set; kept across restarts."
        ),
    ] = None,
    timeout_s: TimeoutSeconds = 60,
) -> LocalInstance:
    """Start the local instance, or find it running; it stays until it is stopped.

    Processors that ran when it was last stopped run again.

    Raises:
        EnvironmentMissing: There is no mongod, or it did not start; the message says why.
        ConfigInvalid: A connection is wrong; all faults are named, none was added.
        Conflict: A running processor uses a connection that would change.

    Source: Atlas page "Manage connections"; asp-reference.md 4.5.
    """
    before = lifecycle.status(ctx.local_folder)
    state = lifecycle.start(ctx.local_folder, timeout_s=timeout_s)
    if exactly_once is not None:
        lifecycle.set_exactly_once(state, wanted=exactly_once)
    if allow_anonymous_admin_api is not None:
        state = lifecycle.allow_anonymous(state, wanted=allow_anonymous_admin_api)
    if connections:
        told_warnings(ctx, lifecycle.add_connections(state, connections), prefix="$.")
    return _shown(state, changed=before is None)


@operation(effect="read")
def local_status(ctx: Context) -> LocalInstance:
    """Say whether the local instance runs, and where."""
    return _shown(lifecycle.status(ctx.local_folder), changed=False)


@operation(effect="write")
def local_stop(ctx: Context) -> LocalInstance:
    """Stop the local instance; its processors and their data stay for the next start."""
    return _shown(None, changed=lifecycle.stop(ctx.local_folder))


def _shown(state: lifecycle.InstanceState | None, *, changed: bool) -> LocalInstance:
    """What may be shown of a state: everything but the secrets."""
    return LocalInstance(
        running=state is not None,
        changed=changed,
        stream_processor_url=state.stream_processor_url if state else None,
        connection_user=state.connection_user if state else None,
        credentials_file=str(state.file) if state else None,
        workspaces=_workspaces(state) if state else [],
        admin_api_url=state.admin_api_url or None if state else None,
        admin_api_https_url=state.admin_api_https_url or None if state else None,
        admin_api_allows_anonymous=state.allow_anonymous if state else None,
        ca_file=state.ca_file or None if state else None,
        project_id=state.project_id or None if state else None,
        client_id=state.client_id or None if state else None,
        public_key=state.public_key or None if state else None,
        mongod_uri=state.mongod_uri if state else None,
        pid=state.supervisor_pid if state else None,
        started_at=state.started_at if state else None,
    )


def _workspaces(state: lifecycle.InstanceState) -> list[LocalWorkspaceAddress]:
    return [
        LocalWorkspaceAddress(
            name=each["name"],
            stream_processor_url=each["stream_processor_url"],
            tls_host=each["tls_host"],
        )
        for each in state.workspaces
    ]
