"""A killed writer, a full disk, a torn line: the session verifies, and numbers go on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asp_utils.errors import UnexpectedReply
from asp_utils.session.audit import AUDIT_FILE
from asp_utils.session.names import config_number
from asp_utils.session.store import Session, Store
from asp_utils.session.verify import verify

WRITER = Path(__file__).with_name("session_writer.py")


def kill_after(writer: subprocess.Popen[str], line_count: int) -> list[str]:
    """Kill a writer as soon as it has told of so many configs; all that it told of."""
    assert writer.stdout is not None
    told = [writer.stdout.readline() for _ in range(line_count)]
    writer.kill()
    told += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    return [line.strip() for line in told if line.endswith("\n")]


def start_writer(root: Path, kind: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), str(root), "1000000", kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["configs", "runs"])
@pytest.mark.slow
def test_killed_writers_leave_a_session_that_verifies_and_goes_on(
    tmp_path: Path, kind: str
) -> None:
    chance = random.Random(7)
    told: list[str] = []
    for _ in range(10):
        writers = [start_writer(tmp_path, kind) for _ in range(2)]
        for writer in writers:
            told += kill_after(writer, chance.randint(1, 60))
        [session] = Store(tmp_path).sessions()
        assert verify(session.folder).faults == []
        told.append(session.add_config({}, "after").name)

    numbers = [config_number(path.name) for path in session.folder.iterdir()]
    configs = sorted(number for number in numbers if number is not None)
    assert configs == list(range(1, len(configs) + 1))
    assert all((session.folder / name).is_file() for name in told)
    assert verify(session.folder).faults == []


def test_file_that_was_not_named_in_time_is_named_by_the_next_writer(session: Session) -> None:
    path = session.add_config({"a": 1}, "first")
    path.rename(session.folder / ".pending-0")

    assert verify(session.folder).faults == []
    second = session.add_config({"a": 2}, "second")

    assert path.is_file()
    assert second.name == "002_second.json"
    assert verify(session.folder).faults == []


def test_record_that_was_not_named_in_time_is_named_by_the_next_writer(session: Session) -> None:
    run = session.begin_run(session.add_config({}, "first"), "sample", "read")
    record = run.finish(0)
    record.rename(session.folder / ".pending-0")

    session.add_config({}, "second")

    assert record.is_file()
    assert verify(session.folder).faults == []


def test_file_of_a_commit_that_never_happened_is_overwritten(session: Session) -> None:
    (session.folder / ".pending-0").write_text('{"half": ')

    assert verify(session.folder).faults == []
    assert session.add_config({}, "whole").read_text() == "{}\n"
    assert not (session.folder / ".pending-0").exists()


@pytest.mark.parametrize("cut_bytes", [1, 5, 200])
def test_torn_line_is_cut_off_and_told(session: Session, cut_bytes: int) -> None:
    log = session.folder / AUDIT_FILE
    whole = log.read_bytes()
    path = session.add_config({}, "lost")
    line = log.read_bytes()[len(whole) :]
    path.rename(session.folder / ".pending-0")
    log.write_bytes(whole + line[:-cut_bytes])

    assert [note.message for note in verify(session.folder).notes] == [
        f"ends with {len(line) - cut_bytes} bytes of a line that was never finished"
    ]
    assert session.add_config({}, "next").name == "001_next.json"
    found = verify(session.folder)
    assert found.faults == []
    assert "cut off" in found.notes[0].message


def test_interrupted_run_is_told_and_no_fault(session: Session, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from asp_utils.session.store import Store; "
        f"session = Store(Path({str(tmp_path)!r})).current(); "
        "run = session.begin_run(session.add_config({}, 'x'), 'sample', 'read'); "
        "run.write_output(b'{}\\n'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    found = verify(session.folder)

    assert ended.returncode == -signal.SIGKILL
    assert found.faults == []
    assert "run 1 of 001_x.json was interrupted" in found.notes[0].message
    assert session.begin_run(session.find_config(1), "sample", "read").number == 2


def test_full_disk_in_the_middle_of_a_line_changes_nothing(
    session: Session, tmp_path: Path
) -> None:
    log = session.folder / AUDIT_FILE
    before = log.read_bytes()
    # No file may grow beyond a size: the line is written in part, the rest is refused.
    code = (
        "import resource; from pathlib import Path; from asp_utils.session.store import Store; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50},) * 2); "
        f"Store(Path({str(tmp_path)!r})).current().add_config({{}}, 'big')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert b"EnvironmentMissing: cannot use" in ended.stderr
    assert log.read_bytes() == before
    assert session.add_config({}, "first").name == "001_first.json"
    assert verify(session.folder).faults == []


@pytest.mark.parametrize("content", [b"garbage\n", b"", b'{"seq":1}\n'])
def test_damaged_log_is_refused_not_continued(session: Session, content: bytes) -> None:
    (session.folder / AUDIT_FILE).write_bytes(content)

    with pytest.raises(UnexpectedReply, match="the last line of"):
        session.add_config({}, "next")
    assert (session.folder / AUDIT_FILE).read_bytes() == content


def test_missing_log_is_refused(session: Session) -> None:
    (session.folder / AUDIT_FILE).unlink()

    with pytest.raises(UnexpectedReply, match="is gone"):
        session.add_config({}, "next")


def test_what_a_killed_new_session_left_is_cleared(store: Store) -> None:
    left_over = store.temp / "sessions" / ".new"
    left_over.mkdir(parents=True)
    (left_over / AUDIT_FILE).write_text("half")

    session = store.new()

    assert verify(session.folder).faults == []
    assert not left_over.exists()
