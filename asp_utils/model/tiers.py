"""The tiers that a stream processor runs on, and which tier a pipeline needs.

Pure arithmetic, used by the engine, by the local instance and by offline checks. Atlas refuses
what exceeds a tier; here nothing is short, so it is said as a warning, with the tier that fits.

Source: Atlas page "Tier Selection Guide"; asp-reference.md 2.14 and 3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Use = tuple[str, int]
    """Where (JSON path below the pipeline) and how much parallelism is asked for."""

TierName = Literal["SP2", "SP5", "SP10", "SP30", "SP50"]

_MIB: Final = 1024 * 1024
_INVALID_OPTIONS: Final = CODES["StreamProcessorInvalidOptions"]
USABLE_MEMORY: Final = 0.8
"""The part of a tier's memory that a processor may fill before it fails out of memory."""


@dataclass(frozen=True)
class Tier:
    """What one tier gives a processor; None is no limit."""

    name: TierName
    vcpu_count: float
    memory_bytes: int
    bandwidth_mbit_per_s: int
    max_parallelism: int
    max_kafka_partitions: int | None
    max_initial_sync_collections: int
    max_iceberg_tables: int

    @property
    def usable_memory_bytes(self) -> int:
        """Memory that may be filled; one byte more and Atlas ends the processor with code 418."""
        return int(self.memory_bytes * USABLE_MEMORY)


TIERS: Final = (
    Tier("SP2", 0.25, 512 * _MIB, 50, 1, 32, 1, 0),
    Tier("SP5", 0.5, 1024 * _MIB, 125, 2, 64, 1, 0),
    Tier("SP10", 1.0, 2048 * _MIB, 200, 8, None, 5, 5),
    Tier("SP30", 2.0, 8192 * _MIB, 750, 16, None, 10, 10),
    Tier("SP50", 8.0, 32768 * _MIB, 2500, 64, None, 50, 50),
)
"""From small to large."""
TIER_NAMES: Final[tuple[str, ...]] = tuple(tier.name for tier in TIERS)
DEFAULT_TIER: Final = "SP10"
"""The tier of a processor that names none, in a workspace that says nothing else."""
MAX_TIER: Final = TIER_NAMES[-1]
SMALLEST_FOR_FAILOVER: Final = "SP10"

_BY_NAME: Final[dict[str, Tier]] = {tier.name: tier for tier in TIERS}


def tier_of(name: str) -> Tier:
    """The tier of that name; the default one for a name that Atlas may get later."""
    return _BY_NAME.get(name, _BY_NAME[DEFAULT_TIER])


def added_parallelism(pipeline: Any) -> int:
    """What a pipeline asks for beyond one at a time: the sum of (parallelism - 1) over its stages.

    Example:
        >>> added_parallelism([{"$source": {}}, {"$merge": {"parallelism": 4}}])
        3
    """
    return sum(parallelism - 1 for _, parallelism in parallelism_uses(pipeline))


def parallelism_uses(pipeline: Any) -> list[Use]:
    """Every stage with a parallelism above 1, in order, those inside a window too.

    Whatever is not shaped like a pipeline counts as nothing: its faults are found elsewhere.
    """
    return list(_uses(pipeline, ""))


def tier_warnings(pipeline: Any, tier_name: str) -> list[Fault]:
    """What of a pipeline exceeds its tier; paths are relative to the pipeline, as for checks.

    Args:
        pipeline: The pipeline; other values have nothing to warn of.
        tier_name: The tier it is to run on.
    """
    warnings = []
    uses = parallelism_uses(pipeline)
    asked = sum(parallelism - 1 for _, parallelism in uses)
    if asked > tier_of(tier_name).max_parallelism:
        summands = ", ".join(f"{path} = {parallelism}" for path, parallelism in uses)
        path = uses[0][0] if len(uses) == 1 else ""
        what = f"parallelism beyond 1 ({summands}; one of each is free)"
        warnings.append(_exceeded(path, what, asked, tier_name, lambda tier: tier.max_parallelism))
    path, count = _initial_sync_collections(pipeline)
    if count > tier_of(tier_name).max_initial_sync_collections:
        what = "collections in one initialSync"
        warnings.append(
            _exceeded(path, what, count, tier_name, lambda tier: tier.max_initial_sync_collections)
        )
    return warnings


def partition_warning(partition_count: int, tier_name: str) -> Fault | None:
    """The warning of a Kafka source with more partitions than its tier reads; None if it fits.

    Only the broker knows the number of partitions: this is for a processor that runs.
    """
    limit = tier_of(tier_name).max_kafka_partitions
    if limit is None or partition_count <= limit:
        return None
    path, what = "[0].$source.topic", "partitions in a Kafka source"
    return _exceeded(path, what, partition_count, tier_name, lambda t: t.max_kafka_partitions)


def memory_warning(memory_bytes: int, tier_name: str) -> Fault | None:
    """The warning of a processor that fills more memory than its tier has; None if it fits."""
    tier = tier_of(tier_name)
    if memory_bytes <= tier.usable_memory_bytes:
        return None
    fits = next((t.name for t in TIERS if memory_bytes <= t.usable_memory_bytes), None)
    message = (
        f"it holds {memory_bytes // _MIB} MiB in memory, and 80 % of tier {tier_name} is "
        f"{tier.usable_memory_bytes // _MIB} MiB: Atlas would end it, out of memory (code 418)"
    )
    hint = f"the smallest tier that fits is {fits}" if fits else "no tier of Atlas has so much"
    return Fault("", message, hint, CODES["StreamProcessorWorkerOutOfMemory"])


def _exceeded(
    path: str, what: str, asked: int, tier_name: str, limit_of: Callable[[Tier], int | None]
) -> Fault:
    """The sentence that Atlas refuses with: what was asked, the limit, the tier that fits."""
    message = f"{asked} {what}: tier {tier_name} allows {limit_of(tier_of(tier_name))}"
    fits = (tier.name for tier in TIERS if (limit := limit_of(tier)) is None or asked <= limit)
    smallest = next(fits, None)
    hint = (
        f"Atlas refuses this on {tier_name}; the smallest tier that fits is {smallest}"
        if smallest
        else "Atlas refuses this on every tier"
    )
    return Fault(path, message, hint, _INVALID_OPTIONS)


def _uses(pipeline: Any, path: str) -> Iterator[Use]:
    for index, stage in enumerate(pipeline if isinstance(pipeline, list) else []):
        for name, options in stage.items() if isinstance(stage, Mapping) else ():
            if isinstance(options, Mapping):
                yield from _uses_of_stage(options, f"{path}[{index}].{name}")


def _uses_of_stage(options: Mapping[str, Any], path: str) -> Iterator[Use]:
    """The parallelism of one stage, and of a window's inner stages."""
    for below, holder in (("", options), (".initialSync", options.get("initialSync"))):
        value = holder.get("parallelism") if isinstance(holder, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            yield f"{path}{below}.parallelism", value
    if path.endswith("Window"):
        yield from _uses(options.get("pipeline"), f"{path}.pipeline")


def _initial_sync_collections(pipeline: Any) -> tuple[str, int]:
    """Where the collections of an initialSync are named, and how many there are."""
    stage = pipeline[0] if isinstance(pipeline, list) and pipeline else {}
    source = stage.get("$source") if isinstance(stage, Mapping) else None
    if not isinstance(source, Mapping):
        return "", 0
    sync, collections = source.get("initialSync"), source.get("coll")
    if not isinstance(sync, Mapping) or not sync.get("enable"):
        return "", 0
    return "[0].$source.coll", len(collections) if isinstance(collections, list) else 1
