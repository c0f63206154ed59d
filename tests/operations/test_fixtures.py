"""`pipeline_test` as a user calls it: what a person reads, what a program reads, the exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

SOURCE = {"$source": {"connectionName": "sample_stream_solar", "timeField": {"$toDate": "$at"}}}
WINDOW = {
    "$tumblingWindow": {
        "interval": {"size": 1, "unit": "minute"},
        "pipeline": [{"$group": {"_id": "$k", "n": {"$sum": 1}}}],
    }
}
FIXTURE: dict[str, Any] = {
    "description": "counts by minute",
    "pipeline": [SOURCE, WINDOW],
    "input": [
        {"at": "2026-01-20T00:00:01Z", "k": 1},
        {"at": "2026-01-20T00:00:02Z", "k": 1},
        {"at": "2026-01-20T00:05:00Z", "k": 1},
        {"at": "2026-01-20T00:00:03Z", "k": 1},
    ],
    "expected": {
        "output": [{"_id": 1, "n": 2}],
        "dead_letters": [{"reason": "Input document arrived late."}],
    },
}
MISMATCH = {**FIXTURE, "expected": {"output": [{"_id": 1, "n": 3}], "dead_letters": []}}
WRONG = {**FIXTURE, "pipeline": [SOURCE, {"$grop": {}}, {"$sort": {"n": 1}}]}


@pytest.fixture
def run(bare_project: Any, tmp_path: Path) -> Any:
    """Write fixtures into a folder (texts as they are), run the named ones, all when none."""

    def run(fixtures: dict[str, Any], *files: str) -> Any:
        for name, content in fixtures.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        named = [str(tmp_path / name) for name in files] or [str(tmp_path)]
        return bare_project.run("pipeline_test", {"files": named})

    return run


def test_a_folder_of_fixtures_that_pass(run: Any, tmp_path: Path) -> None:
    ran = run({"b.json": FIXTURE, "a.json": FIXTURE, "below/c.json": FIXTURE, "notes.txt": "x"})
    assert ran.code == 0
    names = [str(tmp_path / name) for name in ("a.json", "b.json", "below/c.json")]
    lines = [line.split() for line in ran.err.splitlines()]
    assert [line[1] for line in lines if line[0] == "passed"] == names
    result = ran.result
    assert (result["passed"], result["failed"]) == (3, 0)
    first = result["fixtures"][0]
    assert first.pop("elapsed_ms") > 0
    assert first == {
        "file": names[0],
        "description": "counts by minute",
        "passed": True,
        "differences": [],
        "virtual_ms": 0,
        "input_count": 4,
        "output_count": 1,
        "dead_letter_count": 1,
    }


def test_a_mismatch_says_what_came_instead(run: Any, tmp_path: Path) -> None:
    ran = run({"a.json": FIXTURE, "b.json": MISMATCH})
    assert ran.code == 10
    assert f"FAILED  {tmp_path / 'b.json'}: counts by minute" in ran.err
    assert "output[0].n: expected 3, got 2" in ran.err
    assert "dead_letters: expected 0 documents, got 1" in ran.err
    error = ran.result
    assert error["code"] == "FIXTURE_FAILED"
    assert "1 of 2 fixtures" in error["message"]
    assert [report["passed"] for report in error["details"]["fixtures"]] == [True, False]
    assert error["details"]["fixtures"][1]["differences"][0] == "output[0].n: expected 3, got 2"


def test_a_processor_that_fails_is_a_difference(run: Any) -> None:
    stage = {"$https": {"connectionName": "h", "path": "/x", "as": "r"}}
    failing = {
        **FIXTURE,
        "pipeline": [SOURCE, stage, {"$unset": "k"}],
        "http": [{"path": "/x", "status": 403}],
    }
    ran = run({"a.json": failing})
    assert ran.code == 10
    (difference,) = ran.result["details"]["fixtures"][0]["differences"]
    assert difference.startswith("the processor failed: $https: ")
    assert "(code 436)" in difference


def test_a_wrong_pipeline_beside_one_that_passes(run: Any, tmp_path: Path) -> None:
    ran = run({"a.json": WRONG, "b.json": FIXTURE})
    assert ran.code == 65
    assert f"passed  {tmp_path / 'b.json'}" in ran.err
    assert "did you mean $group" in ran.err + ran.result["hint"]
    faults = ran.result["details"]["faults"]
    assert [fault["path"] for fault in faults] == ["$.pipeline[1].$grop", "$.pipeline[2].$sort"]


def test_all_faults_of_all_files_at_once(run: Any, tmp_path: Path) -> None:
    faulty = {"description": "", "pipeline": "none", "input": []}
    ran = run({"a.json": faulty, "b.json": '{"description": ', "c.json": FIXTURE})
    assert ran.code == 64
    assert "passed" not in ran.err
    faults = {(f["message"].split(":")[0], f["path"]) for f in ran.result["details"]["faults"]}
    first, second = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    places = ("$.description", "$.pipeline", "$.expected")
    assert faults == {*((first, place) for place in places), (second, "$")}


def test_files_that_are_not_there(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run({"a.json": FIXTURE}, "none.json", "a.json", "empty")
    assert ran.code == 64
    faults = ran.result["details"]["faults"]
    assert [fault["path"] for fault in faults] == ["$.files[0]", "$.files[2]"]
    assert "no such file" in faults[0]["message"]
    assert "a folder without *.json" in faults[1]["message"]
