"""What the AWS stages share: lanes, field paths, growing files, the client's errors."""

from __future__ import annotations

import builtins
import threading
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.clients.aws import AwsClient
from asp_utils.engine.aws.object_files import GrowingFiles, Limits
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.field_path import set_at
from asp_utils.engine.lanes import Lanes
from asp_utils.engine.sinks.emit_s3_options import S3Options
from asp_utils.engine.sinks.emit_s3_sink import open_s3
from asp_utils.errors import PermissionDenied, UnexpectedReply
from tests.aws.conftest import KEYS, START_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    from asp_utils.engine.context import Surroundings
    from tests.aws.lambda_service import LambdaService

    Document = dict[str, Any]


def test_equal_keys_share_a_lane() -> None:
    lanes = Lanes(7)
    keys = [1, 1.0, Int64(1), True, "a", "a", {"x": [1]}, {"x": [1]}, None, None]
    found = lanes.assign(keys, len(keys))
    assert found[0] == found[1] == found[2]
    assert found[4:10:2] == found[5:10:2]
    lanes.close()


def test_the_first_exception_ends_all_lanes() -> None:
    lanes = Lanes(2)
    done: list[int] = []
    failed = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            failed.set()
            raise ValueError("broken")
        failed.wait(10)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="broken"):
        lanes.run(work, list(range(1000)), lanes.assign(None, 1000))
    assert len(done) < 500
    lanes.close()


@given(st.lists(st.integers(0, 3)), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(keys: list[int], count: int) -> None:
    lanes = Lanes(count)
    assert lanes.run(lambda item: item * 2, keys, lanes.assign(keys, len(keys))) == [
        key * 2 for key in keys
    ]
    lanes.close()


FIELDS = st.sampled_from(["a", "b"])
VALUES = st.recursive(
    st.sampled_from([1, "s", None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=2),
    max_leaves=5,
)


def test_a_field_is_set_as_add_fields_does(cluster: MongoClient[Any], database: str) -> None:
    coll = cluster[database]["documents"]

    @given(st.dictionaries(FIELDS, VALUES, max_size=2), st.lists(FIELDS, min_size=1, max_size=3))
    def check(document: Document, path: list[str]) -> None:
        coll.replace_one({"_id": 1}, document, upsert=True)
        stages = [{"$addFields": {".".join(path): 9}}]
        (expected,) = coll.aggregate(stages)
        found = {"_id": 1, **document}
        set_at(found, ".".join(path), 9)
        assert found == expected

    check()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["x", "y"]), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.integers(0, 50)),
        st.tuples(st.just("restart")),
    ),
    max_size=60,
)


@given(STEPS, st.one_of(st.none(), st.integers(1, 5)), st.integers(1, 60))
def test_whatever_happens_every_document_is_in_one_file(
    steps: list[Any], count: int | None, size_bytes: int
) -> None:
    now_ms, written, added = START_MS, dict[str, list[bytes]](), list[bytes]()

    def fresh() -> GrowingFiles:
        return GrowingFiles("p", now_ms, Limits(count, size_bytes, 100), b"\n", "")

    files = fresh()

    def put(*closed: Any) -> None:
        for file in closed:
            assert file.key not in written
            written[file.key] = bytes(file.text).split(b"\n")
            assert file.count == len(written[file.key]) <= (count or 1000)

    for step in steps:
        match step:
            case ("add", path, lane):
                added.append(b"%d" % len(added))
                full = files.add(("bucket", path), lane, added[-1], 10, now_ms)
                put(*([full] if full else []))
            case ("wait", span_ms):
                now_ms += span_ms
                put(*files.take_due(now_ms))
            case _:
                kept = list(files.snapshot())
                files = fresh()
                files.restore(kept)
                assert list(files.snapshot()) == kept
    put(*files.take_all())
    assert sorted((d for content in written.values() for d in content), key=int) == added
    # Keys sort in the order in which their files were opened.
    first = [int(written[key][0]) for key in sorted(written) if key.startswith("x/")]
    assert first == sorted(first)


def test_credentials_region_and_token_come_from_the_connection(
    lambdas: LambdaService, monkeypatch: pytest.MonkeyPatch
) -> None:
    lambdas.functions["f"] = lambda event: event
    connection = {"endpointUrl": lambdas.url, "region": "ap-south-1", **KEYS}
    made = AwsClient("lambda", {**connection, "sessionToken": "t"})
    assert made.call("invoke", FunctionName="f", Payload=b"1")["Payload"] == b"1"
    assert lambdas.calls[0].region == "ap-south-1"
    assert "Security-Token" in " ".join(lambdas.calls[0].headers).title()
    made.close()


def test_a_stand_in_needs_neither_credentials_nor_region(
    lambdas: LambdaService, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    lambdas.functions["f"] = lambda event: event
    made = AwsClient("lambda", {"endpointUrl": lambdas.url})
    assert made.call("invoke", FunctionName="f", Payload=b"1")["StatusCode"] == 200
    made.close()
    with pytest.raises(UnexpectedReply, match="region"):
        AwsClient("lambda", {})
    real = AwsClient("lambda", {"region": "us-east-1"})
    with pytest.raises(PermissionDenied, match="credentials"):
        real.call("invoke", FunctionName="f", Payload=b"1")
    real.close()


def test_an_expired_token_has_a_code_of_its_own(
    surroundings: Callable[..., Surroundings], lambdas: LambdaService
) -> None:
    made = AwsClient("lambda", {"endpointUrl": lambdas.url, **KEYS})
    lambdas.refusals = [(403, "ExpiredTokenException")]
    with pytest.raises(PermissionDenied) as denied:
        made.call("invoke", FunctionName="f", Payload=b"1")
    assert denied.value.details == {
        "code": "ExpiredTokenException", "status": 403, "expired": True
    }  # fmt: skip
    made.close()


def test_an_unusable_endpoint_is_named(surroundings: Callable[..., Surroundings]) -> None:
    around = surroundings(odd={"type": "s3", "endpointUrl": "no url", **KEYS})
    options = S3Options.model_validate({"connectionName": "odd", "bucket": "b-1", "path": "p"})
    with pytest.raises(ProcessorFailed, match="no url") as failed:
        open_s3(options, around)
    assert (failed.value.code, failed.value.retryable) == (444, False)


@pytest.mark.parametrize(("package", "compression"), [("boto3", "none"), ("cramjam", "snappy")])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    surroundings: Callable[..., Surroundings],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    compression: str,
) -> None:
    load = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return load(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    given = {"connectionName": "bucket_store", "bucket": "b-1", "path": "p"}
    options = S3Options.model_validate({**given, "config": {"compression": compression}})
    with pytest.raises(ProcessorFailed, match=r"pip install 'asp-toolkit\[aws\]'") as failed:
        open_s3(options, surroundings())
    assert (failed.value.code, failed.value.retryable) == (420, False)
