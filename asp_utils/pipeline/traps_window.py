"""Traps of windows: when they close, what is late, what they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.scene import KAFKA, KINESIS, SAMPLE, Scene, duration_words, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Warnings = Iterator[Fault]

_DAY_MS: Final = 86_400_000
_MANY_WINDOWS: Final = 100


def _quiet_source(scene: Scene) -> Warnings:
    """A window closes when a later document moves the watermark, or after idleTimeout."""
    window = scene.window
    if window is None or not scene.by_event_time or scene.source_type == SAMPLE:
        return
    if window.name == "$sessionWindow":
        message = "the last session of each partition closes only when later documents come"
        yield Fault(window.path, message, "where the source falls silent, its result waits")
    elif not scene.option("idleTimeout", of=window):
        yield Fault(
            f"{window.path}.idleTimeout",
            "the last window closes only when a later document comes: where the source falls "
            "silent, its result waits",
            'for instance idleTimeout: {size: 1, unit: "minute"}',
        )


def _no_lateness(scene: Scene) -> Warnings:
    """Documents of several partitions never come in the order of their times."""
    window = scene.window
    if window is None or not scene.by_event_time:
        return
    lateness = scene.option("allowedLateness", of=window)
    if lateness is not None and milliseconds(lateness) == 0:
        several = scene.source_type in (KAFKA, KINESIS)
        message = "a document that comes out of order is late at once" + (
            ", and those of several partitions do" if several else ""
        )
        yield Fault(f"{window.path}.allowedLateness", message, "the default is 3 seconds")


def _processing_time(scene: Scene) -> Warnings:
    window = scene.window
    if window is not None and not scene.by_event_time:
        message = (
            "documents go into the window of the moment they are read: after a restart or a "
            "replay the results are others"
        )
        yield Fault(f"{window.path}.boundary", message, '"eventTime" gives the same ones again')


def _gaps(scene: Scene) -> Warnings:
    window = scene.window
    if window is None or window.name != "$hoppingWindow":
        return
    hop, interval = (scene.option(name, of=window) for name in ("hopSize", "interval"))
    hop_ms, interval_ms = milliseconds(hop), milliseconds(interval)
    if hop_ms is None or interval_ms is None:
        return
    if hop_ms > interval_ms:
        message = (
            f"a window of {duration_words(interval)} begins every {duration_words(hop)}: documents "
            "between two windows are dropped"
        )
        yield Fault(f"{window.path}.hopSize", message, "without gaps hopSize is at most interval")
    elif hop_ms and interval_ms // hop_ms >= _MANY_WINDOWS:
        message = f"every document is in {interval_ms // hop_ms} windows, which all stay in memory"
        yield Fault(f"{window.path}.hopSize", message, "a larger hopSize costs less")


def _long_windows(scene: Scene) -> Warnings:
    """State of days: it grows with every document, and 45 days without a run discard it."""
    window = scene.window
    if window is None:
        return
    field = "gap" if window.name == "$sessionWindow" else "interval"
    length = scene.option(field, of=window)
    if (milliseconds(length) or 0) > _DAY_MS:
        what = "a session without pause" if field == "gap" else "a window"
        message = (
            f"{what} is open for more than {duration_words(length)}: its state stays in memory"
        )
        hint = "group by a shorter window, and add up where the result is read"
        yield Fault(f"{window.path}.{field}", message, hint)


def _limit_before_sort(scene: Scene) -> Warnings:
    names = [stage.name for stage in scene.inner]
    for index, stage in enumerate(scene.inner):
        if stage.name == "$limit" and "$sort" in names[index:] and "$sort" not in names[:index]:
            message = "it keeps the documents that came first, and sorts them afterwards"
            yield Fault(stage.path, message, "for the largest or smallest put $sort before $limit")


WINDOW_TRAPS: Final[tuple[Callable[[Scene], Warnings], ...]] = (
    _quiet_source,
    _no_lateness,
    _processing_time,
    _gaps,
    _long_windows,
    _limit_before_sort,
)
