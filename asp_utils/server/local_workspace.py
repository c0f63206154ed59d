"""The parts of one workspace that commands work with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from asp_utils.model.tiers import memory_warning, partition_warning, tier_warnings
from asp_utils.pipeline.connections.roles import uses_of
from asp_utils.server.definition import check_tiers
from asp_utils.server.replies import CommandFailure
from asp_utils.server.workspace_record import is_above

if TYPE_CHECKING:
    from asp_utils.errors import Fault
    from asp_utils.server.audit import AuditLog
    from asp_utils.server.connections import ConnectionRegistry
    from asp_utils.server.engine_settings import EngineSettings
    from asp_utils.server.instance_folder import KeptSettings
    from asp_utils.server.processor_store import ProcessorStore
    from asp_utils.server.processors import Processor
    from asp_utils.server.samples import Cursors
    from asp_utils.server.supervisor import Supervisor
    from asp_utils.server.temporary import TemporaryProcessors
    from asp_utils.server.wire import Caller
    from asp_utils.server.workspace_record import WorkspaceRecord

Connections = Mapping[str, Mapping[str, Any]]


class CheckProcessor(Protocol):
    """Finds every fault of a definition.

    Fault paths begin at the command (`pipeline[2].$match`, `options.dlq.coll`). `persistent`
    tells a created processor, which needs a sink, from a temporary one, which does not.
    """

    def __call__(
        self,
        pipeline: list[Any],
        options: Mapping[str, Any],
        connections: Connections,
        mongod_uri: str,
        *,
        persistent: bool,
    ) -> list[Fault]:
        """All faults; none when the definition can run."""
        ...


class CheckModify(Protocol):
    """Finds what keeps a new pipeline from going on with the state of the old one."""

    def __call__(self, old: list[Any], new: list[Any], /, *, resume: bool) -> list[Fault]:
        """All faults; none when the change is allowed."""
        ...


class CheckWarnings(Protocol):
    """Finds what is allowed in a definition and is likely not meant."""

    def __call__(
        self,
        pipeline: list[Any],
        options: Mapping[str, Any],
        connections: Connections,
        /,
        *,
        persistent: bool,
    ) -> list[Fault]:
        """All traps; paths and `persistent` as for `CheckProcessor`."""
        ...


def no_warnings(
    _pipeline: list[Any],
    _options: Mapping[str, Any],
    _connections: Connections,
    /,
    *,
    persistent: bool,
) -> list[Fault]:
    """For an instance whose engine knows no traps."""
    return []


@dataclass(frozen=True)
class LocalWorkspace:
    """What a command may use."""

    record: WorkspaceRecord
    settings: KeptSettings
    """The instance's, which all its workspaces share."""
    audit: AuditLog
    processors: ProcessorStore
    connections: ConnectionRegistry
    engine: EngineSettings
    supervisor: Supervisor
    temporaries: TemporaryProcessors
    cursors: Cursors
    check_processor: CheckProcessor
    check_modify: CheckModify
    check_warnings: CheckWarnings
    mongod_uri: str

    def tier_for(self, options: Mapping[str, Any]) -> str:
        """The tier of a processor with these options.

        Args:
            options: `tier`, `autoscaling`, `failoverEnabled`, each known to be right in itself.

        Raises:
            CommandFailure: StreamProcessorInvalidOptions: more than the workspace allows.
        """
        tier, largest = str(options.get("tier", self.record.tier)), self.record.max_tier
        scaling = options.get("autoscaling") or {}
        for field, asked in (("tier", tier), ("autoscaling.maxTier", scaling.get("maxTier", tier))):
            if is_above(asked, largest):
                message = f"{field} {asked} is above the workspace's largest tier, {largest}"
                raise CommandFailure("StreamProcessorInvalidOptions", message)
        if options.get("failoverEnabled"):
            check_tiers({"tier": tier, "failoverEnabled": True})
        return tier

    async def check(
        self, pipeline: list[Any], options: Mapping[str, Any], *, persistent: bool
    ) -> None:
        """Refuse a definition that cannot run here.

        Raises:
            CommandFailure: With every fault that was found.
        """
        connections = await self.connections.by_name()
        # In a thread: checks ask mongod, and other clients are answered meanwhile.
        faults = await asyncio.to_thread(
            self.check_processor,
            pipeline,
            options,
            connections,
            self.mongod_uri,
            persistent=persistent,
        )
        if faults:
            raise CommandFailure.of_faults(faults)

    async def warnings(
        self,
        pipeline: list[Any],
        options: Mapping[str, Any],
        tier: str,
        *,
        persistent: bool = True,
    ) -> list[Fault]:
        """What a definition without faults exceeds on Atlas, or is likely not meant to say."""
        connections = await self.connections.by_name()
        traps = self.check_warnings(pipeline, options, connections, persistent=persistent)
        return [*traps, *(each.below("pipeline") for each in tier_warnings(pipeline, tier))]

    def connection_users(self) -> dict[str, str]:
        """Every connection that a running processor names, and one such processor."""
        running = [*self.supervisor.running(), *self.temporaries.running()]
        return {
            connection: processor.name
            for processor in running
            for connection, _, _ in uses_of(processor.pipeline, processor.options)
        }


def running_warnings(processor: Processor, stats: Mapping[str, Any]) -> list[Fault]:
    """What a processor exceeds of its tier while it runs."""
    tier = processor.running_tier
    found = (
        partition_warning(len(stats.get("kafkaPartitions", ())), tier),
        memory_warning(int(stats.get("memoryUsageBytes", 0)), tier),
    )
    return [each.below("pipeline") for each in found if each is not None]


Handler = Callable[[LocalWorkspace, "Caller", Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Carries out one command; its reply without `ok`."""
