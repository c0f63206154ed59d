"""How a change stream is opened: which client, which scope, from where.

Source: Atlas page "$source", sections on change streams; asp-reference.md 1.5, 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo.read_preferences import make_read_preference, read_pref_mode_from_name

from asp_utils.units import ms_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.synchronous.change_stream import ChangeStream
    from pymongo.synchronous.mongo_client import MongoClient

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sources.change_options import ChangeStreamOptions

    Document = dict[str, Any]

_MAX_AWAIT_MS: Final = 250
"""How long one call waits on the server at most, so that a stop is soon obeyed; longer waits are
made of several."""


def raw_client(
    options: ChangeStreamOptions, surroundings: Surroundings
) -> MongoClient[RawBSONDocument]:
    """A client that leaves decoding to us, so that sizes are known and faults are found."""
    mode = read_pref_mode_from_name(options.read_preference)
    preference = make_read_preference(mode, options.read_preference_tags)
    client = surroundings.cluster(
        options.connection_name, read_preference=preference, document_class=RawBSONDocument
    )
    return cast("MongoClient[RawBSONDocument]", client)


def watch(
    client: MongoClient[RawBSONDocument], options: ChangeStreamOptions, start: Document
) -> ChangeStream[RawBSONDocument]:
    """Open the change stream of the options' scope.

    Args:
        client: From `raw_client`.
        options: Scope, images, pushed-down stages.
        start: pymongo's `start_after` or `start_at_operation_time`; empty for now.

    Raises:
        PyMongoError: The cluster refuses, or cannot be reached.
    """
    config, colls = options.config, options.colls
    target: Any = client if options.db is None else client[options.db]
    stages = list(config.pipeline)
    if colls is not None and len(colls) == 1:
        target = target[colls[0]]
    elif colls is not None:
        named = {"$in": colls}
        stages.insert(0, {"$match": {"$or": [{"ns.coll": named}, {"to.coll": named}]}})
    arguments: Document = {"max_await_time_ms": min(config.max_await_time_ms, _MAX_AWAIT_MS)}
    if config.full_document != "default":
        arguments["full_document"] = config.full_document
    if config.full_document_before_change != "off":
        arguments["full_document_before_change"] = config.full_document_before_change
    stream: ChangeStream[RawBSONDocument] = target.watch(stages, **arguments, **start)
    return stream


def told_start(start_options: Mapping[str, Any]) -> Document:
    """Where start was told to begin, whatever the checkpoint says; nothing when it was not."""
    return _start(start_options.get("startAfter"), start_options.get("startAtOperationTime"))


def configured_start(options: ChangeStreamOptions) -> Document:
    """Where the source's own options begin; empty for now."""
    return _start(options.config.start_after, options.config.start_at_operation_time)


def _start(after: Document | None, moment: Any) -> Document:
    if moment is not None:
        if not isinstance(moment, Timestamp):
            moment = Timestamp(ms_of(moment) // 1000, 1)
        return {"start_at_operation_time": moment}
    return {"start_after": after} if after is not None else {}
