"""Confluent's REST API when it does not do as asked: what is said, and what was sent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.context import Context
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    EnvironmentMissing,
    NotFound,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)
from asp_utils.operations.kafka import kafka_consume, kafka_produce
from asp_utils.operations.topics import topic_create, topic_describe, topic_list
from tests.kafka_operations.confluent_fake import SECRET, Answer, ConfluentFake

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka_broker import Broker


def refused(status: int, code: int | None = None, after: str | None = None) -> Answer:
    body = {"error_code": code or status, "message": "because"}
    headers = {"Retry-After": after} if after else {}
    return Answer(status, json.dumps(body).encode(), headers)


def changed(parameter: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"rest": {**parameter["rest"], **fields}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(400, 40002), ConfigInvalid),
        (refused(401, 40101), PermissionDenied),
        (refused(403, 40301), PermissionDenied),
        (refused(404), NotFound),
        (refused(429), Temporary),
        (refused(500, 50003), Temporary),
        (Answer(503, b"<html>busy</html>"), Temporary),
        (Answer(401, b""), PermissionDenied),
        (Answer(404, b"<html>not here</html>"), UnexpectedReply),
        (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), UnexpectedReply),
        (Answer(409, b'{"error_code": 409, "message": "twice"}'), AspError),
        (Answer(418, b'{"error_code": 418, "message": "tea"}'), UnexpectedReply),
        (Answer(body=None), UnexpectedReply),
    ],
)
def test_a_change_that_fails_is_sent_once(
    ctx: Context, confluent: ConfluentFake, answer: Answer, kind: type[AspError]
) -> None:
    confluent.script.append(answer)
    with pytest.raises(kind) as caught:
        topic_create(ctx, confluent.parameter, "never")
    assert len(confluent.requests) == 1
    assert SECRET not in json.dumps(caught.value.to_json())
    if answer.body is None:
        assert "whether the change was carried out is not known" in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b""),
        Answer(200, b"[]"),
        Answer(200, b'{"data": 5}'),
        Answer(200, b'{"data": [5]}'),
        Answer(200, b'{"data": [{"topic_name": "t"}]}'),
        Answer(200, b"<html>log in</html>"),
        Answer(200, b'{"data": [', cut=True),
        Answer(200, b"junk", {"Content-Encoding": "gzip"}),
        Answer(204, b""),
        Answer(200, b'{"data": [], "metadata": {"next": "https://elsewhere.example/x"}}'),
    ],
)
def test_an_answer_that_cannot_be_trusted(
    ctx: Context, confluent: ConfluentFake, answer: Answer
) -> None:
    confluent.script.append(answer)
    with pytest.raises(UnexpectedReply) as caught:
        topic_list(ctx, confluent.parameter)
    assert int(caught.value.exit_code) == 76
    assert len(confluent.requests) == 1


def test_reading_waits_as_it_is_told_and_asks_again(
    ctx: Context, confluent: ConfluentFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def wait(_: Context, seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr(Context, "wait", wait)
    confluent.script += [refused(429, after="7"), refused(503), refused(500)]
    assert topic_list(ctx, confluent.parameter)["topics"] is not None
    assert waited[0] == 7
    assert all(0 < seconds < 4 for seconds in waited[1:])
    del waited[:]
    confluent.script += [refused(429, after="3600")]
    began_s = time.monotonic()
    with pytest.raises(Temporary) as caught:
        topic_list(ctx, confluent.parameter)
    assert (caught.value.details["retry_after_s"], waited) == (3600, [])
    assert time.monotonic() - began_s < 5


def test_a_wrong_secret_or_cluster(ctx: Context, confluent: ConfluentFake) -> None:
    with pytest.raises(PermissionDenied) as denied:
        topic_list(ctx, changed(confluent.parameter, api_secret="guess"))
    assert "40101" in denied.value.message
    assert "guess" not in json.dumps(denied.value.to_json())
    with pytest.raises(NotFound) as missing:
        topic_describe(ctx, changed(confluent.parameter, cluster_id="lkc-other"), "t")
    assert "cluster_id" in missing.value.hint


def test_an_endpoint_that_is_none(ctx: Context, confluent: ConfluentFake, tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as nobody:
        topic_list(ctx, changed(confluent.parameter, endpoint="http://127.0.0.1:1"))
    assert "endpoint" in nobody.value.hint
    tls = confluent.parameter["rest"]["endpoint"].replace("http:", "https:")
    with pytest.raises(Unreachable) as plain:
        topic_list(ctx, changed(confluent.parameter, endpoint=tls))
    assert "TLS" in plain.value.hint, plain.value.message
    for name in ("none.pem", "bad.pem"):
        (tmp_path / "bad.pem").write_text("no certificate")
        with pytest.raises(EnvironmentMissing):
            topic_list(ctx, changed(confluent.parameter, ca_file=str(tmp_path / name)))


def test_an_own_authority(ctx: Context, real_kafka: Broker, tmp_path: Path) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    fake = ConfluentFake(real_kafka.bootstrap)
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    with fake:
        tls = fake.parameter["rest"]["endpoint"].replace("http:", "https:")
        trusted = changed(fake.parameter, endpoint=tls, ca_file=str(tmp_path / "ca.pem"))
        with pytest.raises(NotFound):
            topic_describe(ctx, trusted, "nowhere")
        with pytest.raises(Unreachable) as caught:
            topic_list(ctx, changed(fake.parameter, endpoint=tls))
    assert "ca_file" in caught.value.hint


def test_a_server_that_never_answers(ctx: Context) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        rest = {"endpoint": endpoint, "cluster_id": "c", "api_key": "k", "api_secret": "s"}
        with pytest.raises(TimedOut) as caught:
            topic_create(ctx, {"rest": rest}, "t", timeout_s=0.3)
    assert "not known" in caught.value.message


def test_a_refused_record_within_a_reply_of_200(
    ctx: Context, confluent: ConfluentFake, real_kafka: Broker
) -> None:
    topic = real_kafka.topic()
    good = b'{"error_code": 200, "partition_id": 0, "offset": 4}'
    bad = b'{"error_code": 40403, "message": "gone"}'
    cases: list[tuple[bytes, type[AspError], int]] = [
        (good + b"\r\n" + bad + b"\r\n" + good, NotFound, 2),
        (good, UnexpectedReply, 1),
        (good + b'{"error_code": 200}' + good, UnexpectedReply, 2),
        (good + b"{", UnexpectedReply, 0),
        (b"", UnexpectedReply, 0),
    ]
    for body, kind, written in cases:
        confluent.refuse_records = Answer(200, body)
        with pytest.raises(kind) as caught:
            kafka_produce(ctx, confluent.parameter, topic, [{"value": n} for n in range(3)])
        assert caught.value.details["written"]["count"] == written
        assert caught.value.details["first_failed"].startswith("$.records[")


def test_what_the_api_keeps_to_itself_is_null(
    ctx: Context, confluent: ConfluentFake, real_kafka: Broker
) -> None:
    confluent.has_replicas = False
    seen = topic_describe(ctx, confluent.parameter, real_kafka.topic(2))
    assert seen["estimated_message_count"] is None
    for part in seen["partitions"]:
        assert part["leader"] == 1
        assert part["replicas"] is None
        assert part["in_sync_replicas"] is None
        assert part["high_offset"] is None
    with pytest.raises(ConfigInvalid) as caught:
        list(kafka_consume(ctx, confluent.parameter, "t"))
    assert "PLAIN over SASL_SSL" in caught.value.hint
