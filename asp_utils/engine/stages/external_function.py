"""`$externalFunction`: an AWS Lambda function called for every document.

Source: Atlas page "$externalFunction"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.stages.external_function_options import (
    ExternalFunctionOptions,
    external_function_probes,
)
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink
    from asp_utils.engine.stages import Stage


def _open(options: ExternalFunctionOptions, surroundings: Surroundings) -> Stage:
    """The stage; a check does not import it."""
    from asp_utils.engine.stages.external_function_stage import open_external_function

    return open_external_function(options, surroundings)


def _open_sink(options: ExternalFunctionOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.stages.external_function_stage import open_external_function_sink

    return open_external_function_sink(options, surroundings)


SPEC = StageSpec(
    "$externalFunction",
    "transform",
    ExternalFunctionOptions,
    inside_window=True,
    connection_type="awslambda",
    ends=True,
    build=_open,
    build_sink=_open_sink,
    probes=external_function_probes,
)
