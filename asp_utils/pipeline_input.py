"""Pipelines on their way from a config to an endpoint: decoded, checked offline."""

from __future__ import annotations

from typing import Any

from asp_utils import ejson
from asp_utils.errors import ConfigInvalid, Fault, PipelineInvalid


def preview(parameters: dict[str, Any]) -> list[Fault]:
    """What is wrong with the `pipeline` parameter, found offline; dry runs show it.

    A pipeline for a named processor must end in a sink.
    """
    # The engine's grammar costs pydantic: only operations with a pipeline pay it.
    from asp_utils.engine.check import check_offline

    pipeline = parameters.get("pipeline")
    if pipeline is None:
        return []
    faults = check_offline(pipeline, persistent="name" in parameters)
    return [fault.below("$.pipeline") for fault in faults]


def revived(value: Any, parameter: str) -> Any:
    """A parameter's value with Extended JSON (`$date`, `$oid`, …) turned into BSON types.

    Raises:
        ConfigInvalid: A typed value cannot be read.
    """
    try:
        return ejson.revive(value)
    except ejson.BadExtendedJson as error:
        fault = Fault(error.path.replace("$", f"$.{parameter}", 1), error.reason)
        raise ConfigInvalid("config", [fault]) from error


def decoded(
    pipeline: list[dict[str, Any]], *, persistent: bool, check: bool
) -> list[dict[str, Any]]:
    """The stages with Extended JSON decoded.

    Raises:
        PipelineInvalid: `check` is on and the pipeline is wrong; all faults are named.
    """
    stages: list[dict[str, Any]] = revived(pipeline, "pipeline")
    if check:
        faults = preview({"pipeline": stages, **({"name": ""} if persistent else {})})
        if faults:
            raise PipelineInvalid("pipeline", faults)
    return stages


def processor_options(
    dlq: dict[str, Any] | None, stream_meta_field_name: str | None, tier: str | None
) -> dict[str, Any]:
    """The options of a processor as the endpoint wants them; those not given are left out."""
    given = {"dlq": dlq, "streamMetaFieldName": stream_meta_field_name, "tier": tier}
    return {key: value for key, value in given.items() if value is not None}
