"""The kinds of connections: which fields each takes, and what the registry keeps of it.

A definition has the fields of the Admin API, so that it can be copied from Atlas; read-only fields
of its replies are passed over. To these come what only a local instance needs: `uri` of a cluster;
`endpointUrl`, `region`, `accessKeyId` and `secretAccessKey` of what is AWS on Atlas.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from asp_utils.errors import Fault
from asp_utils.pipeline.connections.kafka import (
    AwsRole,
    KafkaOptions,
    Networking,
    kafka_faults,
    kafka_warnings,
)
from asp_utils.pipeline.grammar import (
    BAD_VALUE,
    INVALID_OPTIONS,
    MISSING_FIELD,
    Name,
    Options,
    option_faults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Definition = Mapping[str, Any]
"""A connection as a client gives it: `{name, type, ...}` with the Admin API's type names."""

_READ_ONLY: Final = ("id", "_id", "state", "links")
_CLUSTER_URL: Final = re.compile(r"mongodb(\+srv)?://.+", re.DOTALL)
_WEB_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*")
_UNREACHABLE: Final = {
    "AzureBlobStorage": "Azure Blob Storage",
    "GCPPubSub": "Google Cloud Pub/Sub",
}
"""Types of Atlas for which there is no local stand-in."""


class ExecutingRole(Options):
    """The database role with which Atlas works on the cluster; here the URI says who we are."""

    role: Name
    type: Literal["BUILT_IN", "CUSTOM"] = "BUILT_IN"


class ClusterOptions(Options):
    """A connection of type Cluster; `uri` says where the local instance finds it."""

    uri: Any = None
    cluster_name: Name | None = None
    cluster_group_id: Name | None = None
    db_role_to_execute: ExecutingRole | None = None


class SampleOptions(Options):
    """A connection of type Sample."""

    sample: str | None = None
    """Which sample; on Atlas the connection's name alone says it."""


class HttpsOptions(Options):
    """A connection of type Https."""

    url: Name
    headers: dict[str, str] | None = None


class _AwsOptions(Options):
    """What all connections to AWS have in common here."""

    endpoint_url: Name | None = None
    """Where it answers; AWS itself when left out."""
    region: Name | None = None
    access_key_id: Name | None = None
    secret_access_key: Name | None = None
    session_token: Name | None = None
    """Goes with keys that are lent for a time."""


class LambdaOptions(_AwsOptions):
    """A connection of type AWSLambda."""

    aws: AwsRole | None = None
    public_private_networking: Networking | None = None


class BucketRole(Options):
    """The role that Atlas assumes, and a bucket to try it on."""

    role_arn: Name | None = None
    test_bucket: Name | None = None


class S3Options(_AwsOptions):
    """A connection of type S3."""

    aws: BucketRole | None = None
    networking: Networking | None = None


class KinesisOptions(_AwsOptions):
    """A connection of type AWSKinesisDataStreams."""

    aws: AwsRole | None = None
    networking: Networking | None = None


class RegistryAuthentication(Options):
    """Who we are to a schema registry; SASL_INHERIT takes the Kafka connection's user."""

    type: Literal["USER_INFO", "SASL_INHERIT"]
    username: Name | None = None
    password: Name | None = None


class SchemaRegistryOptions(Options):
    """A connection of type SchemaRegistry."""

    provider: Literal["CONFLUENT"]
    schema_registry_urls: Annotated[list[Name], Field(min_length=1, max_length=10)]
    schema_registry_authentication: RegistryAuthentication


@dataclass(frozen=True)
class ConnectionKind:
    """One type of connection."""

    entry_type: str
    """`type` in the registry, as listStreamConnections shows it."""
    options: type[Options]
    faults: Callable[[Any], Iterable[Fault]] = lambda _options: ()
    """Faults of options that are right one by one."""
    warnings: Callable[[Definition], Iterable[Fault]] = lambda _definition: ()


def _cluster_faults(options: ClusterOptions) -> Iterator[Fault]:
    if not isinstance(options.uri, str) or not _CLUSTER_URL.fullmatch(options.uri):
        message = "a connection string mongodb://… is needed: where this machine finds the cluster"
        hint = "for instance mongodb://127.0.0.1:27017/?directConnection=true"
        yield Fault(".uri", message, hint, MISSING_FIELD if options.uri is None else BAD_VALUE)


def _https_faults(options: HttpsOptions) -> Iterator[Fault]:
    yield from _web_url_faults(".url", options.url)


def _aws_faults(options: _AwsOptions) -> Iterator[Fault]:
    yield from _web_url_faults(".endpointUrl", options.endpoint_url)
    for given, field, missing in (
        (options.access_key_id, "accessKeyId", options.secret_access_key is None),
        (options.secret_access_key, "secretAccessKey", options.access_key_id is None),
    ):
        if given is not None and missing:
            other = "secretAccessKey" if field == "accessKeyId" else "accessKeyId"
            yield Fault(f".{other}", f"{field} needs {other} too", "", MISSING_FIELD)
    if options.session_token is not None and options.access_key_id is None:
        yield Fault(".accessKeyId", "sessionToken needs accessKeyId too", "", MISSING_FIELD)


