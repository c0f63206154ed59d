"""`$merge` into a collection of a cluster.

Source: Atlas page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.sinks.merge_options import MergeOptions, merge_probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink


def _open(options: MergeOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.sinks.merge_sink import open_merge

    return open_merge(options, surroundings)


SPEC = StageSpec(
    "$merge",
    "sink",
    MergeOptions,
    connection_type="atlas",
    build=_open,
    probes=merge_probes,
)
