"""Parameters of the operations on MongoDB clusters, described once; see `model.parameters`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

MongodbUri = Annotated[
    str,
    Field(
        min_length=1,
        description="The deployment: `local` for the local instance's own mongod (started when it "
        "does not run), or a connection string. One with a password is given by reference: "
        '`{"$env": "NAME"}`.',
        examples=["local", {"$env": "MONGODB_URI"}],
    ),
]
DatabaseName = Annotated[
    str, Field(min_length=1, description="Name of the database.", examples=["shop"])
]
CollectionName = Annotated[
    str, Field(min_length=1, description="Name of the collection.", examples=["orders"])
]
MongoFilter = Annotated[
    dict[str, Any] | None,
    Field(
        description="Which documents: an ordinary find filter; Extended JSON such as `$date` and "
        "`$oid` is understood.",
        examples=[{"device_id": "device_1", "obs.watts": {"$gt": 250}}],
    ),
]
IndexKeys = Annotated[
    dict[str, Literal[1, -1, "2d", "2dsphere", "text", "hashed"]],
    Field(
        min_length=1,
        description="The indexed fields in order: 1 ascending, -1 descending, or a kind.",
        examples=[{"device_id": 1, "timestamp": -1}],
    ),
]
OperationSeconds = Annotated[
    float,
    Field(
        gt=0,
        description="Seconds that the server may take for one step before it is told to stop "
        "(exit 124).",
    ),
]
IncludeInternal = Annotated[
    bool,
    Field(
        description="Also what is hidden otherwise: the local instance's own `__asp_local…` "
        "databases, and `system.…` collections."
    ),
]
