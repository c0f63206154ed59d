"""Where processors are kept: one document each, and what is too large for one beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import ObjectId

from asp_utils.errors import Conflict
from asp_utils.server.processors import Processor
from asp_utils.server.replies import already_exists, does_not_exist

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.clients.metadata import MetadataStore

PROCESSORS: Final = "processors"
STATE_COLLECTIONS: Final = (
    "checkpoints",
    "checkpoint_parts",
    "window_parts",
    "outbox",
    "committers",
)
"""Where the engine keeps checkpoints and what belongs to them, by the field `processorId`."""
INLINE_BYTES: Final = 4 * 1024 * 1024
"""A larger definition stands apart, as Atlas takes 16 MB and so does a whole document."""
JUDGED_BYTES: Final = 15 * 1024 * 1024
"""A larger processor is judged by filters without its pipeline, which no command could hold."""


class ProcessorStore:
    """The processors of the local instance, unique by name."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._saving_large = asyncio.Lock()

    async def prepare(self) -> None:
        """Create the index that keeps names unique."""
        await self._store.ensure_unique(PROCESSORS, "name")

    async def get(self, name: str) -> Processor:
        """The processor of that name.

        Raises:
            CommandFailure: StreamProcessorDoesNotExist.
        """
        processor = await self._read(await self._store.find_one(PROCESSORS, {"name": name}))
        if processor is None:
            raise does_not_exist(name)
        return processor

    async def all(self) -> list[Processor]:
        """Every processor, in the order of creation."""
        found = [await self._read(each) for each in await self._store.find(PROCESSORS)]
        return [processor for processor in found if processor is not None]

    async def add(self, processor: Processor) -> None:
        """Keep a new processor.

        Raises:
            CommandFailure: StreamProcessorAlreadyExists.
        """
        try:
            await self._store.insert(PROCESSORS, await self._written(processor))
        except Conflict as error:
            if processor.is_large:
                await self._store.delete_blobs(processor.id)
            raise already_exists(processor.name) from error

    async def save(self, processor: Processor) -> None:
        """Keep a processor as it is now; one that was dropped meanwhile stays dropped.

        Raises:
            CommandFailure: StreamProcessorAlreadyExists, when it took the name of another.
        """
        document = processor.to_document()
        if processor.is_large or len(document["definition"]) > INLINE_BYTES:
            async with self._saving_large:
                await self._save_large(processor)
            return
        try:
            await self._store.replace(PROCESSORS, document)
        except Conflict as error:
            raise already_exists(processor.name) from error

    async def delete(self, processor: Processor) -> None:
        """Forget a processor and everything it had kept."""
        await self._store.delete(PROCESSORS, {"_id": processor.id})
        if processor.is_large:
            await self._store.delete_blobs(processor.id)
        await self.discard_state(processor.id)

    async def select(
        self, items: list[dict[str, Any]], criteria: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Those items that fit a find filter, as mongod judges it."""
        found = await self._store.select([_judged(item) for item in items], criteria)
        return [items[number] for number in found]

    async def has_checkpoint(self, processor_id: str) -> bool:
        """Whether there is a checkpoint to resume from."""
        criteria = {"processorId": processor_id}
        return await self._store.find_one(STATE_COLLECTIONS[0], criteria) is not None

    async def discard_state(self, processor_id: str) -> None:
        """Delete every checkpoint of a processor."""
        for collection in STATE_COLLECTIONS:
            await self._store.delete(collection, {"processorId": processor_id})

    async def _save_large(self, processor: Processor) -> None:
        """Save one whose definition stands, or stood, apart: one at a time, as each clears up."""
        document = await self._written(processor)
        try:
            kept = await self._store.replace(PROCESSORS, document)
        except Conflict as error:
            stored = await self._store.find_one(PROCESSORS, {"_id": processor.id})
            before = stored["definition"] if stored else None
            await self._store.delete_blobs(processor.id, keep=before)
            raise already_exists(processor.name) from error
        await self._store.delete_blobs(processor.id, keep=document["definition"] if kept else None)

    async def _written(self, processor: Processor) -> dict[str, Any]:
        """The document to store; a large definition is put apart before it."""
        document = processor.to_document()
        processor.is_large = len(document["definition"]) > INLINE_BYTES
        document["is_large"] = processor.is_large
        if processor.is_large:
            blob_id = await self._store.put_blob(processor.id, document["definition"])
            document["definition"] = blob_id
        return document

    async def _read(self, document: dict[str, Any] | None) -> Processor | None:
        """The processor of a stored document; None when it has gone meanwhile."""
        while document is not None:
            definition = document["definition"]
            if isinstance(definition, ObjectId):
                definition = await self._store.get_blob(definition)
            if definition is not None:
                return Processor.from_document({**document, "definition": definition})
            # Its definition was replaced after the document was read: read both again.
            document = await self._store.find_one(PROCESSORS, {"_id": document["_id"]})
        return None


def _judged(item: dict[str, Any]) -> dict[str, Any]:
    """What of a listed processor a filter sees."""
    if len(bson.encode(item)) <= JUDGED_BYTES:
        return item
    return {key: value for key, value in item.items() if key != "pipeline"}
