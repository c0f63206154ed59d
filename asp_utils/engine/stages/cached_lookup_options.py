"""The options of `$cachedLookup`.

Source: Atlas page "$cachedLookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from asp_utils.engine.field_path import FieldPath
from asp_utils.engine.lookup.foreign import From
from asp_utils.errors import Fault
from asp_utils.model.tiers import DEFAULT_TIER, tier_of
from asp_utils.pipeline.grammar import Duration, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

_DEFAULT_SHARE: Final = 0.1
_MAX_SHARE: Final = 0.125
"""Of a tier's memory, what a cache takes unless told, and what Atlas lets it take at most."""


class CachedLookupOptions(Options):
    """Equality of `localField` and `foreignField` only; there is no `let` and no `pipeline`."""

    ttl: Duration
    max_mem_usage_bytes: Annotated[int, Field(gt=0)] | None = None
    """Memory for the cache, in bytes; a tenth of a SP10's unless given."""
    from_: Annotated[From, Field(alias="from")]
    local_field: FieldPath
    foreign_field: FieldPath
    as_: Annotated[FieldPath, Field(alias="as")]


def default_bytes() -> int:
    """The memory of a cache whose stage names none."""
    return int(tier_of(DEFAULT_TIER).memory_bytes * _DEFAULT_SHARE)


def cached_lookup_warnings(options: Document) -> Iterator[Fault]:
    """A cache that Atlas would cut down on the usual tier."""
    asked = options.get("maxMemUsageBytes")
    limit = int(tier_of(DEFAULT_TIER).memory_bytes * _MAX_SHARE)
    if isinstance(asked, int) and asked > limit:
        message = f"Atlas gives a cache {limit} bytes at most on a {DEFAULT_TIER} (12.5 % of it)"
        yield Fault(".maxMemUsageBytes", message, "a larger tier allows more")
