"""Signals and closed pipes: what an operation made is taken back, and the record is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.operation.conftest import Toolkit

PROJECT = Path(__file__).parents[2]


def begin(toolkit: Toolkit, config: dict[str, object]) -> subprocess.Popen[bytes]:
    words = toolkit.command("count", toolkit.config(config))
    return subprocess.Popen(
        words, env=toolkit.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def farewell(tmp_path: Path) -> Path:
    return tmp_path / "farewell"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("pause_s", [0, 0.01])
def test_a_signal_ends_a_stream_properly(
    toolkit: Toolkit, farewell: Path, number: signal.Signals, pause_s: float
) -> None:
    process = begin(toolkit, {"farewell": str(farewell), "pause_s": pause_s})
    assert process.stdout is not None
    assert process.stdout.readline() == b'{"number":1}\n'
    process.send_signal(number)
    output, complaints = process.communicate()
    assert process.returncode == 130
    assert farewell.read_text() == "farewell\n"
    assert json.loads(output.splitlines()[-1])["code"] == "INTERRUPTED"
    assert f"error: ended by {number.name}".encode() in complaints
    assert b"Traceback" not in complaints
    record = toolkit.record()
    assert (record["exit_code"], record["error"]["code"]) == (130, "INTERRUPTED")


def test_a_second_signal_does_not_disturb_the_clean_up(toolkit: Toolkit, farewell: Path) -> None:
    process = begin(toolkit, {"farewell": str(farewell)})
    assert process.stdout is not None
    process.stdout.readline()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    assert farewell.read_text() == "farewell\n"
    assert toolkit.record()["exit_code"] == 130


def test_a_reader_that_has_enough_is_no_error(toolkit: Toolkit, farewell: Path) -> None:
    process = begin(toolkit, {"farewell": str(farewell)})
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    assert process.wait() == 0
    assert b"error" not in complaints
    assert farewell.read_text() == "farewell\n"
    record = toolkit.record()
    assert (record["exit_code"], record["summary"]) == (0, {"reader_closed": True})
    process.stderr.close()


def test_a_quiet_stream_notices_that_its_reader_left(toolkit: Toolkit, farewell: Path) -> None:
    process = begin(toolkit, {"farewell": str(farewell), "pause_s": 3600})
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()  # it has begun
    process.stdout.close()
    process.stderr.read()
    assert process.wait() == 0
    assert toolkit.record()["summary"] == {"reader_closed": True}
    process.stderr.close()


def test_head_gets_its_lines(toolkit: Toolkit) -> None:
    command = " ".join(toolkit.command("count", toolkit.config({})))
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{command} | head -3"],
        env=toolkit.environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 3)


def test_a_full_disk_behind_stdout_is_named(toolkit: Toolkit) -> None:
    words = toolkit.command("count", toolkit.config({"until": 1}))
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            words, env=toolkit.environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 78
    assert b"cannot write to standard output: No space left on device" in done.stderr


def test_no_stdout_at_all_is_named(toolkit: Toolkit) -> None:
    words = toolkit.command("count", toolkit.config({"until": 1}))
    done = subprocess.run(
        words, env=toolkit.environment, stderr=subprocess.PIPE, check=False,
        preexec_fn=lambda: os.close(1),
    )  # fmt: skip
    assert done.returncode == 78
    assert b"Traceback" not in done.stderr


def test_an_ignored_signal_stays_ignored(toolkit: Toolkit) -> None:
    code = "import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"  # noqa: E501
    words = toolkit.command("count", toolkit.config({"until": 5, "pause_s": 0.01}))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=toolkit.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert (process.returncode, output.count(b"\n")) == (0, 4)


@pytest.mark.slow
def test_signals_at_any_moment_leave_whole_records(toolkit: Toolkit) -> None:
    """A signal may come between a line and what is known of it, or while the event is locked."""
    for lines in range(1, 16):
        process = begin(toolkit, {"pause_s": 0.0001 * (lines % 2)})
        assert process.stdout is not None
        for _ in range(lines * lines):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 130
    verify = [sys.executable, str(PROJECT / "session_manager.py"), "verify"]
    done = subprocess.run(verify, env=toolkit.environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
