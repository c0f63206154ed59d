"""Starts workers: what every worker of one workspace has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asp_utils.server.worker import Handlers, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.server.connections import ConnectionRegistry
    from asp_utils.server.engine_settings import EngineSettings
    from asp_utils.server.processors import Processor

_WORKER_OPTIONS: Final = ("dlq", "streamMetaFieldName")


@dataclass(frozen=True)
class Launcher:
    """How to start a worker for a processor."""

    workspace: str
    """The workspace's name, as dead letters show it."""
    command: tuple[str, ...]
    """The worker's command line."""
    log_folder: Path
    mongod_uri: str
    database: str
    connections: ConnectionRegistry
    engine: EngineSettings

    async def launch(
        self, processor: Processor, handlers: Handlers, *, mode: str, resume: bool
    ) -> Worker:
        """Start a worker in `mode` "run" or "process".

        With `resume` it continues from its checkpoint; else from where the start options say.

        Raises:
            OSError: The process cannot be started.
            Unreachable: The connections cannot be read.
        """
        spec = {
            "processorId": processor.id,
            "name": processor.name,
            "workspace": self.workspace,
            "pipeline": processor.pipeline,
            "options": {
                key: processor.options[key] for key in _WORKER_OPTIONS if key in processor.options
            }
            | await self.engine.worker_options(),
            "connections": await self.connections.by_name(),
            "stateUri": self.mongod_uri,
            "stateDb": self.database,
            "mode": mode,
            "resumeFromCheckpoint": resume,
            **({} if resume else processor.start_options),
        }
        return await Worker.spawn(self.command, spec, self._log_path(processor), handlers)

    def _log_path(self, processor: Processor) -> Path:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        return self.log_folder / f"{processor.id}.log"
