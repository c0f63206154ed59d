"""Traps: pipelines that are right, run, and do not what their author expects.

One function a trap, in the tables of `traps_source`, `traps_window`, `traps_output` and `metadata`;
each gives warnings, never faults. A kind of stage may add its own (`StageSpec.warnings`).

Source: asp-reference.md 6 (what users stumble over); Atlas pages "Windows", "$source", "$merge".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.model.tiers import tier_warnings
from asp_utils.pipeline.metadata import metadata_warnings
from asp_utils.pipeline.scene import Scene
from asp_utils.pipeline.traps_output import OUTPUT_TRAPS
from asp_utils.pipeline.traps_source import SOURCE_TRAPS
from asp_utils.pipeline.traps_window import WINDOW_TRAPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.errors import Fault
    from asp_utils.pipeline.catalogue import Catalogue

TRAPS: Final = (*SOURCE_TRAPS, *WINDOW_TRAPS, *OUTPUT_TRAPS, metadata_warnings)


def pipeline_warnings(
    pipeline: Sequence[Any],
    catalogue: Catalogue,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    dlq: Mapping[str, Any] | None = None,
    tier: str | None = None,
    persistent: bool = True,
) -> list[Fault]:
    """The traps of a pipeline that `check_pipeline` found no faults in; paths are relative to it.

    Args:
        pipeline: The stages.
        catalogue: The stages there are.
        connections: The connection registry by name; None when it is not known here.
        dlq: The dead letter queue.
        tier: The tier that it is to run on; None: nothing is said about tiers.
        persistent: Whether it is to run under a name.
    """
    scene = Scene.of(pipeline, catalogue, connections, dlq=dlq, persistent=persistent)
    found: list[Fault] = []
    for stage in scene.stages:
        if stage.kind is not None and stage.kind.warnings is not None:
            found += [fault.below(stage.path) for fault in stage.kind.warnings(stage.options)]
    found += [warning for trap in TRAPS for warning in trap(scene)]
    if tier is not None:
        found += tier_warnings(list(pipeline), tier)
    by_place: dict[str, Fault] = {}
    for fault in found:
        # A stage's own words come first, and say it once.
        by_place.setdefault(fault.path or fault.message, fault)
    return list(by_place.values())
