"""`$source` from an AWS Kinesis data stream.

Every shard is a partition of the watermark. The position holds where each shard stands, so shards
that come and go while the processor is stopped are followed as well.

Source: Atlas page "$source", section "AWS Kinesis Data Stream"; asp-reference.md 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.aws.calls import KINESIS_CODES, AwsCalls
from asp_utils.engine.aws.kinesis_shards import ENDED, ShardReader
from asp_utils.engine.batch import Batch, Source, Unreadable
from asp_utils.engine.formats.json_input import decode_json
from asp_utils.errors import AspError
from asp_utils.units import datetime_of, ms_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.engine.aws.kinesis_shards import Arrival
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sources.kinesis_options import KinesisSourceOptions

    Document = dict[str, Any]


class KinesisSource(Source):
    """Records in the order of their shards; the position is where each shard stands."""

    operator_name = "KinesisConsumerOperator"
    source_type = "kinesis"

    def __init__(self, options: KinesisSourceOptions, reader: ShardReader) -> None:
        self._stream = options.stream
        self._time_name = options.ts_field_name
        self._reader = reader
        self.position: Any = dict(reader.positions)
        if options.shard_idle_timeout is not None:
            self.partition_idle_timeout_ms = options.shard_idle_timeout.ms

    @property
    def partitions(self) -> Sequence[str]:
        """The shards that are not read to their end."""
        return [name for name, where in self.position.items() if where != ENDED]

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The records that have come; waits for the first only.

        Raises:
            ProcessorFailed: 460 or 461: Kinesis cannot be reached, or refuses.
        """
        arrivals = self._reader.take(max_documents, max_wait_ms / 1000)
        if not arrivals:
            return None
        position = dict(self.position)
        for arrival in arrivals:
            match arrival.kind:
                case "record":
                    position[arrival.shard] = {"after": arrival.record["SequenceNumber"]}
                case _:
                    position[arrival.shard] = dict(arrival.record)
        self.position = position
        records = [arrival for arrival in arrivals if arrival.kind == "record"]
        return self._batch(records) if records else None

    def close(self) -> None:
        """End the thread and the connections."""
        self._reader.close()

    def _batch(self, arrivals: list[Arrival]) -> Batch:
        documents, faults = decode_json([arrival.record["Data"] for arrival in arrivals])
        unreadable = [
            Unreadable(_kept(arrivals[i].record["Data"]), reason, self._metadata(arrivals[i]))
            for i, reason in faults.items()
        ]
        good = [i for i in range(len(arrivals)) if i not in faults]
        kept = [arrivals[i] for i in good]
        times_ms = [ms_of(arrival.record["ApproximateArrivalTimestamp"]) for arrival in kept]
        documents = [documents[i] for i in good]
        if self._time_name:
            for document, time_ms in zip(documents, times_ms, strict=True):
                document[self._time_name] = datetime_of(time_ms)
        return Batch(
            documents,
            times_ms,
            self.position,
            lambda index: self._metadata(kept[index]),
            [arrival.shard for arrival in kept],
            unreadable,
        )

    def _metadata(self, arrival: Arrival) -> Document:
        return {
            "kinesisStream": self._stream,
            "shardId": arrival.shard,
            "sequenceNumber": arrival.record["SequenceNumber"],
            "partitionKey": arrival.record["PartitionKey"],
        }


def _kept(payload: bytes) -> str | bytes:
    """What a dead letter holds of a payload that is no document."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload


def open_kinesis(
    options: KinesisSourceOptions, surroundings: Surroundings, position: Document | None
) -> KinesisSource:
    """The source, behind `position`.

    Raises:
        ProcessorFailed: 460: Kinesis cannot be reached; 461: it refuses, as there is no such
            stream; 420: boto3 is missing here.
    """
    calls = AwsCalls(
        "kinesis",
        options.connection_name,
        surroundings,
        what=f"$source: Kinesis stream {options.stream!r}",
        codes=KINESIS_CODES,
        region=options.region,
    )
    try:
        reader = ShardReader(
            calls,
            options.stream,
            position,
            from_start=options.config.initial_position == "TRIM_HORIZON",
            reshard_interval_ms=options.reshard_interval_ms,
            clock=surroundings.clock,
        )
    except AspError as error:
        raise calls.failure(error) from error
    return KinesisSource(options, reader)
