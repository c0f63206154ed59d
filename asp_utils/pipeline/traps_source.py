"""Traps of sources: where reading begins, what time a document has, where its fields are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.scene import CLUSTER, KAFKA, KINESIS, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Warnings = Iterator[Fault]

_EVENT_FIELDS: Final = frozenset(
    {
        "_id",
        "clusterTime",
        "collectionUUID",
        "documentKey",
        "fullDocument",
        "fullDocumentBeforeChange",
        "lsid",
        "ns",
        "operationType",
        "splitEvent",
        "to",
        "txnNumber",
        "updateDescription",
        "wallTime",
    }
)
"""What a change event holds at its top."""
_RESHAPING: Final = frozenset(
    {
        "$addFields",
        "$https",
        "$lookup",
        "$project",
        "$replaceRoot",
        "$replaceWith",
        "$set",
        "$unset",
    }
)


def _begins_late(scene: Scene) -> Warnings:
    """What was there before the processor is not read, unless the source says so."""
    path, config = f"{scene.source.path}.config", scene.option("config") or {}
    if scene.source_type == KAFKA:
        if config.get("auto_offset_reset") in (None, "latest", "end", "largest"):
            message = "reading begins at the end: messages already in the topic are not read"
            yield Fault(f"{path}.auto_offset_reset", message, '"earliest" begins with the oldest')
    elif scene.source_type == KINESIS:
        if config.get("initialPosition") in (None, "LATEST"):
            message = "reading begins at the end: records already in the stream are not read"
            yield Fault(f"{path}.initialPosition", message, '"TRIM_HORIZON" begins with the oldest')
    elif scene.source_type == CLUSTER:
        told = {"startAfter", "startAtOperationTime"} & set(config)
        if not told and not scene.option("initialSync.enable"):
            message = "only changes are read: documents already in the collection are not"
            hint = "initialSync: {enable: true} reads them first"
            yield Fault(f"{scene.source.path}.initialSync", message, hint)


def _idle_partition(scene: Scene) -> Warnings:
    """One silent partition keeps the minimum of all watermarks where it is."""
    waits = {KAFKA: ("partition", "partitionIdleTimeout"), KINESIS: ("shard", "shardIdleTimeout")}
    if not scene.by_event_time or scene.source_type not in waits:
        return
    part, option = waits[str(scene.source_type)]
    if scene.option(option) is None:
        yield Fault(
            f"{scene.source.path}.{option}",
            f"a {part} without messages holds the watermark, and every window, for ever",
            f'for instance {option}: {{size: 10, unit: "second"}}',
        )


def _no_event_time(scene: Scene) -> Warnings:
    """Documents without a time of their own have that of their reading: one window holds all."""
    if scene.by_event_time and scene.source_type is None and scene.option("timeField") is None:
        message = "the time of these documents is when they are read: they share one window"
        hint = 'for instance timeField: {$toDate: "$timestamp"}'
        yield Fault(f"{scene.source.path}.timeField", message, hint)


def _document_fields(scene: Scene) -> Warnings:
    """The fields of a document lie below `fullDocument` in its change event."""
    if scene.source_type != CLUSTER or scene.option("config.fullDocumentOnly") is True:
        return
    if scene.option("config.pipeline"):
        return
    where = f"{scene.source.path}.timeField"
    for option in ("timeField.$toDate", "timeField.$dateFromString.dateString"):
        path = scene.option(option)
        if isinstance(path, str) and path.startswith("$") and not path.startswith("$$"):
            yield from _no_event_field(path[1:], where, f'"$fullDocument.{path[1:]}"')
    for stage in scene.before[1:]:
        if stage.name == "$match" and isinstance(stage.options, dict):
            for name in stage.options:
                if not name.startswith("$"):
                    fitting = f'"fullDocument.{name}"'
                    yield from _no_event_field(name, f"{stage.path}.{name}", fitting)
        elif stage.name in _RESHAPING:
            return


def _no_event_field(name: str, path: str, fitting: str) -> Warnings:
    if name.split(".", 1)[0] not in _EVENT_FIELDS:
        message = f"a change event has no field {name!r}: the document is below fullDocument"
        yield Fault(path, message, f"write {fitting}, or set config.fullDocumentOnly")


def _only_full_documents(scene: Scene) -> Warnings:
    if scene.source_type == CLUSTER and scene.option("config.fullDocumentOnly") is True:
        message = "a delete has no full document: it does not come through"
        hint = "leave it out and look at operationType where deletes matter"
        yield Fault(f"{scene.source.path}.config.fullDocumentOnly", message, hint)


SOURCE_TRAPS: Final[tuple[Callable[[Scene], Warnings], ...]] = (
    _begins_late,
    _idle_partition,
    _no_event_time,
    _document_fields,
    _only_full_documents,
)
