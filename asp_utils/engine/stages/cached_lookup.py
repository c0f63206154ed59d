"""`$cachedLookup`: `$lookup` by equality that remembers what it found for a while.

Source: Atlas page "$cachedLookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.stages.cached_lookup_options import (
    CachedLookupOptions,
    cached_lookup_warnings,
)
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.stages import Stage


def _open(options: CachedLookupOptions, surroundings: Surroundings) -> Stage:
    """The stage; a check does not import it."""
    from asp_utils.engine.stages.cached_lookup_stage import open_cached_lookup

    return open_cached_lookup(options, surroundings)


SPEC = StageSpec(
    "$cachedLookup",
    "transform",
    CachedLookupOptions,
    connection_type="atlas",
    build=_open,
    warnings=cached_lookup_warnings,
    partial={
        "": "the cluster must be MongoDB 6.0 or newer",
        "maxMemUsageBytes": "optional, a tenth of a SP10's memory; a larger cache is warned of, "
        "not cut down",
    },
)
