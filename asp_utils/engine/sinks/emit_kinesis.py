"""`$emit` into an AWS Kinesis data stream.

Source: Atlas page "$emit", "AWS Kinesis"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.sinks.emit_kinesis_options import KinesisEmitOptions, kinesis_probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink


def _open(options: KinesisEmitOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.sinks.emit_kinesis_sink import open_kinesis_emit

    return open_kinesis_emit(options, surroundings)


SPEC = StageSpec(
    "$emit",
    "sink",
    KinesisEmitOptions,
    connection_type="awskinesisdatastreams",
    marks=frozenset({"stream", "partitionKey"}),
    build=_open,
    probes=kinesis_probes,
)
