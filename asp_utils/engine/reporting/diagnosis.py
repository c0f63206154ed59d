"""Why a stream processor gives no output, or how far it is: findings, and one sentence.

Pure: it reads the facts that `engine.reporting.report` collects from a running processor, or as
much of them as the stats of any workspace hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Document = dict[str, Any]
    Facts = Mapping[str, Any]

_FILTERS: Final = ("$match", "$redact", "$validate", "$unwind")
"""Stages that may leave documents out without a word."""
_NO_DEAD_LETTERS: Final = "the dead letter queue shows why"


@dataclass(frozen=True)
class Finding:
    """One thing that was seen, the most telling first."""

    kind: str
    """silent_source, dead_letters, filtered, late, watermark, open_window, flowing."""
    sentence: str
    path: str = ""
    """JSON path of the stage, where one is meant."""
    holds: bool = False
    """Whether it alone keeps all output back."""

    def to_document(self) -> Document:
        """As it is shown."""
        place = {"path": self.path} if self.path else {}
        return {"kind": self.kind, "sentence": self.sentence, **place}


def explained(facts: Facts) -> Document:
    """The explanation of a processor.

    Args:
        facts: A `stats` document with `operatorStats`; where they are known also `now`,
            `partitionWatermarks`, `openWindows`, `allowedLatenessMs`, `idleTimeoutMs`,
            `partitionIdleTimeoutMs`, `processingTime`, `lateMessageCount`.

    Returns:
        `sentence` (what holds the output, or that it flows), `findings`, `stages`, `partitions`
        and `openWindows`.
    """
    findings = [finding for rule in _RULES for finding in rule(facts)]
    holding = next((finding for finding in findings if finding.holds), None)
    first = holding or (
        findings[0] if findings else Finding("unknown", "Nothing unusual was seen.")
    )
    return {
        "sentence": first.sentence,
        "findings": [finding.to_document() for finding in findings],
        "stages": [_stage(item) for item in facts.get("operatorStats", ())],
        "partitions": list(facts.get("partitionWatermarks", ())),
        "openWindows": list(facts.get("openWindows", ())),
        "openWindowCount": facts.get("openWindowCount", 0),
        "watermark": facts.get("watermark"),
        "lateMessageCount": facts.get("lateMessageCount", 0),
    }


def _stage(item: Facts) -> Document:
    """What went in, came out, failed and was left out at one stage."""
    came, went = int(item["inputMessageCount"]), int(item["outputMessageCount"])
    failed = int(item["dlqMessageCount"])
    left_out = max(0, came - went - failed) if _may_filter(str(item.get("path", ""))) else 0
    return {
        "path": item.get("path", ""),
        "name": item["name"],
        "inputMessageCount": came,
        "outputMessageCount": went,
        "filteredMessageCount": left_out,
        "dlqMessageCount": failed,
    }


def _may_filter(path: str) -> bool:
    return path.endswith(_FILTERS)


def _flowing(facts: Facts) -> Iterator[Finding]:
    count = int(facts.get("outputMessageCount", 0))
    if count:
        came = int(facts.get("inputMessageCount", 0))
        yield Finding("flowing", f"Output flows: {came} documents came in, {count} went out.")


def _silent_source(facts: Facts) -> Iterator[Finding]:
    if int(facts.get("inputMessageCount", 0)):
        return
    lag = facts.get("kafkaTotalOffsetLag")
    name = next((o["name"] for o in facts.get("operatorStats", ())), "the source")
    sentence = f"The source ({name}) has given nothing yet"
    if lag:
        sentence += f", though {lag} messages wait in Kafka: it has just been started, or hangs"
    elif "kafkaPartitions" in facts:
        sentence += (
            ": its partitions hold nothing new; auto_offset_reset latest leaves out what was there"
        )
    else:
        sentence += ": nothing has happened there since it was started, or it looks elsewhere"
    yield Finding("silent_source", sentence + ".", holds=True)


def _stuck_stages(facts: Facts) -> Iterator[Finding]:
    """Stages that keep documents back: by failing, or by leaving them out."""
    window = next((o for o in facts.get("operatorStats", ()) if _is_window(o)), None)
    for item in facts.get("operatorStats", ()):
        stage = _stage(item)
        came, failed, left_out = (
            stage[f"{what}MessageCount"] for what in ("input", "dlq", "filtered")
        )
        path, nothing = stage["path"], not stage["outputMessageCount"]
        inside = window is not None and path.startswith(f"{window['path']}.pipeline")
        if failed and item is not window:
            some = "all" if failed >= came and nothing else f"{failed} of {came}"
            sentence = f"{path} failed for {some} documents: {_NO_DEAD_LETTERS}."
            yield Finding("dead_letters", sentence, path, holds=some == "all" and came > 0)
        if left_out:
            some = f"none of {came}" if nothing else f"{came - left_out - failed} of {came}"
            sentence = f"{path} let {some} documents pass."
            yield Finding("filtered", sentence, path, holds=nothing and not inside)


def _late(facts: Facts) -> Iterator[Finding]:
    late = int(facts.get("lateMessageCount", 0))
    if late:
        window = next((o for o in facts.get("operatorStats", ()) if _is_window(o)), None)
        nothing = window is not None and not int(window["inputMessageCount"])
        sentence = (
            f"{late} documents came late, after their window had closed (allowedLateness is "
            f"{_span(facts.get('allowedLatenessMs', 0))}): they went to the dead letter queue."
        )
        yield Finding("late", sentence, str((window or {}).get("path", "")), holds=nothing)


def _held_watermark(facts: Facts) -> Iterator[Finding]:
    """Partitions that hold the watermark back."""
    partitions: Sequence[Document] = facts.get("partitionWatermarks", ())
    if facts.get("processingTime") or len(partitions) < 2:
        return
    advice = (
        "it counts again as soon as it gives something"
        if facts.get("partitionIdleTimeoutMs")
        else "set partitionIdleTimeout in $source to leave silent partitions out"
    )
    holding = not int(facts.get("outputMessageCount", 0))
    silent = [p["partition"] for p in partitions if p["watermark"] is None and not p["idle"]]
    if silent:
        names = ", ".join(silent[:5]) + (" …" if len(silent) > 5 else "")
        sentence = (
            f"No document has come from partition {names} yet, and the watermark is the minimum "
            f"over all partitions, so no window can close: {advice}."
        )
        yield Finding("watermark", sentence, holds=holding)
        return
    heard = [p for p in partitions if p["watermark"] is not None and not p["idle"]]
    if not heard:
        return
    slowest = min(heard, key=lambda p: p["watermark"])
    behind = max(heard, key=lambda p: p["watermark"])["watermark"] - slowest["watermark"]
    if behind > timedelta(0):
        sentence = (
            f"Partition {slowest['partition']} holds the watermark at "
            f"{_clock(slowest['watermark'])}, {_span(behind // timedelta(milliseconds=1))} behind "
            f"the furthest one: {advice}."
        )
        yield Finding("watermark", sentence)


def _waiting_window(facts: Facts) -> Iterator[Finding]:
    """The open window that closes first, and what it waits for."""
    windows: Sequence[Document] = facts.get("openWindows", ())
    if not windows:
        return
    first, holding = windows[0], not int(facts.get("outputMessageCount", 0))
    bounds = f"{_clock(first['start'])} to {_clock(first['end'])}"
    what = f"The window {bounds} is open with {first['messageCount']} documents"
    if facts.get("processingTime"):
        sentence = f"{what}: it closes when the clock passes its end."
    else:
        watermark = facts.get("watermark")
        now = f"the watermark is {_clock(watermark)}" if watermark else "there is no watermark yet"
        sentence = (
            f"{what}: it closes when a document of {_clock(first['closesAtWatermark'])} or later "
            f"has come (its end plus allowedLateness; {now})"
        )
        idle_ms = facts.get("idleTimeoutMs")
        sentence += (
            f", or when the source has been silent for {_span(idle_ms)}."
            if idle_ms is not None
            else "; silence does not close it, as no idleTimeout is set."
        )
    yield Finding("open_window", sentence, holds=holding)


def _is_window(item: Facts) -> bool:
    return str(item.get("path", "")).endswith("Window")


def _clock(moment: Any) -> str:
    if not isinstance(moment, datetime):
        return str(moment)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds").removesuffix(".000") + "Z"


def _span(ms: int) -> str:
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size and ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms} ms"


_RULES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _flowing,
    _silent_source,
    _stuck_stages,
    _late,
    _held_watermark,
    _waiting_window,
)
"""From the source on: whatever holds first, holds all that follows. Where output flows, nothing
does, and that comes first."""
