"""Every change to a session that was written is found; what is no change is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.session.audit import AUDIT_FILE
from asp_utils.session.lines import seal
from asp_utils.session.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asp_utils.session.session import Session


@pytest.fixture
def folder(session: Session) -> Path:
    """A session of three configs, two of which ran."""
    for name in ("first", "second"):
        run = session.begin_run(session.add_config({"n": name}, name), "sample", "read")
        run.write_output(b'{"a":1}\n')
        run.finish(0)
    session.add_config({"n": 3}, "third")
    return session.folder


def edit_lines(folder: Path, change: Callable[[list[bytes]], None]) -> None:
    lines = (folder / AUDIT_FILE).read_bytes().splitlines(keepends=True)
    change(lines)
    (folder / AUDIT_FILE).write_bytes(b"".join(lines))


def replace_in_line(number: int, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(lines: list[bytes]) -> None:
        assert old in lines[number]
        lines[number] = lines[number].replace(old, new)

    return lambda folder: edit_lines(folder, change)


def swap_lines(folder: Path) -> None:
    edit_lines(folder, lambda lines: lines.insert(1, lines.pop(2)))


def remove_line(number: int) -> Callable[[Path], None]:
    return lambda folder: edit_lines(folder, lambda lines: lines.__delitem__(number))


def repeat_line(folder: Path) -> None:
    edit_lines(folder, lambda lines: lines.append(lines[-1]))


def reseal_line(folder: Path) -> None:
    """What somebody does who knows of `sum` but not of the line after it."""

    def change(lines: list[bytes]) -> None:
        fields = json.loads(lines[3])
        del fields["sum"]
        lines[3] = seal({**fields, "exit_code": 64}) + b"\n"

    edit_lines(folder, change)


def remove_config_and_its_line(folder: Path) -> None:
    (folder / "003_third.json").unlink()
    edit_lines(folder, lambda lines: lines.__delitem__(1))


def cut_tail_but_leave_files(folder: Path) -> None:
    edit_lines(folder, lambda lines: lines.__delitem__(-1))


def replace_by_link(folder: Path) -> None:
    config = folder / "001_first.json"
    other = config.rename(folder.parent / "elsewhere.json")
    config.symlink_to(other)


def rename_config(folder: Path) -> None:
    (folder / "002_second.json").rename(folder / "002_other.json")


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "config edited": (
        lambda f: (f / "001_first.json").write_text("{}"),
        "001_first.json: was edited",
    ),
    "config removed": (lambda f: (f / "001_first.json").unlink(), "001_first.json: is missing"),
    "config renamed": (rename_config, "002_other.json: no audit line names it"),
    "config hidden": (
        lambda f: (f / "001_first.json").rename(f / ".pending-0"),
        "001_first.json: is missing",
    ),
    "config is a link": (replace_by_link, "001_first.json: is no longer a file"),
    "record edited": (
        lambda f: (f / "001_first.run-1.json").write_text("{}"),
        "001_first.run-1.json: was edited",
    ),
    "output grown": (
        lambda f: (f / "001_first.run-1.ndjson").write_text('{"a":1}\n{"a":2}\n'),
        "001_first.run-1.ndjson: was edited",
    ),
    "info edited": (
        lambda f: (f / "session_info.json").write_text("{}"),
        "session_info.json: was edited",
    ),
    "file added": (lambda f: (f / "004_mine.json").write_text("{}"), "004_mine.json: no audit"),
    "folder added": (lambda f: (f / "more").mkdir(), "more: no audit line names it"),
    "record added": (
        lambda f: (f / "003_third.run-1.json").write_text("{}"),
        "003_third.run-1.json: no audit line names it",
    ),
    "first line edited": (replace_in_line(0, b"created", b"creatad"), f"{AUDIT_FILE}:1: is not a"),
    "line edited": (replace_in_line(3, b'"exit_code":0', b'"exit_code":1'), f"{AUDIT_FILE}:4: was"),
    "last line edited": (replace_in_line(-1, b"third", b"thirt"), f"{AUDIT_FILE}:8: was edited"),
    "line edited and sealed": (reseal_line, f"{AUDIT_FILE}:5: does not follow"),
    "line is garbage": (replace_in_line(2, b"{", b"<"), f"{AUDIT_FILE}:3: is not a line"),
    "lines swapped": (swap_lines, f"{AUDIT_FILE}:2: does not follow"),
    "line removed": (remove_line(4), f"{AUDIT_FILE}:5: does not follow"),
    "first line removed": (remove_line(0), f"{AUDIT_FILE}:1: does not follow"),
    "line repeated": (repeat_line, f"{AUDIT_FILE}:9: does not follow"),
    "config and line removed": (remove_config_and_its_line, f"{AUDIT_FILE}:2: does not follow"),
    "tail cut": (cut_tail_but_leave_files, "003_third.json: no audit line names it"),
    "log emptied": (lambda f: (f / AUDIT_FILE).write_text(""), f"{AUDIT_FILE}: is empty"),
    "log removed": (lambda f: (f / AUDIT_FILE).unlink(), f"{AUDIT_FILE}: is missing"),
}


def test_untouched_session_has_no_faults(folder: Path) -> None:
    found = verify(folder)

    assert found.faults == found.notes == []
    assert (found.lines, found.files) == (8, 8)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found(folder: Path, name: str) -> None:
    tamper, expected = TAMPERINGS[name]
    tamper(folder)

    assert any(str(fault).startswith(expected) for fault in verify(folder).faults)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_any_changed_byte_of_the_log_is_found(folder: Path, place: int, value: int) -> None:
    log = folder / AUDIT_FILE
    whole = log.read_bytes()
    changed = bytearray(whole)
    # The very last byte is the newline of the last line: without it the line was never written.
    place %= len(whole) - 1
    changed[place] = value if value != changed[place] else value ^ 1
    log.write_bytes(changed)
    try:
        assert verify(folder).faults != []
    finally:
        log.write_bytes(whole)


def test_number_that_does_not_count_on_is_found(folder: Path) -> None:
    lines = (folder / AUDIT_FILE).read_bytes().splitlines()
    fields = json.loads(lines[-1])
    del fields["sum"]
    lines[-1] = seal({**fields, "configs": 9})
    (folder / AUDIT_FILE).write_bytes(b"\n".join([*lines, b""]))

    assert [str(fault) for fault in verify(folder).faults] == [
        f"{AUDIT_FILE}:8: counts 9 configs, and there are 3"
    ]


def test_running_run_is_told_and_its_output_welcome(session: Session) -> None:
    run = session.begin_run(session.add_config({}, "x"), "sample", "read")
    run.write_output(b"{}\n")

    found = verify(session.folder)

    assert found.faults == []
    assert found.notes[0].message == "run 1 of 001_x.json is running"


def test_head_pins_the_session(folder: Path, session: Session) -> None:
    before = verify(folder).head_sha256
    session.add_config({}, "more")

    assert before != verify(folder).head_sha256 == session.log.head().sha256
