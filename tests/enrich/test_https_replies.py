"""What `$https` makes of replies: types, statuses, `onError`, metadata, another try."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.clients.http import HttpReply
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.https.courier import RETRY_WAITS_MS
from asp_utils.engine.https.reply import Unusable, value_of
from asp_utils.pipeline.rewrite import METADATA_FIELD

from .conftest import carried, ran
from .endpoint import Endpoint, Reply, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.stages.https_stage import HttpsSink, HttpsStage
    from tests.enrich.endpoint import Seen

    Build = Callable[..., HttpsStage]

DOCUMENT_STATUSES = (400, 404, 410, 413, 414, 431)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (ok({"a": [1, 2.5, None, True]}), {"a": [1, 2.5, None, True]}),
        (Reply(b"[22.3, 22.4]", content_type="application/json; charset=utf-8"), [22.3, 22.4]),
        (Reply(b'{"a": 1}', content_type=None), {"a": 1}),
        (Reply(b"5", content_type="Application/JSON"), 5),
        (Reply(b"null"), None),
        (Reply(b'{"a": 1}', content_type="text/plain"), '{"a": 1}'),
        (Reply("grün".encode("latin-1"), content_type="text/plain; charset=latin-1"), "grün"),
        (Reply(b'{"a": 1}', status=201), {"a": 1}),
        (Reply(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"}), [1]),
        (
            ok(
                {
                    "_id": {"$oid": "5f0000000000000000000001"},
                    "at": {"$date": "2026-01-20T00:00:00Z"},
                }
            ),
            {"_id": ObjectId("5f0000000000000000000001"), "at": datetime(2026, 1, 20)},  # noqa: DTZ001 - BSON dates are naive
        ),
        (ok({"schema": {"$date": "soon"}}), {"schema": {"$date": "soon"}}),
        (Reply(b"[9223372036854775807, 18446744073709551615]"), [2**63 - 1, 2.0**64]),
    ],
)
def test_a_reply_becomes_a_value(
    https: Build, endpoint: Endpoint, reply: Reply, value: Any
) -> None:
    endpoint.answer = lambda _: reply
    assert ran(https(), {"_id": 1})[0] == [{"_id": 1, "r": value}]


def test_values_can_be_worked_with_in_the_next_stage(
    https: Build, endpoint: Endpoint, surroundings: Surroundings
) -> None:
    from asp_utils.engine.evaluate import Run

    endpoint.answer = lambda _: Reply(b'{"int": 5, "long": 4294967296, "double": 5.0}')
    outcome = https().process(carried({"_id": 1}), None)
    typed = {"$project": {"_id": 0, "t": [{"$type": f"$r.{n}"} for n in ("int", "long", "double")]}}
    found = surroundings.evaluator.evaluate(Run((typed,), ("t",)), outcome.documents)
    assert found.documents == [{"t": ["int", "long", "double"]}]


@pytest.mark.proves("$https.as")
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": {"x": 1}}, {"a": {"x": 1, "b": {"c": 7}}}),
        ({"a": 5}, {"a": {"b": {"c": 7}}}),
        ({"a": [{"x": 1}]}, {"a": [{"x": 1, "b": {"c": 7}}]}),
    ],
)
def test_as_may_name_a_field_of_an_embedded_document(
    https: Build, endpoint: Endpoint, document: dict[str, Any], expected: dict[str, Any]
) -> None:
    endpoint.answer = lambda _: ok(7)
    assert ran(https(**{"as": "a.b.c"}), document)[0] == [expected]


@pytest.mark.proves("$https.as")
@pytest.mark.parametrize("status", [200, 204])
def test_an_empty_body_leaves_as_unset(https: Build, endpoint: Endpoint, status: int) -> None:
    endpoint.answer = lambda _: Reply(b"", status=status, content_type=None)
    assert ran(https(), {"_id": 1, "r": "old"})[0] == [{"_id": 1, "r": "old"}]


@pytest.mark.proves("$https.config.parseJsonStrings")
def test_json_inside_strings_is_parsed_on_request(https: Build, endpoint: Endpoint) -> None:
    inner = json.dumps({"n": 1, "deeper": json.dumps([{"$oid": "5f0000000000000000000001"}])})
    texts = {"inner": inner, "list": ["[1]", "{no json", "5", "plain"]}
    endpoint.answer = lambda _: ok(texts)
    assert ran(https(), {})[0] == [{"r": texts}]
    parsed = {
        "inner": {"n": 1, "deeper": [ObjectId("5f0000000000000000000001")]},
        "list": [[1], "{no json", "5", "plain"],
    }
    assert ran(https(config={"parseJsonStrings": True}), {})[0] == [{"r": parsed}]


def answer_odd_ones_with(reply: Reply) -> Callable[[Seen], Reply]:
    return lambda seen: reply if int(seen.parameters["n"]) % 2 else ok("fine")


UNUSABLE = [
    Reply(b"<p>no</p>", content_type="text/html"),
    Reply(b"{not json"),
    Reply(b"\xff", content_type="text/plain"),
    Reply(b'{"a\\u0000b": 1}'),
    Reply(b"plain", headers={"Content-Encoding": "gzip"}),
]
FAULTY = [*(Reply(b'{"why": "because"}', status) for status in DOCUMENT_STATUSES), *UNUSABLE]


@pytest.mark.proves("$https.onError")
@pytest.mark.parametrize("reply", FAULTY)
def test_a_document_at_fault_goes_to_the_dead_letters(
    https: Build, endpoint: Endpoint, reply: Reply
) -> None:
    endpoint.answer = answer_odd_ones_with(reply)
    documents, outcome = ran(https(parameters={"n": "$n"}), *({"n": n} for n in range(4)))
    assert documents == [{"n": 0, "r": "fine"}, {"n": 2, "r": "fine"}]
    assert [failure.index for failure in outcome.failures] == [1, 3]
    failure = outcome.failures[0]
    assert f"GET {endpoint.url}/v1/?fixed=yes&n=1 answered {reply.status}" in failure.reason
    assert failure.operator_name == "HttpsOperator"
    assert {k: v for k, v in failure.document.items() if k != METADATA_FIELD} == {"n": 1}
    assert failure.document[METADATA_FIELD]["https"]["httpStatusCode"] == reply.status


def test_the_reason_says_what_the_server_said(https: Build, endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: Reply(b'{"message": "no such\n  station"}' + b"x" * 500, 404)
    reason = ran(https(), {})[1].failures[0].reason
    assert 'answered 404 Not Found: {"message": "no such station"}xxx' in reason
    assert reason.endswith("…")


@pytest.mark.proves("$https.onError")
@pytest.mark.parametrize("reply", FAULTY)
def test_ignore_passes_the_document_on_without_a_response(
    https: Build, endpoint: Endpoint, reply: Reply
) -> None:
    endpoint.answer = answer_odd_ones_with(reply)
    stage = https(parameters={"n": "$n"}, onError="ignore")
    documents, outcome = ran(stage, {"n": 0}, {"n": 1}, {"n": 2})
    assert documents == [{"n": 0, "r": "fine"}, {"n": 1}, {"n": 2, "r": "fine"}]
    assert outcome.failures == []


@pytest.mark.proves("$https.onError")
@pytest.mark.parametrize("reply", [Reply(status=404), UNUSABLE[0]])
def test_fail_ends_the_processor(https: Build, endpoint: Endpoint, reply: Reply) -> None:
    endpoint.answer = lambda _: reply
    with pytest.raises(ProcessorFailed, match=f"answered {reply.status}") as caught:
        ran(https(onError="fail"), {})
    assert (caught.value.code, caught.value.retryable) == (436, False)


@pytest.mark.proves("$https", "$https.onError")
@pytest.mark.parametrize("status", [301, 401, 403, 405, 409, 422])
def test_any_other_status_fails_the_processor_at_once(
    https: Build, endpoint: Endpoint, status: int
) -> None:
    endpoint.answer = lambda _: Reply(status=status, headers={"Location": "/elsewhere"})
    with pytest.raises(ProcessorFailed, match=f"answered {status}") as caught:
        ran(https(onError="ignore"), {})
    assert (caught.value.code, caught.value.retryable) == (436, True)
    assert caught.value.code_name == "StreamProcessorHTTPSConnectionError"
    assert len(endpoint.seen) == 1


def test_requests_end_with_the_first_that_fails_the_processor(
    https: Build, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda _: Reply(status=401)
    with pytest.raises(ProcessorFailed):
        ran(https(), *({"n": n} for n in range(200)))
    assert len(endpoint.seen) <= 8


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_is_tried_again_a_few_times(
    https: Build, endpoint: Endpoint, clock: ManualClock, status: int
) -> None:
    begun_ms = clock.now_ms()
    endpoint.answer = lambda _: Reply(b"busy", status)
    with pytest.raises(ProcessorFailed, match=rf"answered {status} .*busy \(tried 5 times\)"):
        ran(https(), {})
    assert len(endpoint.seen) == len(RETRY_WAITS_MS) + 1
    assert clock.now_ms() - begun_ms == sum(RETRY_WAITS_MS)


def test_trouble_that_passes_costs_no_document(https: Build, endpoint: Endpoint) -> None:
    lock, asked = threading.Lock(), dict[str, int]()

    def answer(seen: Seen) -> Reply:
        number = seen.parameters["n"]
        with lock:
            asked[number] = asked.get(number, 0) + 1
            return Reply(status=503) if asked[number] <= int(number) % 3 else ok(int(number))

    endpoint.answer = answer
    documents, outcome = ran(https(parameters={"n": "$n"}), *({"n": n} for n in range(30)))
    assert documents == [{"n": n, "r": n} for n in range(30)]
    assert outcome.failures == []


def test_a_stop_ends_the_tries(
    https: Build, endpoint: Endpoint, surroundings: Surroundings
) -> None:
    endpoint.answer = lambda _: Reply(status=503)
    surroundings.stopping.set()
    with pytest.raises(ProcessorFailed, match="stopped before another try"):
        ran(https(), {})
    assert len(endpoint.seen) == 1


def test_nobody_there(https: Build, endpoint: Endpoint) -> None:
    stage = https()
    endpoint.close()
    with pytest.raises(
        ProcessorFailed, match=r"GET .*/v1/\?fixed=yes: .*\(tried 5 times\)"
    ) as caught:
        ran(stage, {})
    assert (caught.value.code, caught.value.retryable) == (436, True)


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes requests and says nothing; it is never accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.proves("$https.config.requestTimeoutSec")
def test_a_silent_server_is_trouble(https: Build, surroundings: Surroundings, mute: str) -> None:
    surroundings.connections["api"]["url"] = mute  # type: ignore[index] # a plain dict here
    surroundings.stopping.set()
    with pytest.raises(ProcessorFailed, match="no complete reply within 1 s"):
        ran(https(config={"requestTimeoutSec": 1}), {})


@pytest.mark.proves("$https.config.requestTimeoutSec")
def test_a_server_that_drips_is_too_slow(
    https: Build, endpoint: Endpoint, surroundings: Surroundings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                pause = threading.Event()
                try:
                    while not pause.wait(0.1):
                        client.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        surroundings.connections["api"]["url"] = address  # type: ignore[index] # a plain dict here
        surroundings.stopping.set()
        with pytest.raises(ProcessorFailed, match="no complete reply within 1 s"):
            ran(https(config={"requestTimeoutSec": 1}), {})
        thread.join()


@pytest.mark.proves("$https.config.connectionTimeoutSec")
def test_a_server_that_lets_nobody_in_is_trouble(https: Build, surroundings: Surroundings) -> None:
    with socket.socket() as full:
        # Connections that nobody accepts fill the queue; the kernel then drops further ones.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        surroundings.connections["api"]["url"] = address  # type: ignore[index] # a plain dict here
        surroundings.stopping.set()
        with pytest.raises(ProcessorFailed, match="no connection within the connection timeout"):
            ran(https(config={"connectionTimeoutSec": 1}), {})
        for client in waiting:
            client.close()


@pytest.mark.proves("$https", "$meta.stream.https")
def test_metadata_of_the_request_stands_beside_the_document(
    https: Build, endpoint: Endpoint, surroundings: Surroundings, clock: ManualClock
) -> None:
    surroundings.connections["api"]["url"] = endpoint.url.replace(  # type: ignore[index] # a dict
        "//", "//user:secret@"
    )

    def answer(_: Seen) -> Reply:
        clock.advance(12)
        return Reply(status=201)

    endpoint.answer = answer
    outcome = https(path="x", method="POST").process(carried({"_id": 1}), None)
    metadata = outcome.documents[0][METADATA_FIELD]
    assert metadata["source"] == {"type": "generated"}
    assert metadata["https"] == {
        "url": f"{endpoint.url}/x",
        "method": "POST",
        "httpStatusCode": 201,
        "responseTimeMs": 12,
    }
    assert endpoint.seen[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.proves("$https", "$https.as")
def test_as_a_sink_it_sends_and_may_do_without_as(
    https_sink: Callable[..., HttpsSink], endpoint: Endpoint
) -> None:
    endpoint.answer = lambda _: Reply(b"<p>thanks</p>", content_type="text/html")
    documents = carried({"_id": 1}, {"_id": 2})
    assert https_sink(method="POST").write(documents, None) == []
    assert sorted(seen.json["_id"] for seen in endpoint.seen) == [1, 2]
    assert "r" not in documents[0]


@pytest.mark.proves("$https.as", "$https.onError")
def test_a_sink_rejects_documents_with_the_metadata_of_their_requests(
    https_sink: Callable[..., HttpsSink], endpoint: Endpoint
) -> None:
    endpoint.answer = lambda seen: Reply(status=404) if seen.json["_id"] == 2 else ok("taken")
    documents: list[dict[str, Any]] = [{"_id": 1}, {"_id": 2}, {"_id": 3}]
    window = {"aspStream": {"source": {"type": "kafka"}}}
    rejected = https_sink(method="POST", **{"as": "r"}).write(documents, window)
    assert documents[0] == {"_id": 1, "r": "taken"}
    assert [(item.document["_id"], item.index) for item in rejected] == [(2, 1)]
    assert "answered 404 Not Found" in rejected[0].reason
    metadata = rejected[0].document[METADATA_FIELD]
    assert (metadata["source"], metadata["https"]["httpStatusCode"]) == ({"type": "kafka"}, 404)


def reply_of(body: bytes) -> HttpReply:
    return HttpReply(200, "OK", "application/json", "utf-8", body)


@given(st.binary(max_size=60), st.booleans())
def test_no_body_breaks_the_stage(body: bytes, parse: bool) -> None:
    try:
        value_of(reply_of(body), parse_json_strings=parse)
    except Unusable as error:
        assert str(error)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc.", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_through_unchanged_and_parsing_undoes_any_nesting_in_strings(value: Any) -> None:
    body = json.dumps(value).encode()
    assert value_of(reply_of(body), parse_json_strings=False) == value
    parsed = value_of(reply_of(body), parse_json_strings=True)
    if isinstance(value, dict | list):
        nested = json.dumps({"text": json.dumps(value)}).encode()
        assert value_of(reply_of(nested), parse_json_strings=True) == {"text": parsed}


@pytest.mark.parametrize("depth", [150, 900, 5000])
def test_deep_nesting_is_the_replys_fault(depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    for parse in (False, True):
        try:
            value_of(reply_of(body), parse_json_strings=parse)
        except Unusable:
            continue
