"""The broker is killed while records are written and read: both say how far they came."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.operations.topics import topic_create
from tests.kafka.apache import ApacheKafka, is_available
from tests.kafka_broker import WITHOUT_REAL

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from asp_utils.context import Context
    from tests.operations.conftest import Project

TIMEOUT_S = 2


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A broker of this test's own."""
    if not is_available():
        pytest.skip(WITHOUT_REAL)
    folder = tmp_path / "mortal"
    folder.mkdir()
    server = ApacheKafka.start(folder)
    yield server
    server.kill()


def opened(project: Project, name: str, config: dict[str, Any]) -> subprocess.Popen[str]:
    import subprocess

    pipe = subprocess.PIPE
    return subprocess.Popen(
        project.command(name, config),
        env=project.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
    )  # fmt: skip


@pytest.mark.server
@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
@pytest.mark.slow
def test_writing_and_reading_say_how_far_they_came(
    ctx: Context, kafka_project: Project, mortal: ApacheKafka
) -> None:
    topic_create(ctx, mortal.bootstrap, "t", 1, 1)
    base = {"kafka": mortal.bootstrap, "topic": "t", "timeout_s": TIMEOUT_S}
    with (
        opened(kafka_project, "kafka_consume", {**base, "until_end": False}) as reader,
        opened(kafka_project, "kafka_produce", {**base, "file": "-"}) as writer,
    ):
        assert writer.stdin is not None
        assert reader.stdout is not None
        assert reader.stderr is not None
        # Standard input is read block by block: one must be full before its first line is seen.
        lines = [json.dumps({"value": n, "key": "x" * 90}) + "\n" for n in range(1000)]
        writer.stdin.write("".join(lines[:900]))
        writer.stdin.flush()
        first = [json.loads(reader.stdout.readline()) for _ in range(100)]
        assert [it["value"] for it in first] == list(range(100))
        mortal.kill()
        wrote, wrote_err = writer.communicate("".join(lines[900:]), timeout=60)
        read, read_err = reader.stdout.read(), reader.stderr.read()
    failed = json.loads(wrote)
    assert (writer.returncode, failed["code"]) == (69, "UNREACHABLE"), wrote_err
    assert "Connection refused" in failed["message"]
    done = failed["details"]["written"]
    number = int(failed["details"]["first_failed"].split()[1])
    assert 100 <= done["count"] < number <= 1000
    assert done["partitions"][0]["last_offset"] == done["count"] - 1
    *others, error = [json.loads(line) for line in read.splitlines()]
    assert (reader.returncode, error["code"]) == (69, "UNREACHABLE"), read_err
    assert error["details"]["count"] == len(first) + len(others)
    assert error["details"]["next_offsets"] == {"0": len(first) + len(others)}
    ours = ("began session", "recorded as", "error: ", "hint: ")
    assert all(line.startswith(ours) for line in (wrote_err + read_err).splitlines())
