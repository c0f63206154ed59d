"""What a running processor tells about itself: the `stats` document, and the facts behind it.

Source: Atlas page "Monitor stream processors"; asp-reference.md 3.2.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.engine.chain import OwnStep
from asp_utils.units import bson_date_of, datetime_of

if TYPE_CHECKING:
    from asp_utils.engine.processor import Processor
    from asp_utils.engine.windows.open_windows import OpenWindows

    Document = dict[str, Any]

_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
SHOWN_WINDOWS: Final = 100
"""Open windows that an explanation lists, those that close first."""


def stats_of(processor: Processor, name: str, *, verbose: bool) -> Document:
    """The `stats` of a running processor.

    Args:
        processor: May be at work meanwhile, in another thread.
        name: The processor's name.
        verbose: With `operatorStats`.
    """
    parts = processor.parts
    document = parts.stats.to_document(name, verbose=verbose)
    windows = parts.windows
    state_bytes = windows.state_bytes() if windows else 0
    document |= {
        "stateSize": Int64(state_bytes),
        "memoryTrackerBytes": Int64(state_bytes),
        "memoryUsageBytes": Int64(resident_bytes()),
        "addedParallelism": processor.added_parallelism,
        "deliveryGuarantee": parts.output.guarantee,
        **{name: value for name, value in parts.source.stats().items() if name != "operator"},
    }
    if windows is not None:
        document |= _window_fields(windows)
    extras = _extras(processor)
    for extra in extras.values():
        if "throttle" in extra:
            document["throttle"] = _added(document.get("throttle", {}), extra["throttle"])
    if verbose:
        for item in document["operatorStats"]:
            item |= extras.get(item["path"], {})
        _fill_window_output(document["operatorStats"], windows, state_bytes)
    return document


def facts_of(processor: Processor, name: str) -> Document:
    """Everything that an explanation needs: stats, partitions and open windows."""
    facts = stats_of(processor, name, verbose=True)
    now_ms = processor.surroundings.clock.now_ms()
    facts |= {"now": datetime_of(now_ms), "pipeline": processor.pipeline}
    windows = processor.parts.windows
    if windows is not None:
        facts |= _watermark_facts(processor, windows)
        facts |= _open_windows(windows)
    return facts


def resident_bytes() -> int:
    """The memory that this process has in use; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _window_fields(windows: OpenWindows) -> Document:
    fields: Document = {"windowsClosed": Int64(windows.closed_count)}
    watermark = windows.windows.watermark
    if watermark.started:
        fields["watermark"] = bson_date_of(watermark.value_ms)
    starts = [window.start_ms for window in list(windows.windows.open.values())]
    if starts:
        fields["minOpenWindowStartTime"] = bson_date_of(min(starts))
        fields["maxOpenWindowStartTime"] = bson_date_of(max(starts))
    return fields


def _extras(processor: Processor) -> dict[str, Document]:
    """What stages and sink tell beyond their counters, by path."""
    steps, output = processor.parts.steps, processor.parts.output
    extras = {
        step.path: step.stage.stats()
        for chain in (steps.before, steps.closing)
        for step in chain.steps
        if isinstance(step, OwnStep)
    }
    if output.sink is not None:
        latency = processor.parts.stats.latency
        shown = {"latency": latency.to_document()} if latency.count else {}
        extras[output.ledger.path] = {**shown, **output.sink.stats()}
    extras[processor.parts.intake.source_path] = processor.parts.source.stats().get("operator", {})
    return extras


def _added(total: Document, more: Document) -> Document:
    return {key: Int64(total.get(key, 0) + value) for key, value in more.items()}


def _fill_window_output(
    operators: list[Document], windows: OpenWindows | None, state_bytes: int
) -> None:
    """A window gives what its last inner stage gives; it alone holds state."""
    for item in operators:
        item["stateSize"] = Int64(0)
        if windows is not None and item["path"] == windows.path:
            inner = [o for o in operators if o["path"].startswith(f"{windows.path}.pipeline")]
            item["outputMessageCount"] = inner[-1]["outputMessageCount"] if inner else Int64(0)
            item["stateSize"] = Int64(state_bytes)
            item["maxMemoryUsage"] = Int64(windows.largest_bytes)


def _watermark_facts(processor: Processor, windows: OpenWindows) -> Document:
    watermark = windows.windows.watermark
    expected = processor.parts.source.partitions
    names: list[str | None] = list(expected) if expected is not None else [None]
    shape = windows.shape
    partitions = []
    for name in names:
        highest = watermark.highest.get(name)
        partitions.append(
            {
                "partition": name or "all",
                "watermark": None if highest is None else bson_date_of(highest),
                "idle": name is not None and watermark.is_idle(name),
            }
        )
    return {
        "partitionWatermarks": partitions,
        "allowedLatenessMs": shape.allowed_lateness_ms,
        "idleTimeoutMs": shape.idle_timeout_ms,
        "partitionIdleTimeoutMs": processor.parts.source.partition_idle_timeout_ms,
        "processingTime": shape.processing_time,
        "lateMessageCount": windows.late_count,
        "idleForMs": processor.idle_for_ms,
    }


def _open_windows(windows: OpenWindows) -> Document:
    by_end = sorted(windows.windows.open.values(), key=lambda each: each.end_ms)
    shown = [
        {
            "start": bson_date_of(window.start_ms),
            "end": bson_date_of(window.end_ms),
            "closesAtWatermark": bson_date_of(window.end_ms + windows.shape.allowed_lateness_ms),
            "messageCount": window.count,
            "stateSize": window.held_bytes + window.stored_bytes,
            **({"partition": window.partition} if windows.shape.is_session else {}),
        }
        for window in by_end[:SHOWN_WINDOWS]
    ]
    return {"openWindows": shown, "openWindowCount": len(by_end)}
