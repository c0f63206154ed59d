"""The generated folder: complete, deterministic, free of stale files, and formatted."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Generate = Callable[..., subprocess.CompletedProcess[str]]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_each_operation_has_wrapper_and_schema(wrappers: Path) -> None:
    index = json.loads((wrappers / "index.json").read_bytes())
    names = {entry["name"] for entry in index["operations"]}
    files = {f"cli_{name}.py" for name in names} | {f"schemas/{name}.json" for name in names}
    assert set(contents(wrappers)) == files | {"index.json"}


def test_index_holds_texts_effects_schemas_and_exit_codes(wrappers: Path) -> None:
    index = json.loads((wrappers / "index.json").read_bytes())
    echo = next(entry for entry in index["operations"] if entry["name"] == "echo")
    assert echo["summary"] == "Say something again."
    assert echo["effect"] == "read"
    assert echo["input"]["required"] == ["text"]
    assert echo["output"]["required"] == ["words", "note"]
    assert echo["exit_codes"]["64"] == "a config does not fit its operation"


def test_bytes_depend_on_the_operations_alone(
    generate: Generate, wrappers: Path, tmp_path: Path
) -> None:
    generate("--package", "sample_library", "--out", tmp_path, PYTHONHASHSEED="77", LC_ALL="C")
    assert contents(tmp_path) == contents(wrappers)


def test_wrappers_are_short_and_say_where_they_come_from(wrappers: Path) -> None:
    source = (wrappers / "cli_echo.py").read_text()
    body = source.partition('"""\n\n')[2]
    assert body.startswith("# Generated from sample_library.marked by generate_cli_wrappers.py;")
    assert body.endswith('sys.exit(launch(__file__, __doc__, "sample_library.marked", "echo"))\n')
    assert len(body.splitlines()) < 15


def test_ruff_format_leaves_wrappers_alone(wrappers: Path) -> None:
    check = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=100", "--check"]
    done = subprocess.run([*check, wrappers], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_is_silent_on_a_fresh_folder(generate: Generate, wrappers: Path) -> None:
    done = generate("--package", "sample_library", "--out", wrappers, "--check")
    assert done.returncode == 0
    assert all(line.startswith("left out: ") for line in done.stderr.splitlines())


def test_check_names_each_difference_and_changes_nothing(
    generate: Generate, tmp_path: Path
) -> None:
    generate("--package", "sample_library.shelf", "--out", tmp_path)
    with (tmp_path / "cli_shelf_books_load.py").open("a") as file:
        file.write("\n")
    (tmp_path / "schemas" / "jars_load.json").unlink(missing_ok=True)
    (tmp_path / "index.json").unlink()
    (tmp_path / "cli_orphan.py").write_text("")
    before = contents(tmp_path)
    done = generate("--package", "sample_library.shelf", "--out", tmp_path, "--check")
    assert done.returncode == 1
    said = [line.removeprefix(f"{tmp_path}/") for line in done.stderr.splitlines()]
    assert "index.json: is missing" in said
    assert "schemas/jars_load.json: is missing" in said
    assert "cli_orphan.py: belongs to no operation" in said
    assert contents(tmp_path) == before


def test_stale_wrappers_are_removed_and_own_files_stay(generate: Generate, tmp_path: Path) -> None:
    generate("--package", "sample_library.shelf", "--out", tmp_path)
    (tmp_path / "cli_mine.py").write_text("mine")
    done = generate("--package", "sample_library.shelf.jars", "--out", tmp_path)
    assert set(contents(tmp_path)) == {
        "cli_load.py", "schemas/load.json", "index.json", "cli_mine.py",
    }  # fmt: skip
    assert "cli_mine.py: was not generated; left alone" in done.stderr


def test_refused_operations_end_the_generator_with_all_faults(
    generate: Generate, tmp_path: Path
) -> None:
    done = generate("--package", "sample_faulty", "--out", tmp_path)
    assert done.returncode == 70
    assert "wrong.py:21: no_description: parameter 'value' has no description" in done.stderr
    assert len(done.stderr.splitlines()) == 11
    assert contents(tmp_path) == {}


def test_an_unknown_package_ends_the_generator_with_a_hint(generate: Generate) -> None:
    done = generate("--package", "a_package_that_nobody_has")
    assert done.returncode == 66
    assert "hint: install it" in done.stderr


def test_without_the_environment_a_wrapper_says_so(wrappers: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-I", wrappers / "cli_echo.py", "x.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr == "asp_utils is not installed here: use the project's .venv/bin/python\n"


@pytest.mark.parametrize("name", ["cli_echo.py", "cli_typed.py", "cli_total.py"])
def test_help_is_the_docstring_to_the_byte(wrappers: Path, name: str) -> None:
    script = wrappers / name
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, check=False, env=env
    )
    docstring = ast.get_docstring(ast.parse(script.read_text()), clean=False)
    assert done.stdout.decode() == docstring


def test_schema_is_the_file_beside_the_wrapper(wrappers: Path) -> None:
    done = subprocess.run(
        [sys.executable, wrappers / "cli_echo.py", "--schema"], capture_output=True, check=False
    )
    assert done.stdout == (wrappers / "schemas" / "echo.json").read_bytes()
    document = json.loads(done.stdout)
    not_found = {"code": "NOT_FOUND", "exit_code": 66, "when": "Never, but it is documented."}
    assert document["errors"] == [not_found]


def test_help_says_all_that_a_caller_must_know(wrappers: Path) -> None:
    done = subprocess.run(
        [sys.executable, wrappers / "cli_echo.py", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    for text in (
        "cli_echo.py: Say something again.",
        "Usage: python cli_echo.py CONFIG.json",
        "  text   text, required",
        "  times  whole number, default 1",
        "         How often.",
        'one of "glad", "sad", default "glad"',
        "Effect: read (changes nothing).",
        "64 a config does not fit",
    ):
        assert text in done.stdout
