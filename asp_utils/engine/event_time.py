"""Event time: the `timeField` of documents, and the watermark that follows from it.

`{$toDate: "$field"}` on ISO strings costs 4 us a document in mongod, forty times any other stage,
so the common forms are read here with identical results; everything else mongod evaluates.

Source: Atlas page "Windows" (asp-reference.md 2.2, 2.7).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.evaluate import Evaluator, Failure, Run
from asp_utils.units import ms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    Document = dict[str, Any]

_DAY: Final = "dddd-dd-dd"
_TIMES: Final = ("dd:dd:dd", "dd:dd:dd.ddd", "dd:dd:dd.dddddd")
_PLAIN: Final = frozenset(f"{_DAY}{between}{time}" for between in "T " for time in _TIMES)
_ZULU: Final = frozenset(f"{shape}Z" for shape in _PLAIN)
_OFFSET: Final = frozenset(f"{shape}{sign}dd:dd" for shape in _PLAIN for sign in "+-")
_SHAPES: Final = _PLAIN | _ZULU | _OFFSET
"""The ISO forms on which `datetime.fromisoformat` and mongod agree (property-tested)."""
_DIGITS: Final = str.maketrans("0123456789", "dddddddddd")
_EXACT_S: Final = 2**32
_HALF: Final = 0.0005
"""Up to 2106 a double holds seconds to a quarter of a microsecond: half of one (in milliseconds),
added before cutting off, makes the milliseconds exact."""
NEVER: Final = -(2**63)
"""The event time before the first document."""


def iso_ms(text: str) -> int | None:
    """Milliseconds of an ISO 8601 date and time; None where mongod has to judge it."""
    return _shaped_ms(text) if text.translate(_DIGITS) in _SHAPES else None


def all_iso_ms(texts: list[str]) -> list[int | None]:
    """The same for many: what comes from one source mostly has one form, and is read at once."""
    shapes = "\n".join(texts).translate(_DIGITS).split("\n")
    kinds = set(shapes)
    in_one_form = len(shapes) == len(texts) and (
        kinds <= _ZULU or (kinds <= _OFFSET and max([text[-2] for text in texts]) <= "5")
    )
    if in_one_form:
        try:
            seconds = [moment.timestamp() for moment in map(datetime.fromisoformat, texts)]
        except ValueError:
            seconds = [-1.0]
        if min(seconds) >= 0 and max(seconds) < _EXACT_S:
            return [int(second * 1000 + _HALF) for second in seconds]
    return list(map(iso_ms, texts))


def _shaped_ms(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elif text[-3] == ":" and text[-2] > "5":
        # An offset of 60 minutes or more: mongod refuses it.
        return None
    seconds = moment.timestamp()
    if 0 <= seconds < _EXACT_S:
        return int(seconds * 1000 + _HALF)
    # Before 1970 mongod rounds fractions of a millisecond up.
    return ms_of(moment) if seconds >= 0 else None


class TimeReader:
    """Gives documents their event times by the source's `timeField`."""

    def __init__(self, time_field: Document, evaluator: Evaluator) -> None:
        self._values = _plain_path(time_field)
        self._evaluator = evaluator
        self._run = Run(({"$project": {"_id": 0, "t": time_field}},), ("TimeFieldOperator",))

    def read(self, documents: Sequence[Document]) -> tuple[list[int | None], list[Failure]]:
        """The event time of each document in ms (None where it failed), and the failures."""
        times: list[int | None] = [None] * len(documents)
        if self._values is not None and documents:
            times = _fast_ms(self._values(documents))
        left = [index for index, time in enumerate(times) if time is None]
        return times, self._evaluate(documents, left, times) if left else []

    def _evaluate(
        self, documents: Sequence[Document], left: list[int], times: list[int | None]
    ) -> list[Failure]:
        """Let mongod give the times at the indexes in `left`."""
        outcome = self._evaluator.evaluate(self._run, [documents[index] for index in left])
        failures = [
            Failure(
                documents[left[f.index]], f"timeField: {f.reason}", f.operator_name, left[f.index]
            )
            for f in outcome.failures
        ]
        failed = {failure.index for failure in failures}
        good = [index for index in left if index not in failed]
        for index, result in zip(good, outcome.documents, strict=True):
            moment = result.get("t")
            if isinstance(moment, datetime):
                times[index] = ms_of(moment)
            else:
                reason = "timeField gave no date"
                failures.append(Failure(documents[index], reason, "TimeFieldOperator", index))
        return failures


