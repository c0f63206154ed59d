"""Stages built by hand in surroundings with a real mongod; a second mongod as another cluster."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.clients.mongod import Mongod
from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.evaluate import Evaluator
    from asp_utils.engine.stages import Stage
    from asp_utils.pipeline.catalogue import StageSpec


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000_000)


@pytest.fixture
def surroundings(
    mongod: Mongod, evaluator: Evaluator, clock: ManualClock
) -> Iterator[Surroundings]:
    """Surroundings in which `c` is the mongod of the test run."""
    connections = {"c": {"type": "atlas", "uri": mongod.uri}}
    made = Surroundings("tested", connections, evaluator, clock, threading.Event())
    yield made
    made.close()


@pytest.fixture
def build(surroundings: Surroundings) -> Iterator[Callable[..., Any]]:
    """A factory of stages: `build(SPEC, options)`."""
    made: list[Stage] = []

    def built(spec: StageSpec, options: dict[str, Any]) -> Stage:
        assert spec.options is not None
        stage: Stage = spec.build(spec.options.model_validate(options), surroundings)
        made.append(stage)
        return stage

    yield built
    for stage in made:
        stage.close()


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """Another cluster."""
    server = Mongod.start(tmp_path_factory.mktemp("elsewhere"))
    yield server
    server.stop()


@pytest.fixture
def foreign(elsewhere: Mongod) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the other cluster."""
    with MongoClient[Any](elsewhere.uri) as client:
        yield client
