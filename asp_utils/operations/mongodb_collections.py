"""Collections made ready for a pipeline: created as wanted, pre- and post-images kept.

Every change is read back: a result says what was observed, never what was asked.

Source: MongoDB manual, pages "create", "collMod", "Change Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from asp_utils import ejson
from asp_utils.admin.deployments import deployment
from asp_utils.errors import ConfigInvalid, Conflict, Fault, UnexpectedReply
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
        MongodbUri,
        OperationSeconds,
    )

    Document = dict[str, Any]

    TimeSeries = Annotated[
        dict[str, Any] | None,
        Field(
            description="A time series collection: `timeField`, and `metaField`, `granularity`, …",
            examples=[{"timeField": "ts", "metaField": "device", "granularity": "seconds"}],
        ),
    ]
    Expiry = Annotated[
        int | None,
        Field(ge=1, description="With `timeseries`: after how many seconds documents go."),
    ]
    CappedSize = Annotated[int | None, Field(ge=1, description="A capped collection of this size.")]
    MaxDocuments = Annotated[
        int | None, Field(ge=1, description="With `capped_size_bytes`: documents at most.")
    ]
    Validator = Annotated[
        dict[str, Any] | None,
        Field(
            description='What documents must match; `{"$jsonSchema": …}` of `mongodb_infer_schema`.'
        ),
    ]
    ValidationAction = Annotated[
        Literal["error", "warn"] | None, Field(description="What happens to those that do not.")
    ]
    ValidationLevel = Annotated[
        Literal["strict", "moderate", "off"] | None, Field(description="Which writes are checked.")
    ]
    Images = Annotated[
        bool | None, Field(description="Whether it keeps images; as it is when left out.")
    ]

_LOOK: Final = "somebody else may change it too: cli_mongodb_list_collections.py"
_IMAGES: Final = "changeStreamPreAndPostImages"
_CHANGEABLE: Final = (
    "validator", "validationLevel", "validationAction", _IMAGES, "expireAfterSeconds"
)  # fmt: skip
"""What `collMod` may change of a collection that exists."""
_IMPLIED: Final[Document] = {
    "validationLevel": "strict",
    "validationAction": "error",
    _IMAGES: {"enabled": False},
}
"""What holds where the listed options say nothing."""


class ImagesChange(TypedDict):
    """Whether a collection keeps pre- and post-images."""

    namespace: str
    """Database and collection."""
    enabled: bool
    """Read back after the change."""
    previously_enabled: bool
    """Before it."""
    changed: bool
    """Whether anything is different now."""


class CollectionChange(TypedDict):
    """A collection that was made, changed, or found as wanted."""

    namespace: str
    """Database and collection."""
    type: str
    """`collection` or `timeseries`."""
    options: dict[str, Any]
    """Its options as the server lists them."""
    created: bool
    """Whether it did not exist before."""
    changed: bool
    """Whether anything is different now."""


@operation(effect="write")
def mongodb_enable_pre_post_images(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    timeout_s: OperationSeconds = 30,
) -> ImagesChange:
    """Let a collection keep what documents were before and after a change, for change streams.

    A source with `fullDocument` or `fullDocumentBeforeChange` `required` needs it. Only changes
    from now on have images; they take space until `expireAfterSeconds` of the cluster is over.

    Raises:
        NotFound: There is no such collection.
        Conflict: It is a view or a time series collection, or the server is older than 6.0.
        PermissionDenied: The credentials may not run collMod.
    """
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        return _images(server, database, collection, wanted=True)


@operation(effect="write")
def mongodb_disable_pre_post_images(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    timeout_s: OperationSeconds = 30,
) -> ImagesChange:
    """Let a collection no longer keep pre- and post-images.

    Sources that require them fail from the next change on.

    Raises:
        NotFound, Conflict, PermissionDenied: As for `mongodb_enable_pre_post_images`.
    """
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        return _images(server, database, collection, wanted=False)


@operation(effect="write")
def mongodb_ensure_collection(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    timeseries: TimeSeries = None,
    expire_after_seconds: Expiry = None,
    capped_size_bytes: CappedSize = None,
    max_documents: MaxDocuments = None,
    validator: Validator = None,
    validation_action: ValidationAction = None,
    validation_level: ValidationLevel = None,
    pre_and_post_images: Images = None,
    timeout_s: OperationSeconds = 30,
) -> CollectionChange:
    """Make sure that a collection exists as wanted: created, or changed where that is possible.

    What is left out stays as it is. Validator, images and expiry of an existing collection are
    changed; whether it is a time series or capped is not, and is a conflict.

    Raises:
        Conflict: It exists as something else; the details name each difference.
        ConfigInvalid: Options that do not go together, or that the server refuses.
        PermissionDenied: The credentials may not create or change it.
    """
    given = {
        "timeseries": timeseries,
        "expireAfterSeconds": expire_after_seconds,
        "capped": True if capped_size_bytes else None,
        "size": capped_size_bytes,
        "max": max_documents,
        "validator": revived(validator, "validator"),
        "validationAction": validation_action,
        "validationLevel": validation_level,
        _IMAGES: None if pre_and_post_images is None else {"enabled": pre_and_post_images},
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    _refuse(wanted)
    blamed: dict[str, Any] = {
        name: wanted[name] for name in ("validator", "timeseries") if name in wanted
    } or wanted
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        before = server.collection_info(database, collection)
        if before is None:
            server.command(database, {"create": collection, **wanted}, blamed)
        else:
            _change(server, database, before, wanted, blamed)
        after = server.existing(database, collection)
    options = after.get("options", {})
    left = [*_differences(after, wanted)]
    if left:
        odd = f"{database}.{collection} is not as it was told to be: {left[0]}"
        raise UnexpectedReply(odd, hint=_LOOK)
    return {
        "namespace": f"{database}.{collection}",
        "type": after["type"],
        "options": options,
        "created": before is None,
        "changed": before is None or before.get("options", {}) != options,
    }


def _images(server: Deployment, database: str, collection: str, *, wanted: bool) -> ImagesChange:
    before = server.existing(database, collection)
    if before["type"] != "collection":
        raise Conflict(
            f"{database}.{collection} is a {before['type']}: only ordinary collections keep images",
            hint="name the collection that the changes are made in",
            path="$.collection",
        )
    previously = _keeps_images(before)
    if previously != wanted:
        command = {"collMod": collection, _IMAGES: {"enabled": wanted}}
        try:
            server.command(database, command)
        except UnexpectedReply as error:
            raise Conflict(
                f"{database}.{collection} cannot keep images: {error.message}",
                hint="this needs MongoDB 6.0 or newer",
                details=error.details,
            ) from error
    now = _keeps_images(server.existing(database, collection))
    if now != wanted:
        odd = f"{database}.{collection}: images are {now} after they were set"
        raise UnexpectedReply(odd, hint=_LOOK)
    return {
        "namespace": f"{database}.{collection}",
        "enabled": now,
        "previously_enabled": previously,
        "changed": now != previously,
    }


def _keeps_images(info: Mapping[str, Any]) -> bool:
    return bool(info.get("options", {}).get(_IMAGES, {}).get("enabled", False))


def _refuse(wanted: Mapping[str, Any]) -> None:
    faults = []
    if "timeseries" in wanted:
        if not isinstance(wanted["timeseries"].get("timeField"), str):
            faults.append(Fault("$.timeseries.timeField", "a time series needs its timeField"))
        for name, parameter in ((_IMAGES, "pre_and_post_images"), ("capped", "capped_size_bytes")):
            if name in wanted and wanted[name] != {"enabled": False}:
                faults.append(Fault(f"$.{parameter}", "a time series collection cannot have this"))
    elif "expireAfterSeconds" in wanted:
        hint = "for ordinary collections: cli_mongodb_ensure_index.py with expire_after_seconds"
        faults.append(Fault("$.expire_after_seconds", "this goes with timeseries", hint))
    if "max" in wanted and "capped" not in wanted:
        faults.append(Fault("$.max_documents", "this goes with capped_size_bytes"))
    if faults:
        raise ConfigInvalid("config", faults)


def _change(
    server: Deployment,
    database: str,
    info: Mapping[str, Any],
    wanted: Mapping[str, Any],
    blamed: Mapping[str, Any],
) -> None:
    """Bring an existing collection to what is wanted.

    Raises:
        Conflict: It cannot become that.
    """
    name = info["name"]
    differing = dict(_differences(info, wanted))
    fixed = {option: pair for option, pair in differing.items() if option not in _CHANGEABLE}
    if fixed or info["type"] == "view":
        said = ", ".join(
            f"{option} is {_shown(was)}, not {_shown(will)}"
            for option, (was, will) in fixed.items()
        )
        raise Conflict(
            f"{database}.{name} exists as a {info['type']}" + (said and f": {said}"),
            hint="choose another name, or drop the collection and all that is in it",
            path="$.collection",
            details={"differences": {key: list(pair) for key, pair in fixed.items()}},
        )
    if differing:
        changes = {option: wanted[option] for option in differing}
        server.command(database, {"collMod": name, **changes}, blamed)


def _shown(value: Any) -> str:
    return "not set" if value is None else ejson.dumps(value).decode()


def _differences(
    info: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each wanted option that is otherwise: its name, what is and what should be."""
    options = {**_IMPLIED, **info.get("options", {})}
    for name, will in wanted.items():
        was = options.get(name)
        if name == "timeseries":
            kept = was or {}
            if any(kept.get(field) != value for field, value in will.items()):
                yield name, (was, will)
        elif name == "size":
            # The server rounds sizes up to a multiple of 256 bytes.
            if was is None or not will <= was < will + 256:
                yield name, (was, will)
        elif was != will:
            yield name, (was, will)
