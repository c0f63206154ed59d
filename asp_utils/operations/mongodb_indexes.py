"""Indexes of a collection: listed, created, ensured, dropped; every change is read back.

Source: MongoDB manual, pages "createIndexes", "listIndexes", "dropIndexes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.deployments import deployment
from asp_utils.errors import ConfigInvalid, Conflict, Fault, NotFound, TimedOut, UnexpectedReply
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived
from asp_utils.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated

    from pydantic import Field

    from asp_utils.clients.mongodb import Deployment
    from asp_utils.context import Context
    from asp_utils.model.mongodb_parameters import (
        CollectionName,
        DatabaseName,
        IndexKeys,
        MongodbUri,
        OperationSeconds,
    )

    IndexName = Annotated[
        str | None, Field(min_length=1, description="Its name; made of the fields when left out.")
    ]
    Unique = Annotated[bool, Field(description="No two documents may have the same values.")]
    Sparse = Annotated[bool, Field(description="Only documents that have the field.")]
    ExpireAfterSeconds = Annotated[
        int | None,
        Field(ge=0, description="TTL: documents go this long after the time in the (one) field."),
    ]
    PartialFilter = Annotated[
        dict[str, Any] | None,
        Field(
            description="Only documents that match this filter; Extended JSON.",
            examples=[{"state": "open"}],
        ),
    ]
    BuildSeconds = Annotated[
        float, Field(gt=0, description="Seconds to wait for the build (exit 124 when they are up).")
    ]

_LOOK: Final = "somebody else may change it too: cli_mongodb_list_indexes.py"
_OPTIONS: Final = ("unique", "sparse", "expireAfterSeconds", "partialFilterExpression")
_PRIMARY: Final = "_id_"


class IndexItem(TypedDict):
    """One index."""

    name: str
    """Its name."""
    keys: dict[str, Any]
    """The indexed fields in order: 1, -1, or a kind."""
    unique: bool
    """Whether no two documents may have the same values."""
    sparse: bool
    """Whether documents without the field are left out."""
    expire_after_seconds: int | None
    """TTL, if it is one."""
    partial_filter: dict[str, Any] | None
    """Which documents are in it; null for all."""
    hidden: bool
    """Whether queries pass it over."""


class Indexes(TypedDict):
    """The indexes of a collection."""

    namespace: str
    """Database and collection."""
    indexes: list[IndexItem]
    """As the server lists them."""


class IndexChange(TypedDict):
    """An index that was made, found or dropped."""

    namespace: str
    """Database and collection."""
    index: IndexItem
    """The index, as it was read back, or as it was."""
    changed: bool
    """Whether anything is different now."""


@operation(effect="read")
def mongodb_list_indexes(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    timeout_s: OperationSeconds = 30,
) -> Indexes:
    """List the indexes of a collection with their fields and options.

    Raises:
        NotFound: There is no such collection.
        Conflict: It is a view.
    """
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        found = server.indexes(database, collection)
    return {"namespace": f"{database}.{collection}", "indexes": [_item(each) for each in found]}


@operation(effect="write")
def mongodb_create_index(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    keys: IndexKeys,
    name: IndexName = None,
    unique: Unique = False,
    sparse: Sparse = False,
    expire_after_seconds: ExpireAfterSeconds = None,
    partial_filter: PartialFilter = None,
    timeout_s: BuildSeconds = 600,
) -> IndexChange:
    """Create an index and wait until it is built; one that exists already is a conflict.

    Raises:
        NotFound: There is no such collection; none is created.
        Conflict: The index, or another of that name or over these fields, exists; documents share
            a value that should be unique.
        TimedOut: The build goes on, or was given up: the message says which.
    """
    spec = _spec(keys, name, unique, sparse, expire_after_seconds, partial_filter)
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        if any(_same(each, spec) for each in server.indexes(database, collection)):
            raise Conflict(
                f"{database}.{collection} has this index already: {spec['name']}",
                hint="cli_mongodb_ensure_index.py is content with that",
                path="$.keys",
            )
        return _build(server, database, collection, spec)


@operation(effect="write")
def mongodb_ensure_index(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    keys: IndexKeys,
    name: IndexName = None,
    unique: Unique = False,
    sparse: Sparse = False,
    expire_after_seconds: ExpireAfterSeconds = None,
    partial_filter: PartialFilter = None,
    timeout_s: BuildSeconds = 600,
) -> IndexChange:
    """Make sure that an index exists: found, or created and waited for.

    With no `name`, an index over the same fields with the same options will do, whatever it is
    called.

    Raises:
        NotFound: There is no such collection; none is created.
        Conflict: An index of that name, or over these fields, is otherwise; documents share a value
            that should be unique.
        TimedOut: The build goes on, or was given up: the message says which.
    """
    spec = _spec(keys, name, unique, sparse, expire_after_seconds, partial_filter)
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        for each in server.indexes(database, collection):
            if _same(each, spec) and name in (None, each["name"]):
                there = _item(each)
                namespace = f"{database}.{collection}"
                return {"namespace": namespace, "index": there, "changed": False}
        return _build(server, database, collection, spec)


@operation(effect="destroy")
def mongodb_drop_index(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    name: Annotated[str, Field(min_length=1, description="The index; its name, not its fields.")],
    timeout_s: OperationSeconds = 30,
) -> IndexChange:
    """Drop an index of a collection by its name.

    Raises:
        NotFound: There is no such collection, or no such index.
        ConfigInvalid: It is the index of `_id`, or `*`.
    """
    if name in (_PRIMARY, "*"):
        message = "the index of _id stays" if name == _PRIMARY else "name one index at a time"
        raise ConfigInvalid("config", [Fault("$.name", message)])
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        found = _named(server, database, collection, name)
        if found is None:
            known = [each["name"] for each in server.indexes(database, collection)]
            raise NotFound(
                f"{database}.{collection} has no index {name!r}",
                hint=meant(name, known) or "list them: cli_mongodb_list_indexes.py",
                path="$.name",
            )
        server.command(database, {"dropIndexes": collection, "index": name})
        if _named(server, database, collection, name) is not None:
            raise UnexpectedReply(f"index {name!r} is still there after its drop", hint=_LOOK)
    return {"namespace": f"{database}.{collection}", "index": _item(found), "changed": True}


def _spec(
    keys: Mapping[str, Any],
    name: str | None,
    unique: bool,
    sparse: bool,
    expire_after_seconds: int | None,
    partial_filter: dict[str, Any] | None,
) -> dict[str, Any]:
    """The index in the server's words."""
    spec: dict[str, Any] = {
        "key": dict(keys),
        "name": name or "_".join(f"{field}_{kind}" for field, kind in keys.items()),
    }
    if expire_after_seconds is not None:
        if len(keys) > 1:
            fault = Fault("$.expire_after_seconds", "a TTL index has one field")
            raise ConfigInvalid("config", [fault])
        spec["expireAfterSeconds"] = expire_after_seconds
    if partial_filter is not None:
        spec["partialFilterExpression"] = revived(partial_filter, "partial_filter")
    return spec | ({"unique": True} if unique else {}) | ({"sparse": True} if sparse else {})


