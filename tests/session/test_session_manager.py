"""session_manager.py as people call it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asp_utils.session.store import Store
from asp_utils.session.version import TOOL_VERSION

REPOSITORY = Path(__file__).parents[2]
WRAPPER = """import json, os, sys
print(json.dumps({"home": os.environ["ASP_HOME"], "arguments": sys.argv[1:]}))
sys.exit(69)
"""
SCHEMA = {
    "input": {"properties": {"pass_phrase_of_it": {"anyOf": [{"format": "password"}]}, "limit": {}}}
}


@dataclass
class Project:
    """A project folder with one wrapper, called as from a terminal."""

    root: Path

    def call(
        self, *words: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "session_manager.py"), *words],
            cwd=self.root,
            env={**os.environ, "ASP_HOME": str(self.root), **environment},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def json(self, *words: str) -> Any:
        return json.loads(self.call(*words, "--json").stdout)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a wrapper for the operation `sample`."""
    wrappers = tmp_path / "temp" / "cli_wrappers"
    (wrappers / "schemas").mkdir(parents=True)
    (wrappers / "cli_sample.py").write_text(WRAPPER)
    (wrappers / "schemas" / "sample.json").write_text(json.dumps(SCHEMA))
    return Project(tmp_path)


def test_new_begins_a_session_with_defaults(project: Project) -> None:
    done = project.call("new", "--default", "stream_processor_url=local", "--default", "limit=5")
    info = json.loads((Path(done.stdout.strip()) / "session_info.json").read_text())

    assert done.returncode == 0
    assert info["defaults"] == {"stream_processor_url": "local", "limit": 5}
    assert info["policy"] == {"approval": "none"}
    assert info["id"] == (project.root / "temp" / "current_session.txt").read_text().strip()


def test_config_writes_settings_over_a_file_and_runs_nothing(project: Project) -> None:
    given = '{"limit": 1, "pipeline": [{"$match": {}}]}'
    done = project.call("config", "sample", "--from", "-", "--set", "limit=2", "--set", "name=a=b",
                        stdin=given)  # fmt: skip
    path = Path(done.stdout.strip())

    assert path.name == "001_sample.json"
    assert json.loads(path.read_text()) == {"limit": 2, "pipeline": [{"$match": {}}], "name": "a=b"}
    assert project.json("show")["configs"][0]["runs"] == []


@pytest.mark.parametrize("chosen", ["1", "001", "sample", "{path}"])
def test_run_hands_the_config_to_its_wrapper(project: Project, chosen: str) -> None:
    path = project.call("config", "sample").stdout.strip()
    done = project.call("run", chosen.format(path=path), "--dry-run", "--output", "pretty")

    assert done.returncode == 69
    assert json.loads(done.stdout) == {
        "home": str(project.root),
        "arguments": [path, "--dry-run", "--output", "pretty"],
    }


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["config", "sampel"], 66, "did you mean sample?"),
        (["config", "sample", "--set", "x"], 2, "is not KEY=VALUE"),
        (["config", "sample", "--from", "/nowhere.json"], 66, "/nowhere.json cannot be read"),
        (["config", "sample", "--set", "pass_phrase_of_it=x"], 64, "$.pass_phrase_of_it: "),
        (["config", "sample", "--set", 'c={"token":"x"}'], 64, "$.c.token: this looks like"),
        (["new", "--policy", "write"], 2, "there is no policy 'write'"),
        (["new", "--default", "password=x"], 64, "$.password: this looks like a literal secret"),
        (["run", "7"], 66, "has no config 007"),
        (["run", "nothing.json"], 66, "nothing.json is not a config of a session"),
        (["show", "2020-01-01_00-00-00"], 66, "there is no session"),
        (["verify", "../.."], 66, "there is no session"),
        (["dance"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    project: Project, words: list[str], code: int, told: str
) -> None:
    project.call("new")
    done = project.call(*words)

    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert project.json("show")["configs"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,}', "line 1, column"),
        ("[]", "not a JSON object"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ("[" * 100_000, "not readable as JSON"),
    ],
)
def test_unreadable_file_is_told(project: Project, text: str, told: str) -> None:
    done = project.call("config", "sample", "--from", "-", stdin=text)

    assert done.returncode == 64
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["show", "verify", "run"])
def test_without_a_session_the_hint_says_how_to_begin_one(project: Project, command: str) -> None:
    done = project.call(command, *(["1"] if command == "run" else []))

    assert done.returncode == 66
    assert "python session_manager.py new" in done.stderr


