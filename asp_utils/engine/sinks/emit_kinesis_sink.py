"""`$emit` into an AWS Kinesis data stream.

Source: Atlas page "$emit", "AWS Kinesis"; AWS documentation, "PutRecords" (500 records and 5 MB a
call, single ones may fail); asp-reference.md 2.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.engine.aws.calls import ATTEMPTS, FIRST_PAUSE_MS, KINESIS_CODES, AwsCalls
from asp_utils.engine.computed import Computed
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.formats.json_output import formatter
from asp_utils.engine.hidden import visible
from asp_utils.engine.sinks import Rejected, Sink
from asp_utils.errors import AspError, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks.emit_kinesis_options import KinesisEmitOptions

    Document = dict[str, Any]

MAX_RECORD_BYTES: Final = 1024 * 1024
"""Of a record with its partition key."""
_MAX_KEY_CHARACTERS: Final = 256
_MAX_RECORDS: Final = 500
_MAX_REQUEST_BYTES: Final = 5 * 1024 * 1024


@dataclass(frozen=True)
class _Record:
    key: str
    text: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.text) + len(self.key.encode())

    @property
    def entry(self) -> Document:
        return {"PartitionKey": self.key, "Data": self.text}


class KinesisSink(Sink):
    """Puts every batch into the stream before it takes the next."""

    operator_name = "KinesisEmitOperator"

    def __init__(
        self, options: KinesisEmitOptions, surroundings: Surroundings, calls: AwsCalls
    ) -> None:
        self._stream = options.stream
        self._calls = calls
        self._computed = Computed(
            {"key": options.partition_key}, self.operator_name, surroundings.evaluator
        )
        self._format = formatter(options.config.output_format, options.config.date_format)
        self._count = self._size_bytes = 0

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Put a batch into the stream; what Kinesis throttles is put again.

        Raises:
            ProcessorFailed: 460 or 461: Kinesis cannot be reached, or refuses.
        """
        values, failures = self._computed.values(documents, variables)
        rejected = [Rejected(visible(documents[f.index]), f.reason, f.index) for f in failures]
        records: list[_Record] = []
        for index, found in enumerate(values):
            if found is None:
                continue
            document = visible(documents[index])
            try:
                records.append(self._record(document, found.get("key")))
            except ValueError as error:
                rejected.append(Rejected(document, f"$emit to Kinesis: {error}", index))
        try:
            for part in _by_size(records):
                self._put(part)
        except AspError as error:
            raise self._calls.failure(error) from error
        return rejected

    def stats(self) -> Document:
        """The one target."""
        target = {
            "stream": self._stream,
            "outputMessageCount": Int64(self._count),
            "outputMessageSize": Int64(self._size_bytes),
        }
        return {"targetStats": [target]}

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def _record(self, document: Document, key: Any) -> _Record:
        """The record of one document; a ValueError says why there is none."""
        if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY_CHARACTERS:
            what = f"a string of 1 to {_MAX_KEY_CHARACTERS} characters"
            raise ValueError(f"partitionKey gave not {what} but {key!r:.80}")
        record = _Record(key, self._format(document))
        if record.size_bytes > MAX_RECORD_BYTES:
            raise ValueError(f"the record has {record.size_bytes} bytes, 1 MB is allowed")
        return record

    def _put(self, records: list[_Record]) -> None:
        """Put records, and again those that Kinesis did not take, until it has all of them."""
        left, reasons = records, ""
        for attempt in range(ATTEMPTS):
            entries = [record.entry for record in left]
            reply = self._calls.call("put_records", StreamName=self._stream, Records=entries)
            results = list(zip(left, reply["Records"], strict=True))
            for record, result in results:
                if "ErrorCode" not in result:
                    self._count += 1
                    self._size_bytes += len(record.text)
            failed = [(record, result) for record, result in results if "ErrorCode" in result]
            if not failed:
                return
            left = [record for record, _ in failed]
            reasons = ", ".join(sorted({result["ErrorCode"] for _, result in failed}))
            if attempt < ATTEMPTS - 1 and self._calls.pause(FIRST_PAUSE_MS * 2**attempt):
                break
        message = f"$emit to Kinesis: {len(left)} records were not taken: {reasons}"
        raise ProcessorFailed(KINESIS_CODES.connection, message, retryable=True)


def _by_size(records: list[_Record]) -> Iterator[list[_Record]]:
    """Records in lists that fit one call each, order kept."""
    part: list[_Record] = []
    size_bytes = 0
    for record in records:
        too_much = size_bytes + record.size_bytes > _MAX_REQUEST_BYTES
        if part and (too_much or len(part) == _MAX_RECORDS):
            yield part
            part, size_bytes = [], 0
        part.append(record)
        size_bytes += record.size_bytes
    if part:
        yield part


def open_kinesis_emit(options: KinesisEmitOptions, surroundings: Surroundings) -> KinesisSink:
    """The sink; the stream must be there.

    Raises:
        ProcessorFailed: 460: Kinesis cannot be reached; 461: it refuses, as there is no such
            stream; 420: boto3 is missing here.
    """
    calls = AwsCalls(
        "kinesis",
        options.connection_name,
        surroundings,
        what=f"$emit: Kinesis stream {options.stream!r}",
        codes=KINESIS_CODES,
        region=options.region,
    )
    try:
        calls.call("describe_stream_summary", StreamName=options.stream)
    except PermissionDenied as error:
        # Whoever may put records need not be allowed to describe the stream.
        if error.details.get("code") != "AccessDeniedException":
            raise calls.failure(error) from error
    except AspError as error:
        raise calls.failure(error) from error
    return KinesisSink(options, surroundings, calls)
