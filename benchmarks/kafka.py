"""Kafka to one-minute windows to Kafka: the engine beside bytewax's Kafka connector.

    python benchmarks/kafka.py [--documents 300000]

Needs an Apache Kafka: `make kafka` fetches it. Two partitions; both sides read every reading and
write every group of every minute.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from asp_utils.clients.mongod import Mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.clock import SystemClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.memory import settle
from benchmarks.stream import WINDOW, rate
from tests.kafka.apache import ApacheKafka, KafkaMissing

if TYPE_CHECKING:
    Document = dict[str, Any]

PARTITIONS = 2


class Topics:
    """Topics of one broker."""

    def __init__(self, bootstrap: str) -> None:
        from confluent_kafka.admin import AdminClient

        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def new(self) -> str:
        """A new topic's name."""
        from confluent_kafka.cimpl import NewTopic

        name = f"b-{uuid.uuid4().hex[:8]}"
        for future in self._admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
            future.result(20)
        return name

    def fill(self, topic: str, count: int) -> None:
        """Write readings of ten panels, ten a second of event time, panels shared out evenly."""
        from confluent_kafka import Producer

        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        begin = datetime(2026, 1, 20, tzinfo=UTC)
        for n in range(count):
            reading = {
                "device_id": f"device_{n % 10}",
                "timestamp": (begin + timedelta(milliseconds=100 * n)).isoformat(),
                "max_watts": 450,
                "obs": {"watts": n * 7919 % 450, "temp": 5 + n % 20},
            }
            producer.produce(topic, orjson.dumps(reading), partition=n % PARTITIONS)
            if n % 10_000 == 0:
                producer.poll(0)
        producer.flush()


def engine(mongod: Mongod, bootstrap: str, source: str, target: str, count: int) -> int:
    """The engine; gives the number of groups it wrote."""
    connection = {"type": "kafka", "bootstrapServers": bootstrap}
    surroundings = Surroundings(
        "benchmark",
        {"k": connection | {"security": {"protocol": "PLAINTEXT"}}},
        Evaluator(MongodSocket.to(mongod.uri), "benchmark"),
        SystemClock(),
        threading.Event(),
    )
    pipeline: list[Document] = [
        {
            "$source": {
                "connectionName": "k",
                "topic": source,
                "timeField": {"$toDate": "$timestamp"},
                "config": {"auto_offset_reset": "earliest"},
            }
        },
        *WINDOW,
        {"$emit": {"connectionName": "k", "topic": target}},
    ]
    with closing(assemble(Definition("b", "benchmark", pipeline), surroundings, None)) as processor:
        total = processor.parts.stats.total
        while total.input_message_count < count:
            processor.step(100)
        processor.checkpoint()
        return total.output_message_count


def bytewax(bootstrap: str, source: str, target: str) -> None:
    """The same in bytewax; it waits long enough for the slower partition."""
    import bytewax.operators as op
    import bytewax.operators.windowing as w
    from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import run_main

    def keyed(message: Any) -> tuple[str, Document]:
        document: Document = orjson.loads(message.value)
        document["at"] = datetime.fromisoformat(document["timestamp"])
        return document["device_id"], document

    def add(state: list[float], document: Document) -> list[float]:
        obs = document["obs"]
        return [state[0] + 1, state[1] + obs["watts"], max(state[2], obs["temp"])]

    def message(item: tuple[str, tuple[int, list[float]]]) -> Any:
        key, (_, (count, watts, hottest)) = item
        result = {"_id": key, "readings": count, "watts": watts / count, "hottest": hottest}
        return KafkaSinkMessage(None, orjson.dumps(result))

    flow = Dataflow("kafka")
    source_ = KafkaSource([bootstrap], [source], tail=False, batch_size=1000)
    documents = op.map("parse", op.input("in", flow, source_), keyed)
    clock = w.EventClock(lambda d: d["at"], wait_for_system_duration=timedelta(minutes=10))
    windower = w.TumblingWindower(
        length=timedelta(minutes=1), align_to=datetime(2026, 1, 1, tzinfo=UTC)
    )
    groups = w.fold_window(
        "group",
        documents,
        clock,
        windower,
        builder=lambda: [0, 0, 0],
        folder=add,
        merger=lambda a, b: [a[0] + b[0], a[1] + b[1], max(a[2], b[2])],
    )
    op.output("out", op.map("json", groups.down, message), KafkaSink([bootstrap], target))
    run_main(flow)


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    settle()
    count, repeats = arguments.documents, arguments.repeats
    with tempfile.TemporaryDirectory() as folder:
        (place := Path(folder) / "kafka").mkdir()
        try:
            broker = ApacheKafka.start(place)
        except KafkaMissing as error:
            print(f"left out: {error}")
            return
        mongod = Mongod.start(Path(folder) / "mongod")
        try:
            topics = Topics(broker.bootstrap)
            source = topics.new()
            topics.fill(source, count)
            ours = rate(
                lambda: engine(mongod, broker.bootstrap, source, topics.new(), count),
                count,
                repeats,
            )
            print(f"{'Kafka -> window -> Kafka':28}{'engine':12}{ours:14,.0f}{1:11.2f}x")
            if importlib.util.find_spec("bytewax") is not None:
                theirs = rate(
                    lambda: bytewax(broker.bootstrap, source, topics.new()), count, repeats
                )
                print(f"{'':28}{'bytewax':12}{theirs:14,.0f}{ours / theirs:11.2f}x")
        finally:
            mongod.stop()
            broker.stop()


if __name__ == "__main__":
    main()
