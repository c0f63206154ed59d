"""MongoDB deployments looked at: databases, collections, documents, their shape, their changes.

Nothing here writes. What a result shows of a document is Extended JSON.

Source: MongoDB manual; Atlas page "Monitor stream processors" for what a pipeline needs to know.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.deployments import deployment
from asp_utils.errors import PermissionDenied
from asp_utils.model.local_names import is_internal
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Annotated

    from pydantic import Field

    from asp_utils.clients.mongodb import Deployment
    from asp_utils.context import Context
    from asp_utils.model.mongodb_parameters import (
        CollectionName,
        DatabaseName,
        IncludeInternal,
        MongodbUri,
        MongoFilter,
        OperationSeconds,
    )

    Projection = Annotated[
        dict[str, Any] | None,
        Field(description="Which fields: 1 or 0 each, or expressions.", examples=[{"obs": 1}]),
    ]
    Sort = Annotated[
        dict[str, int] | None,
        Field(description="Order: 1 or -1 per field.", examples=[{"timestamp": -1}]),
    ]
    Limit = Annotated[int, Field(ge=1, description="Documents at most.")]
    AtRandom = Annotated[
        bool,
        Field(
            description="Choose at random where there is neither `filter` nor `sort`; false takes "
            "the first documents."
        ),
    ]

_SYSTEM: Final = "system."


class DatabaseItem(TypedDict):
    """One database."""

    name: str
    """Its name."""
    size_on_disk_bytes: int | None
    """What it takes on disk; null where the credentials may not see it."""


class Databases(TypedDict):
    """The databases of a deployment, and what kind of deployment it is."""

    databases: list[DatabaseItem]
    """Those that the credentials may see."""
    version: str
    """Version of the server."""
    topology: str
    """`replica set NAME`, `sharded cluster` or `standalone`; the last has no change streams."""


class CollectionItem(TypedDict):
    """One collection, time series collection or view."""

    name: str
    """Its name."""
    type: str
    """`collection`, `timeseries` or `view`."""
    timeseries: dict[str, Any] | None
    """`timeField`, `metaField`, `granularity`, … of a time series collection."""
    capped: dict[str, Any] | None
    """`size_bytes` and `max_documents` of a capped collection."""
    view: dict[str, Any] | None
    """`on` and `pipeline` of a view."""
    pre_and_post_images: bool
    """Whether it keeps what documents were before and after a change."""
    validator: dict[str, Any] | None
    """What documents must match; with `level` and `action`."""
    expire_after_seconds: int | None
    """After how long a time series collection forgets."""
    documents_estimate: int | None
    """How many documents, from the collection's own count; null where it is not known."""
    size_bytes: int | None
    """Documents without compression."""
    storage_bytes: int | None
    """Documents on disk."""
    index_count: int | None
    """How many indexes."""
    index_bytes: int | None
    """Indexes on disk."""


class Collections(TypedDict):
    """The collections of a database."""

    database: str
    """Its name."""
    collections: list[CollectionItem]
    """By name."""


class Counted(TypedDict):
    """How many documents there are."""

    namespace: str
    """Database and collection."""
    count: int
    """How many."""
    exact: bool
    """False: the collection's own count, which a crash or a sharded cluster may put out."""


@operation(effect="read")
def mongodb_list_databases(
    ctx: Context,
    mongodb_uri: MongodbUri,
    include_internal: IncludeInternal = False,
    timeout_s: OperationSeconds = 30,
) -> Databases:
    """List the databases of a MongoDB deployment with their sizes, its version and its topology.

    Raises:
        Unreachable: Nothing answers there; the message says why.
        PermissionDenied: The credentials are wrong, or may not do this.
    """
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        hello = server.command("admin", {"hello": 1})
        listed = server.command("admin", {"listDatabases": 1, "authorizedDatabases": True})
        version = str(server.command("admin", {"buildInfo": 1})["version"])
    found: list[DatabaseItem] = [
        {"name": each["name"], "size_on_disk_bytes": _whole(each.get("sizeOnDisk"))}
        for each in listed["databases"]
        if include_internal or not is_internal(each["name"])
    ]
    return {"databases": found, "version": version, "topology": _topology(hello)}


@operation(effect="read")
def mongodb_list_collections(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    with_sizes: Annotated[
        bool, Field(description="With counts and sizes: one more question per collection.")
    ] = True,
    include_internal: IncludeInternal = False,
    timeout_s: OperationSeconds = 30,
) -> Collections:
    """List the collections of a database: kind, options, estimated count, sizes.

    Raises:
        NotFound: There is no such database.
        Unreachable, PermissionDenied: As for `mongodb_list_databases`.
    """
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        listed = server.collections(database)
        if not listed and database not in server.names():
            server.existing(database, "")
        found = [
            _collection(each, _sizes(server, database, each) if with_sizes else {})
            for each in sorted(listed, key=lambda each: str(each["name"]))
            if include_internal or not each["name"].startswith(_SYSTEM)
        ]
    return {"database": database, "collections": found}


