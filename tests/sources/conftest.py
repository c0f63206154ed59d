"""Change-stream sources on a real replica set, without a processor around them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.sources.change_options import ChangeStreamOptions
from asp_utils.engine.sources.change_source import ChangeStreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.batch import Unreadable
    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]


class Reading:
    """A source, and what came out of it."""

    def __init__(self, source: ChangeStreamSource) -> None:
        self.source = source
        self.documents: list[Document] = []
        self.metadata: list[Document] = []
        self.times_ms: list[int] = []
        self.unreadable: list[Unreadable] = []

    def step(self, max_documents: int = 2000, max_wait_ms: int = 100) -> int:
        """Read once; how many documents came."""
        batch = self.source.read(max_documents, max_wait_ms)
        if batch is None:
            return 0
        self.documents += batch.documents
        self.metadata += [batch.metadata(index) for index in range(len(batch.documents))]
        self.times_ms += batch.times_ms
        self.unreadable += batch.unreadable
        return len(batch.documents)

    def until(self, count: int) -> list[Document]:
        """Read until that many documents have come; the suite's timeout bounds it."""
        while len(self.documents) < count:
            self.step()
        return self.documents

    def operations(self, count: int) -> list[str]:
        """The operation types of the first events."""
        return [event["operationType"] for event in self.until(count)]


@pytest.fixture
def surroundings(mongod: Mongod, evaluator: Evaluator) -> Iterator[Surroundings]:
    """Connection `c` is the suite's mongod."""
    made = Surroundings(
        "tested",
        {"c": {"type": "atlas", "uri": mongod.uri}},
        evaluator,
        ManualClock(1_700_000_000_000),
        threading.Event(),
    )
    yield made
    made.close()


@pytest.fixture
def reading(surroundings: Surroundings, database: str) -> Iterator[Callable[..., Reading]]:
    """A factory: `reading(coll="in", config={…})` watches this test's database."""
    made: list[Reading] = []

    def build(position: Any = None, start: Any = None, **options: Any) -> Reading:
        surroundings.start_options = start or {}
        given = {"connectionName": "c", "db": database, **options}
        given = {name: value for name, value in given.items() if value is not None}
        checked = ChangeStreamOptions.model_validate(given)
        made.append(Reading(ChangeStreamSource(checked, surroundings, position)))
        return made[-1]

    yield build
    for item in made:
        item.source.close()
