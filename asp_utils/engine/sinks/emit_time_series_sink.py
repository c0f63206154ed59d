"""`$emit` into time series collections of a cluster.

A collection is looked up, and made where it is missing, when the first document for it comes.
Documents without `_id` are given one, as drivers do.

Source: Atlas page "$emit", "Time Series Collection"; MongoDB manual, "Time series";
asp-reference.md 2.12.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, InvalidName, OperationFailure, PyMongoError

from asp_utils.clients.op_msg import NOT_BSON
from asp_utils.engine.cluster_errors import cluster_failure
from asp_utils.engine.computed import Computed
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.hidden import visible
from asp_utils.engine.lanes import Lanes
from asp_utils.engine.sinks import MAX_SHOWN_TARGETS, MAX_TARGETS, Rejected, Sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks.emit_time_series_options import TimeSeries, TimeSeriesEmitOptions

    Document = dict[str, Any]

Target = tuple[str, str]
"""Database and collection."""

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
_INVALID_NAMESPACE: Final = 73
_ALREADY_THERE: Final = 48
_WRONG_OPTIONS: Final = frozenset([2, 9, 14, 72, 40414, 40415])
"""Codes by which mongod refuses the options of a new collection."""


class TimeSeriesSink(Sink):
    """Inserts documents into one or, with dynamic targets, many time series collections."""

    operator_name = "TimeseriesEmitOperator"

    def __init__(self, options: TimeSeriesEmitOptions, surroundings: Surroundings) -> None:
        self._client = surroundings.cluster(options.connection_name)
        self._new = options.timeseries
        self._computed = Computed(
            {"db": options.db, "coll": options.coll}, self.operator_name, surroundings.evaluator
        )
        self._lanes = Lanes(options.parallelism)
        self._proven: dict[Target, str] = {}
        self._counts: Counter[Target] = Counter()

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Insert a batch; gives the documents that were refused.

        Raises:
            ProcessorFailed: 420, 448: the target is no time series collection; 421, 422: the
                cluster cannot be reached or forbids writing; 424: too many targets.
        """
        values, failures = self._computed.values(documents, variables)
        refused = {failure.index: failure.reason for failure in failures}
        by_target: dict[Target, list[tuple[int, RawBSONDocument]]] = {}
        for index, found in enumerate(values):
            if found is None:
                continue
            try:
                entry = _encoded(visible(documents[index]))
                by_target.setdefault(self._target(found), []).append((index, entry))
            except ValueError as error:
                refused[index] = f"$emit: {error}"
        for target, entries in by_target.items():
            refused |= self._insert(target, entries)
        return [Rejected(documents[index], reason, index) for index, reason in refused.items()]

    def stats(self) -> Document:
        """The collections written to and how many documents each took, the first hundred."""
        most = self._counts.most_common(MAX_SHOWN_TARGETS)
        targets = [
            {"db": db, "coll": coll, "outputMessageCount": Int64(count)}
            for (db, coll), count in most
        ]
        return {"targetStats": targets}

    def close(self) -> None:
        """End the threads."""
        self._lanes.close()

    def _target(self, found: Document) -> Target:
        """Where a document goes; a ValueError says why it can go nowhere."""
        for name in ("db", "coll"):
            if not isinstance(found.get(name), str) or not found[name]:
                raise ValueError(f"{name} gave no name but {found.get(name)!r:.60}")
        target = (found["db"], found["coll"])
        if target not in self._proven:
            self._proven[target] = self._prove(target)
        if self._proven[target]:
            raise ValueError(self._proven[target])
        return target

    def _prove(self, target: Target) -> str:
        """Look a target up, make it where it is missing; why its name is none, else "".

        A wrong name is the document's fault where names are computed, else the processor's.
        """
        if len(self._proven) >= MAX_TARGETS:
            message = f"$emit: more than {MAX_TARGETS} different targets"
            raise ProcessorFailed(424, message, retryable=False)
        try:
            self._look_up(target)
        except InvalidName as error:
            return self._wrong_name(target, str(error))
        except OperationFailure as error:
            if error.code == _INVALID_NAMESPACE:
                return self._wrong_name(target, str(error))
            raise cluster_failure("$emit", error) from error
        except PyMongoError as error:
            raise cluster_failure("$emit", error) from error
        return ""

    def _wrong_name(self, target: Target, why: str) -> str:
        message = f"{'.'.join(target)} cannot be written: {why}"
        if self._computed.is_constant:
            raise ProcessorFailed(448, f"$emit: {message}", retryable=False)
        return message

    def _look_up(self, target: Target) -> None:
        database, collection = self._client[target[0]], target[1]
        entry = next(database.list_collections(filter={"name": collection}), None)
        if entry is None:
            self._create(target)
            return
        name = ".".join(target)
        if entry["type"] != "timeseries":
            raise _wrong(f"{name} is no time series collection; write to it with $merge")
        there = entry["options"]["timeseries"]
        for field, wanted in _fields_of(self._new).items():
            if field in ("timeField", "metaField") and there.get(field) != wanted:
                raise _wrong(f"{name} exists with {field} {there.get(field)!r}, not {wanted!r}")

    def _create(self, target: Target) -> None:
        if self._new is None:
            hint = "give timeseries: {timeField: …} and it will be created"
            raise _wrong(f"the collection {'.'.join(target)} does not exist; {hint}")
        database, collection = self._client[target[0]], target[1]
        try:
            database.create_collection(collection, timeseries=_fields_of(self._new))
        except OperationFailure as error:
            if error.code == _ALREADY_THERE:  # somebody was quicker
                self._look_up(target)
            elif error.code in _WRONG_OPTIONS:
                raise _wrong(f"{'.'.join(target)} cannot be created: {error}") from error
            else:
                raise

    def _insert(
        self, target: Target, entries: Sequence[tuple[int, RawBSONDocument]]
    ) -> dict[int, str]:
        """Insert the documents of one target; why some were refused, by index."""
        lanes = range(min(self._lanes.count, len(entries)))
        parts = [entries[lane :: len(lanes)] for lane in lanes]
        refused: dict[int, str] = {}
        for reasons in self._lanes.run(lambda part: self._insert_part(target, part), parts, lanes):
            refused |= reasons
        self._counts[target] += len(entries) - len(refused)
        return refused

    def _insert_part(
        self, target: Target, entries: Sequence[tuple[int, RawBSONDocument]]
    ) -> dict[int, str]:
        collection = self._client[target[0]].get_collection(target[1], codec_options=_RAW)
        try:
            collection.insert_many([document for _, document in entries], ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise cluster_failure("$emit", error) from error
            return {
                entries[item["index"]][0]: f"$emit: {item['errmsg']}"
                for item in error.details["writeErrors"]
            }
        except PyMongoError as error:
            raise cluster_failure("$emit", error) from error
        return {}


def _encoded(document: Document) -> RawBSONDocument:
    """The document as BSON, encoded once for its size and for sending."""
    try:
        raw = bson.encode(document if "_id" in document else {"_id": ObjectId(), **document})
    except NOT_BSON as error:
        raise ValueError(f"the document cannot be stored as BSON: {error}") from error
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ValueError(
            f"the document has {len(raw)} bytes; a time series collection takes up to 4 MB"
        )
    return RawBSONDocument(raw, _RAW)


def _fields_of(series: TimeSeries | None) -> Document:
    """The options as mongod takes them."""
    return {} if series is None else series.model_dump(by_alias=True, exclude_none=True)


def _wrong(message: str) -> ProcessorFailed:
    return ProcessorFailed(420, f"$emit: {message}", retryable=False)


def open_time_series(options: TimeSeriesEmitOptions, surroundings: Surroundings) -> TimeSeriesSink:
    """The sink."""
    return TimeSeriesSink(options, surroundings)
