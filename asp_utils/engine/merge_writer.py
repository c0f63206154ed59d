"""Writes of `$merge` as the statements that mongod itself makes of one.

Statements of a command that fail do so alone (`ordered: false`) and are given back; kinds of
statement follow each other in the order of the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import ObjectId

from asp_utils.engine.evaluate import MAX_BATCH_BYTES
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymongo import MongoClient

    Document = dict[str, Any]

_STATEMENTS: Final = 10_000


@dataclass(frozen=True)
class Write:
    """One document with everything that was computed for it."""

    index: int
    """Its place in the sink's batch."""
    document: Document
    target: tuple[str, str]
    """Database and collection."""
    when_matched: str
    """merge, replace, keepExisting, delete or pipeline."""
    when_not_matched: str
    """insert or discard."""
    let: Document
    """The variables of a pipeline."""


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
    """

    def __init__(
        self, client: MongoClient[Document], on: Sequence[str], pipeline: list[Document] | None
    ) -> None:
        self._client = client
        self._on = list(on)
        self._pipeline = pipeline
        self._proven: set[tuple[str, str]] = set()

    def write(self, writes: Sequence[Write]) -> list[Rejected]:
        """Write in order; gives the documents that were refused.

        Raises:
            ProcessorFailed: No unique index covers `on`.
            PyMongoError: The cluster cannot be reached, or forbids writing.
        """
        rejected: list[Rejected] = []
        statements: list[_Statement] = []
        for write in writes:
            reason = self._key_fault(write)
            if reason:
                rejected.append(Rejected(write.document, reason, write.index))
            else:
                statements.append(_Statement(write, self._statement(write)))
        for (target, deletes), group in groupby(
            statements, key=lambda statement: (statement.write.target, statement.deletes)
        ):
            if target not in self._proven:
                self._prove_unique(target)
                self._proven.add(target)
            for part in _by_size(group):
                rejected += self._send(target, part, deletes=deletes)
        return rejected

    def _send(
        self, target: tuple[str, str], part: list[_Statement], *, deletes: bool
    ) -> list[Rejected]:
        verb, field = ("delete", "deletes") if deletes else ("update", "updates")
        database, collection = target
        reply = self._client[database].command(
            {verb: collection, field: [statement.body for statement in part], "ordered": False}
        )
        refused = [(part[e["index"]].write, e) for e in reply.get("writeErrors", [])]
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
                constants = {"new": write.document, **write.let}
                body = {"q": query, "u": self._pipeline, "c": constants, "upsert": insert}
                return {**body, **supplied}
        return {"q": query, "u": update, "upsert": insert}

    def _prove_unique(self, target: tuple[str, str]) -> None:
        """Refuse an `on` that no unique index of the target covers, as mongod does."""
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