def test_errors_are_json_when_json_was_asked_for(project: Project) -> None:
    assert project.json("show")["code"] == "NOT_FOUND"


def test_config_of_unknown_operation_names_the_way_to_run_it(project: Project) -> None:
    path = Store(project.root).current_or_new().add_config({}, "sample_data")
    done = project.call("run", "1")

    assert done.returncode == 66
    assert f"python temp/cli_wrappers/cli_….py {path}" in done.stderr


def test_show_has_a_row_for_each_config(project: Project) -> None:
    session = Store(project.root).new()
    run = session.begin_run(session.add_config({}, "sample", "sample"), "sample", "read")
    run.write_output(b"{}\n")
    run.finish(69)
    done = project.call("show")

    assert done.stdout.splitlines()[1].split()[:5] == [
        "001",
        "001_sample.json",
        "sample",
        "1",
        "69",
    ]
    assert done.stdout.splitlines()[-1] == f"head 4 sha256 {session.log.head().sha256}"
    assert project.json("show")["configs"][0]["runs"][0]["output_count"] == 1


def test_list_marks_the_current_session_and_survives_damage(project: Project) -> None:
    store = Store(project.root)
    damaged, sound = store.new(), store.new()
    (damaged.folder / "audit.jsonl").write_text("garbage\n")

    shown = project.json("list")
    assert [(row["id"], row["current"], row["configs"]) for row in shown] == [
        (damaged.id, False, None),
        (sound.id, True, 0),
    ]
    assert "not one that a session wrote" in project.call("list").stdout


def test_verify_exits_76_and_names_every_change(project: Project) -> None:
    session = Store(project.root).new()
    first, second = session.add_config({}, "a"), session.add_config({}, "b")
    assert project.call("verify").returncode == 0
    first.write_text("[]")
    second.unlink()
    done = project.call("verify", session.id)

    assert done.returncode == 76
    assert "changed: 001_a.json: was edited (audit line 2)" in done.stdout
    assert "changed: 002_b.json: is missing (audit line 3)" in done.stdout
    assert len(project.json("verify")["faults"]) == 2


@pytest.mark.parametrize("command", ["show", "list"])
def test_damaged_records_are_told_not_believed(project: Project, command: str) -> None:
    session = Store(project.root).new()
    run = session.begin_run(session.add_config({}, "a"), "sample", "read")
    run.finish(0).write_text('{"output": 7}')
    (session.folder / "session_info.json").write_text('{"id": 5, "created": 6}')
    done = project.call(command)

    assert "Traceback" not in done.stderr
    assert "cannot be read" in done.stderr + done.stdout
    assert done.returncode == (76 if command == "show" else 0)


def test_help_names_every_command(project: Project) -> None:
    shown = project.call("--help").stdout

    assert all(word in shown for word in ("new", "config", "run", "list", "show", "verify"))


def test_importing_the_library_loads_no_heavy_package() -> None:
    code = (
        "import sys, session_manager, asp_utils.session.wrappers; "
        "print(sorted({'pydantic', 'typer', 'rich', 'typing_extensions', 'difflib', 'shutil'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_tool_version_is_that_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert project["version"] == TOOL_VERSION


@pytest.mark.parametrize("marker", ["pyproject.toml", ".asp"])
def test_project_is_found_upward(tmp_path: Path, marker: str) -> None:
    (tmp_path / "temp").mkdir()
    (tmp_path / marker).touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    done = Project(inner).call("new", ASP_HOME="")

    assert Path(done.stdout.strip()).parent == tmp_path / "temp" / "sessions"