def _same(listed: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether an index is over the same fields with the same options."""
    return _keys(listed) == list(spec["key"].items()) and all(
        (listed.get(option) or None) == (spec.get(option) or None) for option in _OPTIONS
    )


def _keys(listed: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fields of an index as they were given; those of a text index are listed as weights."""
    keys: list[tuple[str, Any]] = []
    for field, kind in listed["key"].items():
        if field == "_fts":
            keys += [(name, "text") for name in listed.get("weights", {})]
        elif field != "_ftsx":
            keys.append((field, kind))
    return keys


def _build(server: Deployment, database: str, collection: str, spec: dict[str, Any]) -> IndexChange:
    """Create the index; the server answers when it is built."""
    given = {"keys": spec["key"]}
    if "partialFilterExpression" in spec:
        given["partial_filter"] = spec["partialFilterExpression"]
    command = {"createIndexes": collection, "indexes": [spec]}
    try:
        server.command(database, command, given)
    except TimedOut as error:
        left = _named(server, database, collection, spec["name"])
        what = "is not there" if left is None else "is there, or is still being built"
        raise TimedOut(
            f"index {spec['name']!r} was not built in time: it {what}",
            hint="look again: cli_mongodb_list_indexes.py; or raise timeout_s",
            details={"index_listed": left is not None},
        ) from error
    built = _named(server, database, collection, spec["name"])
    if built is None or not _same(built, spec):
        odd = f"index {spec['name']!r} is not as it was told to be: {built}"
        raise UnexpectedReply(odd, hint=_LOOK)
    return {"namespace": f"{database}.{collection}", "index": _item(built), "changed": True}


def _named(server: Deployment, database: str, collection: str, name: str) -> dict[str, Any] | None:
    found = server.indexes(database, collection)
    return next((each for each in found if each["name"] == name), None)


def _item(listed: Mapping[str, Any]) -> IndexItem:
    expires = listed.get("expireAfterSeconds")
    return {
        "name": listed["name"],
        "keys": dict(_keys(listed)),
        "unique": bool(listed.get("unique", False)) or listed["name"] == _PRIMARY,
        "sparse": bool(listed.get("sparse", False)),
        "expire_after_seconds": None if expires is None else int(expires),
        "partial_filter": listed.get("partialFilterExpression"),
        "hidden": bool(listed.get("hidden", False)),
    }
