"""Stages built by hand, with a real HTTP server and the real mongod."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.stages.https import SPEC as HTTPS
from asp_utils.engine.stages.https_stage import (
    HttpsSink,
    HttpsStage,
    open_https,
    open_https_sink,
)
from asp_utils.pipeline.rewrite import METADATA_FIELD, mark_metadata

from .endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.evaluate import Evaluator, Outcome

    Document = dict[str, Any]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    yield served
    served.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000_000)


@pytest.fixture
def surroundings(endpoint: Endpoint, evaluator: Evaluator, clock: ManualClock) -> Surroundings:
    connections = {"api": {"type": "https", "url": f"{endpoint.url}/v1/?fixed=yes"}}
    return Surroundings("tested", connections, evaluator, clock, threading.Event())


@pytest.fixture
def https(surroundings: Surroundings) -> Iterator[Callable[..., HttpsStage]]:
    """A factory: `https(path=…)`; `connectionName` and `as: "r"` unless given."""
    opened: list[HttpsStage] = []

    def build(**options: Any) -> HttpsStage:
        opened.append(open_https(_options(options, {"as": "r"}), surroundings))
        return opened[-1]

    yield build
    for stage in opened:
        stage.close()


@pytest.fixture
def https_sink(surroundings: Surroundings) -> Iterator[Callable[..., HttpsSink]]:
    opened: list[HttpsSink] = []

    def build(**options: Any) -> HttpsSink:
        opened.append(open_https_sink(_options(options, {}), surroundings))
        return opened[-1]

    yield build
    for sink in opened:
        sink.close()


def _options(given: dict[str, Any], standard: dict[str, Any]) -> Any:
    assert HTTPS.options is not None
    return HTTPS.options.model_validate({"connectionName": "api", **standard, **given})


def carried(*documents: Document, **metadata: Any) -> list[Document]:
    """Documents as they reach a stage that writes metadata."""
    found = {"source": {"type": "generated"}, **metadata}
    return [{**document, METADATA_FIELD: mark_metadata(dict(found))} for document in documents]


def ran(stage: HttpsStage, *documents: Document) -> tuple[list[Document], Outcome]:
    """What came out, without the hidden field, and the outcome itself."""
    outcome = stage.process(carried(*documents), None)
    plain = [{k: v for k, v in d.items() if k != METADATA_FIELD} for d in outcome.documents]
    return plain, outcome
