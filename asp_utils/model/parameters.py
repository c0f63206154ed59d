"""Parameters that several operations share, described once.

Operations import these under `TYPE_CHECKING` only: describing costs pydantic, running does not.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field, SecretStr
from typing_extensions import TypedDict

from asp_utils.model.tiers import TierName


class AtlasAccount(TypedDict):
    """Which project of which Atlas, and who asks.

    What is left out comes from the environment (`MONGODB_ATLAS_…`, `MDB_MCP_API_…`) and then from
    the profile of the Atlas CLI.
    """

    url: NotRequired[Annotated[str, Field(description="`local`, or a base URL.")]]
    project_id: NotRequired[
        Annotated[str, Field(pattern="^[0-9a-f]{24}$", description="24 hexadecimal digits.")]
    ]
    profile: NotRequired[Annotated[str, Field(description="Profile of the Atlas CLI.")]]
    client_id: NotRequired[Annotated[str, Field(description="Of a service account.")]]
    client_secret: NotRequired[Annotated[str, Field(description="Its secret, by reference.")]]
    public_key: NotRequired[Annotated[str, Field(description="Of an API key.")]]
    private_key: NotRequired[Annotated[str, Field(description="Its secret, by reference.")]]
    ca_file: NotRequired[Annotated[str, Field(description="PEM of a private authority.")]]


StreamProcessorUrl = Annotated[
    str,
    Field(
        min_length=1,
        description="Endpoint of the stream processing workspace: `local` for the local instance "
        "(started when it does not run), `local:NAME` for another workspace of it, or "
        "`mongodb://atlas-stream-…a.query.mongodb.net/`.",
        examples=["local"],
    ),
]
ConnectionUser = Annotated[
    str | None, Field(description="Database user of the workspace. Not needed for `local`.")
]
ConnectionPassword = Annotated[
    SecretStr | None,
    Field(
        description='Password of that user, by reference: `{"$env": "NAME"}`. '
        "Not needed for `local`."
    ),
]
Atlas = Annotated[
    AtlasAccount | str | None,
    Field(
        description="The Atlas project, or `local` for the local instance's own Admin API (started "
        "when it does not run). An object says more: `url`, `project_id`, `profile`, `client_id` "
        "and `client_secret`, or `public_key` and `private_key`, `ca_file`. What is left out comes "
        "from `MONGODB_ATLAS_…` variables, then from the Atlas CLI's profile.",
        examples=["local", {"project_id": "32b6e34b3d91647abb20e7b8", "profile": "default"}],
    ),
]
Kafka = Annotated[
    dict[str, Any] | str,
    Field(
        description="The Kafka cluster: bootstrap servers `host:port,…`; or an object with the "
        "fields of an Atlas Kafka connection (`bootstrapServers`, `authentication`, `security`, "
        "`config`); or `{rest: {endpoint, cluster_id, api_key, api_secret}}` for Confluent's REST "
        "API v3. Secrets by reference.",
        examples=[
            "127.0.0.1:9092",
            {
                "bootstrapServers": "broker:9093",
                "authentication": {
                    "mechanism": "SCRAM-512",
                    "username": "ann",
                    "password": {"$env": "KAFKA_PASSWORD"},
                },
                "security": {"protocol": "SASL_SSL"},
            },
        ],
    ),
]
TopicName = Annotated[
    str, Field(min_length=1, description="Name of the topic.", examples=["orders"])
]
WorkspaceName = Annotated[
    str,
    Field(min_length=1, description="Name of the workspace.", examples=["local"]),
]
ProcessorName = Annotated[
    str,
    Field(min_length=1, description="Name of the stream processor.", examples=["solar_peaks"]),
]
Pipeline = Annotated[
    list[dict[str, Any]],
    Field(description="The stages, first `$source`; Extended JSON such as `$date` is understood."),
]
ProcessorTier = Annotated[
    TierName | None, Field(description="Tier to run on; the workspace's default when left out.")
]
Failover = Annotated[
    bool | None,
    Field(
        description="Whether it moves to another region when its own fails; needs SP10 or larger. "
        "A local instance keeps the option and has one region."
    ),
]
Autoscaling = Annotated[
    dict[str, Any] | None,
    Field(
        description="Between which tiers Atlas may move it: `{enabled, minTier, maxTier}`. "
        "A local instance keeps it and moves nothing.",
        examples=[{"enabled": True, "minTier": "SP5", "maxTier": "SP30"}],
    ),
]
TimeoutSeconds = Annotated[
    float,
    Field(
        gt=0,
        description="How many seconds to wait for the wished state before giving up (exit 124).",
    ),
]
MetadataFieldName = Annotated[
    str | None,
    Field(description="Output field that shows each document's stream metadata; none by default."),
]

DeadLetters = Annotated[
    dict[str, Any] | None,
    Field(
        description="Dead letter queue, `{connectionName, db, coll}`: where documents go that a "
        "stage could not process. Without one they are dropped (and counted).",
        examples=[{"connectionName": "local_cluster", "db": "solar", "coll": "dead_letters"}],
    ),
]
CheckPipeline = Annotated[
    bool,
    Field(
        description="Check the pipeline here before anything is sent. Turn off for a stage that "
        "Atlas has and this toolkit does not know yet."
    ),
]
Filter = Annotated[
    dict[str, Any] | None,
    Field(description="An ordinary find filter over what is listed; Extended JSON."),
]
