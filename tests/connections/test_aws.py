"""Trying out what is AWS, at stand-ins on loopback; and what cannot be tried from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.connections.conftest import SECRET
from tests.enrich.endpoint import Reply

if TYPE_CHECKING:
    from tests.connections.conftest import Try
    from tests.enrich.endpoint import Endpoint

pytestmark = pytest.mark.xdist_group("connections")

ROLE = "arn:aws:iam::123456789012:role/r"
AZURE = {"servicePrincipalId": "p", "storageAccountName": "s"}
MSK = {"bootstrapServers": "b:1", "authentication": {"aws": {"roleArn": ROLE}}}


def aws(kind: str, url: str, **more: Any) -> dict[str, Any]:
    keys = {"region": "us-east-1", "accessKeyId": "me", "secretAccessKey": SECRET}
    return {"name": "a", "type": kind, "endpointUrl": url, **keys, **more}


def test_a_bucket(attempt: Try, moto_url: str, s3: Any) -> None:
    s3.create_bucket(Bucket="tried-out")
    store = aws("S3", moto_url, aws={"roleArn": ROLE, "testBucket": "tried-out"})
    found = attempt(store)
    assert found["ok"] is True
    assert found["steps"] == {"resolve": True, "connect": True, "bucket": True, "role": None}
    assert attempt(aws("S3", moto_url))["checks"][-1]["message"].startswith("there are ")
    missing = attempt(store, bucket="never-there")
    assert (missing["exit"], missing["steps"]["bucket"]) == (66, False)


def test_a_stream(attempt: Try, moto_url: str, kinesis: Any) -> None:
    kinesis.create_stream(StreamName="tried", ShardCount=1)
    stream = aws("AWSKinesisDataStreams", moto_url)
    assert "'tried' is ACTIVE" in attempt(stream, stream="tried")["checks"][-1]["message"]
    assert attempt(stream)["ok"] is True
    assert attempt(stream, stream="nope")["exit"] == 66


def answering(endpoint: Endpoint, status: int, kind: str = "") -> None:
    headers = {"X-Amzn-ErrorType": kind} if kind else {}
    endpoint.answer = lambda _: Reply(b'{"Message": "said"}', status, headers=headers)


def test_a_function_is_checked_and_not_called(attempt: Try, endpoint: Endpoint) -> None:
    answering(endpoint, 204)
    endpoint.answer = lambda _: Reply(b"", 204)
    found = attempt(aws("AWSLambda", endpoint.url), function="f")
    assert found["ok"] is True
    assert endpoint.seen[0].headers["X-Amz-Invocation-Type"] == "DryRun"
    assert endpoint.seen[0].path.endswith("/functions/f/invocations")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "ResourceNotFoundException", 66),
        (403, "AccessDeniedException", 77),
        (403, "InvalidSignatureException", 77),
        (400, "UnrecognizedClientException", 77),
        (429, "TooManyRequestsException", 75),
        (500, "ServiceException", 75),
        (400, "ValidationException", 76),
    ],
)
def test_refusals_of_aws(
    attempt: Try, endpoint: Endpoint, status: int, kind: str, code: int
) -> None:
    answering(endpoint, status, kind)
    found = attempt(aws("AWSLambda", endpoint.url), function="f")
    assert (found["exit"], found["steps"]["function"]) == (code, False)


def test_an_endpoint_that_refuses(attempt: Try, closed_port: int) -> None:
    found = attempt(aws("S3", f"http://127.0.0.1:{closed_port}"))
    assert (found["exit"], found["steps"]) == (69, {"resolve": True, "connect": False})


@pytest.mark.parametrize(
    "connection",
    [
        {"name": "a", "type": "AzureBlobStorage", "azure": AZURE},
        {"name": "g", "type": "GCPPubSub", "gcp": {"serviceAccountId": "s"}},
        {"name": "k", "type": "Kafka", **MSK},
    ],
)
def test_what_only_atlas_can_reach_is_said(attempt: Try, connection: dict[str, Any]) -> None:
    found = attempt(connection, target="atlas")
    assert (found["exit"], found["ok"]) == (0, None)
    assert list(found["steps"].values()) == [None]
    assert found["checks"][0]["hint"] == "store it, and look at its state"


def test_a_sample_is_known_or_not(attempt: Try) -> None:
    assert attempt({"name": "samplestock", "type": "Sample"})["ok"] is True
    assert attempt({"name": "nope", "type": "Sample"})["exit"] == 64
