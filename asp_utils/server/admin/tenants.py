"""Workspaces (the Admin API's tenants): list, create, change, delete.

Source: asp-reference.md 4.3; peers.md 2.2 (recorded replies).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from asp_utils.errors import AspError, ConfigInvalid, Fault
from asp_utils.model.local_names import LOCAL
from asp_utils.model.processor_states import FAILED, STOPPED
from asp_utils.model.regions import Cloud, region_faults
from asp_utils.model.samples import SOLAR
from asp_utils.model.tiers import DEFAULT_TIER, MAX_TIER, TIER_NAMES, TierName
from asp_utils.pipeline.grammar import Name, Options
from asp_utils.server.admin.bodies import read_shape, without_read_only
from asp_utils.server.admin.connections import connection_documents
from asp_utils.server.admin.failures import ApiFailure, failure_of, invalid
from asp_utils.server.admin.processors import start_one, stop_one
from asp_utils.server.workspace_record import WorkspaceRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.server.admin.exchange import Call
    from asp_utils.server.workspaces import OpenWorkspace

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESERVED: Final = (
    "accountDetails",
    "activeVpcPeeringConnections",
    "privateLinkConnections",
    "vpcPeeringConnections",
)
"""What stands in paths where a workspace's name does."""
_PATH_OF_FIELD: Final = {"$.tier": "streamConfig.tier", "$.maxTierSize": "streamConfig.maxTierSize"}


class Region(Options):
    """Where a workspace runs; here it is kept and shown."""

    cloud_provider: Cloud
    region: Name


class StreamConfig(Options):
    """The tiers of a workspace's processors."""

    tier: TierName | None = None
    max_tier_size: TierName | None = None


class SampleConnections(Options):
    """Which samples a new workspace has."""

    solar: bool = False


class NewTenant(Options):
    """A workspace to be created."""

    name: Name
    data_process_region: Region
    stream_config: StreamConfig | None = None
    sample_connections: SampleConnections | None = None
    failover_regions: Annotated[list[Region], Field(max_length=2)] | None = None


class ProcessorStatus(Options):
    """What is to become of all processors of a workspace."""

    status: Literal["STARTED", "STOPPED", "FAILED_OVER"]
    mode: Literal["GRACEFUL", "FORCED"] | None = None
    region: Name | None = None


class TenantChange(Options):
    """What of a workspace is to change; cloud provider and region stand flat here."""

    cloud_provider: Cloud | None = None
    region: Name | None = None
    stream_config: StreamConfig | None = None
    failover_regions: Annotated[list[Region], Field(max_length=2)] | None = None
    processor_status: ProcessorStatus | None = None


async def list_tenants(call: Call) -> list[dict[str, Any]]:
    """Every workspace."""
    return [_document(call, each) for each in call.workspaces.all()]


async def get_tenant(call: Call) -> dict[str, Any]:
    """One workspace, with its connections where `includeConnections=true`."""
    wants_connections = call.flag("includeConnections")
    document = _document(call, call.workspace)
    if wants_connections:
        document["connections"] = await connection_documents(call.workspace)
    return document


async def create_tenant(call: Call) -> dict[str, Any]:
    """Make a workspace, without connections unless the body asks for samples."""
    return await _create(call, SampleConnections())


async def create_tenant_with_samples(call: Call) -> dict[str, Any]:
    """Make a workspace with the sample connection, which the path asks for."""
    return await _create(call, SampleConnections(solar=True))


async def _create(call: Call, unless_said: SampleConnections) -> dict[str, Any]:
    """Make a workspace; it answers when the reply comes."""
    asked = read_shape(NewTenant, without_read_only(await call.body()))
    region, config = asked.data_process_region, asked.stream_config or StreamConfig()
    failover = asked.failover_regions or []
    faults = [
        *_name_faults(asked.name),
        *_region_faults("dataProcessRegion", [region]),
        *_region_faults("failoverRegions[{}]", failover),
    ]
    if faults:
        raise invalid(faults)
    if call.workspaces.find(asked.name) is not None:
        raise ApiFailure(
            409,
            "STREAM_TENANT_NAME_ALREADY_EXISTS",
            f"A stream workspace with name {asked.name} already exists in the project.",
            parameters=[asked.name],
        )
    samples = [SOLAR] if (asked.sample_connections or unless_said).solar else []
    largest = config.max_tier_size or MAX_TIER
    record = WorkspaceRecord(
        name=asked.name,
        cloud_provider=region.cloud_provider,
        region=region.region,
        tier=config.tier or min(DEFAULT_TIER, largest, key=TIER_NAMES.index),
        max_tier=largest,
        failover_regions=[_region_document(each) for each in failover],
    )
    try:
        return _document(call, await call.workspaces.create(record, samples))
    except ConfigInvalid as error:
        raise _tiers_refused(error) from error


