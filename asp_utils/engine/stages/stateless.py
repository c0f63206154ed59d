"""The stages that mongod evaluates document by document or, inside a window, on the whole of it.

mongod parses their options too, so they have no grammar here: one row is all a stage needs.

Source: Atlas page "Stream Processing aggregation stages"; asp-reference.md 2.1.
"""

from __future__ import annotations

from typing import Final

from asp_utils.pipeline.catalogue import StageSpec

_ANYWHERE: Final = (
    "$addFields",
    "$match",
    "$project",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$set",
    "$unset",
    "$unwind",
)
_WINDOW_ONLY: Final = ("$count", "$group", "$limit", "$sort")

_CHANGE_COUNT: Final = frozenset({"$match", "$redact", "$unwind", "$count", "$group", "$limit"})

SPECS: Final = tuple(
    StageSpec(
        name,
        "transform",
        main=name in _ANYWHERE,
        inside_window=True,
        keeps_count=name not in _CHANGE_COUNT,
    )
    for name in (*_ANYWHERE, *_WINDOW_ONLY)
)
