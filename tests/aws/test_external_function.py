"""`$externalFunction`: a Lambda function for every document, in a pipeline and at its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from asp_utils.engine.check import check_processor
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.stages.external_function import SPEC
from asp_utils.engine.stages.external_function_options import ExternalFunctionOptions
from asp_utils.engine.stages.external_function_stage import (
    ExternalFunctionStage,
    open_external_function,
    open_external_function_sink,
)
from asp_utils.pipeline.grammar import option_faults
from asp_utils.units import datetime_of
from tests.aws.conftest import KEYS, START_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.clock import ManualClock
    from asp_utils.engine.context import Surroundings
    from tests.aws.lambda_service import LambdaService

    Document = dict[str, Any]
    Open = Callable[..., ExternalFunctionStage]


@pytest.fixture
def connection(lambdas: LambdaService) -> Document:
    return {"functions": {"type": "awslambda", "endpointUrl": lambdas.url, **KEYS}}


@pytest.fixture
def opened(surroundings: Callable[..., Surroundings], connection: Document) -> Iterator[Open]:
    """Opens stages; the answer goes to `r` unless `as` says otherwise."""
    made: list[ExternalFunctionStage] = []

    def build(**options: Any) -> ExternalFunctionStage:
        given = {"connectionName": "functions", "functionName": "double", "as": "r", **options}
        parsed = ExternalFunctionOptions.model_validate(given)
        made.append(open_external_function(parsed, surroundings(**connection)))
        return made[-1]

    yield build
    for stage in made:
        stage.close()


def doubling(event: Any) -> Any:
    return {"twice": event["n"] * 2}


@pytest.mark.proves(
    "$externalFunction", "$externalFunction.connectionName", "$externalFunction.functionName",
    "$externalFunction.as",
)  # fmt: skip
def test_answers_go_into_their_documents(
    rig: Callable[..., Any], lambdas: LambdaService, connection: Document
) -> None:
    lambdas.functions["double"] = doubling
    made = rig(
        [
            {"$source": {"documents": [{"n": 1}, {"n": 2}]}},
            {
                "$externalFunction": {
                    "connectionName": "functions",
                    "functionName": "double",
                    "as": "found.here",
                }
            },
            {"$match": {"found.here.twice": {"$gt": 2}}},
        ],
        connections=connection,
    ).drain()
    assert made.output == [{"n": 2, "found": {"here": {"twice": 4}}}]
    assert [(call.kind, call.event) for call in lambdas.calls] == [
        ("RequestResponse", {"n": 1}),
        ("RequestResponse", {"n": 2}),
    ]


def test_inside_a_window(
    rig: Callable[..., Any], lambdas: LambdaService, connection: Document
) -> None:
    lambdas.functions["double"] = doubling
    call = {"connectionName": "functions", "functionName": "double", "as": "r"}
    group: Document = {"$group": {"_id": None, "n": {"$sum": "$n"}}}
    window = {
        "boundary": "processingTime",
        "interval": {"size": 1, "unit": "second"},
        "pipeline": [group, {"$externalFunction": call}],
    }
    made = rig(
        [{"$source": {"documents": [{"n": 1}, {"n": 2}]}}, {"$tumblingWindow": window}],
        connections=connection,
    ).drain()
    assert made.output == [{"_id": None, "n": 3, "r": {"twice": 6}}]


@pytest.mark.proves("$externalFunction.functionName")
def test_an_arn_names_function_and_region(opened: Open, lambdas: LambdaService) -> None:
    arn = "arn:aws:lambda:eu-west-3:123456789012:function:double"
    lambdas.functions[arn] = doubling
    assert opened(functionName=arn).process([{"n": 1}], None).documents == [
        {"n": 1, "r": {"twice": 2}}
    ]
    assert [(call.function, call.region) for call in lambdas.calls] == [(arn, "eu-west-3")]


def test_extended_json_goes_out_and_comes_back(opened: Open, lambdas: LambdaService) -> None:
    number = ObjectId()
    lambdas.functions["double"] = lambda event: [event["_id"], event["at"], 1.5, None]
    outcome = opened().process([{"_id": number, "at": datetime_of(0)}], None)
    assert outcome.documents[0]["r"] == [number, datetime_of(0), 1.5, None]
    assert lambdas.calls[0].event == {
        "_id": {"$oid": str(number)},
        "at": {"$date": "1970-01-01T00:00:00Z"},
    }


@pytest.mark.parametrize(
    ("returned", "expected"),
    [(b"", {"n": 1}), (b"null", {"n": 1, "r": None}), (b'"text"', {"n": 1, "r": "text"})],
)
def test_any_json_is_an_answer_and_nothing_is_none(
    opened: Open, lambdas: LambdaService, returned: bytes, expected: Document
) -> None:
    lambdas.functions["double"] = lambda _: returned
    assert opened().process([{"n": 1}], None).documents == [expected]


@pytest.mark.parametrize("on_error", ["dlq", "ignore", "fail"])
@pytest.mark.parametrize("returned", [b"{", b"\xff", b"18446744073709551615", b'{"$date": "no"}'])
def test_an_answer_that_cannot_be_converted_goes_to_the_dead_letters_always(
    opened: Open, lambdas: LambdaService, on_error: str, returned: bytes
) -> None:
    lambdas.functions["double"] = lambda event: returned if event["n"] == 1 else 5
    outcome = opened(onError=on_error).process([{"n": 1}, {"n": 2}], None)
    assert outcome.documents == [{"n": 2, "r": 5}]
    (failure,) = outcome.failures
    assert (failure.index, failure.document) == (0, {"n": 1})
    assert "cannot be converted" in failure.reason


@pytest.mark.proves("$externalFunction.onError")
def test_on_error(opened: Open, lambdas: LambdaService) -> None:
    def picky(event: Any) -> Any:
        if event["n"] == 1:
            raise ValueError("not this one")
        return "fine"

    lambdas.functions["double"] = picky
    reason = "$externalFunction 'double' raised (Unhandled): ValueError: not this one"
    for options in ({}, {"onError": "dlq"}):
        outcome = opened(**options).process([{"n": 1}, {"n": 2}], None)
        assert outcome.documents == [{"n": 2, "r": "fine"}]
        (failure,) = outcome.failures
        assert (failure.index, failure.document, failure.reason) == (0, {"n": 1}, reason)
        assert failure.operator_name == "ExternalFunctionOperator"
    outcome = opened(onError="ignore").process([{"n": 1}, {"n": 2}], None)
    assert outcome.documents == [{"n": 1}, {"n": 2, "r": "fine"}]
    assert outcome.failures == []
    with pytest.raises(ProcessorFailed) as failed:
        opened(onError="fail").process([{"n": 2}, {"n": 1}], None)
    assert (failed.value.code, failed.value.message, failed.value.retryable) == (
        440, reason, False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "ResourceNotFoundException"),
        (413, "RequestTooLargeException"),
        (400, "InvalidRequestContentException"),
    ],
)
def test_a_refused_request_is_the_matter_of_its_document(
    opened: Open, lambdas: LambdaService, status: int, kind: str
) -> None:
    lambdas.functions["double"] = doubling
    stage = opened()
    lambdas.refusals = [(status, kind)]
    outcome = stage.process([{"n": 1}, {"n": 2}], None)
    assert outcome.documents == [{"n": 2, "r": {"twice": 4}}]
    assert kind in outcome.failures[0].reason


def test_what_may_pass_is_tried_again(
    opened: Open, lambdas: LambdaService, clock: ManualClock
) -> None:
    lambdas.functions["double"] = doubling
    stage = opened()
    lambdas.refusals = [
        (429, "TooManyRequestsException"), (500, "ServiceException"), (502, "EC2ThrottledException")
    ]  # fmt: skip
    assert stage.process([{"n": 1}], None).documents == [{"n": 1, "r": {"twice": 2}}]
    assert clock.now_ms() == START_MS + 100 + 200 + 400


@pytest.mark.parametrize(
    ("status", "kind", "count"),
    [(429, "TooManyRequestsException", 6), (403, "AccessDeniedException", 1)],
)
@pytest.mark.parametrize("on_error", ["dlq", "ignore"])
def test_what_does_not_pass_fails_the_processor(
    opened: Open, lambdas: LambdaService, status: int, kind: str, count: int, on_error: str
) -> None:
    lambdas.functions["double"] = doubling
    stage = opened(onError=on_error)
    lambdas.refusals = [(status, kind)] * 10
    with pytest.raises(ProcessorFailed, match=kind) as failed:
        stage.process([{"n": 1}], None)
    assert (failed.value.code, failed.value.retryable) == (440, True)
    assert len(lambdas.calls) == count


def test_a_stop_ends_the_attempts(
    surroundings: Callable[..., Surroundings], connection: Document, lambdas: LambdaService
) -> None:
    lambdas.functions["double"] = doubling
    given = {"connectionName": "functions", "functionName": "double", "as": "r"}
    around = surroundings(**connection)
    stage = open_external_function(ExternalFunctionOptions.model_validate(given), around)
    around.stopping.set()
    lambdas.refusals = [(429, "TooManyRequestsException")] * 10
    with pytest.raises(ProcessorFailed):
        stage.process([{"n": 1}], None)
    assert len(lambdas.calls) == 1
    stage.close()


def test_an_endpoint_that_does_not_answer(surroundings: Callable[..., Surroundings]) -> None:
    gone = {"type": "awslambda", "endpointUrl": "http://127.0.0.1:1", **KEYS}
    given = {"connectionName": "gone", "functionName": "f", "as": "r"}
    with pytest.raises(ProcessorFailed) as failed:
        open_external_function(
            ExternalFunctionOptions.model_validate(given), surroundings(gone=gone)
        )
    assert (failed.value.code, failed.value.code_name, failed.value.retryable) == (
        440, "StreamProcessorExternalFunctionConnectionError", True
    )  # fmt: skip


@pytest.mark.parametrize("offers_configuration", [True, False])
def test_a_slow_function_is_waited_for_as_long_as_it_may_run(
    opened: Open, lambdas: LambdaService, offers_configuration: bool
) -> None:
    lambdas.functions["double"] = doubling
    lambdas.timeout_s = 600
    lambdas.offers_configuration = offers_configuration
    stage = opened()
    timeout_s = stage._calls._function._calls._client._client.meta.config.read_timeout
    assert timeout_s == (610 if offers_configuration else 910)


@pytest.mark.proves("$externalFunction.payload")
def test_a_payload_of_its_own(
    rig: Callable[..., Any], lambdas: LambdaService, connection: Document
) -> None:
    lambdas.functions["echo"] = lambda event: event
    payload = [
        {"$replaceRoot": {"newRoot": "$full"}},
        {"$addFields": {"sum": {"$sum": "$values"}, "kind": {"$meta": "stream.source.type"}}},
        {"$set": {"root": "$$ROOT"}},
        {"$project": {"sum": 1, "kind": 1, "root": 1}},
    ]
    call = {"connectionName": "functions", "functionName": "echo", "as": "r", "payload": payload}
    documents = [{"full": {"values": [1, 2]}}, {"full": 5}, {"full": {"values": []}}]
    made = rig(
        [{"$source": {"documents": documents}}, {"$externalFunction": call}, {"$match": {}}],
        connections=connection,
    ).drain()
    root = {"values": [1, 2], "sum": 3, "kind": "generated"}
    assert [document["r"] for document in made.output] == [
        {"sum": 3, "kind": "generated", "root": root},
        {"sum": 0, "kind": "generated", "root": {**root, "values": [], "sum": 0}},
    ]
    assert [document["full"] for document in made.output] == [{"values": [1, 2]}, {"values": []}]
    (letter,) = made.dead
    assert letter["doc"] == {"full": 5}
    assert letter["operatorName"] == "ExternalFunctionOperator"


@pytest.mark.parametrize("on_error", ["dlq", "ignore", "fail"])
def test_a_payload_that_fails_goes_to_the_dead_letters_always(
    opened: Open, lambdas: LambdaService, on_error: str
) -> None:
    lambdas.functions["double"] = doubling
    stage = opened(onError=on_error, payload=[{"$set": {"n": {"$divide": [4, "$n"]}}}])
    outcome = stage.process([{"n": 0}, {"n": 2}], None)
    assert outcome.documents == [{"n": 2, "r": {"twice": 4.0}}]
    assert [(failure.index, failure.document) for failure in outcome.failures] == [(0, {"n": 0})]
    assert len(lambdas.calls) == 1


@pytest.mark.proves("$externalFunction.parallelism")
def test_calls_are_made_side_by_side_and_documents_keep_their_order(
    opened: Open, lambdas: LambdaService
) -> None:
    together = threading.Barrier(3)

    def waiting(event: Any) -> Any:
        together.wait(10)
        return event["n"]

    lambdas.functions["double"] = waiting
    outcome = opened(parallelism=3).process([{"n": n} for n in range(9)], None)
    assert outcome.documents == [{"n": n, "r": n} for n in range(9)]


@pytest.mark.proves("$externalFunction.partitionBy")
def test_documents_of_one_key_are_called_for_in_their_order(
    opened: Open, lambdas: LambdaService
) -> None:
    lambdas.functions["double"] = lambda event: event["n"]
    key = {"$toString": {"$trunc": {"$divide": ["$n", "$d"]}}}
    documents = [{"n": n, "d": 10} for n in range(40)] + [{"n": 40, "d": 0}]
    outcome = opened(parallelism=4, partitionBy=key).process(documents, None)
    assert [d["n"] for d in outcome.documents] == list(range(40))
    assert [failure.index for failure in outcome.failures] == [40]
    for ten in range(4):
        asked = [c.event["n"] for c in lambdas.calls if c.event["n"] // 10 == ten]
        assert asked == sorted(asked)
        assert len(asked) == 10


@pytest.mark.proves("$externalFunction.execution")
def test_an_asynchronous_call_waits_for_nothing(opened: Open, lambdas: LambdaService) -> None:
    lambdas.functions["double"] = lambda _: pytest.fail("nobody runs it")
    given = {"connectionName": "functions", "functionName": "double", "execution": "async"}
    stage = opened(**given, **{"as": None})
    assert stage.process([{"n": 1}, {"n": 2}], None).documents == [{"n": 1}, {"n": 2}]
    assert [(call.kind, call.event["n"]) for call in lambdas.calls] == [("Event", 1), ("Event", 2)]
    lambdas.refusals = [(413, "RequestTooLargeException")]
    outcome = stage.process([{"n": 3}], None)
    assert [failure.index for failure in outcome.failures] == [0]


@pytest.mark.proves("$externalFunction", "$externalFunction.execution")
def test_at_the_end_of_a_pipeline(
    rig: Callable[..., Any], lambdas: LambdaService, connection: Document
) -> None:
    lambdas.functions["keep"] = doubling
    call = {
        "connectionName": "functions",
        "functionName": "keep",
        "execution": "async",
        "payload": [{"$project": {"n": 1}}],
    }
    documents = [{"n": 1, "x": 1}, {"n": 2}]
    made = rig(
        [{"$source": {"documents": documents}}, {"$externalFunction": call}],
        connections=connection,
    )
    lambdas.refusals = [(400, "InvalidRequestContentException")]
    made.drain()
    assert [(call.kind, call.event) for call in lambdas.calls] == [
        ("Event", {"n": 1}),
        ("Event", {"n": 2}),
    ]
    assert made.output == [{"n": 2}]
    assert [letter["doc"] for letter in made.dead] == [{"n": 1, "x": 1}]


def test_a_sink_that_would_wait_is_refused(
    surroundings: Callable[..., Surroundings], connection: Document
) -> None:
    given = {"connectionName": "functions", "functionName": "f", "as": "r"}
    with pytest.raises(ProcessorFailed, match="execution async") as failed:
        open_external_function_sink(
            ExternalFunctionOptions.model_validate(given), surroundings(**connection)
        )
    assert failed.value.code == 420


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"execution": "async", "as": "r"}, ".as"),
        ({"execution": "async", "parallelism": 2}, ".parallelism"),
        ({"execution": "async", "partitionBy": "$k"}, ".partitionBy"),
        ({"as": "r", "partitionBy": "$k"}, ".partitionBy"),
        ({"as": "$r"}, ".as"),
        ({"as": "a..b"}, ".as"),
        ({"as": "r", "parallelism": 0}, ".parallelism"),
        ({"as": "r", "onError": "discard"}, ".onError"),
        ({"as": "r", "payload": [{"$project": {"a": 1}}, {"$match": {}}]}, ".payload[1]"),
        ({"as": "r", "execution": "later"}, ".execution"),
    ],
)
def test_rules(changed: Document, path: str) -> None:
    given = {"connectionName": "c", "functionName": "f", **changed}
    assert [fault.path for fault in option_faults(ExternalFunctionOptions, given, "")] == [path]


def test_a_checked_pipeline_names_what_mongod_cannot_parse(
    mongod: Mongod, connection: Document
) -> None:
    call = {
        "connectionName": "functions",
        "functionName": "f",
        "as": "r",
        "parallelism": 2,
        "partitionBy": {"$nothing": 1},
        "payload": [{"$set": {"a": {"$nothing": 1}}}],
    }
    pipeline = [
        {"$source": {"documents": []}},
        {"$externalFunction": call},
        {"$merge": {"into": {"connectionName": "c", "db": "d", "coll": "c"}}},
    ]
    known = {**connection, "c": {"type": "atlas", "uri": mongod.uri}}
    faults = check_processor(pipeline, {}, known, mongod.uri)
    assert {fault.path.split("$externalFunction")[1].split(".$")[0] for fault in faults} == {
        ".partitionBy",
        ".payload[0]",
    }
    assert SPEC.ends
