"""Divide a `$group` into a half that runs on every batch and a half that runs when a window closes.

With `needsMerge` mongod answers partial accumulator states, and `$doingMerge` combines them: its
own protocol between shards. So an open window holds one partial state per group and batch instead
of all its documents. Combining with both flags gives partial states again (compaction). The
protocol is internal to mongod: the engine probes it at start and keeps documents where it is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asp_utils.pipeline.rewrite import WINDOW_FIELD

_PLAIN: Final = frozenset(
    [
        "$sum",
        "$avg",
        "$min",
        "$max",
        "$first",
        "$last",
        "$push",
        "$addToSet",
        "$stdDevPop",
        "$stdDevSamp",
        "$mergeObjects",
    ]
)
_N_INPUT: Final = frozenset({"$firstN", "$lastN", "$maxN", "$minN"})


COUNT_FIELD: Final = "__asp_n"
"""How many documents went into a partial state."""


@dataclass(frozen=True)
class SplitGroup:
    """The two halves of one `$group`."""

    partial: dict[str, Any]
    """Runs on a batch; its `_id` is `{w: window, k: group key}`, and it counts documents."""
    merge: dict[str, Any]
    """Runs on the partial documents of one window, whose `_id` is the group key again, without
    their counts."""


def split_group(options: Any) -> SplitGroup | None:
    """The halves of a `$group`, or None for one that must see all documents at once.

    `$accumulator`, and accumulators whose `n` is computed from the group key, are not divided. Nor
    are `$top`, `$bottom` and their kin: their states hold sort keys, of which that of an empty
    array is of the type `undefined`, which no driver can give back.
    """
    if not isinstance(options, dict) or "_id" not in options:
        return None
    # A missing key is the group null; inside an object it would be a group of its own.
    key = {"$ifNull": [options["_id"], None]}
    partial: dict[str, Any] = {"_id": {"w": f"${WINDOW_FIELD}", "k": key}}
    merge: dict[str, Any] = {"_id": "$_id"}
    for field, accumulator in options.items():
        if field == "_id":
            continue
        merging = _merging(field, accumulator)
        if merging is None:
            return None
        partial[field] = accumulator
        merge[field] = merging
    partial[COUNT_FIELD] = {"$sum": 1}
    return SplitGroup({"$group": partial}, {"$group": {**merge, "$doingMerge": True}})


def count_of(partial: Any) -> int:
    """The count in a partial state's `COUNT_FIELD`: a number, or mongod's [type, sum, rest]."""
    if isinstance(partial, list):
        return int(sum(partial[1:]))
    return int(partial)


def _merging(field: str, accumulator: Any) -> dict[str, Any] | None:
    if not isinstance(accumulator, dict) or len(accumulator) != 1:
        return None
    name, argument = next(iter(accumulator.items()))
    value = f"${field}"
    if name == "$count":
        return {"$sum": value}
    if name in _PLAIN:
        return {name: value}
    if not isinstance(argument, dict) or not isinstance(argument.get("n", 1), int):
        return None
    if name in _N_INPUT:
        return {name: {**argument, "input": value}}
    return None
