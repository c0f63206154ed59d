"""Documents that the local instance keeps in its mongod, through pymongo's asyncio client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from gridfs import AsyncGridFSBucket
from gridfs.errors import NoFile
from pymongo import AsyncMongoClient
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.errors import Conflict, EnvironmentMissing, UnexpectedReply, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bson import ObjectId

_SELECTION_TIMEOUT_MS: Final = 5_000
_SELECT_BYTES: Final = 8 * 1024 * 1024
"""Documents that are put before mongod in one command, which holds 16 MB."""
_BLOBS: Final = "blobs"
_NUMBER: Final = "__number"


class MetadataStore:
    """One database of one mongod.

    Every method raises `Unreachable` when the server does not answer and `UnexpectedReply` (with
    the server's `code` and `codeName` in its details) when it refuses.
    """

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
        self._client = client
        self._database = client.get_database(database, codec_options=DOCUMENTS)
        self._bucket = AsyncGridFSBucket(self._database, _BLOBS)

    @classmethod
    def at(cls, uri: str, database: str) -> MetadataStore:
        """A database of the mongod at `uri`, whose own patience counts where it names one."""
        patience: dict[str, Any] = {"serverSelectionTimeoutMS": _SELECTION_TIMEOUT_MS}
        if "serverselectiontimeoutms=" in uri.lower():
            patience = {}
        with _translated():
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                uri, appname="asp-local", **patience
            )
        return cls(client, database)

    def beside(self, database: str) -> MetadataStore:
        """Another database of the same mongod, over the same connections: close only the first."""
        return MetadataStore(self._client, database)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def databases(self, prefix: str) -> list[str]:
        """The names of this mongod's databases that begin with `prefix`."""
        with _translated():
            names = await self._client.list_database_names()
        return [name for name in names if name.startswith(prefix)]

    async def drop(self) -> None:
        """Drop the whole database."""
        with _translated():
            await self._client.drop_database(self._database)

    async def ensure_unique(self, collection: str, field: str) -> None:
        """Make `field` unique in `collection`."""
        with _translated():
            await self._database[collection].create_index(field, unique=True)

    async def find(
        self, collection: str, criteria: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The documents that fit, in the order of their `_id`."""
        with _translated():
            return await self._database[collection].find(criteria or {}).sort("_id").to_list()

    async def find_one(self, collection: str, criteria: Mapping[str, Any]) -> dict[str, Any] | None:
        """One document that fits, if there is one."""
        with _translated():
            return await self._database[collection].find_one(criteria)

    async def insert(self, collection: str, document: Mapping[str, Any]) -> None:
        """Add a document.

        Raises:
            Conflict: One with the same `_id` or unique field exists.
        """
        with _translated():
            await self._database[collection].insert_one(dict(document))

    async def put(self, collection: str, document: Mapping[str, Any]) -> None:
        """Add a document, or replace the one with the same `_id`."""
        with _translated():
            criteria = {"_id": document["_id"]}
            await self._database[collection].replace_one(criteria, dict(document), upsert=True)

    async def replace(self, collection: str, document: Mapping[str, Any]) -> bool:
        """Replace the document with the same `_id`; False when there no longer is one.

        Raises:
            Conflict: Another document has the same unique field.
        """
        with _translated():
            criteria = {"_id": document["_id"]}
            replaced = await self._database[collection].replace_one(criteria, dict(document))
        return replaced.matched_count > 0

    async def delete(self, collection: str, criteria: Mapping[str, Any]) -> int:
        """Delete every document that fits; how many there were."""
        with _translated():
            return (await self._database[collection].delete_many(criteria)).deleted_count

    async def put_blob(self, owner: str, content: bytes) -> ObjectId:
        """Keep bytes that are too large for a document, in GridFS; their id."""
        with _translated():
            return await self._bucket.upload_from_stream(owner, content)

    async def get_blob(self, blob_id: ObjectId) -> bytes | None:
        """The bytes of that id; None when they are gone."""
        with _translated():
            try:
                return await (await self._bucket.open_download_stream(blob_id)).read()
            except NoFile:
                return None

    async def delete_blobs(self, owner: str, *, keep: ObjectId | None = None) -> None:
        """Delete the bytes of one owner, but for those of the id `keep`."""
        with _translated():
            files = self._database[f"{_BLOBS}.files"].find({"filename": owner}, {"_id": 1})
            for file in await files.to_list():
                if file["_id"] != keep:
                    await self._bucket.delete(file["_id"])

    async def select(
        self, documents: Sequence[Mapping[str, Any]], criteria: Mapping[str, Any]
    ) -> list[int]:
        """The positions of those given documents that fit a find filter, as mongod judges it.

        None of the documents may be nearly as large as a command.
        """
        selected: list[int] = []
        for group in _groups(documents):
            pipeline: list[Mapping[str, Any]] = [
                {"$documents": "$$given"}, {"$match": criteria}, {"$project": {_NUMBER: 1}}
            ]  # fmt: skip
            with _translated():
                let = {"given": {"$literal": group}}
                cursor = await self._database.aggregate(pipeline, let=let)
                selected += [found[_NUMBER] for found in await cursor.to_list()]
        return selected


def _groups(documents: Sequence[Mapping[str, Any]]) -> Iterator[list[RawBSONDocument]]:
    """The documents, each with its position, in groups that one command can hold."""
    group: list[RawBSONDocument] = []
    size_bytes = 0
    for number, document in enumerate(documents):
        encoded = bson.encode({**document, _NUMBER: number})
        if group and size_bytes + len(encoded) > _SELECT_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(RawBSONDocument(encoded))
        size_bytes += len(encoded)
    yield group


@contextmanager
def _translated() -> Iterator[None]:
    """Turn pymongo's exceptions into ours."""
    try:
        yield
    except DuplicateKeyError as error:
        raise Conflict(f"it exists already: {error.details}") from error
    except OperationFailure as error:
        reply = error.details or {}
        details = {"code": error.code, "codeName": reply.get("codeName")}
        raise UnexpectedReply(reply.get("errmsg") or str(error), details=details) from error
    except ConnectionFailure as error:
        hint = "see the log of the local instance; cli_local_start.py starts it again"
        raise Unreachable(f"the metadata mongod does not answer: {error}", hint=hint) from error
    except InvalidURI as error:
        raise EnvironmentMissing(f"no usable mongod URI: {error}") from error
    except (PyMongoError, BSONError) as error:
        raise UnexpectedReply(f"mongod: {error}") from error
