"""`$throttle`: no more than so many bytes or documents a second go on.

Each limit holds one second's worth at most and regains it continuously. Documents go on when every
limit has capacity for them; the wait is that of the most exhausted limit.

Source: Atlas page "$throttle"; asp-reference.md 2.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from bson import Int64
from pydantic import Field, model_validator

from asp_utils.engine.evaluate import Outcome
from asp_utils.engine.hidden import visible
from asp_utils.engine.sizes import documents_bytes
from asp_utils.engine.stages import Stage
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_SECOND_MS: Final = 1000
_USUAL_BYTES: Final = 1024
"""A document's size before one was seen."""


class ThrottleOptions(Options):
    """At least one of the two limits."""

    bytes_per_sec: Annotated[int, Field(gt=0)] | None = None
    """BSON bytes."""
    messages_per_sec: Annotated[int, Field(gt=0)] | None = None
    """Documents."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.bytes_per_sec is None and self.messages_per_sec is None:
            raise ValueError("$throttle requires at least one of 'bytesPerSec' or 'messagesPerSec'")
        return self


@dataclass
class Bucket:
    """One limit's capacity; whole numbers of thousandths, so that nothing is lost to rounding."""

    per_second: int
    level: int = 0
    """Thousandths of a byte or message; a second's worth at most."""

    def __post_init__(self) -> None:
        self.level = self.per_second * _SECOND_MS

    def refill(self, passed_ms: int) -> None:
        """Regain the capacity of a span of time."""
        full = self.per_second * _SECOND_MS
        self.level = min(full, self.level + self.per_second * passed_ms)

    def wait_ms(self, amount: int) -> int:
        """Time until there is capacity for `amount`, whole milliseconds."""
        shortfall = amount * _SECOND_MS - self.level
        return max(0, -(-shortfall // self.per_second))

    def take(self, amount: int) -> None:
        """Use up capacity; of more than a second's worth, all that there is."""
        self.level = max(0, self.level - amount * _SECOND_MS)


@dataclass(frozen=True)
class _Part:
    """Documents that pass together: a second's worth at most, or one that is larger than that."""

    count: int
    size_bytes: int
    """0 where bytes are not limited."""


class ThrottleStage(Stage):
    """Lets documents pass in their order, as fast as the limits allow.

    A stop ends the waiting: what is in the stage then goes on at once, so that nothing is lost.
    """

    operator_name = "ThrottleOperator"

    def __init__(self, options: ThrottleOptions, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        self._bytes = Bucket(options.bytes_per_sec) if options.bytes_per_sec else None
        self._messages = Bucket(options.messages_per_sec) if options.messages_per_sec else None
        self._refilled_ms = self._clock.now_ms()
        self._closed_until_ms = self._refilled_ms
        """After a document larger than a second's worth of bytes."""
        self._usual_bytes = _USUAL_BYTES
        """Mean size of the documents that passed last."""
        self._throttled_ms = 0
        self._events = 0

    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """Wait until all documents of a batch may pass, part by part."""
        for part in self._parts(documents):
            self._admit(part)
        return Outcome(list(documents))

    @property
    def batch_documents(self) -> int:
        """About a second's worth: so a checkpoint and a stop do not wait for long."""
        wanted = []
        if self._messages is not None:
            wanted.append(self._messages.per_second)
        if self._bytes is not None:
            wanted.append(max(1, self._bytes.per_second // self._usual_bytes))
        return min(wanted)

    def portion(self, documents: Sequence[Document]) -> int:
        """How many of these documents pass together: a second's worth at most, one at least."""
        return next((part.count for part in self._parts(documents)), 0)

    def stats(self) -> Document:
        """Time spent waiting, and how often."""
        events, spent_ms = Int64(self._events), Int64(self._throttled_ms)
        return {"throttle": {"throttledTimeMs": spent_ms, "throttleEvents": events}}

    def _parts(self, documents: Sequence[Document]) -> Iterator[_Part]:
        """Divide a batch so that every part fits into full buckets."""
        most = self._messages.per_second if self._messages else len(documents)
        if self._bytes is None:
            for start in range(0, len(documents), max(1, most)):
                yield _Part(min(most, len(documents) - start), 0)
            return
        count = size_bytes = 0
        for document in documents:
            here = documents_bytes([visible(document)])
            if count and (count == most or size_bytes + here > self._bytes.per_second):
                yield _Part(count, size_bytes)
                count = size_bytes = 0
            count += 1
            size_bytes += here
        if count:
            yield _Part(count, size_bytes)

    def _admit(self, part: _Part) -> None:
        """Wait until a part may pass, and take what it needs."""
        begun_ms = self._clock.now_ms()
        while wait_ms := self._wait_ms(part):
            if self._clock.wait(self._stopping, wait_ms):
                break
        waited_ms = self._clock.now_ms() - begun_ms
        if waited_ms > 0:
            self._events += 1
            self._throttled_ms += waited_ms
        if self._messages is not None:
            self._messages.take(part.count)
        if self._bytes is not None:
            self._bytes.take(part.size_bytes)
            self._usual_bytes = max(1, part.size_bytes // part.count)
            if part.size_bytes > self._bytes.per_second:
                self._closed_until_ms = self._clock.now_ms() + _SECOND_MS

    def _wait_ms(self, part: _Part) -> int:
        self._refill()
        waits_ms = [0, self._closed_until_ms - self._refilled_ms]
        if self._messages is not None:
            waits_ms.append(self._messages.wait_ms(part.count))
        # A document that never fits is not held back; the stage waits behind it.
        if self._bytes is not None and part.size_bytes <= self._bytes.per_second:
            waits_ms.append(self._bytes.wait_ms(part.size_bytes))
        return max(waits_ms)

    def _refill(self) -> None:
        """Let all limits regain what the time since the last look gives."""
        now_ms = self._clock.now_ms()
        passed_ms = now_ms - self._refilled_ms
        self._refilled_ms = now_ms
        if passed_ms < 0:
            # The clock was set back: the stage is closed no longer for that.
            self._closed_until_ms += passed_ms
            return
        for bucket in (self._bytes, self._messages):
            if bucket is not None:
                bucket.refill(passed_ms)


def open_throttle(options: ThrottleOptions, surroundings: Surroundings) -> ThrottleStage:
    """The stage, with full capacity."""
    return ThrottleStage(options, surroundings)


SPEC = StageSpec("$throttle", "transform", ThrottleOptions, keeps_count=True, build=open_throttle)
