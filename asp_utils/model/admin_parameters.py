"""Parameters of the Admin API's operations, described once; imported under `TYPE_CHECKING` only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from asp_utils.model.regions import Cloud, KnownRegion
from asp_utils.model.tiers import TierName


class FailoverStart(TypedDict):
    """Where and how a processor starts in another region."""

    region: Annotated[str, Field(description="The failover region.")]
    mode: NotRequired[Annotated[Literal["GRACEFUL", "FORCED"], Field(description="How.")]]
    dryRun: NotRequired[Annotated[bool, Field(description="Only say whether it could.")]]
    clearCheckpoint: NotRequired[Annotated[bool, Field(description="Start afresh there.")]]


CloudProvider = Annotated[
    Cloud | str | None,
    Field(description="AWS, AZURE or GCP; found from the region when left out."),
]
Region = Annotated[
    KnownRegion | str,
    Field(description="Where the streams are processed, in Atlas' word: VIRGINIA_USA, eastus, …"),
]
NewRegion = Annotated[
    str | None, Field(description="Another region, in Atlas' word; unchanged when left out.")
]
FailoverRegions = Annotated[
    list[dict[str, Any]] | None,
    Field(
        description="At most two regions of the same cloud to fail over to: "
        "`{cloudProvider, region}` each; the whole new list.",
        examples=[[{"cloudProvider": "AWS", "region": "OREGON_USA"}]],
    ),
]
DefaultTier = Annotated[
    TierName | str | None,
    Field(description="Tier of processors that name none; Atlas' own default when left out."),
]
MaxTier = Annotated[
    TierName | str | None, Field(description="Largest tier that a processor may ask for.")
]
CheckDefinition = Annotated[
    bool,
    Field(
        description="Check the definition here before anything is sent. Turn off for something "
        "that Atlas has and this toolkit does not know yet."
    ),
]
ConnectionName = Annotated[
    str, Field(min_length=1, description="Name of the connection.", examples=["local_kafka"])
]
ConnectionDefinition = Annotated[
    dict[str, Any],
    Field(
        description="The connection, `{name, type, …}` with the Admin API's fields; `type` is "
        "Kafka, Cluster, Sample, Https, AWSLambda, S3, AWSKinesisDataStreams, SchemaRegistry, "
        'AzureBlobStorage or GCPPubSub. Secrets by reference: `{"$env": "NAME"}`. Fields that '
        "only a local instance needs (`uri`, `endpointUrl`, …) are not sent to Atlas.",
        examples=[{"name": "sample_stream_solar", "type": "Sample"}],
    ),
]
ConnectionFields = Annotated[
    dict[str, Any],
    Field(
        description="The fields to change; the rest stays, null takes a field away. What Atlas "
        "never shows (passwords, keys) must be given again, by reference.",
        examples=[{"bootstrapServers": "broker1:9092", "authentication": {"password": "…"}}],
    ),
]
FailoverId = Annotated[str, Field(min_length=1, description="Id of the failover connection.")]
PrivateLinkId = Annotated[str, Field(min_length=1, description="Id of the private link.")]
PeeringId = Annotated[str, Field(min_length=1, description="Id of the peering.")]
Restart = Annotated[
    bool,
    Field(
        description="Stop a processor that runs, change it, start it again. Without this, one that "
        "runs is left alone (exit 73)."
    ),
]
ResumeFromCheckpoint = Annotated[
    bool,
    Field(
        description="True keeps position and open windows, which forbids changes to source and "
        "window; False drops them."
    ),
]
