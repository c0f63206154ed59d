"""Confluent's Kafka REST API v3 on loopback, before a real broker.

What it answers is what the broker said: the paths that the toolkit calls, written from Confluent's
OpenAPI document with confluent-kafka alone. `script` lets the next requests fail.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
)
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

CLUSTER: Final = "lkc-tests"
KEY, SECRET = "the-key", "the-secret"
_WAIT_S: Final = 20
_PAGE: Final = 3
"""Items a page, so that every list has several."""
_CODES: Final = {
    "TOPIC_ALREADY_EXISTS": (400, 40002),
    "UNKNOWN_TOPIC_OR_PART": (404, 40403),
    "_UNKNOWN_PARTITION": (404, 40403),
    "GROUP_ID_NOT_FOUND": (404, 404),
    "MSG_SIZE_TOO_LARGE": (413, 413),
}


@dataclass(frozen=True)
class Answer:
    """An answer that a test wants; a body of None closes the connection."""

    status: int = 200
    body: bytes | None = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Announce more than is sent."""


class ConfluentFake:
    """The server; a context manager."""

    def __init__(self, bootstrap: str) -> None:
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.producer = Producer(
            {"bootstrap.servers": bootstrap, "log_level": 0, "message.max.bytes": 100_000_000}
        )
        self.script: deque[Answer] = deque()
        """What the next requests get instead of an answer."""
        self.refuse_records: Answer | None = None
        """What the next request that writes records gets."""
        self.requests: list[tuple[str, str, Any]] = []
        """Method, path, body of every request."""
        self.has_replicas = True
        """Confluent Cloud keeps replicas and brokers to itself."""
        handler = type("Handler", (_Handler,), {"fake": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}
        )

    @property
    def parameter(self) -> dict[str, Any]:
        """The `kafka` parameter that leads here."""
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        rest = {"endpoint": endpoint, "cluster_id": CLUSTER}
        return {"rest": {**rest, "api_key": KEY, "api_secret": SECRET}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    fake: ConfluentFake
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fake.requests.append((method, self.path, raw))
        if self.fake.script:
            self._scripted(self.fake.script.popleft())
            return
        if self.path.endswith("/records") and self.fake.refuse_records is not None:
            answer, self.fake.refuse_records = self.fake.refuse_records, None
            self._send(answer)
            return
        try:
            status, body = self._answer(method, raw)
        except Refused as error:
            status = error.status
            body = json.dumps({"error_code": error.code, "message": error.message}).encode()
        except KafkaException as error:
            cause = error.args[0]
            status, code = _CODES.get(cause.name(), (400, 40002))
            body = json.dumps({"error_code": code, "message": cause.str()}).encode()
        self._send(Answer(status, body))

    def _scripted(self, answer: Answer) -> None:
        if answer.body is None:
            self.close_connection = True
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.body or b""
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (10 if answer.cut else 0)))
        self.end_headers()
        self.wfile.write(body)
        if answer.cut:
            self.close_connection = True

    def _answer(self, method: str, raw: bytes) -> tuple[int, bytes]:
        expected = f"Basic {base64.b64encode(f'{KEY}:{SECRET}'.encode()).decode()}"
        if self.headers.get("Authorization") != expected:
            raise Refused(401, 40101, "Authentication failed")
        parts = urlsplit(self.path)
        steps = [unquote(step) for step in parts.path.split("/")[1:]]
        if steps[:4] != ["kafka", "v3", "clusters", CLUSTER]:
            raise Refused(404, 404, "HTTP 404 Not Found")
        if steps[-1] == "records":
            return 200, b"\r\n".join(self._produced(steps[5], raw))
        body: Any = json.loads(raw) if raw else None
        match method, steps[4:]:
            case "GET", []:
                return 200, json.dumps(self._cluster()).encode()
            case "GET", rest:
                return 200, json.dumps(self._got(rest, parts)).encode()
            case "POST", ["topics"]:
                return 201, json.dumps(self._created(body)).encode()
            case "POST", ["topics", name, "configs:alter"]:
                self._alter(name, body["data"])
            case "PATCH", ["topics", name]:
                new = NewPartitions(name, body["partitions_count"])
                self.fake.admin.create_partitions([new])[name].result(_WAIT_S)
            case "DELETE", ["topics", name]:
                self.fake.admin.delete_topics([name])[name].result(_WAIT_S)
            case _:
                raise Refused(405, 405, "HTTP 405 Method Not Allowed")
        return 204, b""

    def _got(self, steps: list[str], parts: Any) -> dict[str, Any]:
        match steps:
            case ["topics"]:
                names = sorted(self.fake.admin.list_topics(timeout=_WAIT_S).topics)
                return self._page(names, parts, self._topic)
            case ["topics", name]:
                return self._topic(name)
            case ["topics", name, "configs"]:
                return self._page(self._configs(name), parts)
            case ["topics", name, "partitions"]:
                return self._page(self._partitions(name), parts)
            case ["topics", name, "partitions", number, "replicas"]:
                return self._page(self._replicas(name, int(number)), parts)
            case ["consumer-groups"]:
                found = self.fake.admin.list_consumer_groups().result(_WAIT_S).valid
                return self._page([item.group_id for item in found], parts, self._group)
            case ["consumer-groups", name]:
                return self._group(name)
            case ["consumer-groups", name, "consumers"]:
                return self._page(self._consumers(name), parts)
            case ["consumer-groups", name, "lags"]:
                return self._page(self._lags(name), parts)
            case ["brokers"] if self.fake.has_replicas:
                nodes = self.fake.admin.describe_cluster().result(_WAIT_S).nodes
                rows = [{"broker_id": n.id, "host": n.host, "port": n.port} for n in nodes]
                return self._page(rows, parts)
            case _:
                raise Refused(404, 404, "HTTP 404 Not Found")

    def _page(
        self, rows: list[Any], parts: Any, shown: Callable[[Any], dict[str, Any]] = dict
    ) -> dict[str, Any]:
        """One page of rows; only what is on it is looked up in the broker."""
        start = int(parse_qs(parts.query).get("page_token", ["0"])[0])
        more = start + _PAGE < len(rows)
        host = f"http://127.0.0.1:{self.fake.server.server_port}"
        link = f"{host}{parts.path}?page_token={start + _PAGE}" if more else None
        data = [shown(row) for row in rows[start : start + _PAGE]]
        return {"metadata": {"next": link}, "data": data}

    def _cluster(self) -> dict[str, Any]:
        controller = {"related": f"https://x/clusters/{CLUSTER}/brokers/1"}
        return {"kind": "KafkaCluster", "cluster_id": CLUSTER, "controller": controller}

    def _described(self, name: str) -> Any:
        return self.fake.admin.describe_topics(TopicCollection([name]))[name].result(_WAIT_S)

    def _topic(self, name: str) -> dict[str, Any]:
        found = self._described(name)
        return {
            "topic_name": name,
            "is_internal": found.is_internal,
            "partitions_count": len(found.partitions),
            "replication_factor": len(found.partitions[0].replicas),
        }

    def _created(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["topic_name"]
        config = {item["name"]: item["value"] for item in body.get("configs", [])}
        new = NewTopic(
            name, body.get("partitions_count", -1), body.get("replication_factor", -1),
            config=config,
        )  # fmt: skip
        self.fake.admin.create_topics([new], operation_timeout=_WAIT_S)[name].result(_WAIT_S)
        return {"topic_name": name}

    def _alter(self, name: str, data: list[dict[str, Any]]) -> None:
        entries = [
            ConfigEntry(
                item["name"], item.get("value"),
                incremental_operation=AlterConfigOpType[item["operation"]],
            )
            for item in data
        ]  # fmt: skip
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self.fake.admin.incremental_alter_configs([resource])[resource].result(_WAIT_S)

    def _configs(self, name: str) -> list[dict[str, Any]]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        found = self.fake.admin.describe_configs([resource])[resource].result(_WAIT_S)
        return [
            {"name": key, "value": entry.value, "source": ConfigSource(entry.source).name}
            for key, entry in found.items()
        ]

    def _partitions(self, name: str) -> list[dict[str, Any]]:
        return [
            {"partition_id": part.id, "leader": {"related": f"https://x/replicas/{part.leader.id}"}}
            for part in self._described(name).partitions
        ]

    def _replicas(self, name: str, number: int) -> list[dict[str, Any]]:
        if not self.fake.has_replicas:
            raise Refused(404, 404, "HTTP 404 Not Found")
        part = self._described(name).partitions[number]
        in_sync = {node.id for node in part.isr}
        return [{"broker_id": n.id, "is_in_sync": n.id in in_sync} for n in part.replicas]

    def _members(self, name: str) -> Any:
        return self.fake.admin.describe_consumer_groups([name])[name].result(_WAIT_S)

    def _group(self, name: str) -> dict[str, Any]:
        found = self._members(name)
        return {
            "consumer_group_id": name,
            "state": found.state.name,
            "is_simple": found.is_simple_consumer_group,
            "partition_assignor": found.partition_assignor,
            "coordinator": {"related": f"https://x/brokers/{found.coordinator.id}"},
        }

    def _consumers(self, name: str) -> list[dict[str, Any]]:
        members = self._members(name).members
        return [{"consumer_id": it.member_id, "client_id": it.client_id} for it in members]

    def _lags(self, name: str) -> list[dict[str, Any]]:
        asked = [ConsumerGroupTopicPartitions(name)]
        found = self.fake.admin.list_consumer_group_offsets(asked)[name].result(_WAIT_S)
        rows = []
        for place in found.topic_partitions:
            ends = self.fake.admin.list_offsets({place: OffsetSpec.latest()})  # type: ignore[no-untyped-call]
            end = next(iter(ends.values())).result(_WAIT_S).offset
            rows.append(
                {
                    "topic_name": place.topic,
                    "partition_id": place.partition,
                    "current_offset": place.offset,
                    "log_end_offset": end,
                    "lag": end - place.offset,
                }
            )
        return rows

    def _produced(self, topic: str, raw: bytes) -> list[bytes]:
        """One receipt for each record of the stream."""
        receipts: list[bytes] = []
        for line in raw.decode().splitlines():
            body = json.loads(line)
            receipt: dict[str, Any] = {}
            given: dict[str, Any] = {
                "key": _bytes(body.get("key")),
                "value": _bytes(body.get("value")),
                "headers": [
                    (item["name"], _decoded(item["value"])) for item in body.get("headers", [])
                ],
            }
            if "partition_id" in body:
                given["partition"] = body["partition_id"]
            if "timestamp" in body:
                from datetime import datetime

                moment = datetime.fromisoformat(body["timestamp"])
                given["timestamp"] = round(moment.timestamp() * 1000)

            def delivered(error: Any, message: Any, receipt: dict[str, Any] = receipt) -> None:
                if error is None:
                    receipt |= {"error_code": 200, "topic_name": topic}
                    receipt |= {"partition_id": message.partition(), "offset": message.offset()}
                else:
                    code = _CODES.get(error.name(), (400, 40002))[1]
                    receipt |= {"error_code": code, "message": error.str()}

            self.fake.producer.produce(topic, on_delivery=delivered, **given)
            self.fake.producer.flush(_WAIT_S)
            receipts.append(json.dumps(receipt).encode())
        return receipts


def _bytes(part: dict[str, Any] | None) -> bytes | None:
    return _decoded(part["data"]) if part else None


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
