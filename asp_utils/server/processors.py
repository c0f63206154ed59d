"""Processor documents: what a processor is and was last seen doing, kept in mongod.

What may hold any name (pipeline, options, stats) is stored as one BSON value, so that no name
inside it (`$id`, dots, empty names) can collide with what a stored document may hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Int64, ObjectId

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.errors import Conflict
from asp_utils.server.replies import already_exists, does_not_exist

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.clients.metadata import MetadataStore

PROCESSORS: Final = "processors"
STATE_COLLECTIONS: Final = ("checkpoints", "checkpoint_parts")
"""Where the engine keeps checkpoints, by the field `processorId`."""
DEFAULT_TIER: Final = "SP10"
MAX_TIER: Final = "SP50"

CREATED: Final = "CREATED"
PROVISIONING: Final = "PROVISIONING"
STARTED: Final = "STARTED"
STOPPING: Final = "STOPPING"
STOPPED: Final = "STOPPED"
FAILED: Final = "FAILED"
_FREE_FORM: Final = ("pipeline", "options", "start_options", "last_stats")
RUNNING: Final = (PROVISIONING, STARTED)
"""States in which a processor is meant to run: such a one is started again with the machine."""


def now() -> datetime:
    """The present instant as BSON dates hold it: naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class Processor:
    """One stream processor."""

    name: str
    pipeline: list[Any]
    options: dict[str, Any]
    """`dlq`, `streamMetaFieldName`, `failover`, ... as given at creation."""
    modified_by: str
    id: str = field(default_factory=lambda: str(ObjectId()))
    tier: str = DEFAULT_TIER
    effective_tier: str = ""
    """The tier of the last start, when that asked for another one."""
    state: str = CREATED
    has_started: bool = False
    error_message: str = ""
    error_code: int | None = None
    error_retryable: bool = False
    start_options: dict[str, Any] = field(default_factory=dict)
    """What the last start asked for: `startAtOperationTime` or `startAfter`."""
    last_stats: dict[str, Any] = field(default_factory=dict)
    """The counters when it was last seen running."""
    stats_base: dict[str, Any] = field(default_factory=dict)
    """Counters of the time before its state was last discarded; added to the running ones."""
    fresh_start: bool = False
    """Whether the next start discards the checkpoint, which no longer fits the pipeline."""
    restart_count: int = 0
    created_at: datetime = field(default_factory=now)
    modified_at: datetime = field(default_factory=now)
    state_changed_at: datetime = field(default_factory=now)

    def enter(self, state: str) -> None:
        """Change the state; an error of the time before is forgotten."""
        self.state = state
        self.state_changed_at = now()
        self.has_started = self.has_started or state == STARTED
        if state != FAILED:
            self.error_message, self.error_code, self.error_retryable = "", None, False

    def fail(self, message: str, code: int, *, retryable: bool) -> None:
        """Enter FAILED with the reason."""
        self.enter(FAILED)
        self.error_message, self.error_code, self.error_retryable = message, code, retryable

    def to_document(self) -> dict[str, Any]:
        """The document that is stored."""
        fields = dict(vars(self))
        definition = {key: fields.pop(key) for key in _FREE_FORM}
        return {"_id": fields.pop("id"), **fields, "definition": bson.encode(definition)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Processor:
        """The processor of a stored document."""
        fields = dict(document)
        definition = bson.decode(fields.pop("definition"), DOCUMENTS)
        return cls(id=fields.pop("_id"), **fields, **definition)

    def to_list_item(self) -> dict[str, Any]:
        """The shape of listStreamProcessors (asp-reference.md 1.7)."""
        item: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "lastModified": self.modified_at,
            "lastModifiedAt": self.modified_at,
            "modifiedBy": self.modified_by,
            "lastStateChange": self.state_changed_at,
            "state": self.state,
            "hasStarted": self.has_started,
            "tier": self.tier,
            "errorMsg": self.error_message,
            "pipeline": self.pipeline,
            "options": self.options,
        }
        if self.error_code is not None:
            item |= {"errorCode": self.error_code, "errorRetryable": self.error_retryable}
        return item

    def to_reply(self) -> dict[str, Any]:
        """The shape of getStreamProcessor (asp-reference.md 1.8), without stats."""
        item = self.to_list_item()
        options = item.pop("options")
        failover = options.get("failover", options.get("failoverEnabled", False))
        return {
            **item,
            **{key: options[key] for key in ("dlq", "streamMetaFieldName") if key in options},
            "pipelineVersion": Int64(1),
            "enableAutoScaling": bool(options.get("enableAutoScaling", False)),
            "failoverEnabled": bool(failover),
            "activeRegion": "local",
            "workspaceDefaultRegion": "local",
            "errorRetryable": self.error_retryable,
        }


class ProcessorStore:
    """The processors of the local instance, unique by name."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    async def prepare(self) -> None:
        """Create the index that keeps names unique."""
        await self._store.ensure_unique(PROCESSORS, "name")

    async def get(self, name: str) -> Processor:
        """The processor of that name.

        Raises:
            CommandFailure: StreamProcessorDoesNotExist.
        """
        document = await self._store.find_one(PROCESSORS, {"name": name})
        if document is None:
            raise does_not_exist(name)
        return Processor.from_document(document)

    async def all(self) -> list[Processor]:
        """Every processor, in the order of creation."""
        return [Processor.from_document(each) for each in await self._store.find(PROCESSORS)]

    async def add(self, processor: Processor) -> None:
        """Keep a new processor.

        Raises:
            CommandFailure: StreamProcessorAlreadyExists.
        """
        try:
            await self._store.insert(PROCESSORS, processor.to_document())
        except Conflict as error:
            raise already_exists(processor.name) from error

    async def save(self, processor: Processor) -> None:
        """Keep a processor as it is now; one that was dropped meanwhile stays dropped.

        Raises:
            CommandFailure: StreamProcessorAlreadyExists, when it took the name of another.
        """
        try:
            await self._store.replace(PROCESSORS, processor.to_document())
        except Conflict as error:
            raise already_exists(processor.name) from error

    async def delete(self, processor: Processor) -> None:
        """Forget a processor and everything it had kept."""
        await self._store.delete(PROCESSORS, {"_id": processor.id})
        await self.discard_state(processor.id)

    async def select(
        self, items: list[dict[str, Any]], criteria: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Those items that fit a find filter, as mongod judges it."""
        return await self._store.select(items, criteria)

    async def has_checkpoint(self, processor_id: str) -> bool:
        """Whether there is a checkpoint to resume from."""
        criteria = {"processorId": processor_id}
        return await self._store.find_one(STATE_COLLECTIONS[0], criteria) is not None

    async def discard_state(self, processor_id: str) -> None:
        """Delete every checkpoint of a processor."""
        for collection in STATE_COLLECTIONS:
            await self._store.delete(collection, {"processorId": processor_id})
