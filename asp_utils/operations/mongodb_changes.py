"""Changes of a MongoDB deployment as they happen: a change stream, bounded.

Source: MongoDB manual, page "Change Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.admin.deployments import deployment
from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.model.local_names import LOCAL_DATABASE
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field

    from asp_utils.clients.mongodb import Watch
    from asp_utils.context import Context
    from asp_utils.model.mongodb_parameters import IncludeInternal, MongodbUri

    WatchedDatabase = Annotated[
        str | None, Field(min_length=1, description="The whole deployment when left out.")
    ]
    WatchedCollection = Annotated[
        str | None, Field(min_length=1, description="All of the database when left out.")
    ]
    EventStages = Annotated[
        list[dict[str, Any]] | None,
        Field(
            description="Stages over the events, `$match` for instance; `_id` must stay.",
            examples=[[{"$match": {"operationType": "insert"}}]],
        ),
    ]
    FullDocument = Annotated[
        Literal["default", "updateLookup", "whenAvailable", "required"],
        Field(
            description="Whether an update's event holds the document: `updateLookup` as it is "
            "when it is read; `whenAvailable` and `required` as it was, if it is kept."
        ),
    ]
    BeforeChange = Annotated[
        Literal["off", "whenAvailable", "required"],
        Field(description="Whether events hold the document as it was before."),
    ]
    StartAfter = Annotated[
        dict[str, Any] | None,
        Field(
            description='Resume token, `{"_data": "…"}`: an event\'s `_id`, or the `resume_token` '
            "that the last watch ended with."
        ),
    ]
    StartAt = Annotated[
        dict[str, Any] | None,
        Field(
            description='`{"$date": "…"}` or `{"$timestamp": {"t": …, "i": …}}`; events since then '
            "come first. Excludes `start_after`."
        ),
    ]
    Limit = Annotated[int, Field(ge=1, description="Stop after this many events.")]
    MaxSeconds = Annotated[float, Field(gt=0, description="Stop after this many seconds.")]

_AWAIT_S: Final = 1.0
"""How long the server holds a question; a signal, or the end of the time, waits no longer."""
_HIDDEN: Final = {"$match": {"ns.db": {"$not": {"$regex": f"^{LOCAL_DATABASE}"}}}}


@operation(effect="read")
def mongodb_watch(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: WatchedDatabase = None,
    collection: WatchedCollection = None,
    pipeline: EventStages = None,
    full_document: FullDocument = "default",
    full_document_before_change: BeforeChange = "off",
    start_after: StartAfter = None,
    start_at_operation_time: StartAt = None,
    limit: Limit = 10,
    max_seconds: MaxSeconds = 30,
    include_internal: IncludeInternal = False,
) -> Iterator[dict[str, Any]]:
    """Print the changes of a collection, a database or a whole deployment as they happen.

    The last line is `{"_watch": {"resume_token": …, "count": …, "ended": …}}`: the token continues
    there, also when no event came. `ended` is `limit`, `max_seconds`, or `invalidated` (the
    collection was dropped or renamed).

    Raises:
        ConfigInvalid: Pipeline, token or time is wrong; `collection` stands without `database`.
        Conflict: The deployment is no replica set; it no longer holds that moment; an image that is
            `required` was not kept.
        PermissionDenied: The credentials may not watch this.
    """
    _refuse(database, collection, start_after, start_at_operation_time)
    given = {"pipeline": revived(pipeline or [], "pipeline")}
    hidden = [_HIDDEN] if database is None and not include_internal else []
    options: dict[str, Any] = {
        "full_document": full_document if full_document != "default" else None,
        "full_document_before_change": full_document_before_change
        if full_document_before_change != "off"
        else None,
        "max_await_time_ms": int(1000 * min(_AWAIT_S, max_seconds)) or 1,
    }
    if start_after is not None:
        given["start_after"] = options["start_after"] = revived(start_after, "start_after")
    if start_at_operation_time is not None:
        options["start_at_operation_time"] = _moment(start_at_operation_time)
    with (
        deployment(ctx, mongodb_uri, timeout_s=None) as server,
        server.watched(
            database, collection, [*hidden, *given["pipeline"]], given, options
        ) as watch,
    ):
        if collection and not server.collections(str(database), collection):
            ctx.progress(f"{database}.{collection} does not exist yet: its changes will be seen")
        yield from _events(ctx, watch, limit, max_seconds)


def _events(ctx: Context, watch: Watch, limit: int, max_seconds: float) -> Iterator[dict[str, Any]]:
    """The events within the bounds, then where they ended."""
    deadline_s = ctx.now_s() + max_seconds
    count, ended = 0, "max_seconds"
    while not ctx.cancelled.is_set():
        event = watch.next()
        if event is not None:
            yield event
            count += 1
        if count >= limit or not watch.is_open:
            ended = "limit" if count >= limit else "invalidated"
            break
        if ctx.now_s() >= deadline_s:
            break
    yield {"_watch": {"resume_token": watch.resume_token, "count": count, "ended": ended}}


def _refuse(database: Any, collection: Any, start_after: Any, start_at: Any) -> None:
    faults = []
    if collection is not None and database is None:
        faults.append(Fault("$.database", "collection needs its database beside it"))
    if start_after is not None and start_at is not None:
        message = "give either start_after or start_at_operation_time"
        faults.append(Fault("$.start_at_operation_time", message))
    if start_after is not None and "_data" not in start_after:
        faults.append(Fault("$.start_after", 'a resume token has the shape {"_data": "…"}'))
    if faults:
        raise ConfigInvalid("config", faults)


def _moment(given: dict[str, Any]) -> Any:
    """The moment as the server wants it, a Timestamp."""
    from bson import DatetimeMS, Timestamp

    moment = revived(given, "start_at_operation_time")
    if isinstance(moment, Timestamp):
        return moment
    try:
        return Timestamp(int(DatetimeMS(moment)) // 1000, 0)
    except (TypeError, ValueError) as error:
        message = 'a Date ({"$date": …}) or a Timestamp ({"$timestamp": …}) is needed'
        fault = Fault("$.start_at_operation_time", message)
        raise ConfigInvalid("config", [fault]) from error
