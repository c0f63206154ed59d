"""The ten types of connections as models, discriminated by `type`.

They have the fields of the Admin API, so that a definition can be copied from Atlas. To these come
what only a local instance needs: `uri` of a cluster; which `sample`; `endpointUrl`, `region` and
keys of what is AWS on Atlas. One definition may carry both.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from asp_utils.pipeline.grammar import Name, Options

NAME_PATTERN: Final = r"^[A-Za-z0-9.*_-]+$"

ConnectionName = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A connection's name: letters, digits and `. - * _`."""


class Access(Options):
    """How Atlas reaches the other side; the local instance has one network, its machine's."""

    type: Literal["PUBLIC", "VPC", "PRIVATE_LINK", "TRANSIT_GATEWAY"] = "PUBLIC"
    connection_id: Name | None = None
    """The private link."""
    name: Name | None = None
    tgw_route_id: Name | None = None
    """The route of the transit gateway."""


class Networking(Options):
    """`networking` of a connection; fixed once it is created."""

    access: Access | None = None


class PrivateAccess(Options):
    """How Atlas reaches what it cannot peer with."""

    type: Literal["PUBLIC", "PRIVATE_LINK"] = "PUBLIC"
    connection_id: Name | None = None
    name: Name | None = None


class PrivateNetworking(Options):
    """`publicPrivateNetworking` of a connection; fixed once it is created."""

    access: PrivateAccess | None = None


class AwsRole(Options):
    """The role that Atlas assumes."""

    role_arn: Name


class Authentication(Options):
    """Who we are to Kafka: SASL by user and password, by OAuth, by AWS; or a certificate."""

    mechanism: Literal["PLAIN", "SCRAM-256", "SCRAM-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None = (
        None
    )
    username: Name | None = None
    password: Name | None = None
    method: Literal["OIDC"] | None = None
    token_endpoint_url: Name | None = None
    client_id: Name | None = None
    client_secret: Name | None = None
    scope: str | None = None
    sasl_oauthbearer_extensions: str | None = None
    ssl_certificate: Name | None = None
    ssl_key: Name | None = None
    ssl_key_password: Name | None = None
    aws: AwsRole | None = None
    """Sign in to Amazon MSK as that role."""


class Security(Options):
    """How the connection is protected."""

    protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"]
    broker_public_certificate: Name | None = None


class Connected(Options):
    """What every connection has."""

    name: ConnectionName


class Kafka(Connected):
    """A connection to Kafka's brokers."""

    type: Literal["Kafka"]
    bootstrap_servers: Name
    """`host:port`, several with commas between them."""
    authentication: Authentication | None = None
    security: Security | None = None
    networking: Networking | None = None
    config: dict[str, str] | None = None


class ExecutingRole(Options):
    """The database role with which Atlas works on the cluster; here the URI says who we are."""

    role: Name
    type: Literal["BUILT_IN", "CUSTOM"] = "BUILT_IN"


class Cluster(Connected):
    """A connection to an Atlas cluster; `uri` says where the local instance finds it."""

    type: Literal["Cluster"]
    uri: Any = None
    """The local instance's own mongod when left out."""
    cluster_name: Name | None = None
    cluster_group_id: Name | None = None
    """The project of the cluster, where it is another one."""
    db_role_to_execute: ExecutingRole | None = None


class Sample(Connected):
    """A connection to a sample stream."""

    type: Literal["Sample"]
    sample: str | None = None
    """Which sample; on Atlas the connection's name alone says it."""


class Https(Connected):
    """A connection to a web server."""

    type: Literal["Https"]
    url: Name
    headers: dict[str, str] | None = None


class OfAws(Connected):
    """What all connections to AWS have in common here."""

    endpoint_url: Name | None = None
    """Where it answers; AWS itself when left out."""
    region: Name | None = None
    access_key_id: Name | None = None
    secret_access_key: Name | None = None
    session_token: Name | None = None
    """Goes with keys that are lent for a time."""


class AwsLambda(OfAws):
    """A connection to AWS Lambda."""

    type: Literal["AWSLambda"]
    aws: AwsRole | None = None
    public_private_networking: PrivateNetworking | None = None


class BucketRole(Options):
    """The role that Atlas assumes, and a bucket to try it on."""

    role_arn: Name | None = None
    test_bucket: Name | None = None


class S3(OfAws):
    """A connection to S3."""

    type: Literal["S3"]
    aws: BucketRole | None = None
    networking: Networking | None = None


class AwsKinesis(OfAws):
    """A connection to Kinesis data streams."""

    type: Literal["AWSKinesisDataStreams"]
    aws: AwsRole | None = None
    networking: Networking | None = None


class RegistryAuthentication(Options):
    """Who we are to a schema registry; SASL_INHERIT takes the Kafka connection's user."""

    type: Literal["USER_INFO", "SASL_INHERIT"]
    username: Name | None = None
    password: Name | None = None


class SchemaRegistry(Connected):
    """A connection to a schema registry."""

    type: Literal["SchemaRegistry"]
    provider: Literal["CONFLUENT"]
    schema_registry_urls: Annotated[list[Name], Field(min_length=1, max_length=10)]
    schema_registry_authentication: RegistryAuthentication


class Azure(Options):
    """The principal and the account that Atlas writes with."""

    service_principal_id: Name
    storage_account_name: Name
    region: Name | None = None
    """Deprecated: Atlas finds it out."""


class AzureBlobStorage(Connected):
    """A connection to Azure Blob Storage."""

    type: Literal["AzureBlobStorage"]
    azure: Azure
    public_private_networking: PrivateNetworking | None = None


class Gcp(Options):
    """The account that Atlas publishes with."""

    service_account_id: Name


class GcpPubSub(Connected):
    """A connection to Google Cloud Pub/Sub."""

    type: Literal["GCPPubSub"]
    gcp: Gcp
    public_private_networking: PrivateNetworking | None = None


Connection = Annotated[
    Kafka
    | Cluster
    | Sample
    | Https
    | AwsLambda
    | S3
    | AwsKinesis
    | SchemaRegistry
    | AzureBlobStorage
    | GcpPubSub,
    Field(discriminator="type"),
]
"""Any connection, told by its `type`."""
