"""What `$https` sends: address, parameters, headers, body."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import example, given
from hypothesis import strategies as st

from asp_utils.clients.http import HttpPool, HttpRequest, UnsendableRequest, joined_url
from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.check import check_processor
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.stages.https import SPEC
from asp_utils.engine.stages.https_stage import HttpsStage, open_https
from asp_utils.pipeline.check import check_pipeline

from .conftest import ran

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.context import Surroundings
    from asp_utils.errors import Fault

    from .endpoint import Endpoint

    Build = Callable[..., HttpsStage]


@pytest.mark.proves("$https", "$https.connectionName", "$https.as", "$https.method")
def test_asks_once_for_each_document_and_keeps_their_order(
    https: Build, endpoint: Endpoint
) -> None:
    from .endpoint import ok

    endpoint.answer = lambda seen: ok({"n": int(seen.parameters["n"])})
    stage = https(parameters={"n": "$n"})
    documents, outcome = ran(stage, *({"n": n} for n in range(40)))
    assert documents == [{"n": n, "r": {"n": n}} for n in range(40)]
    assert outcome.failures == []
    assert sorted(int(seen.parameters["n"]) for seen in endpoint.seen) == list(range(40))
    assert {seen.method for seen in endpoint.seen} == {"GET"}
    assert {seen.body for seen in endpoint.seen} == {b""}


def test_no_documents_are_no_requests(https: Build, endpoint: Endpoint) -> None:
    assert ran(https())[0] == []
    assert endpoint.seen == []


@pytest.mark.proves("$https.path")
@pytest.mark.parametrize(
    ("path", "target"),
    [
        (None, "/v1/?fixed=yes"),
        ("forecast", "/v1/forecast?fixed=yes"),
        ("/forecast/", "/v1/forecast/?fixed=yes"),
        ("a b/ü", "/v1/a%20b/%C3%BC?fixed=yes"),
        ("$where", "/v1/berlin?fixed=yes"),
        ({"$concat": ["at/", "$where", "?days=3"]}, "/v1/at/berlin?fixed=yes&days=3"),
        ({"$meta": "stream.source.type"}, "/v1/generated?fixed=yes"),
    ],
)
def test_path_is_appended_to_the_address_of_the_connection(
    https: Build, endpoint: Endpoint, path: Any, target: str
) -> None:
    ran(https(**({"path": path} if path else {})), {"where": "berlin"})
    assert [seen.target for seen in endpoint.seen] == [target]


@pytest.mark.proves("$https.path")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$n", "path must give a string, not 5"),
        ("$absent", "path must give a string, not nothing"),
        ({"$toString": {"$divide": [1, "$zero"]}}, "divide by zero"),
        ({"$concat": ["a", "\n"]}, "give no address"),
    ],
)
def test_a_path_that_is_none_goes_to_the_dead_letters_unasked(
    https: Build, endpoint: Endpoint, path: Any, reason: str
) -> None:
    stage = https(path=path, onError="ignore")
    documents, outcome = ran(stage, {"n": 5, "zero": 0})
    assert documents == []
    assert reason in outcome.failures[0].reason
    assert outcome.failures[0].operator_name == "HttpsOperator"
    assert endpoint.seen == []


@pytest.mark.proves("$https.parameters")
def test_parameters_are_numbers_strings_booleans_and_expressions(
    https: Build, endpoint: Endpoint
) -> None:
    stage = https(
        parameters={
            "text": "a&b=c d/ü",
            "whole": 5,
            "double": 1.5,
            "flag": True,
            "long": {"$multiply": ["$long", 1]},
            "decimal": "$decimal",
            "quotient": {"$divide": [10, 2]},
            "with.dot": {"$arrayElemAt": ["$$ROOT.position", 0]},
            "no": {"$lt": [2, 1]},
            "sum of money": {"$literal": "$5"},
        }
    )
    document = {"long": Int64(2**40), "decimal": Decimal128("1.10"), "position": [22.3]}
    ran(stage, document)
    assert endpoint.seen[0].parameters == {
        "fixed": "yes",
        "text": "a&b=c d/ü",
        "whole": "5",
        "double": "1.5",
        "flag": "true",
        "long": str(2**40),
        "decimal": "1.10",
        "quotient": "5",
        "with.dot": "22.3",
        "no": "false",
        "sum of money": "$5",
    }


@pytest.mark.proves("$https.parameters")
def test_a_parameter_that_is_none_goes_to_the_dead_letters(
    https: Build, endpoint: Endpoint
) -> None:
    stage = https(parameters={"when": "$when"})
    documents, outcome = ran(stage, {"when": 1}, {"when": ["x"]}, {}, {"when": 2})
    assert [document["when"] for document in documents] == [1, 2]
    assert [failure.index for failure in outcome.failures] == [1, 2]
    assert "'when' must be a number, a string or a boolean, not ['x']" in outcome.failures[0].reason
    assert outcome.failures[0].document["when"] == ["x"]
    assert len(endpoint.seen) == 2


@pytest.mark.proves("$https.headers")
def test_headers_of_connection_and_stage(
    https: Build, endpoint: Endpoint, surroundings: Surroundings
) -> None:
    surroundings.connections["api"]["headers"] = {  # type: ignore[index] # a plain dict here
        "Authorization": "Bearer $ecret",
        "X-Team": "from the connection",
        "bad name": "x",
    }
    stage = https(
        headers={
            "x-team": "of the stage",
            "X-Id": {"$toString": "$id"},
            "X-Word": "$word",
            "X-Umlaut": "grün",
            "X Space": "malformed name",
            "X-Break": "two\r\nInjected: lines",
            "X-Computed-Break": {"$concat": ["a", "\n", "b"]},
            "Content-Length": "7",
        }
    )
    documents, _ = ran(stage, {"id": 5, "word": "hello"})
    assert len(documents) == 1
    headers = endpoint.seen[0].headers
    assert headers["Authorization"] == "Bearer $ecret"
    assert headers.get_all("X-Team") == ["of the stage"]
    assert (headers["X-Id"], headers["X-Word"]) == ("5", "hello")
    assert headers["X-Umlaut"].encode("latin-1").decode() == "grün"
    sent = {name.lower() for name in headers}
    ignored = {"bad name", "x space", "x-break", "x-computed-break", "injected", "content-length"}
    assert sent & ignored == set()


@pytest.mark.proves("$https.headers")
def test_a_header_that_is_no_string_goes_to_the_dead_letters_unasked(
    https: Build, endpoint: Endpoint
) -> None:
    stage = https(headers={"X-Id": "$id"}, onError="fail")
    documents, outcome = ran(stage, {"id": "a"}, {"id": 5}, {})
    assert [document["id"] for document in documents] == ["a"]
    assert "the header 'X-Id' must be a string, not 5" in outcome.failures[0].reason
    assert "not nothing" in outcome.failures[1].reason
    assert len(endpoint.seen) == 1


@pytest.mark.proves("$https.method", "$https.payload")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_whole_document_is_sent_as_relaxed_extended_json(
    https: Build, endpoint: Endpoint, method: str
) -> None:
    document = {
        "_id": ObjectId("5f0000000000000000000001"),
        "at": datetime(2026, 1, 20, 14, 30),  # noqa: DTZ001 - BSON dates are naive
        "n": Int64(5),
        "x": 1.5,
    }
    ran(https(method=method), document)
    assert endpoint.seen[0].method == method
    assert endpoint.seen[0].headers["Content-Type"] == "application/json"
    assert endpoint.seen[0].json == {
        "_id": {"$oid": "5f0000000000000000000001"},
        "at": {"$date": "2026-01-20T14:30:00Z"},
        "n": 5,
        "x": 1.5,
    }


@pytest.mark.proves("$https.method")
def test_delete_sends_no_body_unless_there_is_a_payload(https: Build, endpoint: Endpoint) -> None:
    ran(https(method="DELETE"), {"a": 1})
    ran(https(method="DELETE", payload=[{"$project": {"_id": 0, "a": 1}}]), {"_id": 1, "a": 1})
    assert [seen.method for seen in endpoint.seen] == ["DELETE", "DELETE"]
    assert endpoint.seen[0].body == b""
    assert endpoint.seen[1].json == {"a": 1}


@pytest.mark.proves("$https.payload")
def test_payload_makes_the_body(https: Build, endpoint: Endpoint) -> None:
    stage = https(
        method="POST",
        headers={"content-type": "application/x-json"},
        payload=[
            {"$set": {"sum": {"$add": ["$a", "$b"]}}},
            {"$addFields": {"source": {"$meta": "stream.source.type"}}},
            {"$project": {"_id": 0, "message": {"sum": "$sum", "source": "$source"}}},
            {"$replaceRoot": {"newRoot": "$message"}},
        ],
    )
    documents, outcome = ran(stage, {"_id": 1, "a": 1, "b": 2}, {"_id": 2, "a": "x", "b": 1})
    assert [seen.json for seen in endpoint.seen] == [{"sum": 3, "source": "generated"}]
    assert endpoint.seen[0].headers["Content-Type"] == "application/x-json"
    assert documents == [{"_id": 1, "a": 1, "b": 2, "r": {}}]
    assert [failure.document["_id"] for failure in outcome.failures] == [2]


def test_a_connection_without_a_url_is_refused(surroundings: Surroundings) -> None:
    surroundings.connections["api"]["url"] = "example.com"  # type: ignore[index] # a plain dict
    assert SPEC.options is not None
    options = SPEC.options.model_validate({"connectionName": "api", "as": "r"})
    with pytest.raises(ProcessorFailed, match="'api' cannot be used: it must begin with https://"):
        open_https(options, surroundings)  # type: ignore[arg-type] # HttpsOptions


def faults_of(options: dict[str, Any], *, last: bool = False) -> list[Fault]:
    """What the check says of one `$https` stage."""
    pipeline: list[dict[str, Any]] = [
        {"$source": {"documents": []}},
        {"$https": {"connectionName": "api", **options}},
    ]
    if not last:
        into = {"connectionName": "c", "db": "d", "coll": "e"}
        pipeline.append({"$merge": {"into": into}})
    connections = {"api": {"type": "https"}, "c": {"type": "atlas"}}
    return check_pipeline(pipeline, catalogue(), connections)


@pytest.mark.proves("$https.as", "$https.onError", "$https.method", "$https.payload")
@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({}, ".as", "as"),
        ({"as": "a..b"}, ".as", "empty part"),
        ({"as": "r", "onError": "discard"}, ".onError", "ignore"),
        ({"as": "r", "onError": "DLQ"}, ".onError", "dlq"),
        ({"as": "r", "method": "HEAD"}, ".method", "GET"),
        ({"as": "r", "payload": [{"$match": {}}]}, ".payload[0]", "$replaceRoot"),
        ({"as": "r", "parameters": {"a": ["x"]}}, ".parameters.a", "a number"),
        ({"as": "r", "parameters": {"a": {"b": 1}}}, ".parameters.a", "one operator"),
        ({"as": "r", "headers": {"a": 5}}, ".headers.a", "a string"),
        ({"as": "r", "config": {"requestTimeoutSec": 0}}, ".config.requestTimeoutSec", "0"),
    ],
)
def test_faults_name_the_place_and_what_to_write(
    options: dict[str, Any], path: str, words: str
) -> None:
    found = [fault for fault in faults_of(options) if fault.path == f"[1].$https{path}"]
    assert found
    assert words in f"{found[0].message} {found[0].hint}"


def test_expressions_are_parsed_before_a_processor_is_created(mongod: Mongod) -> None:
    wrong = {"$toString": {"$add": {"no": "array", "but": "$$unknown"}}}
    options = {
        "path": wrong,
        "parameters": {"fine": "$a", "p": wrong, "n": 5},
        "headers": {"h": wrong},
        "payload": [{"$project": {"x": wrong}}],
        "as": "r",
    }
    stage: dict[str, Any] = {"$https": {"connectionName": "api", **options}}
    pipeline: list[dict[str, Any]] = [{"$source": {"documents": []}}, stage]
    connections = {"api": {"type": "https"}}
    faults = check_processor(pipeline, {}, connections, mongod.uri, persistent=False)
    places = {fault.path.removeprefix("pipeline[1].$https.").split(".$")[0] for fault in faults}
    assert places >= {"path", "parameters.p", "headers.h", "payload[0]"}
    assert not any("fine" in fault.path or fault.path.endswith(".n") for fault in faults)


@pytest.mark.proves("$https.headers")
def test_headers_that_will_be_left_out_are_warned_of() -> None:
    assert SPEC.warnings is not None
    headers = {"X Y": "a", "X-Break": "a\nb", "Content-Length": "$n", "X-Fine": "$a", "Y": "b"}
    paths = [fault.path for fault in SPEC.warnings({"headers": headers})]
    assert paths == [".headers.X Y", ".headers.X-Break", ".headers.Content-Length"]
    assert list(SPEC.warnings({})) == []


@pytest.mark.proves("$https")
def test_may_end_a_pipeline_and_then_needs_no_as() -> None:
    assert faults_of({"method": "POST"}, last=True) == []


@given(
    path=st.text(st.characters(exclude_categories=["C"], exclude_characters="?#%"), max_size=20),
    parameters=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=10), max_size=3),
)
@example(path="..", parameters={"&": "=+ %41"})
def test_any_text_survives_as_parameter_and_none_leaves_the_host(
    path: str, parameters: dict[str, str]
) -> None:
    try:
        url = joined_url("https://example.com/base?k=1", path, parameters)
    except UnsendableRequest:
        return
    parts = urlsplit(url)
    assert parts.netloc == "example.com"
    found = parse_qsl(parts.query, keep_blank_values=True)
    assert found == [("k", "1"), *parameters.items()]


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "https://", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UnsendableRequest):
        joined_url(url, "", {})


def test_a_host_name_that_cannot_be_is_the_requests_own_fault() -> None:
    pool = HttpPool(1, 1, 1)
    with pytest.raises(UnsendableRequest):
        pool.send(HttpRequest("GET", f"http://{'a' * 70}.com/"))
    pool.close()
