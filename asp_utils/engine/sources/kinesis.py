"""`$source` from an AWS Kinesis data stream.

Source: Atlas page "$source", section "AWS Kinesis Data Stream"; asp-reference.md 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.sources.kinesis_options import KinesisSourceOptions
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.batch import Source
    from asp_utils.engine.context import Surroundings


def _open(options: KinesisSourceOptions, surroundings: Surroundings, position: Any) -> Source:
    """The source; a check does not import it."""
    from asp_utils.engine.sources.kinesis_source import open_kinesis

    return open_kinesis(options, surroundings, position)


SPEC = StageSpec(
    "$source",
    "source",
    KinesisSourceOptions,
    connection_type="awskinesisdatastreams",
    marks=frozenset({"stream"}),
    build=_open,
    partial={
        "config.consumerARN": "accepted; records come by GetRecords, not by enhanced fan-out",
        "tsFieldName": "the field holds the arrival time, also where there is a timeField",
    },
)
