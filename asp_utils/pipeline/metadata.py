"""The paths of stream metadata: which there are, and where documents have them.

Source: Atlas page "$meta"; asp-reference.md 2.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.expressions import metadata_paths
from asp_utils.pipeline.scene import CLUSTER, KAFKA, KINESIS, Scene
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.pipeline.located import Located

_EVERYWHERE: Final = ("stream", "stream.source", "stream.source.type", "stream.source.ts")
_BY_SOURCE: Final = {
    KAFKA: ("topic", "partition", "offset", "key", "headers"),
    CLUSTER: (
        "operationType",
        "ns",
        "ns.db",
        "ns.coll",
        "documentKey",
        "documentKey._id",
        "initialSync",
        "initialSync.phase",
    ),
    KINESIS: ("kinesisStream", "shardId", "sequenceNumber", "partitionKey"),
}
"""Paths below `stream.source`, by the type of the source's connection."""
_SOURCE_NAMES: Final = {
    KAFKA: "a Kafka source",
    CLUSTER: "a change stream",
    KINESIS: "a Kinesis source",
}
_WINDOW: Final = ("stream.window", "stream.window.start", "stream.window.end")
_SESSION: Final = "stream.window.partition"
_HTTPS: Final = (
    "stream.https",
    "stream.https.url",
    "stream.https.method",
    "stream.https.httpStatusCode",
    "stream.https.responseTimeMs",
)
_OPEN: Final = (
    "stream.source.key",
    "stream.source.headers",
    "stream.source.documentKey._id",
    _SESSION,
)
"""Paths whose values are the user's own: whatever is below them may be there."""
PATHS: Final = (
    *_EVERYWHERE,
    *(f"stream.source.{name}" for names in _BY_SOURCE.values() for name in names),
    *_WINDOW,
    _SESSION,
    *_HTTPS,
)
"""Every path that the documentation names."""
_LEGACY: Final = "$_stream_meta"


def metadata_warnings(scene: Scene) -> Iterator[Fault]:
    """Metadata that is asked for and never there, or under a name of the past."""
    written: dict[str, Located] = {}
    for stage in scene.stages[1:]:
        options = _own(scene, stage)
        for path, asked in metadata_paths(options, stage.path):
            fault = _never_there(scene, stage, asked, written)
            if fault is not None:
                yield fault.below(path)
        yield from _legacy_names(options, stage.path)
        if stage.name == "$setStreamMeta" and isinstance(stage.options, dict):
            written |= dict.fromkeys(stage.options, stage)


def _own(scene: Scene, stage: Located) -> Any:
    """A stage's options; a window's inner stages are looked at one by one."""
    if stage is scene.window and isinstance(stage.options, dict):
        return {name: value for name, value in stage.options.items() if name != "pipeline"}
    return stage.options


def _never_there(
    scene: Scene, stage: Located, asked: str, written: dict[str, Located]
) -> Fault | None:
    writers = [s for path, s in written.items() if asked == path or asked.startswith(f"{path}.")]
    if writers:
        lost = all(writer in scene.before for writer in writers) and _has_passed(scene, stage)
        return _not_kept(asked) if lost else None
    if asked not in PATHS and not asked.startswith(tuple(f"{path}." for path in _OPEN)):
        close = nearest(asked, [*PATHS, *written])
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(PATHS[4:])}"
        return Fault("", f"there is no metadata {asked!r}: it is missing always", hint)
    if asked.startswith("stream.window"):
        return _outside_window(scene, stage, asked)
    if asked.startswith("stream.https") and not _stands_before(scene, stage, "$https"):
        return Fault("", f"{asked} is there only behind $https", "")
    return _of_another_source(scene, stage, asked)


def _outside_window(scene: Scene, stage: Located, asked: str) -> Fault | None:
    if scene.window is None:
        return Fault("", f"{asked} is there only with a window", "")
    if not _has_passed(scene, stage):
        return Fault("", f"{asked} is there only in the window and behind it", "")
    if asked.startswith(_SESSION) and scene.window.name != "$sessionWindow":
        return Fault("", f"{asked} is there only with $sessionWindow", "")
    return None


def _of_another_source(scene: Scene, stage: Located, asked: str) -> Fault | None:
    field = asked.removeprefix("stream.source.")
    for kind, names in _BY_SOURCE.items():
        if any(field == name or field.startswith(f"{name}.") for name in names):
            if scene.source_type not in (kind, ""):
                return Fault("", f"{asked} is there only with {_SOURCE_NAMES[kind]}", "")
            if _has_passed(scene, stage):
                return _not_kept(asked)
    return None


def _has_passed(scene: Scene, stage: Located) -> bool:
    """Whether documents are in a window, or behind it, when they come to the stage.

    The window's own options (`partitionBy`) are evaluated before.
    """
    return scene.window is not None and stage is not scene.window and stage not in scene.before


def _not_kept(asked: str) -> Fault:
    message = f"{asked} differs from document to document: a window does not keep it"
    return Fault("", message, "copy it into a field before the window")


def _stands_before(scene: Scene, stage: Located, name: str) -> bool:
    return any(other.name == name for other in scene.stages[: scene.stages.index(stage)])


def _legacy_names(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "$literal":
                yield from _legacy_names(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _legacy_names(inner, f"{path}[{index}]")
    elif isinstance(value, str) and (value == _LEGACY or value.startswith(f"{_LEGACY}.")):
        today = "stream" + value.removeprefix(_LEGACY)
        message = "_stream_meta is the field that held stream metadata until 2025"
        yield Fault(path, message, f'today it is {{$meta: "{today}"}}')
