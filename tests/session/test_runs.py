"""Runs: numbered, audited before they act, captured up to a bound, recorded once."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import Conflict, EnvironmentMissing, NotFound, UnexpectedReply
from asp_utils.session.audit import AUDIT_FILE
from asp_utils.session.history import RUN_RECORD, read_history
from asp_utils.session.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.session.session import Session


@pytest.fixture
def config(session: Session) -> Path:
    """A config of the session."""
    return session.add_config({"limit": 3}, "sample", "sample")


def audit_lines(session: Session) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (session.folder / AUDIT_FILE).read_bytes().splitlines()]


def test_record_says_what_happened(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read", dry_run=True)
    run.write_output(b'{"a":1}\n')
    run.write_output(b'{"b":2}\n')
    path = run.finish(65, error={"code": "X"}, summary={"reader_closed": True}, duration_ms=12)
    record = RUN_RECORD.validate_json(path.read_bytes())

    assert path.name == "001_sample.run-1.json"
    assert record["config_sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
    assert (record["exit_code"], record["error"], record["duration_ms"]) == (65, {"code": "X"}, 12)
    assert (record["operation"], record["effect"], record["dry_run"]) == ("sample", "read", True)
    assert record["summary"] == {"reader_closed": True}
    assert record["output"] == {
        "file": "001_sample.run-1.ndjson",
        "count": 2,
        "bytes": 16,
        "sha256": hashlib.sha256(b'{"a":1}\n{"b":2}\n').hexdigest(),
        "truncated": False,
    }
    assert verify(session.folder).faults == []


def test_start_is_audited_before_anything_is_done(session: Session, config: Path) -> None:
    session.begin_run(config, "sample", "write")

    last = audit_lines(session)[-1]
    assert (last["event"], last["config"], last["run"]) == ("run_started", "001_sample.json", 1)
    assert (last["operation"], last["effect"]) == ("sample", "write")


def test_runs_of_one_config_are_numbered_and_keep_their_files(
    session: Session, config: Path
) -> None:
    runs = [session.begin_run(config, "sample", "read") for _ in range(3)]
    other = session.begin_run(session.add_config({}, "sample"), "sample", "read")
    for run in reversed(runs):
        run.finish(0)

    assert [run.number for run in runs] == [1, 2, 3]
    assert other.number == 1
    assert len({run.record_path for run in runs}) == 3
    assert session.begin_run(config, "sample", "read").number == 4


def test_long_output_is_counted_beyond_the_bound(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read", max_captured_bytes=20)
    for line in (b"123456789\n", b"123456789\n", b"12345\n", b"1\n"):
        run.write_output(line)
    output = json.loads(run.finish(0).read_bytes())["output"]

    assert run.output_path.read_bytes() == b"123456789\n123456789\n"
    assert (output["count"], output["bytes"], output["truncated"]) == (4, 28, True)
    assert verify(session.folder).faults == []


def test_nothing_printed_leaves_no_file(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read")
    output = json.loads(run.finish(0).read_bytes())["output"]

    assert not run.output_path.exists()
    assert (output["file"], output["sha256"], output["count"]) == (None, None, 0)


def test_a_second_finish_changes_nothing(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read")
    first = run.finish(0).read_bytes()
    run.finish(130)

    assert run.record_path.read_bytes() == first
    assert [line["event"] for line in audit_lines(session)].count("run_ended") == 1


def test_edited_config_does_not_run(session: Session, config: Path) -> None:
    config.write_text('{"limit": 1000000}')

    with pytest.raises(Conflict, match="was edited after it was recorded"):
        session.begin_run(config, "sample", "write")
    assert audit_lines(session)[-1]["event"] == "run_refused"


def test_config_whose_audit_line_was_changed_does_not_run(session: Session, config: Path) -> None:
    session.add_config({}, "later")
    log = session.folder / AUDIT_FILE
    log.write_bytes(log.read_bytes().replace(b'"operation":"sample"', b'"operation":"elpmas"', 1))

    with pytest.raises(UnexpectedReply, match=r"001_sample.json .* was changed"):
        session.begin_run(config, "sample", "read")


def test_unknown_config_does_not_run(session: Session) -> None:
    with pytest.raises(NotFound, match="is not a config of this session"):
        session.begin_run(session.folder / "009_nothing.json", "sample", "read")


def test_record_put_there_by_hand_is_not_overwritten(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read")
    run.record_path.write_text("mine")

    with pytest.raises(Conflict, match="never wrote it"):
        run.finish(0)
    assert run.record_path.read_text() == "mine"


def test_output_put_there_by_hand_is_not_overwritten(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read")
    run.output_path.write_text("mine")

    with pytest.raises(EnvironmentMissing, match="File exists"):
        run.write_output(b"{}\n")
    assert run.output_path.read_text() == "mine"


def test_a_name_that_looks_like_a_line_of_the_log_confuses_nothing(session: Session) -> None:
    hostile = '","event":"run_started","config":"001_x.json","run":41,"a":"'
    path = session.add_config({}, "x", hostile)
    run = session.begin_run(path, hostile, "read")

    assert run.number == 1
    assert session.operation_of(path.name) == hostile
    assert verify(session.folder).faults == []


def test_history_shows_runs_and_what_they_printed(session: Session, config: Path) -> None:
    run = session.begin_run(config, "sample", "read")
    run.write_output(b"{}\n")
    run.finish(0)
    session.begin_run(config, "sample", "read")
    [shown] = read_history(session.folder).configs.values()

    assert [(item.state, item.exit_code, item.output_count) for item in shown.runs.values()] == [
        ("ended", 0, 1),
        ("running", None, None),
    ]


def test_config_without_operation_has_that_of_its_last_run(session: Session) -> None:
    path = session.add_config({}, "sample_data")
    assert session.operation_of(path.name) is None

    session.begin_run(path, "sp_process", "test")

    assert session.operation_of(path.name) == "sp_process"
