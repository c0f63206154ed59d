"""`$source` from a cluster: the change stream of a collection, a database or the whole cluster.

A thread of its own reads the change stream (pymongo resumes it after failovers), so that decoding
overlaps with evaluation and a batch never waits for the server once it holds an event.

Source: Atlas page "$source", section "MongoDB change stream"; asp-reference.md 2.4.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from bson import Timestamp
from pydantic import Field
from pymongo.errors import OperationFailure, PyMongoError

from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Name, Options, TimeField
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from pymongo.synchronous.change_stream import ChangeStream
    from pymongo.synchronous.collection import Collection
    from pymongo.synchronous.database import Database
    from pymongo.synchronous.mongo_client import MongoClient

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_QUEUE_EVENTS: Final = 20_000
_MAX_AWAIT_MS: Final = 250
"""How long one call waits on the server at most, so that a stop is soon obeyed."""
_Event = tuple[Mapping[str, Any] | None, Any]
"""An event (None: only time has passed) and the resume token behind it."""
_HISTORY_LOST: Final = 286
_CANNOT_RESUME: Final = 425


class ChangeStreamConfig(Options):
    """`config` of a change-stream source."""

    start_after: dict[str, Any] | None = None
    start_at_operation_time: Any = None
    full_document: Literal["default", "updateLookup", "required", "whenAvailable"] = "default"
    full_document_only: bool = False
    full_document_before_change: Literal["off", "required", "whenAvailable"] = "off"
    pipeline: list[dict[str, Any]] = Field(default_factory=list)
    max_await_time_ms: Annotated[int, Field(gt=0, alias="maxAwaitTimeMS")] = 1000


class ChangeStreamOptions(Options):
    """Both `db` and `coll`: collections; `db` only: a database; neither: the cluster."""

    connection_name: Name
    db: Name | None = None
    coll: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    time_field: TimeField | None = None
    read_preference: Literal[
        "primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"
    ] = "primary"
    read_preference_tags: list[dict[str, str]] | None = None
    config: ChangeStreamConfig = ChangeStreamConfig()


class ChangeStreamSource(Source):
    """Change events in order; the position is the resume token behind them."""

    operator_name = "ChangeStreamConsumerOperator"
    source_type = "atlas"

    def __init__(
        self, options: ChangeStreamOptions, surroundings: Surroundings, position: Document | None
    ) -> None:
        self._only_document = options.config.full_document_only
        self._stream = _opened(options, surroundings, position)
        self._events: queue.Queue[_Event] = queue.Queue(_QUEUE_EVENTS)
        self._error: PyMongoError | None = None
        self._closing = threading.Event()
        # The position before the first event: a crash before the first checkpoint loses nothing.
        self.position: Any = dict(self._stream.resume_token or {}) or position
        self._reader = threading.Thread(target=self._pump, name="change-stream", daemon=True)
        self._reader.start()

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The events that have come; waits for the first one only."""
        events: list[Document] = []
        try:
            event, token = self._events.get(timeout=max_wait_ms / 1000)
            while True:
                self.position = token
                if event is not None:
                    events.append(dict(event))
                if len(events) >= max_documents:
                    break
                event, token = self._events.get_nowait()
        except queue.Empty:
            if self._error is not None and not events:
                raise _failure(self._error) from self._error
        return self._batch(events) if events else None

    def close(self) -> None:
        """Close the change stream and end its thread."""
        self._closing.set()
        while self._reader.is_alive():
            # The reader may wait for room in the queue.
            while not self._events.empty():
                self._events.get_nowait()
            self._reader.join(0.05)

    def _batch(self, events: list[Document]) -> Batch:
        documents: list[Document] = []
        kept: list[Document] = []
        for event in events:
            document = event.get("fullDocument") if self._only_document else event
            if document is not None:
                documents.append(document)
                kept.append(event)
        times_ms = [_event_ms(event) for event in kept]
        return Batch(documents, times_ms, self.position, lambda index: _metadata(kept[index]))

    def _pump(self) -> None:
        try:
            with self._stream as stream:
                while not self._closing.is_set():
                    event = stream.try_next()
                    token = dict(stream.resume_token or {})
                    # A silent stream's token moves on too: a checkpoint of it survives the oplog.
                    if event is not None or self._events.empty():
                        self._put((event, token))
        except PyMongoError as error:
            self._error = error

    def _put(self, item: _Event) -> None:
        while not self._closing.is_set():
            try:
                self._events.put(item, timeout=0.1)
            except queue.Full:
                continue
            return


