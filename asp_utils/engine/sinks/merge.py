"""`$merge` into a collection of a cluster.

A batch becomes `update` commands, one statement a document, as mongod itself runs a `$merge`: a
pipeline update with the document as the constant `$$new`. So single documents can be refused
without touching the others, and writes keep their order.

Source: Atlas page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import bson
from bson import ObjectId
from pydantic import Field
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from asp_utils.engine.evaluate import MAX_BATCH_BYTES, Run
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sinks import Rejected
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    resolve_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_WHEN_MATCHED: Final = ("merge", "replace", "keepExisting", "delete")
_WHEN_NOT_MATCHED: Final = ("insert", "discard")
_STATEMENTS: Final = 10_000
_UNAUTHORIZED: Final = (13, 18)


class Into(Options):
    """The target collection; database and collection may be computed for every document."""

    connection_name: Name
    db: Expression
    coll: Expression


class MergeOptions(Options):
    """`$merge`: what to do with a document that is there already, and with one that is not."""

    into: Into
    on: Name | Annotated[list[Name], Field(min_length=1)] = "_id"
    let: dict[str, Any] | None = None
    when_matched: (
        Literal["merge", "replace", "keepExisting", "delete"]
        | list[dict[str, Any]]
        | dict[str, Any]
    ) = "merge"
    when_not_matched: Literal["insert", "discard"] | dict[str, Any] = "insert"
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1


@dataclass(frozen=True)
class _Write:
    """One document with everything that was computed for it."""

    index: int
    document: Document
    target: tuple[str, str]
    when_matched: str
    when_not_matched: str
    let: Document


class MergeSink:
    """Writes documents into one or, with dynamic targets, many collections."""

    operator_name = "MergeOperator"

    def __init__(self, options: MergeOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._on = [options.on] if isinstance(options.on, str) else options.on
        self._surroundings = surroundings
        self._client = surroundings.cluster(options.into.connection_name)
        self._constant = None if self._is_dynamic() else self._constant_fields()
        self._proven: set[tuple[str, str]] = set()

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Write a batch in order; gives the documents that were refused.

        Raises:
            ProcessorFailed: The cluster cannot be reached, or forbids writing.
        """
        writes, rejected = self._resolved(documents, variables)
        try:
            for target, group in groupby(writes, key=lambda write: write.target):
                rejected += self._write_to(target, list(group))
        except PyMongoError as error:
            raise _failure(error) from error
        return rejected

    def close(self) -> None:
        """Nothing of its own to release."""

    def _is_dynamic(self) -> bool:
        options = self._options
        computed = (options.into.db, options.into.coll)
        return bool(
            options.let
            or any(is_expression(value) for value in computed)
            or isinstance(options.when_matched, dict)
            or isinstance(options.when_not_matched, dict)
        )

    def _constant_fields(self) -> tuple[tuple[str, str], str, str, Document]:
        into = self._options.into
        when_matched = self._options.when_matched
        how = "pipeline" if isinstance(when_matched, list) else str(when_matched)
        return (str(into.db), str(into.coll)), how, str(self._options.when_not_matched), {}

    def _resolved(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[_Write], list[Rejected]]:
        if self._constant is not None:
            writes = [_Write(i, _visible(d), *self._constant) for i, d in enumerate(documents)]
            return writes, []
        outcome = self._surroundings.evaluator.evaluate(
            self._computing(after_window=variables is not None), documents, variables
        )
        rejected = [Rejected(documents[f.index], f.reason, f.index) for f in outcome.failures]
        failed = {failure.index for failure in outcome.failures}
        left = [index for index in range(len(documents)) if index not in failed]
        writes = []
        for index, computed in zip(left, outcome.documents, strict=True):
            reason = _faulty_target(computed)
            document = _visible(documents[index])
            if reason:
                rejected.append(Rejected(document, reason, index))
                continue
            target = (computed["db"], computed["coll"])
            let = computed.get("let", {})
            writes.append(_Write(index, document, target, computed["wm"], computed["wnm"], let))
        return writes, rejected

    def _computing(self, *, after_window: bool) -> Run:
        """The stages that compute target, modes and variables for every document."""
        options = self._options
        when_matched: Any = options.when_matched
        if isinstance(when_matched, list):
            when_matched = "pipeline"
        fields = {
            "db": _as_expression(options.into.db),
            "coll": _as_expression(options.into.coll),
            "wm": _as_expression(when_matched),
            "wnm": _as_expression(options.when_not_matched),
        }
        if options.let:
            fields["let"] = options.let
        base = f"$${METADATA_VARIABLE}" if after_window else f"${METADATA_FIELD}"
        stage = resolve_metadata({"$project": {"_id": 0, **fields}}, base)
        return Run((stage,), (self.operator_name,))

    def _write_to(self, target: tuple[str, str], writes: list[_Write]) -> list[Rejected]:
        if target not in self._proven:
            self._prove_unique(target)
            self._proven.add(target)
        rejected: list[Rejected] = []
        good: list[tuple[_Write, bool, Document]] = []
        for write in writes:
            reason = self._key_fault(write)
            if reason:
                rejected.append(Rejected(write.document, reason, write.index))
            else:
                good.append((write, write.when_matched == "delete", self._statement(write)))
        for deletes, run in groupby(good, key=lambda item: item[1]):
            for part in _by_size(list(run)):
                rejected += self._send(target, part, deletes=deletes)
        return rejected

    def _send(
        self, target: tuple[str, str], part: list[tuple[_Write, bool, Document]], *, deletes: bool
    ) -> list[Rejected]:
        verb, field = ("delete", "deletes") if deletes else ("update", "updates")
        statements = [statement for _, _, statement in part]
        command = {verb: target[1], field: statements, "ordered": False}
        try:
            reply: Mapping[str, Any] = self._client[target[0]].command(command)
        except BulkWriteError as error:
            reply = error.details or {}
        return [
            Rejected(
                part[e["index"]][0].document, e.get("errmsg", "refused"), part[e["index"]][0].index
            )
            for e in reply.get("writeErrors", [])
        ]

    def _key_fault(self, write: _Write) -> str:
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

    def _statement(self, write: _Write) -> Document:
        """One update or delete statement."""
        query = {name: {"$eq": _at(write.document, name)} for name in self._on}
        if write.when_matched == "delete":
            return {"q": query, "limit": 1}
        insert = write.when_not_matched == "insert"
        if write.when_matched == "replace":
            return {"q": query, "u": write.document, "upsert": insert}
        return {
            "q": query,
            "u": self._update(write.when_matched),
            "c": {"new": write.document, **write.let},
            "upsert": insert,
            **({"upsertSupplied": True} if insert else {}),
        }

    def _update(self, when_matched: str) -> list[Document]:
        if when_matched == "pipeline":
            stages: Any = self._options.when_matched
            return list(stages)
        if when_matched == "keepExisting":
            # An update that changes nothing; a pipeline must have a stage to be one.
            return [{"$set": {}}]
        return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", "$$new"]}}]

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


