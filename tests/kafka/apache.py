"""Apache Kafka for the tests: fetched from Maven Central, started as one KRaft node on loopback.

`python -m tests.kafka.apache` fetches it and runs it in the foreground (`make kafka`); with
`--fetch` it only fetches. The jars are kept in `~/.cache/asp-toolkit/kafka-<version>`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asp_utils.clients.mongod import die_with_parent, free_port

VERSION: Final = "4.1.0"
BOOTSTRAP_VARIABLE: Final = "ASP_KAFKA_BOOTSTRAP"
_HOST: Final = "127.0.0.1"
_DEFAULT_PORT: Final = 9092
_CLUSTER_ID: Final = "YXNwLXRvb2xraXQtdGVzdA"
_POLL_S: Final = 0.1
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JVM: Final = (
    *("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>asp.toolkit</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
_SERVER: Final = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
"""


class KafkaMissing(Exception):
    """There is no Apache Kafka to start, or it did not start; the message says why."""


def cache() -> Path:
    """Where the jars are, or will be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "asp-toolkit" / f"kafka-{VERSION}"


def is_available() -> bool:
    """Whether `ApacheKafka.start` has what it needs."""
    return cache().is_dir() and shutil.which("java") is not None


def fetch() -> Path:
    """Get the jars from Maven Central, unless they are here; the folder that holds them.

    Raises:
        KafkaMissing: There is no mvn, or it could not fetch them.
    """
    target = cache()
    if target.is_dir():
        return target
    if shutil.which("mvn") is None:
        raise KafkaMissing("mvn is not installed; it fetches Apache Kafka from Maven Central")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as folder:
        pom, jars = Path(folder) / "pom.xml", Path(folder) / "jars"
        pom.write_text(_POM)
        words = ["mvn", "--quiet", "--batch-mode", "--file", str(pom), _COPY]
        words += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KafkaMissing(f"mvn ended with {done.returncode}: {done.stdout[-2000:]}")
        # Another process may have been faster; then its folder is as good as this one.
        with contextlib.suppress(OSError):
            jars.rename(target)
    return target


def _java() -> list[str]:
    return ["java", *_JVM, "-cp", f"{cache()}/*"]


@dataclass(frozen=True)
class ApacheKafka:
    """A running broker that this process started."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def bootstrap(self) -> str:
        """Its bootstrap server, `host:port`."""
        return f"{_HOST}:{self.port}"

    @classmethod
    def start(cls, folder: Path, *, port: int | None = None, more: str = "") -> ApacheKafka:
        """Start a broker with its files in an empty `folder`, and wait until it answers.

        It ends with the calling process, and listens on loopback only.

        Args:
            folder: An empty folder.
            port: The preferred port.
            more: Further lines of its properties, which go before those above; `{host}`, `{port}`
                and `{controller_port}` stand for what they say.

        Raises:
            KafkaMissing: There is no java, no jars, or the broker ended; its log is in `folder`.
        """
        if not is_available():
            raise KafkaMissing(f"no java, or no jars in {cache()}; fetch them: make kafka")
        chosen, properties = free_port(port), folder / "server.properties"
        places = {"host": _HOST, "port": chosen, "controller_port": free_port()}
        properties.write_text((_SERVER + more).format(**places, data=folder / "data"))
        log = folder / "kafka.log"
        form = ["format", "--cluster-id", _CLUSTER_ID, "--config", str(properties)]
        command = [*_java(), "kafka.tools.StorageTool", *form]
        with log.open("wb") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise KafkaMissing(f"the storage could not be formatted; read {log}")
        return cls.resume(folder, chosen)

    @classmethod
    def resume(cls, folder: Path, port: int, timeout_s: float = 60.0) -> ApacheKafka:
        """Start the broker that was started in `folder` before, on its port.

        Raises:
            KafkaMissing: The broker ended; its log is in `folder`.
        """
        log = folder / "kafka.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_java(), "kafka.Kafka", str(folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
                start_new_session=True,
            )
        broker = cls(process, port)
        with contextlib.ExitStack() as undo:
            undo.callback(broker.stop)
            broker._wait_until_it_answers(log, time.monotonic() + timeout_s)
            undo.pop_all()
        return broker

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the broker; kill it when it does not end in time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """End a broker whose files nobody needs, at once."""
        self.process.kill()
        self.process.wait()

    def _wait_until_it_answers(self, log: Path, deadline: float) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise KafkaMissing(f"Kafka ended with {self.process.returncode}; read {log}")
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                time.sleep(_POLL_S)
        raise KafkaMissing(f"Kafka did not answer in time; read {log}")


def main() -> int:
    """Fetch Apache Kafka and, unless `--fetch`, run it until it is interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--fetch", action="store_true", help="only get the jars")
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, help="preferred port")
    given = parser.parse_args()
    try:
        jars = fetch()
        if given.fetch:
            sys.stdout.write(f"Apache Kafka {VERSION}: {jars}\n")
            return 0
        with tempfile.TemporaryDirectory(prefix="asp-kafka-") as folder:
            broker = ApacheKafka.start(Path(folder), port=given.port)
            sys.stdout.write(f"export {BOOTSTRAP_VARIABLE}={broker.bootstrap}\n")
            sys.stdout.flush()
            try:
                return broker.process.wait()
            except KeyboardInterrupt:
                broker.stop()
                return 0
    except KafkaMissing as problem:
        sys.stderr.write(f"{problem}\n")
        return 78


if __name__ == "__main__":
    sys.exit(main())
