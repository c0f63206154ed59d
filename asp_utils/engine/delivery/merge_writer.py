"""Writes of `$merge` as the statements that mongod itself makes of one.

Statements of a command that fail do so alone (`ordered: false`) and are given back; kinds of
statement follow each other in the order of the documents.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Int64, ObjectId

from asp_utils.engine.delivery.writes import Write, WriteRefused
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks import MAX_SHOWN_TARGETS, MAX_TARGETS, Rejected
from asp_utils.engine.sizes import MAX_BATCH_BYTES
from asp_utils.pipeline.normalize import NOW_VARIABLE
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo import MongoClient
    from pymongo.synchronous.client_session import ClientSession

    from asp_utils.engine.clock import Clock

    Document = dict[str, Any]

_STATEMENTS: Final = 10_000


@dataclass(frozen=True)
class _Statement:
    write: Write
    body: Document

    @property
    def deletes(self) -> bool:
        return "limit" in self.body


class MergeWriter:
    """Writes documents into the collections of one cluster.

    Args:
        client: The cluster.
        on: The fields that identify a document.
        pipeline: The update pipeline of `whenMatched`, if it is one.
        clock: What the pipeline's `{$currentDate: {}}` asks.
        parallelism: How many connections write at a time; documents of one key keep their order.
    """

    def __init__(
        self,
        client: MongoClient[Document],
        on: Sequence[str],
        pipeline: list[Document] | None,
        clock: Clock,
        parallelism: int = 1,
    ) -> None:
        self._client = client
        self._on = list(on)
        self._pipeline = pipeline
        self._clock = clock
        self._proven: set[tuple[str, str]] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pool = ThreadPoolExecutor(parallelism) if parallelism > 1 else None
        self._parallelism = parallelism

    def write(
        self, writes: Sequence[Write], session: ClientSession | None = None
    ) -> list[Rejected]:
        """Write in order; gives the documents that were refused.

        In a transaction (`session`) there are none: the first one ends it.

        Raises:
            WriteRefused: In a transaction, a document was refused.
            ProcessorFailed: No unique index covers `on`, or there are too many targets.
            PyMongoError: The cluster cannot be reached, or forbids writing.
        """
        rejected: list[Rejected] = []
        statements: list[_Statement] = []
        for write in writes:
            reason = self._key_fault(write)
            if reason and session is not None:
                raise WriteRefused(write, reason)
            if reason:
                rejected.append(Rejected(write.document, reason, write.index))
            else:
                statements.append(_Statement(write, self._statement(write)))
        for target in {statement.write.target for statement in statements} - self._proven:
            self._prove(target)
        if self._pool is None or session is not None:
            return rejected + self._send_all(statements, session)
        shares: list[list[_Statement]] = [[] for _ in range(self._parallelism)]
        for statement in statements:
            shares[hash(bson.encode(statement.body["q"])) % self._parallelism].append(statement)
        for refused in self._pool.map(self._send_all, shares):
            rejected += refused
        return rejected

    def target_stats(self) -> list[Document]:
        """The collections written to and how many documents each took, the first hundred."""
        counts = self._counts.most_common(MAX_SHOWN_TARGETS)
        return [
            {"db": db, "coll": coll, "outputMessageCount": Int64(count)}
            for (db, coll), count in counts
        ]

    def _send_all(
        self, statements: Sequence[_Statement], session: ClientSession | None = None
    ) -> list[Rejected]:
        rejected: list[Rejected] = []
        for (target, deletes), group in groupby(
            statements, key=lambda statement: (statement.write.target, statement.deletes)
        ):
            for part in _by_size(group):
                rejected += self._send(target, part, session, deletes=deletes)
        return rejected

    def _send(
        self,
        target: tuple[str, str],
        part: list[_Statement],
        session: ClientSession | None,
        *,
        deletes: bool,
    ) -> list[Rejected]:
        verb, field = ("delete", "deletes") if deletes else ("update", "updates")
        database, collection = target
        bodies = [statement.body for statement in part]
        command = {verb: collection, field: bodies, "ordered": session is not None}
        reply = self._client[database].command(command, session=session)
        refused = [(part[e["index"]].write, e) for e in reply.get("writeErrors", [])]
        if refused and session is not None:
            raise WriteRefused(refused[0][0], refused[0][1].get("errmsg", "refused"))
        self._counts[target] += len(part) - len(refused)
        return [Rejected(w.document, e.get("errmsg", "refused"), w.index) for w, e in refused]

    def _key_fault(self, write: Write) -> str:
        """Why a document has no usable key; documents without `_id` are given one."""
        for name in self._on:
            value = _at(write.document, name)
            if value is None and name == "_id" and "_id" not in write.document:
                write.document["_id"] = ObjectId()
            elif value is None:
                return f"$merge: the 'on' field {name!r} is missing or null"
            elif isinstance(value, list):
                return f"$merge: the 'on' field {name!r} is an array"
        return ""

    def _statement(self, write: Write) -> Document:
        """One update or delete statement."""
        query = {name: {"$eq": _at(write.document, name)} for name in self._on}
        if write.when_matched == "delete":
            return {"q": query, "limit": 1}
        insert = write.when_not_matched == "insert"
        update: Any
        match write.when_matched:
            case "replace":
                update = write.document
            case "merge":
                update = {"$set": write.document}
            case "keepExisting":
                update = {"$setOnInsert": write.document}
            case _:
                supplied = {"upsertSupplied": True} if insert else {}
                now = {NOW_VARIABLE: datetime_of(self._clock.now_ms())}
                constants = {"new": write.document, **now, **write.let}
                body = {"q": query, "u": self._pipeline, "c": constants, "upsert": insert}
                return {**body, **supplied}
        return {"q": query, "u": update, "upsert": insert}

    def _prove(self, target: tuple[str, str]) -> None:
        """Refuse an `on` that no unique index of the target covers, as mongod does."""
        if len(self._proven) >= MAX_TARGETS:
            message = f"$merge: more than {MAX_TARGETS} different targets"
            raise ProcessorFailed(424, message, retryable=False)
        self._proven.add(target)
        if self._on == ["_id"]:
            return
        collection = self._client[target[0]][target[1]]
        for index in collection.list_indexes():
            fields = [name for name in index["key"] if name != "_id" or "_id" in self._on]
            plain = not index.get("partialFilterExpression") and not index.get("collation")
            if index.get("unique") and plain and sorted(fields) == sorted(self._on):
                return
        keys = ", ".join(f"{name}: 1" for name in self._on)
        message = (
            f"$merge: no unique index of {target[0]}.{target[1]} covers on: {self._on}; "
            f"create one: createIndex({{{keys}}}, {{unique: true}})"
        )
        raise ProcessorFailed(420, message, retryable=False)


def _at(document: Document, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _by_size(statements: Iterator[_Statement]) -> Iterator[list[_Statement]]:
    """Statements in lists that fit one command each."""
    part: list[_Statement] = []
    size = 0
    for statement in statements:
        bytes_here = len(bson.encode(statement.body)) + 16
        if part and (size + bytes_here > MAX_BATCH_BYTES or len(part) >= _STATEMENTS):
            yield part
            part, size = [], 0
        part.append(statement)
        size += bytes_here
    if part:
        yield part
