"""`$emit` into files in S3 buckets.

Documents gather in files (`engine.aws.object_files`), one for each target and lane, and each file
is put as one object when it is full or its time has come. What is not put yet is in the checkpoint.

Source: Atlas page "$emit", "AWS S3"; asp-reference.md 2.12.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.engine.aws.calls import S3_CODES, AwsCalls
from asp_utils.engine.aws.object_files import (
    EXTENSIONS,
    MAX_KEY_BYTES,
    GrowingFile,
    GrowingFiles,
    Limits,
    compressed,
    snappy,
)
from asp_utils.engine.computed import Computed
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.formats.json_output import formatter
from asp_utils.engine.hidden import visible
from asp_utils.engine.lanes import Lanes
from asp_utils.engine.sinks import Rejected, Sink
from asp_utils.engine.sizes import documents_bytes
from asp_utils.errors import AspError, EnvironmentMissing
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.grammar import is_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks.emit_s3_options import S3Options

    Document = dict[str, Any]

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
_MAX_SHOWN_TARGETS: Final = 100
_BUCKET: Final = re.compile(r"[A-Za-z0-9.\-_]{3,255}")
_INVALID: Final = CODES["StreamProcessorInvalidOptions"]


class S3Sink(Sink):
    """Puts documents into files, and files into buckets."""

    operator_name = "S3EmitOperator"

    def __init__(self, options: S3Options, surroundings: Surroundings, calls: AwsCalls) -> None:
        self._config = options.config
        self._clock = surroundings.clock
        self._calls = calls
        self._keyed = options.partition_by is not None and options.parallelism > 1
        fields: Document = {"bucket": options.bucket, "path": options.path}
        if self._keyed:
            fields["key"] = options.partition_by
        self._computed = Computed(fields, self.operator_name, surroundings.evaluator)
        self._format = formatter(self._config.output_format, self._config.date_format)
        self._lanes = Lanes(options.parallelism)
        write = self._config.write_options
        self._files = GrowingFiles(
            surroundings.processor_name,
            self._clock.now_ms(),
            Limits(write.count, write.bytes, write.interval.ms),
            self._config.delimiter.encode(),
            EXTENSIONS[self._config.compression],
        )
        self._counts: Counter[tuple[str, str]] = Counter()
        self._sizes: Counter[tuple[str, str]] = Counter()

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Put a batch into files, and the files that are full into their buckets.

        Raises:
            ProcessorFailed: 443, 444 or 451: S3 cannot be reached, refuses, or the token expired.
        """
        values, failures = self._computed.values(documents, variables)
        rejected = [Rejected(visible(documents[f.index]), f.reason, f.index) for f in failures]
        keys = [(found or {}).get("key") for found in values] if self._keyed else None
        lanes = self._lanes.assign(keys, len(documents))
        now_ms = self._clock.now_ms()
        full: list[GrowingFile] = []
        for index, found in enumerate(values):
            if found is None:
                continue
            document = visible(documents[index])
            try:
                file = self._add(document, found, lanes[index], now_ms)
            except ValueError as error:
                rejected.append(Rejected(document, f"$emit to S3: {error}", index))
                continue
            if file is not None:
                full.append(file)
        self._put(full)
        return rejected + self.poll()

    def poll(self) -> list[Rejected]:
        """Put the files whose interval is over."""
        self._put(self._files.take_due(self._clock.now_ms()))
        return []

    def finish(self) -> list[Rejected]:
        """Put every file, full or not: nothing comes any more, and there is no checkpoint."""
        self._put(self._files.take_all())
        return []

    def snapshot(self) -> Iterable[Document]:
        """The files that are not put yet."""
        return self._files.snapshot()

    def restore(self, items: Iterable[Document]) -> None:
        """Go on with the files of a snapshot."""
        self._files.restore(items)

    def stats(self) -> Document:
        """The targets written to, the first hundred; what was put, not what is waiting."""
        return {
            "targetStats": [
                {
                    "bucket": target[0],
                    "path": target[1],
                    "outputMessageCount": Int64(count),
                    "outputMessageSize": Int64(self._sizes[target]),
                }
                for target, count in self._counts.items()
            ]
        }

    def close(self) -> None:
        """End threads and connections."""
        self._lanes.close()
        self._calls.close()

    def _add(
        self, document: Document, found: Document, lane: int, now_ms: int
    ) -> GrowingFile | None:
        """Put one document into its file; a ValueError says why it cannot be."""
        bucket, path = found.get("bucket"), found.get("path")
        if not isinstance(bucket, str) or not _BUCKET.fullmatch(bucket):
            raise ValueError(f"bucket gave no bucket's name but {bucket!r:.80}")
        if not isinstance(path, str):
            raise ValueError(f"path gave no string but {path!r:.80}")
        if self._files.key_bytes(path) > MAX_KEY_BYTES:
            raise ValueError(f"the path is too long for a key: {path!r:.80}")
        size_bytes = documents_bytes([document])
        if size_bytes > MAX_DOCUMENT_BYTES:
            raise ValueError(f"the document has {size_bytes} bytes, 16 MB are allowed")
        text = self._format(document)
        return self._files.add((bucket, path), lane, text, size_bytes, now_ms)

    def _put(self, files: list[GrowingFile]) -> None:
        if not files:
            return
        try:
            self._lanes.run(self._put_one, files, [file.lane for file in files])
        except AspError as error:
            raise self._calls.failure(error) from error
        for file in files:
            target = (file.bucket, file.path)
            if target in self._counts or len(self._counts) < _MAX_SHOWN_TARGETS:
                self._counts[target] += file.count
                self._sizes[target] += file.size_bytes

    def _put_one(self, file: GrowingFile) -> None:
        config = self._config
        body = compressed(file.text, config.compression, config.compression_level)
        content_type = "application/x-ndjson" if config.delimiter == "\n" else "text/plain"
        self._calls.call(
            "put_object", Bucket=file.bucket, Key=file.key, Body=body, ContentType=content_type
        )


def open_s3(options: S3Options, surroundings: Surroundings) -> S3Sink:
    """The sink; a constant bucket must be there.

    Raises:
        ProcessorFailed: 443 or 451: S3 cannot be reached; 444: there is no such bucket; 420: a
            package is missing here.
    """
    if options.config.compression == "snappy":
        try:
            snappy()
        except EnvironmentMissing as error:
            message = f"$emit to S3: {error.message}: {error.hint}"
            raise ProcessorFailed(_INVALID, message, retryable=False) from error
    calls = AwsCalls(
        "s3",
        options.connection_name,
        surroundings,
        what="$emit to S3",
        codes=S3_CODES,
        region=options.region,
        connections=options.parallelism,
    )
    if not is_expression(options.bucket):
        _require_bucket(str(options.bucket), calls)
    return S3Sink(options, surroundings, calls)


def _require_bucket(bucket: str, calls: AwsCalls) -> None:
    try:
        calls.call("head_bucket", Bucket=bucket)
    except AspError as error:
        # Whoever may put objects need not be allowed to look at the bucket.
        forbidden = error.details.get("status") == 403 and not error.details.get("expired")
        if forbidden:
            return
        if error.details.get("status") == 404:
            message = f"$emit to S3: there is no bucket {bucket!r}"
            raise ProcessorFailed(S3_CODES.error, message, retryable=False) from error
        raise calls.failure(error) from error
