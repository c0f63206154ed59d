"""AWS on loopback: moto's server for S3 and Kinesis, a service of our own for Lambda."""

from __future__ import annotations

import logging
import threading
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.loaders import JSONFileLoader

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from tests.aws import kinesis_service as kinesis_stand_in
from tests.aws.lambda_service import LambdaService, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

START_MS = 1_700_000_000_000
KEYS = {"accessKeyId": "tester", "secretAccessKey": "secret"}


@pytest.fixture(scope="session", autouse=True)
def _read_once() -> Iterator[None]:
    """Botocore reads its large files once for all clients of the tests, not once for each."""
    read = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Where moto answers."""
    with warnings.catch_warnings():
        # Moto's own dependencies use what is deprecated.
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: str, url: str, region: str = "us-east-1") -> Any:
    """boto3's own client."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="tester",
        aws_secret_access_key="secret",
    )


@pytest.fixture
def s3(moto_url: str) -> Iterator[Any]:
    """boto3's own client of S3."""
    made = client("s3", moto_url)
    yield made
    made.close()


@pytest.fixture
def kinesis(moto_url: str) -> Iterator[Any]:
    """boto3's own client of Kinesis."""
    made = client("kinesis", moto_url)
    yield made
    made.close()


@pytest.fixture
def lambdas() -> Iterator[LambdaService]:
    """A Lambda service without functions."""
    yield from serve(LambdaService())


@pytest.fixture
def kinesis_service() -> Iterator[kinesis_stand_in.KinesisService]:
    """A Kinesis that may refuse records."""
    yield from kinesis_stand_in.serve(kinesis_stand_in.KinesisService())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
def connections(moto_url: str) -> Document:
    """Connections `bucket_store` and `stream_store`."""
    return {
        "bucket_store": {"type": "s3", "endpointUrl": moto_url, **KEYS},
        "stream_store": {"type": "awskinesisdatastreams", "endpointUrl": moto_url, **KEYS},
    }


@pytest.fixture
def surroundings(
    evaluator: Evaluator, clock: ManualClock, connections: Document
) -> Callable[..., Surroundings]:
    """A factory; further connections may be given."""

    def build(**more: Any) -> Surroundings:
        known = {**connections, **more}
        return Surroundings("tested", known, evaluator, clock, threading.Event())

    return build