class Watermark:
    """The event time up to which the stream is taken as complete.

    Per partition it is the highest event time seen; of the whole it is the minimum over all
    partitions that are expected and not silent. It never moves back.
    """

    def __init__(self) -> None:
        self.value_ms = NEVER
        self.highest: dict[str | None, int] = {}
        """The highest event time of each partition; of the source as a whole under None."""
        self._expected: frozenset[str] = frozenset()
        self._silent: frozenset[str] = frozenset()
        self._heard_ms: dict[str, int] = {}
        self._floor = NEVER

    def expect(self, partitions: Sequence[str], now_ms: int) -> None:
        """Take over which partitions there are; one that has given nothing yet holds back."""
        if self._expected != (expected := frozenset(partitions)):
            self._expected = expected
            for partition in expected:
                self._heard_ms.setdefault(partition, now_ms)
            self._settle()

    def hear(self, partitions: Collection[str], now_ms: int) -> None:
        """Note that partitions gave documents at `now_ms` of the clock."""
        self._heard_ms.update(dict.fromkeys(partitions, now_ms))
        if not self._silent.isdisjoint(partitions):
            self._silent -= set(partitions)
            self._settle()

    def leave_out_silent(self, now_ms: int, timeout_ms: int) -> None:
        """Leave out the partitions that have given nothing for `timeout_ms` of the clock."""
        silent = {p for p in self._expected if now_ms - self._heard_ms[p] >= timeout_ms}
        if silent != self._silent:
            self._silent = frozenset(silent)
            self._settle()

    def is_idle(self, partition: str) -> bool:
        """Whether a partition is left out because it is silent."""
        return partition in self._silent

    def observe(self, time_ms: int, partition: str | None = None) -> int:
        """Take one document's event time into account and give the watermark.

        A partition that was left out for its silence counts again from here on.
        """
        if partition in self._silent:
            self._silent -= {partition}
            self._settle()
        before = self.highest.get(partition, NEVER)
        if time_ms > before:
            self.highest[partition] = time_ms
            # Only the partition that holds the others back can move the whole.
            if before == self._floor:
                self._settle()
        return self.value_ms

    def observe_in_order(self, times_ms: Sequence[int], partitions: Sequence[str] | None) -> bool:
        """Take documents into account that come in the order of their times, per partition.

        The watermark is never ahead of the partition that a document comes from, so of these none
        can be late. False, and nothing is changed, when they are not in order, or when a silent
        partition, which the watermark has not waited for, comes back.
        """
        if partitions is None:
            by_partition: dict[str | None, list[int]] = {None: list(times_ms)}
        else:
            by_partition = defaultdict(list)
            for partition, time_ms in zip(partitions, times_ms, strict=True):
                by_partition[partition].append(time_ms)
        if not self._silent.isdisjoint(by_partition):
            return False
        for name, times in by_partition.items():
            if times and times[0] < max(self.value_ms, self.highest.get(name, NEVER)):
                return False
            if times != sorted(times):
                return False
        for name, times in by_partition.items():
            if times:
                self.observe(times[-1], name)
        return True

    def advance(self, time_ms: int) -> None:
        """Move every partition on to at least `time_ms` (the source was idle)."""
        self.highest = {key: max(value, time_ms) for key, value in self.highest.items()}
        self.value_ms = max(self.value_ms, time_ms)
        self._settle()

    @property
    def started(self) -> bool:
        """Whether it has a value."""
        return self.value_ms != NEVER

    def snapshot(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"value": self.value_ms, "highest": [list(item) for item in self.highest.items()]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over what `snapshot` gave."""
        self.value_ms = snapshot["value"]
        self.highest = dict(snapshot["highest"])
        # The value stays: partitions that have given nothing yet are not known before `expect`.
        self._floor = self._minimum()

    def _settle(self) -> None:
        """Compute the minimum anew."""
        self._floor = self._minimum()
        self.value_ms = max(self.value_ms, self._floor)

    def _minimum(self) -> int:
        heard: Collection[str | None] = self._expected or self.highest
        heard = [each for each in heard if each not in self._silent]
        return min((self.highest.get(each, NEVER) for each in heard), default=NEVER)


def _fast_ms(values: list[Any]) -> list[int | None]:
    if set(map(type, values)) == {str}:
        return all_iso_ms(values)
    return [
        ms_of(v) if isinstance(v, datetime) else iso_ms(v) if isinstance(v, str) else None
        for v in values
    ]


def _plain_path(time_field: Document) -> Callable[[Sequence[Document]], list[Any]] | None:
    """A getter of the values of `{$toDate: "$a.b"}`; None for any other form."""
    path = time_field.get("$toDate")
    if not isinstance(path, str) or not path.startswith("$") or path.startswith("$$"):
        return None
    first, *rest = path[1:].split(".")

    def get(documents: Sequence[Document]) -> list[Any]:
        values = [document.get(first) for document in documents]
        for name in rest:
            # mongod maps a path over arrays; that and anything odd is left to it.
            values = [v.get(name) if isinstance(v, dict) else None for v in values]
        return values

    return get
