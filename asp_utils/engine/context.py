"""What the engine gives a source, a stage or a sink when it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from asp_utils.clients.op_msg import DOCUMENTS

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from pymongo.synchronous.database import Database

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]


@dataclass
class Surroundings:
    """The processor's surroundings: connections, the evaluator, time, and the word to stop."""

    processor_name: str
    connections: Mapping[str, Mapping[str, Any]]
    evaluator: Evaluator
    clock: Clock
    stopping: threading.Event
    start_options: Mapping[str, Any] = field(default_factory=dict)
    """`startAtOperationTime`, `startAfter` as given to start; `processorId` of a lasting one."""
    state: Database[Document] | None = None
    """The local instance's database, for what memory has no room for."""
    _clients: dict[str, MongoClient[Document]] = field(default_factory=dict)

    def cluster(self, connection_name: str, **options: Any) -> MongoClient[Document]:
        """A client of the cluster behind a connection; one per connection and options."""
        key = f"{connection_name} {sorted(options.items())}"
        if key not in self._clients:
            self._clients[key] = MongoClient(
                self.connections[connection_name]["uri"],
                datetime_conversion=DOCUMENTS.datetime_conversion,
                appname=f"asp-processor-{self.processor_name}"[:128],
                **options,
            )
        return self._clients[key]

    def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            client.close()