def _as_expression(value: Any) -> Any:
    return value if is_expression(value) else {"$literal": value}


def _faulty_target(computed: Document) -> str:
    for field, what in (("db", "into.db"), ("coll", "into.coll")):
        if not isinstance(computed.get(field), str) or not computed[field]:
            return f"$merge: {what} gave no name but {computed.get(field)!r:.60}"
    if computed.get("wm") not in (*_WHEN_MATCHED, "pipeline"):
        return f"$merge: whenMatched gave {computed.get('wm')!r:.60}"
    if computed.get("wnm") not in _WHEN_NOT_MATCHED:
        return f"$merge: whenNotMatched gave {computed.get('wnm')!r:.60}"
    return ""


def _visible(document: Document) -> Document:
    """The document without the engine's hidden fields."""
    if METADATA_FIELD in document or WINDOW_FIELD in document:
        hidden = (METADATA_FIELD, WINDOW_FIELD)
        return {key: value for key, value in document.items() if key not in hidden}
    return document


def _at(document: Document, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _by_size(
    statements: list[tuple[_Write, bool, Document]],
) -> list[list[tuple[_Write, bool, Document]]]:
    """Statements in lists that fit one command each."""
    parts: list[list[tuple[_Write, bool, Document]]] = [[]]
    size = 0
    for item in statements:
        bytes_here = len(bson.encode(item[2])) + 16
        if parts[-1] and (size + bytes_here > MAX_BATCH_BYTES or len(parts[-1]) >= _STATEMENTS):
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += bytes_here
    return parts


def _failure(error: PyMongoError) -> ProcessorFailed:
    if isinstance(error, OperationFailure) and error.code in _UNAUTHORIZED:
        return ProcessorFailed(422, f"$merge: the cluster refused: {error}", retryable=True)
    return ProcessorFailed(421, f"$merge: {error}", retryable=True)


def open_merge(options: MergeOptions, surroundings: Surroundings) -> MergeSink:
    """The sink."""
    return MergeSink(options, surroundings)


SPEC = StageSpec("$merge", "sink", MergeOptions, connection_type="atlas", build=open_merge)
