"""Traps of what comes out: documents that vanish, overwrite each other, or come twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.expressions import metadata_paths
from asp_utils.pipeline.scene import KAFKA, KINESIS, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Warnings = Iterator[Fault]


def _validation_without_queue(scene: Scene) -> Warnings:
    """Dead letters of a `$validate` need somewhere to go."""
    for stage in scene.stages:
        asked = scene.option("validationAction", of=stage)
        if stage.name == "$validate" and asked == "dlq" and not scene.dlq and scene.persistent:
            message = "there is no dead letter queue: documents that are invalid vanish"
            where = f"{stage.path}.validationAction"
            yield Fault(where, message, "give dlq: {connectionName, db, coll}")


def _no_dead_letters(scene: Scene) -> Warnings:
    """Without a queue the documents that fail are counted and gone."""
    if scene.persistent and not scene.dlq:
        message = "there is no dead letter queue: documents that a stage cannot process vanish"
        yield Fault("", message, "give dlq: {connectionName, db, coll}")


def _unique_index(scene: Scene) -> Warnings:
    """As in MongoDB, `on` needs a unique index, and each write without one reads everything."""
    sink = scene.sink
    if sink is None or sink.name != "$merge":
        return
    on = scene.option("on", of=sink)
    fields = [on] if isinstance(on, str) else on if isinstance(on, list) else ["_id"]
    if fields != ["_id"]:
        named = ", ".join(f"{field}: 1" for field in fields)
        message = f"the target needs a unique index on {', '.join(map(str, fields))}"
        yield Fault(f"{sink.path}.on", message, f"createIndex({{{named}}}, {{unique: true}})")


def _overwritten_windows(scene: Scene) -> Warnings:
    """A group's `_id` without the window's start is the same in every window."""
    sink, groups = scene.sink, [stage for stage in scene.inner if stage.name == "$group"]
    if sink is None or sink.name != "$merge" or not groups:
        return
    if scene.option("on", of=sink) not in (None, "_id", ["_id"]):
        return
    if scene.option("whenMatched", of=sink) not in (None, "merge", "replace"):
        return
    after = scene.stages[scene.stages.index(groups[-1]) :]
    if any(sets_id(stage.name, stage.options) for stage in after[1:]):
        return
    if not _tells_windows_apart(groups[-1].options):
        message = "every window overwrites what the one before it wrote for the same _id"
        hint = '_id: {device: "$device", start: {$meta: "stream.window.start"}} keeps them apart'
        yield Fault(f"{groups[-1].path}._id", message, hint)


def _tells_windows_apart(group: Any) -> bool:
    """Whether a group's `_id` holds the window, or a time of its own."""
    key = group.get("_id") if isinstance(group, dict) else None
    asks = any(asked.startswith("stream.window") for _, asked in metadata_paths(key, ""))
    return asks or "$date" in str(key)


def _duplicates(scene: Scene) -> Warnings:
    """Delivery is at least once; a message without `_id` is inserted anew each time."""
    sink = scene.sink
    if sink is None or sink.name != "$merge" or scene.source_type not in (KAFKA, KINESIS):
        return
    if scene.window is not None or scene.option("on", of=sink) not in (None, "_id", ["_id"]):
        return
    if not any(sets_id(stage.name, stage.options) for stage in scene.stages[1:-1]):
        where = "topic, partition and offset" if scene.source_type == KAFKA else "sequenceNumber"
        message = "a message without _id gets a new one whenever it is read: after a restart some "
        hint = f'set _id from a key of your own, or from {where} ({{$meta: "stream.source.…"}})'
        yield Fault(f"{sink.path}.on", message + "are written twice", hint)


def sets_id(name: str, options: Any) -> bool:
    """Whether a stage gives documents an `_id`."""
    if name in ("$addFields", "$set", "$project", "$group"):
        value = options.get("_id") if isinstance(options, dict) else None
        return value is not None and not isinstance(value, bool | int)
    return name in ("$replaceRoot", "$replaceWith")


OUTPUT_TRAPS: Final[tuple[Callable[[Scene], Warnings], ...]] = (
    _validation_without_queue,
    _overwritten_windows,
    _unique_index,
    _duplicates,
    _no_dead_letters,
)