@operation(effect="read")
def mongodb_count(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    filter: MongoFilter = None,  # noqa: A002 - the query language's own word
    exact: Annotated[
        bool,
        Field(
            description="Count one by one. A `filter` always does; without one the estimate is "
            "the collection's own count."
        ),
    ] = False,
    timeout_s: OperationSeconds = 30,
) -> Counted:
    """Count the documents of a collection: the estimate at once, or exactly those of a filter.

    Raises:
        NotFound: There is no such collection.
        ConfigInvalid: The filter is wrong; the path says where.
        TimedOut: Counting took too long.
    """
    given = {"filter": revived(filter or {}, "filter")}
    one_by_one = exact or bool(given["filter"])
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        info = server.existing(database, collection)
        if one_by_one or info["type"] == "view":
            count, one_by_one = server.count(database, collection, given), True
        else:
            count = int(server.command(database, {"count": collection})["n"])
    return {"namespace": f"{database}.{collection}", "count": count, "exact": one_by_one}


@operation(effect="read")
def mongodb_sample(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    filter: MongoFilter = None,  # noqa: A002 - the query language's own word
    projection: Projection = None,
    sort: Sort = None,
    limit: Limit = 10,
    random: AtRandom = True,
    timeout_s: OperationSeconds = 30,
) -> Iterator[dict[str, Any]]:
    """Print documents of a collection: a random sample, or those that a filter finds.

    Raises:
        NotFound: There is no such collection.
        ConfigInvalid: Filter, projection or sort is wrong; the path says where.
        TimedOut: It took too long.
    """
    parts = {"filter": filter, "projection": projection, "sort": sort}
    given = {name: revived(part, name) for name, part in parts.items() if part}
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        if random and not filter and not sort:
            stages: list[Mapping[str, Any]] = [{"$sample": {"size": limit}}]
            if projection:
                stages.append({"$project": given["projection"]})
            found = server.aggregate(database, collection, stages, given)
        else:
            found = server.find(database, collection, given=given, limit=limit)
        with closing(found) as documents:
            yield from documents


def _collection(listed: Mapping[str, Any], sizes: Mapping[str, Any]) -> CollectionItem:
    options = listed.get("options", {})
    validator = options.get("validator")
    stored = sizes.get("storageStats", {})
    return {
        "name": listed["name"],
        "type": listed["type"],
        "timeseries": options.get("timeseries"),
        "capped": {"size_bytes": options.get("size"), "max_documents": options.get("max")}
        if options.get("capped")
        else None,
        "view": {"on": options["viewOn"], "pipeline": options.get("pipeline", [])}
        if "viewOn" in options
        else None,
        "pre_and_post_images": bool(
            options.get("changeStreamPreAndPostImages", {}).get("enabled", False)
        ),
        "validator": {
            "validator": validator,
            "level": options.get("validationLevel", "strict"),
            "action": options.get("validationAction", "error"),
        }
        if validator
        else None,
        "expire_after_seconds": _whole(options.get("expireAfterSeconds")),
        "documents_estimate": _whole(sizes.get("count", stored.get("count"))),
        "size_bytes": _whole(stored.get("size")),
        "storage_bytes": _whole(stored.get("storageSize")),
        "index_count": _whole(stored.get("nindexes")),
        "index_bytes": _whole(stored.get("totalIndexSize")),
    }


def _sizes(server: Deployment, database: str, listed: Mapping[str, Any]) -> dict[str, Any]:
    """What `$collStats` says; nothing of a view, nor where the credentials may not ask."""
    if listed["type"] == "view":
        return {}
    wanted: dict[str, Any] = {"storageStats": {}} | (
        {} if listed["type"] == "timeseries" else {"count": {}}
    )
    # The whole answer is some hundred lines of the storage engine's own counters.
    kept = ("count", "size", "storageSize", "nindexes", "totalIndexSize")
    stages: list[Mapping[str, Any]] = [
        {"$collStats": wanted},
        {"$project": {"count": 1, **{f"storageStats.{name}": 1 for name in kept}}},
        {"$limit": 1},
    ]
    try:
        with closing(server.aggregate(database, listed["name"], stages)) as found:
            return next(found, {})
    except PermissionDenied:
        return {}


def _topology(hello: Mapping[str, Any]) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return f"replica set {hello['setName']}" if "setName" in hello else "standalone"


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
