"""The initial sync of a change-stream source: existing documents, read in the order of `_id`.

Threads read ranges of `_id` (`parallelism` of them at a time over all collections, in the order of
the collections) with majority read concern, not before the moment at which tailing will begin. So
a document is either copied or its insertion is in the tail, on secondaries too. Ranges are index
bounds, which hold across BSON types.

Source: Atlas pages "Configure Multi-Collection Initial Sync" and "Limitations", "Initial Sync";
asp-reference.md 2.4.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import bson
from bson import MaxKey
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.change_events import decoded
from asp_utils.engine.sources.change_tail import JOIN_S, cluster_failure
from asp_utils.engine.sources.handoff import Handoff
from asp_utils.engine.sources.sync_progress import Part, Progress, Target
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bson.raw_bson import RawBSONDocument
    from pymongo.synchronous.client_session import ClientSession
    from pymongo.synchronous.collection import Collection
    from pymongo.synchronous.cursor import Cursor
    from pymongo.synchronous.mongo_client import MongoClient

    Document = dict[str, Any]
    Client = MongoClient[RawBSONDocument]

PART_DOCUMENTS: Final = 10_000
"""A collection is read in several ranges at a time when each has this many documents."""
_SAMPLES_PER_PART: Final = 20


class Copied(NamedTuple):
    """A document that was read, or the end of a range."""

    target: int
    part: int
    document: Document | None
    """None: the range has no further document."""
    size_bytes: int = 0
    fault: str = ""


def begin_sync(client: Client, db: str, colls: Sequence[str] | None, parallelism: int) -> Progress:
    """A sync from now on: of the collections named, else of all that the database has now.

    Raises:
        ProcessorFailed: The cluster cannot be reached, is no replica set, or a name is a view.
    """
    try:
        hello = client.admin.command("hello")
        if "operationTime" not in hello:
            message = "change streams need a replica set or a sharded cluster"
            raise ProcessorFailed(CODES["StreamProcessorInvalidOptions"], message, retryable=False)
        names = _collections(client, db, colls)
        targets = [_target(client[db][name], parallelism) for name in names]
    except PyMongoError as error:
        raise cluster_failure(error, "beginning the initial sync") from error
    return Progress(hello["operationTime"], hello["localTime"], targets)


def _collections(client: Client, db: str, colls: Sequence[str] | None) -> list[str]:
    kinds = {item["name"]: item["type"] for item in client[db].list_collections()}
    if colls is None:
        plain = (name for name, kind in kinds.items() if kind == "collection")
        return sorted(name for name in plain if not name.startswith("system."))
    for name in colls:
        if kinds.get(name, "collection") != "collection":
            message = f"{db}.{name} is a {kinds[name]}: only collections can be copied and followed"
            code = CODES["StreamProcessorInvalidNamespace"]
            raise ProcessorFailed(code, message, retryable=False)
    return list(colls)


def _target(collection: Collection[RawBSONDocument], parallelism: int) -> Target:
    estimated = collection.estimated_document_count()
    count = max(1, min(parallelism, estimated // PART_DOCUMENTS))
    parts = _parts(collection, count)
    return Target(collection.database.name, collection.name, estimated, parts)


def _parts(collection: Collection[RawBSONDocument], count: int) -> list[Part]:
    """About `count` ranges of about the same length, by a random sample."""
    if count == 1:
        return [Part()]
    sampled = collection.aggregate(
        [
            {"$sample": {"size": _SAMPLES_PER_PART * count}},
            {"$project": {"_id": 1}},
            {"$sort": {"_id": 1}},
        ]
    )
    distinct = {raw.raw: decoded(raw.raw)[0]["_id"] for raw in sampled}
    ids = list(distinct.values())
    edges = [ids[len(ids) * index // count] for index in range(1, min(count, len(ids)))]
    starts = [{}, *({"from": edge} for edge in edges)]
    ends = [*({"until": edge} for edge in edges), {}]
    return [Part(start | end) for start, end in zip(starts, ends, strict=True)]


class CollectionCopy:
    """Reads the documents that a sync has still to give.

    Args:
        client: Decodes into raw documents; has the read preference.
        progress: Where the sync stands; the engine moves it on as it takes documents.
        parallelism: How many ranges are read at a time.
    """

    def __init__(self, client: Client, progress: Progress, parallelism: int) -> None:
        self._client = client
        self._progress = progress
        self._handoff: Handoff[Copied] = Handoff()
        self._next = threading.Lock()
        self._left = iter(
            [
                (t, p, Part(dict(part.bounds)))
                for t, target in enumerate(progress.targets)
                for p, part in enumerate(target.parts)
                if not part.done
            ]
        )
        self._readers = [
            threading.Thread(target=self._run, name=f"initial-sync-{number}", daemon=True)
            for number in range(parallelism)
        ]
        for reader in self._readers:
            reader.start()

    def take(self, max_count: int, timeout_s: float) -> list[Copied]:
        """What has been read; waits for the first document only.

        Raises:
            ProcessorFailed: A collection could not be read to its end.
        """
        return self._handoff.take(max_count, timeout_s)

    def close(self) -> None:
        """End the threads."""
        self._handoff.close()
        for reader in self._readers:
            reader.join(JOIN_S)

    def _run(self) -> None:
        with self._client.start_session(causal_consistency=True) as session:
            session.advance_operation_time(self._progress.started_at)
            while not self._handoff.closed:
                with self._next:
                    found = next(self._left, None)
                if found is None:
                    return
                self._copy(*found, session)

    def _copy(self, target: int, number: int, part: Part, session: ClientSession) -> None:
        """Read one range to its end, again from its last document after a failure."""
        has_moved = True
        while not self._handoff.closed:
            try:
                for document, size_bytes, fault in self._documents(target, part, session):
                    self._handoff.put(
                        Copied(target, number, document, size_bytes, fault), size_bytes
                    )
                    part.bounds["last"] = document["_id"]
                    has_moved = True
                    if self._handoff.closed:
                        return
                self._handoff.put(Copied(target, number, None), 0)
                return
            except PyMongoError as error:
                if not has_moved:
                    found = self._progress.targets[target]
                    found.failed = True
                    doing = f"the initial sync of {found.db}.{found.coll}"
                    self._handoff.fail(cluster_failure(error, doing))
                    return
                has_moved = False

    def _documents(
        self, target: int, part: Part, session: ClientSession
    ) -> Iterator[tuple[Document, int, str]]:
        found = self._progress.targets[target]
        collection = self._client[found.db].get_collection(
            found.coll, read_concern=ReadConcern("majority")
        )
        bounds = dict(part.bounds)
        is_ranged = bool(bounds)
        with _cursor(collection, bounds, session) as cursor:
            for raw in cursor:
                document, fault = decoded(raw.raw)
                if "last" in bounds and _same(bounds.pop("last"), document["_id"]):
                    continue
                yield document, len(raw.raw), fault
        if is_ranged and "until" not in bounds and not _same(part.bounds.get("last"), MaxKey()):
            # An index range that is open upwards ends before this one value.
            for raw in collection.find({"_id": MaxKey()}, session=session):
                document, fault = decoded(raw.raw)
                yield document, len(raw.raw), fault


def _cursor(
    collection: Collection[RawBSONDocument], bounds: Document, session: ClientSession
) -> Cursor[RawBSONDocument]:
    """The documents of a range by `_id`, from `last` on (inclusive), else from its beginning."""
    cursor = collection.find(session=session).sort("_id", 1)
    lower = [bounds[name] for name in ("last", "from") if name in bounds]
    if lower or "until" in bounds:
        cursor = cursor.hint([("_id", 1)])
    if lower:
        cursor = cursor.min([("_id", lower[0])])
    if "until" in bounds:
        cursor = cursor.max([("_id", bounds["until"])])
    return cursor


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same to BSON; Python takes 1 and true for equal."""
    return bson.encode({"": one}) == bson.encode({"": other})
