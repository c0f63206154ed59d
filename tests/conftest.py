"""Fixtures for the whole suite: a real mongod, and pipelines run under a manual clock."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from pymongo import MongoClient

from asp_utils.clients.mongod import Mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.delivery.checkpoint import CheckpointStore
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.reporting.diagnosis import explained
from asp_utils.engine.reporting.report import facts_of, stats_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from asp_utils.engine.processor import Processor
    from asp_utils.engine.windows.window import OpenWindow

    Document = dict[str, Any]

# Here examples vary from run to run; CI takes the same ones each time. Machines may be slow.
settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("suite")

_NUMBERS = itertools.count(1)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Generator[None, Any, Any]:
    """Keep the tests of a file on one worker, as those of a group are.

    Then one worker starts what a file shares, and not both; and `loadgroup` counts after every test
    all that it ever gave to a worker: with an entry for each test that takes a tenth of the run.
    """
    scheduler = yield
    if config.getvalue("dist") == "loadgroup":
        group_of = scheduler._split_scope

        def by_file(test: str) -> str:
            group: str = group_of(test)
            return test.partition("::")[0] if group == test else group

        scheduler._split_scope = by_file
    return scheduler


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A mongod of this test run's own."""
    server = Mongod.start(tmp_path_factory.mktemp("mongod"))
    yield server
    server.process.kill()
    server.stop()


@pytest.fixture(scope="session")
def cluster(mongod: Mongod) -> Iterator[MongoClient[Document]]:
    """A client of that mongod."""
    with MongoClient[Any](mongod.uri) as client:
        yield client


@pytest.fixture
def database(cluster: MongoClient[Document]) -> Iterator[str]:
    """The name of a database that only this test uses."""
    name = f"test_{next(_NUMBERS)}"
    yield name
    cluster.drop_database(name)


@pytest.fixture
def evaluator(mongod: Mongod) -> Iterator[Evaluator]:
    """An evaluator with a connection of its own."""
    link = MongodSocket.to(mongod.uri)
    yield Evaluator(link, "asp_tests")
    link.close()


@dataclass
class Rig:
    """A processor under test, with all that came out of it."""

    processor: Processor
    clock: ManualClock
    shown: list[Document] = field(default_factory=list)

    @property
    def output(self) -> list[Document]:
        """The documents that came out, dead letters aside."""
        return [document for document in self.shown if "_dlqMessage" not in document]

    @property
    def dead(self) -> list[Document]:
        """The dead letters."""
        return [document["_dlqMessage"] for document in self.shown if "_dlqMessage" in document]

    def drain(self) -> Rig:
        """Run until the source has nothing left, then settle."""
        self.processor.run_until_drained()
        self.processor.checkpoint()
        return self

    @property
    def open(self) -> list[OpenWindow]:
        """The open windows, earliest first."""
        windows = self.processor.parts.windows
        found = windows.windows.open.values() if windows else ()
        return sorted(found, key=lambda window: window.start_ms)

    @property
    def stats(self) -> Document:
        """The verbose stats."""
        return stats_of(self.processor, "tested", verbose=True)

    @property
    def why(self) -> str:
        """The sentence that explains where the output is."""
        sentence: str = explained(facts_of(self.processor, "tested"))["sentence"]
        return sentence


@pytest.fixture
def rig(mongod: Mongod, database: str) -> Iterator[Callable[..., Rig]]:
    """A factory of processors: `rig(pipeline, connections=…, **options)`; `c` is its mongod."""
    opened: list[tuple[Surroundings, MongodSocket]] = []
    made: list[Rig] = []
    state = MongoClient[Any](mongod.uri)

    def build(
        pipeline: list[Document],
        *,
        clock: ManualClock | None = None,
        checkpointed: bool = False,
        name: str = "tested",
        connections: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Rig:
        link = MongodSocket.to(mongod.uri)
        clock = clock or ManualClock(1_700_000_000_000)
        surroundings = Surroundings(
            name,
            {
                "c": {"type": "atlas", "uri": mongod.uri},
                "solar": {"type": "inmemory"},
                **(connections or {}),
            },
            Evaluator(link, database, name, clock),
            clock,
            threading.Event(),
            state=state[database] if checkpointed else None,
        )
        opened.append((surroundings, link))
        store = CheckpointStore(state[database], name, mongod.uri) if checkpointed else None
        shown: list[Document] = []
        definition = Definition(name, name, pipeline, options=options)
        processor = assemble(definition, surroundings, store, show=shown.extend)
        made.append(Rig(processor, clock, shown))
        return made[-1]

    yield build
    for item in made:
        item.processor.close()
    for surroundings, link in opened:
        surroundings.close()
        link.close()
    state.close()
