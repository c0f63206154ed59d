"""What operating costs: Admin API calls beside MongoDB's MCP server, Kafka beside plain loops.

    python -m benchmarks.operate [--records 200000]

Needs the generated wrappers; MCP rows need `make official-clients`, Kafka rows `make kafka-jars`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asp_utils.server import lifecycle
from tests.kafka.apache import ApacheKafka, KafkaMissing
from tests.official.mcp import account_environment, mcp_server
from tests.official.npm import is_available

if TYPE_CHECKING:
    from collections.abc import Callable

    from asp_utils.server.lifecycle import InstanceState

PROJECT = Path(__file__).resolve().parents[1]
WRAPPERS = PROJECT / "temp" / "cli_wrappers"
RUNS = 15


def median_ms(action: Callable[[], object], runs: int = RUNS) -> float:
    """How long an action takes, the middle of several times."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def wrapper(home: Path, operation: str, config: dict[str, Any]) -> Callable[[], object]:
    """A call of a wrapper, recorded in a session as any other."""
    path = home / f"{operation}.json"
    path.write_text(json.dumps(config))
    words = [sys.executable, str(WRAPPERS / f"cli_{operation}.py"), str(path)]
    environment = {**os.environ, "ASP_HOME": str(home)}

    def call() -> object:
        return subprocess.run(words, env=environment, check=True, capture_output=True)

    return call


def admin_rows(home: Path, state: InstanceState) -> list[tuple[str, float]]:
    """Listing workspaces: our wrapper, and the MCP server cold and warm."""
    rows = [
        ("cli_workspace_list.py", median_ms(wrapper(home, "workspace_list", {"atlas": "local"}))),
        ("cli_sp_list_connections.py", median_ms(wrapper(home, "sp_list_connections",
                                                         {"stream_processor_url": "local"}))),
    ]  # fmt: skip
    if not is_available():
        return rows
    environment = account_environment(
        state.admin_api_https_url, state.ca_file, state.client_id, state.client_secret
    )
    asked = {"projectId": state.project_id, "action": "list-workspaces"}

    def cold() -> None:
        with mcp_server(home / "mcp", environment) as server:
            server.expect("atlas-streams-discover", **asked)

    rows.append(("MCP server 3.0.4: start, one call, end", median_ms(cold, 5)))
    with mcp_server(home / "mcp", environment) as server:
        warm = median_ms(lambda: server.expect("atlas-streams-discover", **asked))
    rows.append(("MCP server 3.0.4: one call more", warm))
    return rows


def kafka_rows(home: Path, bootstrap: str, count: int) -> list[tuple[str, float]]:
    """Records a second, written and read: our wrappers, and a loop over confluent-kafka."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    names = [f"o-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(20)
    lines = [json.dumps({"key": f"d{n % 10}", "value": {"n": n}}) for n in range(count)]
    file = home / "records.ndjson"
    file.write_text("\n".join(lines) + "\n")

    def loop_write() -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                             "queue.buffering.max.messages": 1_000_000})  # fmt: skip
        for line in file.read_text().splitlines():
            record = json.loads(line)
            producer.produce(names[1], json.dumps(record["value"]), record["key"])
        assert producer.flush(60) == 0

    def loop_read() -> None:
        settings = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex}
        consumer, left = Consumer(settings), count
        consumer.assign([TopicPartition(names[1], 0, 0)])
        with (home / "read.ndjson").open("w") as out:
            while left:
                for message in consumer.consume(10_000, 5):
                    value = json.loads(message.value() or b"null")
                    out.write(json.dumps({"offset": message.offset(), "value": value}) + "\n")
                    left -= 1
        consumer.close()

    topic = {"kafka": bootstrap, "topic": names[0]}
    actions = [
        ("cli_kafka_produce.py", wrapper(home, "kafka_produce", {**topic, "file": str(file)})),
        ("a loop that writes", loop_write),
        ("cli_kafka_consume.py", wrapper(home, "kafka_consume", topic)),
        ("a loop that reads", loop_read),
    ]
    return [(name, count / median_ms(action, 1) * 1000) for name, action in actions]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="asp-operate-") as folder:
        home = Path(folder)
        (home / "temp").mkdir()
        state = lifecycle.start(home / "temp" / "local")
        try:
            rows = admin_rows(home, state)
        finally:
            lifecycle.stop(home / "temp" / "local")
        for name, ms in rows:
            print(f"{name:45} {ms:8.0f} ms {ms / rows[0][1]:6.2f}x")
        try:
            broker = ApacheKafka.start(_empty(home / "kafka"))
        except KafkaMissing as problem:
            print(f"no Kafka rows: {problem}")
            return
        try:
            for name, rate in kafka_rows(home, broker.bootstrap, count):
                print(f"{name:45} {rate:10,.0f} records/s")
        finally:
            broker.stop()


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
