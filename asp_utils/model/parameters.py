"""Parameters that several operations share, described once.

Operations import these under `TYPE_CHECKING` only: describing costs pydantic, running does not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

StreamProcessorUrl = Annotated[
    str,
    Field(
        min_length=1,
        description="Endpoint of the stream processing workspace: `local` for the local instance "
        "(started when it does not run), or `mongodb://atlas-stream-…a.query.mongodb.net/`.",
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
ProcessorName = Annotated[
    str,
    Field(min_length=1, description="Name of the stream processor.", examples=["solar_peaks"]),
]
Pipeline = Annotated[
    list[dict[str, Any]],
    Field(description="The stages, first `$source`; Extended JSON such as `$date` is understood."),
]
Tier = Literal["SP2", "SP5", "SP10", "SP30", "SP50"]
ProcessorTier = Annotated[
    Tier | None, Field(description="Tier to run on; the workspace's default when left out.")
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
