"""The shards of a Kinesis stream, read in the order in which resharding made them.

A shard that is split or merged ends, and its children hold what is written afterwards. So children
are read when all their parents have been read to the end, and from their first record.

Where a shard stands is a small document, which is what a checkpoint keeps of it:
`{after: sequence number}`, `{sinceMs: time}`, `{at: "TRIM_HORIZON"}` or `{ended: true}`.

Source: AWS documentation, "Amazon Kinesis Data Streams API Reference": ListShards,
GetShardIterator, GetRecords (five calls a second and shard).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.lanes import Lanes
from asp_utils.engine.sources.handoff import Handoff
from asp_utils.errors import AspError, UnexpectedReply
from asp_utils.model.error_codes import CODES
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.engine.aws.calls import AwsCalls
    from asp_utils.engine.clock import Clock

    Document = dict[str, Any]

_INTERNAL: Final = CODES["InternalError"]
START_OF_SHARD: Final[dict[str, Any]] = {"at": "TRIM_HORIZON"}
ENDED: Final[dict[str, Any]] = {"ended": True}
_ROUND_S: Final = 0.2
_SIDE_BY_SIDE: Final = 8
"""Shards that are asked at a time."""
_JOIN_S: Final = 2.0
_RECORD_OVERHEAD_BYTES: Final = 512


@dataclass(frozen=True)
class Arrival:
    """What comes out of a shard: its beginning, a record, or its end."""

    shard: str
    kind: Literal["begun", "record", "ended"]
    record: Mapping[str, Any]
    """As GetRecords gives it; where the shard stands for the other kinds."""


@dataclass
class _Open:
    """A shard that is being read."""

    name: str
    position: Document
    iterator: str | None = None
    """Where the next GetRecords goes on; None: to be asked for at `position`."""


class ShardReader:
    """Reads all shards of a stream ahead of the engine, in a thread of its own.

    Args:
        calls: The Kinesis service.
        stream: The stream's name.
        positions: Where each shard stood; None at a first start.
        from_start: Whether a first start begins at the oldest record, else behind the newest.
        reshard_interval_ms: How often new shards are looked for; besides, whenever one ends.
        clock: The processor's, for that interval.

    Raises:
        AspError: Kinesis cannot be reached, or refuses.
    """

    def __init__(
        self,
        calls: AwsCalls,
        stream: str,
        positions: Mapping[str, Document] | None,
        *,
        from_start: bool,
        reshard_interval_ms: int,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._stream = stream
        self._clock = clock
        self._interval_ms = reshard_interval_ms
        self._handoff: Handoff[Arrival] = Handoff()
        self._open: dict[str, _Open] = {}
        self._closing = threading.Event()
        shards = self._list()
        newest: dict[str, str] = {}
        if positions is None:
            positions, newest = ({}, {}) if from_start else self._behind_newest(shards)
        listed = {shard["ShardId"] for shard in shards}
        self._ended = {name for name in listed if positions.get(name) == ENDED}
        for shard in self._begin_ready(shards, positions):
            shard.iterator = newest.get(shard.name)
        self.positions: dict[str, Document] = {
            **{name: dict(ENDED) for name in sorted(self._ended)},
            **{name: shard.position for name, shard in self._open.items()},
        }
        """Where every shard stands at the start."""
        self._looked_ms = clock.now_ms()
        self._lanes = Lanes(_SIDE_BY_SIDE)
        self._reader = threading.Thread(target=self._run, name="kinesis", daemon=True)
        self._reader.start()

    def take(self, max_count: int, timeout_s: float) -> list[Arrival]:
        """What has arrived, each shard in its order; waits for the first only.

        Raises:
            ProcessorFailed: Kinesis cannot be reached any more, or refuses.
        """
        return self._handoff.take(max_count, timeout_s)

    def close(self) -> None:
        """End the thread and the connections."""
        self._closing.set()
        self._handoff.close()
        self._reader.join(_JOIN_S)
        self._lanes.close()
        self._calls.close()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                begun_s = time.monotonic()
                self._round()
                self._closing.wait(max(0.0, begun_s + _ROUND_S - time.monotonic()))
        except AspError as error:
            self._handoff.fail(self._calls.failure(error))
        finally:
            # Where there is no failure yet, a fault of ours must not look like silence.
            if not self._closing.is_set():
                message = f"the reader of Kinesis stream {self._stream!r} ended"
                self._handoff.fail(ProcessorFailed(_INTERNAL, message, retryable=True))

    def _round(self) -> None:
        """Ask every open shard once, and look for new shards where that is due."""
        shards = list(self._open.values())
        found = self._lanes.run(self._fetch, shards, self._lanes.assign(None, len(shards)))
        ended = [shard.name for shard, is_open in zip(shards, found, strict=True) if not is_open]
        now_ms = self._clock.now_ms()
        if not ended and now_ms - self._looked_ms < self._interval_ms:
            return
        self._looked_ms = now_ms
        for name in ended:
            del self._open[name]
            self._ended.add(name)
        # Children begin before their parents end: some partition always holds the watermark.
        for shard in self._begin_ready(self._list(), {}):
            self._hand_on(Arrival(shard.name, "begun", shard.position))
        for name in ended:
            self._hand_on(Arrival(name, "ended", ENDED))

    def _fetch(self, shard: _Open) -> bool:
        """Hand on the next records of a shard; whether there may be more."""
        if shard.iterator is None:
            shard.iterator = self._iterator(shard.name, shard.position)
        try:
            reply = self._calls.call("get_records", ShardIterator=shard.iterator)
        except UnexpectedReply as error:
            if error.details.get("code") != "ExpiredIteratorException":
                raise
            shard.iterator = None
            return True
        for record in reply["Records"]:
            self._hand_on(Arrival(shard.name, "record", record))
        if reply["Records"]:
            shard.position = {"after": reply["Records"][-1]["SequenceNumber"]}
        shard.iterator = reply.get("NextShardIterator")
        return shard.iterator is not None

    def _hand_on(self, arrival: Arrival) -> None:
        size_bytes = len(arrival.record.get("Data", b"")) + _RECORD_OVERHEAD_BYTES
        self._handoff.put(arrival, size_bytes)

    def _list(self) -> list[Document]:
        """All shards that Kinesis still has, ended ones too."""
        reply = self._calls.call("list_shards", StreamName=self._stream)
        shards: list[Document] = list(reply["Shards"])
        while reply.get("NextToken"):
            reply = self._calls.call("list_shards", NextToken=reply["NextToken"])
            shards += reply["Shards"]
        return shards

    def _begin_ready(
        self, shards: list[Document], positions: Mapping[str, Document]
    ) -> list[_Open]:
        """Open the shards whose parents are through; those without a position at their start."""
        unread = {shard["ShardId"] for shard in shards} - self._ended
        begun = []
        for shard in shards:
            name = shard["ShardId"]
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")}
            if name in self._open or name in self._ended or parents & unread:
                continue
            position = dict(positions.get(name, START_OF_SHARD))
            self._open[name] = _Open(name, position)
            begun.append(self._open[name])
        return begun

    def _behind_newest(self, shards: list[Document]) -> tuple[dict[str, Document], dict[str, str]]:
        """Where the shards end now, and iterators that stand there; ended shards are through.

        A checkpoint holds the time, which LATEST would not keep: so a crash before the first record
        loses nothing.
        """
        positions: dict[str, Document] = {}
        iterators: dict[str, str] = {}
        for shard in shards:
            name = shard["ShardId"]
            if "EndingSequenceNumber" in shard["SequenceNumberRange"]:
                positions[name] = dict(ENDED)
                continue
            reply = self._shard_iterator(name, ShardIteratorType="LATEST")
            positions[name] = {"sinceMs": _server_ms(reply)}
            iterators[name] = reply["ShardIterator"]
        return positions, iterators

    def _iterator(self, name: str, position: Mapping[str, Any]) -> str:
        where: Document
        if "after" in position:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": position["after"],
            }
        elif "sinceMs" in position:
            moment = datetime.fromtimestamp(position["sinceMs"] / 1000, UTC)
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
        else:
            where = {"ShardIteratorType": position["at"]}
        iterator: str = self._shard_iterator(name, **where)["ShardIterator"]
        return iterator

    def _shard_iterator(self, name: str, **where: Any) -> Document:
        return self._calls.call(
            "get_shard_iterator", StreamName=self._stream, ShardId=name, **where
        )


def _server_ms(reply: Mapping[str, Any]) -> int:
    """The time at Kinesis, to the second, from the header of an answer; else this machine's."""
    date = reply["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    return ms_of(parsedate_to_datetime(date)) if date else time.time_ns() // 1_000_000