def _schema_registry_faults(options: SchemaRegistryOptions) -> Iterator[Fault]:
    for index, url in enumerate(options.schema_registry_urls):
        yield from _web_url_faults(f".schemaRegistryUrls[{index}]", url)
    who = options.schema_registry_authentication
    for field, value in (("username", who.username), ("password", who.password)):
        path = f".schemaRegistryAuthentication.{field}"
        if who.type == "USER_INFO" and value is None:
            yield Fault(path, f"USER_INFO needs {field}", "", MISSING_FIELD)
        elif who.type == "SASL_INHERIT" and value is not None:
            message = f"{field} goes with type USER_INFO"
            yield Fault(path, message, "SASL_INHERIT takes the Kafka user", INVALID_OPTIONS)


def _web_url_faults(path: str, url: str | None) -> Iterator[Fault]:
    """Faults of a URL; the message does not show it, as it may hold a password."""
    if url is not None and not _WEB_URL.fullmatch(url):
        yield Fault(path, "a URL http://… or https://… is needed", "", BAD_VALUE)


def _aws_warnings(definition: Definition) -> Iterator[Fault]:
    if "aws" in definition and "accessKeyId" not in definition:
        message = "no role is assumed here: the AWS credentials of this machine are used"
        hint = "give accessKeyId and secretAccessKey to say whose"
        yield Fault(".aws", message, hint)


KINDS: Final[dict[str, ConnectionKind]] = {
    "Cluster": ConnectionKind("atlas", ClusterOptions, _cluster_faults),
    "Sample": ConnectionKind("inmemory", SampleOptions),
    "Kafka": ConnectionKind("kafka", KafkaOptions, kafka_faults, kafka_warnings),
    "Https": ConnectionKind("https", HttpsOptions, _https_faults),
    "AWSLambda": ConnectionKind("awslambda", LambdaOptions, _aws_faults, _aws_warnings),
    "S3": ConnectionKind("s3", S3Options, _aws_faults, _aws_warnings),
    "AWSKinesisDataStreams": ConnectionKind(
        "awskinesisdatastreams", KinesisOptions, _aws_faults, _aws_warnings
    ),
    "SchemaRegistry": ConnectionKind(
        "schemaregistry", SchemaRegistryOptions, _schema_registry_faults
    ),
}
"""Connection type (the Admin API's word) to what it is here."""


def definition_faults(definition: Definition) -> list[Fault]:
    """The faults of a definition's type and of the fields that this type has."""
    kind = KINDS.get(str(definition.get("type")))
    if kind is None:
        return [_unknown_type(definition.get("type"))]
    fields = own_fields(definition)
    faults = [_without_value(fault) for fault in option_faults(kind.options, fields, "")]
    return faults or list(kind.faults(kind.options.model_validate(fields)))


def definition_warnings(definition: Definition) -> Iterator[Fault]:
    """What of a definition without faults works otherwise than on Atlas."""
    yield from KINDS[definition["type"]].warnings(definition)
    for field in ("networking", "publicPrivateNetworking"):
        access = ((definition.get(field) or {}).get("access") or {}).get("type", "PUBLIC")
        if access != "PUBLIC":
            message = f"{access} is for Atlas: here the network of this machine is used"
            yield Fault(f".{field}.access.type", message)


def registry_entry(definition: Definition) -> dict[str, Any]:
    """What the registry keeps: `{type, ...fields}`, with the `cluster` that lists show."""
    entry = {"type": KINDS[definition["type"]].entry_type, **own_fields(definition)}
    if definition["type"] == "Cluster":
        entry["cluster"] = entry.get("clusterName") or definition["name"]
    elif definition["type"] == "Sample":
        entry.setdefault("sample", definition["name"])
    return entry


def own_fields(definition: Definition) -> dict[str, Any]:
    """The fields that say what a connection is: no name, no type, nothing read-only.

    `region` is read-only too where it is Atlas' own, and says nothing to this machine.
    """
    skipped = {"name", "type", *_READ_ONLY}
    if definition.get("type") in ("Cluster", "Kafka", "Sample", "Https", "SchemaRegistry"):
        skipped.add("region")
    return {field: value for field, value in definition.items() if field not in skipped}


def _unknown_type(kind: Any) -> Fault:
    if kind in _UNREACHABLE:
        message = f"the local instance cannot reach {_UNREACHABLE[kind]} ({kind})"
        hint = "try the pipeline with another sink here (S3 with an endpointUrl), and this on Atlas"
        return Fault(".type", message, hint, INVALID_OPTIONS)
    hint = f"one of: {', '.join(KINDS)}"
    close = next((name for name in KINDS if name.lower() == str(kind).lower()), None)
    return Fault(
        ".type",
        f"there is no connection type {kind!r}",
        f"did you mean {close!r}? Types are case-sensitive" if close else hint,
        INVALID_OPTIONS,
    )


def _without_value(fault: Fault) -> Fault:
    """The fault without the value that was found: it may be a secret."""
    return replace(fault, message=fault.message.partition(", not ")[0])
