"""Records out of a config, a file or standard input, written to a topic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypedDict

from asp_utils.admin.kafka_records import BadRecord, Format, RecordForm, document_of, lines
from asp_utils.clients.kafka_topics import Delivery
from asp_utils.errors import AspError, ConfigInvalid, Fault, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asp_utils.clients.kafka_topics import OutgoingRecord, TopicsTransport
    from asp_utils.context import Context

_STANDARD_INPUT: Final = "-"
_MAX_FAULTS: Final = 20


class PartitionProduction(TypedDict):
    """What was written to one partition."""

    partition: int
    """Its number."""
    count: int
    """How many records."""
    first_offset: int
    """The offset of the first of them."""
    last_offset: int
    """The offset of the last; others may have written between."""


class Production(TypedDict):
    """Records that were written, each confirmed by the cluster."""

    topic: str
    """Name of the topic."""
    changed: bool
    """Whether anything was written."""
    count: int
    """How many records."""
    size_bytes: int
    """Bytes of their keys and values."""
    partitions: list[PartitionProduction]
    """Where they are."""


def produce(
    ctx: Context,
    cluster: TopicsTransport,
    topic: str,
    records: Sequence[Any] | None,
    file: str | None,
    *,
    plain: bool,
    key_field: str | None,
    key_format: Format,
    value_format: Format,
) -> Production:
    """Write records; see the operation `kafka_produce`.

    Raises:
        ConfigInvalid: There are none or two sources of records, or records are wrong.
        NotFound: There is no such topic, or no such file.
        AspError: A record was refused, or the cluster went away; `details` have `written` (as a
            `Production`), `first_failed`, `failed_count`.
    """
    if (records is None) == (file is None):
        raise ConfigInvalid("config", [Fault("$.records", "give either records or a file")])
    form = RecordForm(plain, key_field, key_format, value_format)
    source = _Records(ctx, form, records, file)
    _refuse_partitions(topic, len(cluster.partitions(topic)), source)
    delivery = Delivery()
    finished = False
    try:
        cluster.send(topic, source.read(), delivery)
        finished = True
    finally:
        if not finished:
            ctx.progress(f"{delivery.count} records were written to topic {topic!r} before that")
    done = _production(topic, delivery)
    if delivery.failure is not None:
        number, error = delivery.failure
        raise _told(error, done, delivery, source.place(number))
    if source.error is not None:
        raise _told(source.error, done, delivery, source.error.faults[0].path)
    return done


class _Records:
    """Where records come from; what a list or file holds is checked before any is written."""

    def __init__(
        self, ctx: Context, form: RecordForm, records: Sequence[Any] | None, file: str | None
    ) -> None:
        self._ctx = ctx
        self._form = form
        self._given = records
        self._file = file or ""
        self._lines: dict[int, int] = {}
        self.error: ConfigInvalid | None = None
        """Why standard input was not read to its end."""
        self.greatest_partition = -1
        """The greatest that a record names; of standard input it is not known."""
        if self._file != _STANDARD_INPUT:
            self._check()

    def place(self, number: int) -> str:
        """How a message names a record: its JSON path, or the line of the file."""
        if self._given is not None:
            return f"$.records[{number - 1}]"
        return f"record {number} of {self._shown}"

    def read(self) -> Iterator[OutgoingRecord]:
        """The records, one by one."""
        if self._file != _STANDARD_INPUT:
            yield from self._records()
            return
        try:
            yield from self._records()
        except BadRecord as error:
            self.error = ConfigInvalid(self._shown, error.faults, is_file=True)

    @property
    def _shown(self) -> str:
        return "standard input" if self._file == _STANDARD_INPUT else self._file

    def _records(self) -> Iterator[OutgoingRecord]:
        """The records.

        Raises:
            BadRecord: Of the first that is none; paths are those of the config or of the file.
        """
        for number, item in enumerate(self._items(), 1):
            place, document = item
            try:
                yield self._record(document, number)
            except BadRecord as error:
                raise BadRecord(self._placed(error, place)) from error

    def _items(self) -> Iterator[tuple[str, Any]]:
        if self._given is not None:
            yield from ((f"$.records[{i}]", item) for i, item in enumerate(self._given))
            return
        with _opened(self._ctx, self._file) as stream:
            for number, line in lines(stream):
                yield f"line {number}", line

    def _record(self, item: Any, number: int) -> OutgoingRecord:
        """The record that an item of the list, or a line of the file, stands for."""
        document = item if self._given is not None else document_of(item)
        return self._form.record(document, number)

    def _placed(self, error: BadRecord, place: str) -> list[Fault]:
        """The faults with the place of the record before their paths."""
        between = "" if self._given is not None else ": "
        return [fault.below(place + between if fault.path else place) for fault in error.faults]

    def _check(self) -> None:
        """Look at everything once.

        Raises:
            ConfigInvalid: Records are wrong; the first twenty faults are named.
        """
        faults: list[Fault] = []
        for number, (place, document) in enumerate(self._items(), 1):
            try:
                record = self._record(document, number)
                self.greatest_partition = max(self.greatest_partition, record.partition or 0)
            except BadRecord as error:
                faults += self._placed(error, place)
                if len(faults) >= _MAX_FAULTS:
                    break
        if faults:
            raise ConfigInvalid(
                self._shown or "config", faults[:_MAX_FAULTS], is_file=self._given is None
            )


def _opened(ctx: Context, name: str) -> BinaryIO:
    """The file, or standard input.

    Raises:
        NotFound: There is no such file.
        ConfigInvalid: It cannot be read, or standard input held the config.
    """
    if name == _STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.closed or sys.stdin.buffer.closed:
            hint = "give the config as a file: cli_kafka_produce.py CONFIG.json < records.ndjson"
            message = "standard input held the config already"
            raise ConfigInvalid("config", [Fault("$.file", message, hint)])
        if os.isatty(sys.stdin.fileno()):
            ctx.progress("reading records from the terminal, one a line; Ctrl-D ends")
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except FileNotFoundError as error:
        hint = f"relative to {Path.cwd()}" if not Path(name).is_absolute() else ""
        raise NotFound(f"there is no file {name}", hint=hint, path="$.file") from error
    except OSError as error:
        fault = Fault("$.file", f"{name} cannot be read: {error.strerror}")
        raise ConfigInvalid("config", [fault]) from error


def _refuse_partitions(topic: str, partition_count: int, source: _Records) -> None:
    if source.greatest_partition >= partition_count:
        message = f"topic {topic!r} has no partition {source.greatest_partition}"
        hint = f"it has {partition_count}, counted from 0"
        raise ConfigInvalid("config", [Fault("$.records", message, hint)])


def _production(topic: str, delivery: Delivery) -> Production:
    partitions = [
        PartitionProduction(partition=number, count=count, first_offset=first, last_offset=last)
        for number, (count, first, last) in sorted(delivery.offsets.items())
    ]
    return Production(
        topic=topic,
        changed=delivery.count > 0,
        count=delivery.count,
        size_bytes=delivery.size_bytes,
        partitions=partitions,
    )


def _told(error: AspError, done: Production, delivery: Delivery, place: str) -> AspError:
    """The error with what it left behind."""
    before = f"{done['count']} records were written"
    if isinstance(error, ConfigInvalid):
        first, *others = error.faults
        path = first.path if place.startswith(first.path) else place
        told = Fault(path, f"{first.message}; {before}", first.hint)
        error = ConfigInvalid(error.subject, [told, *others], is_file=error.is_file)
    else:
        error.message = f"{place}: {error.message}; {before}"
    error.details |= {
        "written": dict(done),
        "first_failed": place,
        "failed_count": delivery.failed_count,
    }
    return error
