"""Pipelines on their way from a config to an endpoint: decoded, checked offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.errors import ConfigInvalid, Fault, PipelineInvalid
from asp_utils.model.tiers import DEFAULT_TIER
from asp_utils.workspace import connect, is_local

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from asp_utils.context import Context

_TYPES: Final = {
    "cluster": "atlas",
    "sample": "inmemory",
    **{
        name.lower(): name.lower()
        for name in (
            "atlas",
            "inmemory",
            "Kafka",
            "Https",
            "AWSLambda",
            "S3",
            "AWSKinesisDataStreams",
            "SchemaRegistry",
            "AzureBlobStorage",
            "GCPPubSub",
        )
    },
}
"""Connection types as a config may say them, lower-cased, and as the endpoint says them."""


@dataclass(frozen=True)
class Given:
    """A pipeline to be looked at, with what is known of its processor."""

    ctx: Context
    pipeline: Any
    """Extended JSON decoded."""
    persistent: bool = True
    """Whether it must end in a sink."""
    dlq: Mapping[str, Any] | None = None
    tier: str | None = None
    connections: list[dict[str, Any]] | None = None
    """`{name, type}` each; None: ask the workspace at `url`, if there is one."""
    url: str | None = None
    user: str | None = None
    password: SecretStr | None = None

    def registry(self) -> dict[str, dict[str, Any]] | None:
        """The connections by name, in the endpoint's words; None when none are known.

        Raises:
            ConfigInvalid: A connection has no name, or no type that Atlas has.
        """
        if self.connections is not None:
            return _registry(self.connections)
        if self.url is None:
            return None
        with connect(self.ctx, self.url, self.user, self.password) as workspace:
            listed = workspace.listed({"listStreamConnections": 1}, "connections")
        return {entry["name"]: {**entry, "type": entry["type"].lower()} for entry in listed}


def findings(
    given: Given, old_pipeline: list[dict[str, Any]] | None = None, *, resume: bool = True
) -> tuple[list[Fault], list[Fault]]:
    """Faults and warnings of a pipeline; paths begin at the config.

    Args:
        given: The pipeline and what is known about its processor.
        old_pipeline: What it replaces, if it is a modification.
        resume: Whether the modification resumes from the checkpoint.
    """
    # The engine's grammar costs pydantic: only operations with a pipeline pay it.
    from asp_utils.engine import check

    registry = given.registry()
    faults, warnings = _divided(given, registry)
    if old_pipeline is not None:
        old = check.check_offline(old_pipeline, persistent=True)
        faults += [fault.below("$.old_pipeline") for fault in old]
    if faults:
        return faults, warnings
    if old_pipeline is not None:
        changes = check.check_modify(old_pipeline, given.pipeline, resume=resume)
        faults = [fault.below("$.") for fault in changes]
    traps = check.check_traps(
        given.pipeline,
        registry,
        dlq=given.dlq,
        tier=given.tier or DEFAULT_TIER,
        persistent=given.persistent,
    )
    return faults, warnings + [_in_config(trap) for trap in traps]


def faults_of(given: Given, registry: Mapping[str, Mapping[str, Any]] | None) -> list[Fault]:
    """What of a pipeline keeps the local instance from running it; paths begin at the config."""
    faults, only_here = _divided(given, registry)
    return faults + only_here


def _divided(
    given: Given, registry: Mapping[str, Mapping[str, Any]] | None
) -> tuple[list[Fault], list[Fault]]:
    """Faults wherever the pipeline runs, and what only the local instance lacks."""
    from asp_utils.engine.check import check_offline
    from asp_utils.pipeline.check import NOT_HERE_YET

    found = check_offline(
        given.pipeline,
        persistent=given.persistent,
        connections=registry,
        dlq=given.dlq,
        local=True,
    )
    here = given.url is not None and is_local(given.url)
    lacking = [fault for fault in found if fault.code == NOT_HERE_YET and not here]
    faults = [_in_config(fault) for fault in found if fault not in lacking]
    return faults, [_in_config(fault) for fault in lacking]


def _in_config(fault: Fault) -> Fault:
    """A fault of a pipeline or of its dead letter queue with the path from the config's root."""
    return fault.below("$." if fault.path.startswith("dlq") else "$.pipeline")


def _registry(connections: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    faults: list[Fault] = []
    found: dict[str, dict[str, Any]] = {}
    for index, connection in enumerate(connections):
        where = f"$.connections[{index}]"
        name, kind = connection.get("name"), connection.get("type")
        if not isinstance(name, str) or not name:
            faults.append(Fault(f"{where}.name", "a connection needs a name"))
        elif not isinstance(kind, str) or kind.lower() not in _TYPES:
            hint = "for instance Cluster, Sample, Kafka, Https, AWSLambda, S3"
            faults.append(Fault(f"{where}.type", f"there is no connection type {kind!r}", hint))
        else:
            found[name] = {**connection, "type": _TYPES[kind.lower()]}
    if faults:
        raise ConfigInvalid("config", faults)
    return found


def preview(parameters: dict[str, Any]) -> list[Fault]:
    """What is wrong with the `pipeline` parameter, found offline; dry runs show it.

    A pipeline for a named processor must end in a sink.
    """
    if parameters.get("pipeline") is None:
        return []
    try:
        pipeline = revived(parameters["pipeline"], "pipeline")
    except ConfigInvalid as error:
        return error.faults
    return _offline(pipeline, persistent="name" in parameters)


def _offline(pipeline: Any, *, persistent: bool) -> list[Fault]:
    from asp_utils.engine.check import check_offline

    faults = check_offline(pipeline, persistent=persistent)
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
        faults = _offline(stages, persistent=persistent)
        if faults:
            raise PipelineInvalid("pipeline", faults)
    return stages


def processor_options(
    dlq: dict[str, Any] | None, stream_meta_field_name: str | None, tier: str | None
) -> dict[str, Any]:
    """The options of a processor as the endpoint wants them; those not given are left out."""
    given = {"dlq": dlq, "streamMetaFieldName": stream_meta_field_name, "tier": tier}
    return {key: value for key, value in given.items() if value is not None}
