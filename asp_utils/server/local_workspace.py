"""The parts that commands work with: one local instance is one workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from asp_utils.errors import Fault
    from asp_utils.server.connections import ConnectionRegistry
    from asp_utils.server.processors import ProcessorStore
    from asp_utils.server.samples import Cursors
    from asp_utils.server.supervisor import Supervisor
    from asp_utils.server.temporary import TemporaryProcessors
    from asp_utils.server.wire import Caller

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


@dataclass(frozen=True)
class LocalWorkspace:
    """What a command may use."""

    processors: ProcessorStore
    connections: ConnectionRegistry
    supervisor: Supervisor
    temporaries: TemporaryProcessors
    cursors: Cursors
    check_processor: CheckProcessor
    check_modify: CheckModify
    mongod_uri: str

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


Handler = Callable[[LocalWorkspace, "Caller", Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Carries out one command; its reply without `ok`."""