async def update_tenant(call: Call) -> dict[str, Any]:
    """Change a workspace, start or stop all its processors."""
    workspace = call.workspace
    record = workspace.record
    also = ("name", "dataProcessRegion", "connections")
    asked = read_shape(TenantChange, without_read_only(await call.body(), *also))
    changes = _changes(asked, record)
    status = asked.processor_status
    if status is not None and status.status == "FAILED_OVER":
        message = "the local instance has one region: there is nowhere to fail over to"
        raise invalid([Fault("processorStatus.status", message)])
    if changes:
        try:
            workspace = await call.workspaces.update(record.name, **changes)
        except ConfigInvalid as error:
            raise _tiers_refused(error) from error
    if status is not None:
        await _bring_all(call, workspace, status.status)
    return _document(call, workspace)


async def delete_tenant(call: Call) -> dict[str, Any]:
    """Delete a workspace none of whose processors run, with all that it keeps."""
    workspace, name = call.workspace, call.workspace.record.name
    running = [*workspace.parts.supervisor.running(), *workspace.parts.temporaries.running()]
    if running:
        names = ", ".join(processor.name for processor in running)
        raise ApiFailure(
            403,
            "STREAM_TENANT_HAS_STREAM_PROCESSORS",
            f"Stream workspace with name {name} has active processors, and cannot be changed: "
            f"stop {names}.",
            parameters=[name],
        )
    if name == LOCAL:
        detail = f"The workspace {LOCAL} is built in and cannot be deleted."
        raise ApiFailure(409, "STREAM_TENANT_IS_BUILT_IN", detail, parameters=[name])
    await call.workspaces.delete(name)
    return {}


def _document(call: Call, workspace: OpenWorkspace) -> dict[str, Any]:
    record = workspace.record
    return {
        "_id": record.id,
        "dataProcessRegion": {"cloudProvider": record.cloud_provider, "region": record.region},
        "failoverRegions": record.failover_regions,
        "groupId": call.workspaces.project_id,
        "hostnames": workspace.hostnames,
        "name": record.name,
        "streamConfig": {"maxTierSize": record.max_tier, "tier": record.tier},
    }


def _changes(asked: TenantChange, record: WorkspaceRecord) -> dict[str, Any]:
    """The fields of the record that are to change."""
    config = asked.stream_config or StreamConfig()
    faults: list[Fault] = []
    if asked.cloud_provider or asked.region:
        provider = asked.cloud_provider or record.cloud_provider
        faults += region_faults(provider, asked.region or record.region)
    faults += _region_faults("failoverRegions[{}]", asked.failover_regions or [])
    if faults:
        raise invalid(faults)
    changes: dict[str, Any] = {
        "cloud_provider": asked.cloud_provider,
        "region": asked.region,
        "tier": config.tier,
        "max_tier": config.max_tier_size,
    }
    if asked.failover_regions is not None:
        changes["failover_regions"] = [_region_document(each) for each in asked.failover_regions]
    return {field: value for field, value in changes.items() if value is not None}


async def _bring_all(call: Call, workspace: OpenWorkspace, status: str) -> None:
    """Start every processor that has run before and rests, or stop every one that runs.

    Raises:
        ApiFailure: Not all of them could; the others have.
    """
    supervisor = workspace.parts.supervisor
    if status == "STARTED":
        chosen = [each for each in await supervisor.all() if each.state in (STOPPED, FAILED)]
        work = [start_one(workspace, call.caller, each.name) for each in chosen]
    else:
        chosen = supervisor.running()
        work = [stop_one(workspace, call.caller, each.name) for each in chosen]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    failed = {}
    for processor, outcome in zip(chosen, outcomes, strict=True):
        if isinstance(outcome, AspError):
            failed[processor.name] = failure_of(outcome)
        elif outcome is not None:
            raise outcome
    if failed:
        done = [each.name for each in chosen if each.name not in failed]
        text = "; ".join(f"{name}: {failure.message}" for name, failure in failed.items())
        first = next(iter(failed.values()))
        raise ApiFailure(
            first.status,
            first.error_code,
            f"Not every processor is {status}: {text}. Those that are: "
            f"{', '.join(done) or 'none'}.",
            parameters=list(failed),
        )


def _region_document(region: Region) -> dict[str, Any]:
    return {"cloudProvider": region.cloud_provider, "region": region.region}


def _name_faults(name: str) -> Iterator[Fault]:
    if not _NAME.fullmatch(name):
        yield Fault("name", "this is no name of a workspace", "1 to 64 letters, digits, _ and -")
    elif name in _RESERVED:
        yield Fault("name", f"{name} stands for something else in the Admin API's paths")


def _region_faults(place: str, regions: list[Region]) -> Iterator[Fault]:
    """What is wrong with regions; `place` says where they stand, `{}` for the index."""
    for index, region in enumerate(regions):
        for fault in region_faults(region.cloud_provider, region.region):
            yield fault.below(place.format(index))


def _tiers_refused(error: ConfigInvalid) -> ApiFailure:
    """The refusal of tiers, at the places where they stand here."""
    return invalid(
        [
            Fault(_PATH_OF_FIELD.get(each.path, each.path), each.message, each.hint)
            for each in error.faults
        ]
    )
