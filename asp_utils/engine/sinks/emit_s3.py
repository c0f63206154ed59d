"""`$emit` into files in S3 buckets.

Source: Atlas page "$emit", "AWS S3"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.sinks.emit_s3_options import S3Options, s3_probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink


def _open(options: S3Options, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.sinks.emit_s3_sink import open_s3

    return open_s3(options, surroundings)


SPEC = StageSpec(
    "$emit",
    "sink",
    S3Options,
    connection_type="s3",
    marks=frozenset({"bucket"}),
    build=_open,
    probes=s3_probes,
    partial={
        "": "the keys of objects are ours, as Atlas does not document its own",
        "config.compression": "snappy files have the framing format; Atlas documents none",
    },
)
