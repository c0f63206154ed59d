"""`$https` and `$throttle` in whole pipelines."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.failures import ProcessorFailed

from .endpoint import Endpoint, Reply, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Document = dict[str, Any]

SECOND = {"size": 1, "unit": "second"}
HTTPS_METADATA: Document = {"$set": {"status": {"$meta": "stream.https.httpStatusCode"}}}


@pytest.fixture
def run(rig: Callable[..., Any], endpoint: Endpoint) -> Callable[..., Any]:
    """Run a pipeline to its end and close it; `api` is the endpoint."""
    connections = {"api": {"type": "https", "url": endpoint.url}}

    @contextmanager
    def closing(made: Any) -> Iterator[Any]:
        try:
            yield made
        finally:
            made.processor.close()

    def build(*stages: Document, **options: Any) -> Any:
        with closing(rig(list(stages), connections=connections, **options)) as made:
            return made.drain()

    return build


def source(*documents: Document) -> Document:
    return {"$source": {"documents": list(documents)}}


def https(**options: Any) -> Document:
    return {"$https": {"connectionName": "api", "as": "r", **options}}


def window(*stages: Document) -> Document:
    options = {"interval": SECOND, "boundary": "processingTime", "pipeline": list(stages)}
    return {"$tumblingWindow": options}


@pytest.mark.proves("$https", "$meta.stream.https")
def test_enriches_documents_and_leaves_metadata_to_the_stages_behind(
    run: Callable[..., Any], endpoint: Endpoint
) -> None:
    endpoint.answer = lambda seen: ok(int(seen.parameters["n"]) * 10)
    made = run(
        source(*({"_id": n} for n in range(5))),
        {"$match": {"_id": {"$ne": 2}}},
        https(parameters={"n": "$_id"}),
        HTTPS_METADATA,
        {"$project": {"r": 1, "status": 1}},
    )
    assert made.output == [{"_id": n, "r": n * 10, "status": 200} for n in (0, 1, 3, 4)]
    assert made.dead == []


@pytest.mark.proves("$https.onError", "$meta.stream.https")
def test_dead_letters_tell_of_the_request(run: Callable[..., Any], endpoint: Endpoint) -> None:
    endpoint.answer = lambda seen: Reply(status=404 if seen.path == "/2" else 200)
    made = run(source({"_id": 1}, {"_id": 2}), https(path={"$toString": "$_id"}), {"$match": {}})
    assert made.output == [{"_id": 1, "r": {}}]
    (letter,) = made.dead
    assert letter["doc"] == {"_id": 2}
    assert letter["errInfo"]["reason"].startswith(f"$https: GET {endpoint.url}/2 answered 404")
    assert letter["operatorName"] == "HttpsOperator"
    metadata = letter["_stream_meta"]
    assert (metadata["source"]["type"], metadata["https"]["httpStatusCode"]) == ("generated", 404)


@pytest.mark.proves("$https")
def test_inside_a_window_and_behind_it(run: Callable[..., Any], endpoint: Endpoint) -> None:
    endpoint.answer = lambda seen: ok(seen.path)
    group = {"$group": {"_id": None, "n": {"$sum": 1}}}
    inside = window(group, https(path={"$concat": ["in/", {"$toString": "$n"}]}))
    made = run(source({"a": 1}, {"a": 2}), inside, HTTPS_METADATA)
    assert made.output == [{"_id": None, "n": 2, "r": "/in/2", "status": 200}]
    start: Document = {"$dateToString": {"date": {"$meta": "stream.window.start"}, "format": "%Y"}}
    made = run(source({"a": 1}, {"a": 2}), window(group), https(path=start), HTTPS_METADATA)
    assert made.output == [{"_id": None, "n": 2, "r": "/2023", "status": 200}]


@pytest.mark.proves("$https")
def test_at_the_end_it_is_the_output(run: Callable[..., Any], endpoint: Endpoint) -> None:
    endpoint.answer = lambda seen: Reply(status=410 if seen.json["_id"] == 2 else 202)
    sink: Document = {"$https": {"connectionName": "api", "method": "PUT"}}
    made = run(source({"_id": 1}, {"_id": 2}), {"$set": {"a": 1}}, sink)
    assert sorted(seen.json["_id"] for seen in endpoint.seen) == [1, 2]
    assert made.output == [{"_id": 1, "a": 1}]
    assert made.dead[0]["doc"] == {"_id": 2, "a": 1}
    assert made.dead[0]["_stream_meta"]["https"]["httpStatusCode"] == 410


def test_a_broken_endpoint_fails_the_processor(run: Callable[..., Any], endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: Reply(status=401)
    with pytest.raises(ProcessorFailed, match="answered 401 Unauthorized"):
        run(source({"_id": 1}), https())


@pytest.mark.proves("$throttle")
def test_throttled_documents_come_out_in_order_and_the_stats_tell(run: Callable[..., Any]) -> None:
    from asp_utils.engine.reporting.report import stats_of

    documents = [{"_id": n} for n in range(40)]
    throttles: list[Document] = [{"$throttle": {"messagesPerSec": n}} for n in (10, 20)]
    made = run(source(*documents), *throttles)
    assert made.output == documents
    stats = stats_of(made.processor, "tested", verbose=True)
    single = {item["path"]: item.get("throttle") for item in stats["operatorStats"]}
    assert single["[1].$throttle"] == {"throttledTimeMs": 3000, "throttleEvents": 3}
    assert stats["throttle"]["throttledTimeMs"] == 3000 + single["[2].$throttle"]["throttledTimeMs"]


@pytest.mark.proves("$throttle.messagesPerSec", "$throttle.bytesPerSec")
@pytest.mark.parametrize("limits", [{"messagesPerSec": 10}, {"bytesPerSec": 10 * 14}])
@pytest.mark.parametrize("windowed", [False, True])
def test_what_follows_gets_no_more_than_the_budget_at_a_time(
    rig: Callable[..., Any], limits: Document, *, windowed: bool
) -> None:
    stages = [window({"$group": {"_id": "$_id"}})] if windowed else []
    made = rig([source(*({"_id": n} for n in range(35))), *stages, {"$throttle": limits}])
    begun_ms = made.clock.now_ms()
    passed: list[tuple[int, int]] = []
    made.processor.parts.output.ledger.show = lambda documents: passed.append(
        (made.clock.now_ms() - begun_ms, len(documents))
    )
    made.drain()
    assert sum(count for _, count in passed) == 35
    for first, (begun_ms, _) in enumerate(passed):
        for last in range(first, len(passed)):
            within = sum(count for _, count in passed[first : last + 1])
            assert within <= 10 + (passed[last][0] - begun_ms) / 100
    assert passed[-1][0] - passed[0][0] == 2500
