"""`$source` from a cluster: the change stream of collections, a database or the whole cluster.

The position is the resume token behind the last event taken; with an initial sync it holds the
sync's progress beside the token. Decoding overlaps with evaluation, as threads read ahead.

Source: Atlas page "$source", sections on change streams; asp-reference.md 2.4.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pymongo
from bson import Int64
from pymongo.errors import PyMongoError

from asp_utils.engine.batch import Batch, Source, Unreadable
from asp_utils.engine.evaluate import Run
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources.change_events import (
    copied_event,
    event_metadata,
    event_ms,
    lacks_document,
    namespace,
    token_time,
)
from asp_utils.engine.sources.change_options import COPYING, ChangeStreamOptions
from asp_utils.engine.sources.change_tail import Tail
from asp_utils.engine.sources.change_watch import configured_start, raw_client, told_start, watch
from asp_utils.engine.sources.initial_sync import CollectionCopy, begin_sync
from asp_utils.engine.sources.sync_progress import Progress
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bson import Timestamp

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_MAX_TARGETS: Final = 100
_STATS_TIMEOUT_S: Final = 2.0
_OPERATOR: Final = "ChangeStreamConsumerOperator"


class ChangeStreamSource(Source):
    """Change events in order, behind the existing documents where an initial sync is asked for."""

    operator_name = _OPERATOR
    source_type = "atlas"

    def __init__(
        self, options: ChangeStreamOptions, surroundings: Surroundings, position: Document | None
    ) -> None:
        self._options = options
        self._evaluator = surroundings.evaluator
        self._client = raw_client(options, surroundings)
        self._targets: dict[tuple[str, str], list[int]] = {}
        self._sync: Progress | None = None
        self._sync_position: Document | None = None
        self._copy: CollectionCopy | None = None
        self._tail: Tail | None = None
        self._token: Document | None = None
        self._begin(told_start(surroundings.start_options), position)
        self.position: Any = self._current_position()

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The events that have come; waits for the first one only.

        Raises:
            ProcessorFailed: The cluster cannot be read any further.
        """
        if self._copy is not None and self._sync is not None:
            if not self._sync.finished:
                return self._copied(self._copy, self._sync, max_documents, max_wait_ms / 1000)
            self._copy.close()
            self._copy = None
            self._open_tail(self._start_of_sync(self._sync))
        return self._tailed(max_documents, max_wait_ms / 1000)

    def stats(self) -> Document:
        """`changeStreamState`, and `changeStreamTimeDifferenceSecs` where the cluster answers.

        `operator` holds the fields of the source's `operatorStats` item: `targetStats` since the
        start, one per collection, and the summed `initialSync`.
        """
        found: Document = {"operator": self._operator_stats()}
        token = self._token
        if not token:
            return found
        found["changeStreamState"] = token
        reached, newest = token_time(token), self._newest()
        if reached is not None and newest is not None:
            found["changeStreamTimeDifferenceSecs"] = max(0, newest.time - reached.time)
        return found

    def _operator_stats(self) -> Document:
        targets: dict[tuple[str, str], Document] = {
            (db, coll): {"db": db, "coll": coll, **_counts(count, size)}
            for (db, coll), (count, size) in list(self._targets.items())
        }
        if self._sync is None:
            return {"targetStats": list(targets.values())}
        for item in self._sync.targets:
            none_yet = {"db": item.db, "coll": item.coll, **_counts(0, 0)}
            target = targets.setdefault((item.db, item.coll), none_yet)
            target["initialSync"] = item.stats()
        return {"targetStats": list(targets.values()), "initialSync": self._sync.stats()}

    def close(self) -> None:
        """Close the change stream and end all threads."""
        for reader in (self._copy, self._tail):
            if reader is not None:
                reader.close()

    def _begin(self, told: Document, position: Document | None) -> None:
        """Open what comes first: start's own point in time, else the checkpoint, else options."""
        options, position = self._options, None if told else position
        synced = position.get("initialSync") if position else None
        if synced is not None:
            self._sync = Progress.from_position(synced)
        elif position is None and not told and options.syncs and options.db is not None:
            self._sync = begin_sync(self._client, options.db, options.colls, self._parallelism)
        if self._sync is not None and not self._sync.finished:
            self._copy = CollectionCopy(self._client, self._sync, self._parallelism)
            return
        token = position.get("token") if position and synced is not None else position
        if self._sync is not None and not token:
            self._open_tail(self._start_of_sync(self._sync))
        else:
            self._open_tail({"start_after": token} if token else told or configured_start(options))

    @property
    def _parallelism(self) -> int:
        return self._options.initial_sync.parallelism if self._options.initial_sync else 1

    def _start_of_sync(self, sync: Progress) -> Document:
        return {"start_at_operation_time": sync.tail_from}

    def _open_tail(self, start: Document) -> None:
        self._tail = Tail(partial(watch, self._client, self._options), start)
        # The position before the first event: a crash before the first checkpoint loses nothing.
        self._token = self._tail.token or start.get("start_after")
        self._sync_position = self._sync.to_position() if self._sync else None

    def _current_position(self) -> Any:
        if self._tail is None and self._sync is not None:
            return {"initialSync": self._sync.to_position(), "token": None}
        if self._sync_position is not None:
            return {"initialSync": self._sync_position, "token": self._token}
        return self._token

    def _copied(
        self, copy: CollectionCopy, sync: Progress, max_documents: int, timeout_s: float
    ) -> Batch | None:
        """Existing documents as insert events, filtered as the change stream's would be."""
        events: list[tuple[Document, str]] = []
        for item in copy.take(max_documents, timeout_s):
            if item.document is None:
                sync.done(item.target, item.part)
                continue
            sync.took(item.target, item.part, item.document["_id"])
            target = sync.targets[item.target]
            self._count(target.db, target.coll, item.size_bytes)
            moment = (sync.started_at, sync.wall_time)
            event = copied_event(item.document, target.db, target.coll, *moment)
            events.append((event, item.fault))
        self.position = self._current_position()
        if not events:
            return None
        phase = {"initialSync": {"phase": COPYING}}
        return self._batch(self._pushed_down(events), phase)

    def _pushed_down(self, events: list[tuple[Document, str]]) -> list[tuple[Document, str]]:
        """The events behind `config.pipeline`, which a cluster runs on its own events only."""
        stages = tuple(self._options.config.pipeline)
        if not stages:
            return events
        whole = [event for event, fault in events if not fault]
        outcome = self._evaluator.evaluate(Run(stages, (_OPERATOR,) * len(stages)), whole)
        if outcome.failures:
            message = f"config.pipeline failed: {outcome.failures[0].reason}"
            raise ProcessorFailed(CODES["StreamProcessorInvalidOptions"], message, retryable=False)
        faulty = [item for item in events if item[1]]
        return [*((event, "") for event in outcome.documents), *faulty]

    def _tailed(self, max_documents: int, timeout_s: float) -> Batch | None:
        assert self._tail is not None  # noqa: S101 - opened when there is nothing to copy
        events: list[tuple[Document, str]] = []
        for change in self._tail.take(max_documents, timeout_s):
            self._token = change.token
            if change.event is not None:
                events.append((change.event, change.fault))
                self._count(*namespace(change.event), change.size_bytes)
        self.position = self._current_position()
        return self._batch(events, {}) if events else None

    def _batch(self, events: Iterable[tuple[Document, str]], more: Document) -> Batch:
        """A batch of events, or of their documents; `more` is metadata that all of them have."""
        config = self._options.config
        documents: list[Document] = []
        kept: list[Document] = []
        unreadable: list[Unreadable] = []
        for event, fault in events:
            document = event.get("fullDocument") if config.full_document_only else event
            if document is None:
                fault = fault or lacks_document(event, config.full_document)
            if fault:
                unreadable.append(Unreadable(event, fault, event_metadata(event) | more))
            elif document is not None:
                documents.append(document)
                kept.append(event)
        times_ms = [event_ms(event) for event in kept]
        return Batch(
            documents,
            times_ms,
            self.position,
            lambda index: event_metadata(kept[index]) | more,
            unreadable=unreadable,
        )

    def _count(self, db: str, coll: str, size_bytes: int) -> None:
        key = (db, coll)
        if coll and (key in self._targets or len(self._targets) < _MAX_TARGETS):
            counts = self._targets.setdefault(key, [0, 0])
            counts[0] += 1
            counts[1] += size_bytes

    def _newest(self) -> Timestamp | None:
        """The cluster's newest operation; None when it does not answer in time."""
        try:
            with pymongo.timeout(_STATS_TIMEOUT_S):
                found: Timestamp | None = self._client.admin.command("ping").get("operationTime")
        except PyMongoError:
            return None
        return found


def _counts(count: int, size_bytes: int) -> Document:
    return {"inputMessageCount": Int64(count), "inputMessageSize": size_bytes}
