"""`$lookup` into a collection of a cluster.

Source: Atlas page "$lookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.stages.lookup_options import LookupOptions, lookup_probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.stages import Stage


def _open(options: LookupOptions, surroundings: Surroundings) -> Stage:
    """The stage; a check does not import it."""
    from asp_utils.engine.stages.lookup_stage import open_lookup

    return open_lookup(options, surroundings)


SPEC = StageSpec(
    "$lookup",
    "transform",
    LookupOptions,
    inside_window=True,
    connection_type="atlas",
    build=_open,
    probes=lookup_probes,
    partial={
        "": "the cluster must be MongoDB 6.0 or newer",
        "pipeline": "the local mongod parses the stages too; search stages only the cluster does",
    },
)
