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
    """File (mode 0600) that holds the password."""
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
            "the Atlas Admin API. `type`: Cluster (here with `uri`, a connection string), Kafka "
            "(bootstrapServers, authentication, security, config), Https (url, headers), Sample, "
            "SchemaRegistry (provider, schemaRegistryUrls, schemaRegistryAuthentication), and "
            "AWSLambda, S3, AWSKinesisDataStreams (here with `endpointUrl`, `region`, "
            "`accessKeyId`, `secretAccessKey`). Secrets by reference, wherever they stand: "
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
    """What may be shown of a state: everything but the password."""
    return LocalInstance(
        running=state is not None,
        changed=changed,
        stream_processor_url=state.stream_processor_url if state else None,
        connection_user=state.connection_user if state else None,
        credentials_file=str(state.file) if state else None,
        mongod_uri=state.mongod_uri if state else None,
        pid=state.supervisor_pid if state else None,
        started_at=state.started_at if state else None,
    )