def open_change_stream(
    options: ChangeStreamOptions, surroundings: Surroundings, position: Document | None
) -> ChangeStreamSource:
    """The source, resumed at `position` or at the start that the options name.

    Raises:
        ProcessorFailed: The cluster cannot be reached, or its oplog no longer holds the position.
    """
    try:
        return ChangeStreamSource(options, surroundings, position)
    except PyMongoError as error:
        raise _failure(error) from error


def _opened(
    options: ChangeStreamOptions, surroundings: Surroundings, position: Document | None
) -> ChangeStream[Document]:
    config = options.config
    target: Any = _target(options, surroundings)
    stages = list(config.pipeline)
    if isinstance(options.coll, list):
        stages.insert(0, {"$match": {"ns.coll": {"$in": options.coll}}})
    arguments: dict[str, Any] = {"max_await_time_ms": min(config.max_await_time_ms, _MAX_AWAIT_MS)}
    if config.full_document != "default":
        arguments["full_document"] = config.full_document
    if config.full_document_before_change != "off":
        arguments["full_document_before_change"] = config.full_document_before_change
    arguments |= _start(config, surroundings.start_options, position)
    stream: ChangeStream[Document] = target.watch(stages, **arguments)
    return stream


def _target(
    options: ChangeStreamOptions, surroundings: Surroundings
) -> MongoClient[Document] | Database[Document] | Collection[Document]:
    preference: Document = {"readPreference": options.read_preference}
    if options.read_preference_tags:
        preference["readPreferenceTags"] = [
            ",".join(f"{key}:{value}" for key, value in tags.items())
            for tags in options.read_preference_tags
        ]
    client = surroundings.cluster(options.connection_name, **preference)
    if options.db is None:
        return client
    database = client[options.db]
    return database[options.coll] if isinstance(options.coll, str) else database


def _start(
    config: ChangeStreamConfig, start_options: Mapping[str, Any], position: Document | None
) -> Document:
    """Where to begin: what start was told, else the checkpoint, else the source's own words."""
    moment = start_options.get("startAtOperationTime")
    if moment is None and position is not None:
        return {"resume_after": position}
    after = start_options.get("startAfter", config.start_after)
    if moment is None and after is not None:
        return {"start_after": after}
    moment = moment if moment is not None else config.start_at_operation_time
    if moment is None:
        return {}
    if not isinstance(moment, Timestamp):
        moment = Timestamp(ms_of(moment) // 1000, 0)
    return {"start_at_operation_time": moment}


def _event_ms(event: Document) -> int:
    """The event's own time: `wallTime`, or the cluster time where an old server gives none."""
    moment = event.get("wallTime")
    if moment is not None:
        return ms_of(moment)
    cluster_time: Timestamp = event["clusterTime"]
    return cluster_time.time * 1000


def _metadata(event: Document) -> Document:
    found: Document = {name: event[name] for name in ("operationType", "ns") if name in event}
    if "documentKey" in event:
        found["documentKey"] = {"_id": event["documentKey"].get("_id")}
    return found


def _failure(error: PyMongoError) -> ProcessorFailed:
    if isinstance(error, OperationFailure) and error.code == _HISTORY_LOST:
        hint = "start with resumeFromCheckpoint: false"
        message = f"the oplog no longer holds the checkpoint: {error.details}; {hint}"
        return ProcessorFailed(_CANNOT_RESUME, message, retryable=False)
    return ProcessorFailed(421, f"the change stream failed: {error}", retryable=True)


SPEC = StageSpec(
    "$source",
    "source",
    ChangeStreamOptions,
    connection_type="atlas",
    marks=frozenset({"db", "coll"}),
    build=open_change_stream,
)
