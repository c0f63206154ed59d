"""`$source` from a connection of type Sample: made-up documents at a steady pace.

A sample is a module of `samples/` with a `SAMPLE`; nothing else names it. Which one a connection
gives is said by its `sample` field in the registry, else by its name, as on Atlas.

Source: Atlas pages "$source" and "Manage connections"; asp-reference.md 2.6.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from asp_utils.engine.batch import Batch, Source
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.sources import samples
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Name, Options, TimeField, name_hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sources.samples import Sample


class SampleOptions(Options):
    """A sample connection, and optionally another event time."""

    connection_name: Name
    time_field: TimeField | None = None


@cache
def known_samples() -> Mapping[str, Sample]:
    """Every sample by its name."""
    names = (module.name for module in pkgutil.iter_modules(samples.__path__))
    modules = [importlib.import_module(f"{samples.__name__}.{name}") for name in names]
    return {module.SAMPLE.name: module.SAMPLE for module in modules}


def sample_of(connection: str, entry: Mapping[str, Any]) -> Sample:
    """The sample that a connection of the registry stands for.

    Raises:
        ProcessorFailed: There is no sample of that name.
    """
    name = entry.get("sample", connection)
    found = known_samples().get(name)
    if found is None:
        hint = name_hint(str(name), list(known_samples()))
        message = f"$source.connectionName: there is no sample {name!r}; {hint}"
        raise ProcessorFailed(CODES["StreamProcessorInvalidOptions"], message, retryable=False)
    return found


class SampleSource(Source):
    """Gives the documents that are due; what fell due while it was stopped is not made up for."""

    operator_name = "SampleDataSourceOperator"
    source_type = "generated"

    def __init__(
        self, options: SampleOptions, surroundings: Surroundings, position: int | None
    ) -> None:
        name = options.connection_name
        self._sample = sample_of(name, surroundings.connections[name])
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        now = self._clock.now_ms() // self._sample.interval_ms
        self.position: int = now if position is None else max(position, now)

    def read(self, max_documents: int, max_wait_ms: int) -> Batch | None:
        """The documents due since the last call; waits for the next one when there are none."""
        interval_ms = self._sample.interval_ms
        due_in_ms = self.position * interval_ms - self._clock.now_ms()
        if due_in_ms > 0:
            self._clock.wait(self._stopping, min(due_in_ms, max_wait_ms))
        due = self._clock.now_ms() // interval_ms + 1
        count = min(due - self.position, max_documents)
        if count <= 0:
            return None
        numbers = range(self.position, self.position + count)
        self.position += count
        times_ms = [number * interval_ms for number in numbers]
        documents = [self._sample.document(number) for number in numbers]
        return Batch(documents, times_ms, self.position, lambda _: {})

    def close(self) -> None:
        """Nothing to release."""


SPEC = StageSpec(
    "$source",
    "source",
    SampleOptions,
    connection_type="inmemory",
    build=SampleSource,
    partial={"": "only the documents of sample_stream_solar have Atlas' shape, at our own pace"},
)
