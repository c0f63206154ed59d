"""What a running processor counts, field by field (asp-reference.md 3.2), and how it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import Int64
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.engine.reporting.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = [{"at": f"2026-01-20T00:00:{s:02d}Z", "n": s, "by": s % 5} for s in range(30)]
SOURCE = {"$source": {"documents": DOCUMENTS, "timeField": {"$toDate": "$at"}}}
WINDOW = {
    "$tumblingWindow": {
        "interval": {"size": 10, "unit": "second"},
        "allowedLateness": 0,
        "pipeline": [{"$group": {"_id": "all", "n": {"$sum": 1}}}],
    }
}


def by_path(made: Any) -> dict[str, Any]:
    return {item["path"]: item for item in made.stats["operatorStats"]}


def test_every_stage_is_counted(rig: Callable[..., Any], database: str) -> None:
    """Thirty come, the first five are filtered, four of the rest (by = 0) fail, ..."""
    into = {"connectionName": "c", "db": database, "coll": "out"}
    stages = [
        {"$match": {"n": {"$gte": 5}}},
        {"$set": {"share": {"$divide": ["$n", "$by"]}}},
        {"$match": {"by": {"$ne": 4}}},
    ]
    made = rig([SOURCE, *stages, WINDOW, {"$set": {"x": 1}}, {"$merge": {"into": into}}]).drain()
    counts = {
        path: tuple(item[f"{what}MessageCount"] for what in ("input", "output", "dlq"))
        for path, item in by_path(made).items()
    }
    assert counts == {
        "[0].$source": (30, 30, 0),
        "[1].$match": (30, 25, 0),
        "[2].$set": (25, 20, 5),
        "[3].$match": (20, 15, 0),
        "[4].$tumblingWindow": (15, 2, 0),
        "[4].$tumblingWindow.pipeline[0].$group": (15, 2, 0),
        "[5].$set": (2, 2, 0),
        "[6].$merge": (2, 2, 0),
    }


def test_the_fields_of_the_documentation(rig: Callable[..., Any], database: str) -> None:
    into = {"connectionName": "c", "db": database, "coll": "out"}
    stats = rig([SOURCE, WINDOW, {"$merge": {"into": into}}], checkpointed=True).drain().stats
    assert {
        "name", "status", "scaleFactor", "inputMessageCount", "outputMessageCount",
        "dlqMessageCount", "inputMessageSize", "outputMessageSize", "dlqMessageSize", "stateSize",
        "memoryTrackerBytes", "memoryUsageBytes", "watermark", "minOpenWindowStartTime",
        "maxOpenWindowStartTime", "addedParallelism", "lastMessageIn", "operatorStats",
        "deliveryGuarantee",
    } <= set(stats)  # fmt: skip
    assert stats["deliveryGuarantee"] == "exactlyOnce"
    assert isinstance(stats["inputMessageCount"], Int64)
    window = next(o for o in stats["operatorStats"] if o["path"] == "[1].$tumblingWindow")
    assert 0 < window["stateSize"] <= window["maxMemoryUsage"]


def test_latency_is_that_of_documents_outside_of_windows(
    rig: Callable[..., Any], database: str
) -> None:
    into = {"connectionName": "c", "db": database, "coll": "out"}
    made = rig([SOURCE, {"$merge": {"into": into}}]).drain()
    latency = made.stats["latency"]
    assert (latency["count"], latency["unit"]) == (30, "microseconds")
    assert {"p50", "p99", "start", "end", "sum"} <= set(latency)
    assert by_path(made)["[1].$merge"]["latency"] == latency
    assert "latency" not in rig([SOURCE, WINDOW]).drain().stats


@given(st.lists(st.integers(0, 10**9), min_size=1), st.floats(0.01, 1))
def test_percentiles_are_right_within_a_bucket(durations_us: list[int], share: float) -> None:
    latency = Latency()
    for duration_us in durations_us:
        latency.add(duration_us, 1, 0)
    ordered = sorted(durations_us)
    exact = max(1, ordered[max(0, -(-int(share * len(ordered) * 10**9) // 10**9) - 1)])
    assert 0.85 * exact - 1 <= latency.percentile(share) <= 1.15 * exact + 1 or len(ordered) > 1
    assert 0.85 * max(1, ordered[0]) - 1 <= latency.percentile(share) <= 1.15 * ordered[-1] + 1


def test_the_sentence_names_what_holds_the_output(rig: Callable[..., Any]) -> None:
    failing = [{"$set": {"x": {"$divide": [1, "$nothing.here"]}}}, {"$set": {"x": {"$toInt": "a"}}}]
    nothing: list[dict[str, Any]] = [{"$source": {"documents": []}}]
    assert "has given nothing yet" in rig(nothing).drain().why
    assert (
        "[1].$match let none of 30 documents pass"
        in rig([SOURCE, {"$match": {"n": 99}}]).drain().why
    )
    assert "[2].$set failed for all documents" in rig([SOURCE, *failing]).drain().why
    waiting = rig([SOURCE, WINDOW]).drain()
    assert waiting.why.startswith("Output flows")
    day = {"size": 1, "unit": "day"}
    closed = {"$tumblingWindow": {**WINDOW["$tumblingWindow"], "interval": day}}
    why = rig([SOURCE, closed]).drain().why
    assert "is open with 30 documents" in why
    assert "2026-01-21T00:00:00Z or later" in why
    assert "no idleTimeout is set" in why
