"""Wrappers run as processes: documents, errors, exit codes, records."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils import errors
from asp_utils.session.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operation.conftest import Toolkit


def test_a_result_is_one_document_and_on_record(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", {"text": "hello", "times": 2})
    assert (done.returncode, done.stdout) == (0, '{"words":["hello","hello"],"note":null}\n')
    assert "saying hello" in done.stderr
    record = toolkit.record()
    assert (record["operation"], record["effect"], record["exit_code"]) == ("echo", "read", 0)
    assert record["output"]["count"] == 1
    captured = toolkit.session / record["output"]["file"]
    assert captured.read_text() == done.stdout


def test_a_config_from_outside_is_numbered_and_one_inside_keeps_its_number(
    toolkit: Toolkit,
) -> None:
    first = toolkit.run("echo", {"text": "hello"})
    assert "began session" in first.stderr
    inside = toolkit.session / "001_echo.json"
    assert json.loads(inside.read_bytes()) == {"text": "hello"}
    second = toolkit.run("echo", inside)
    assert second.stdout == first.stdout
    names = {path.name for path in toolkit.session.glob("0*.json")}
    assert names == {"001_echo.json", "001_echo.run-1.json", "001_echo.run-2.json"}


def test_a_config_may_be_left_out_where_nothing_is_required(toolkit: Toolkit) -> None:
    def call(name: str) -> subprocess.CompletedProcess[str]:
        command = toolkit.command(name)
        return subprocess.run(
            command, env=toolkit.environment, capture_output=True, text=True, check=False
        )

    assert (call("nothing").returncode, call("nothing").stdout) == (0, "[1,2]\n")
    assert (toolkit.session / "001_nothing.json").read_text().strip() == "{}"
    refused = call("echo")
    assert (refused.returncode, "no config was given" in refused.stderr) == (2, True)


def test_a_stream_is_one_document_a_line(toolkit: Toolkit) -> None:
    done = toolkit.run("count", {"until": 3})
    assert done.stdout == '{"number":1}\n{"number":2}\n{"number":3}\n'
    assert toolkit.record()["output"]["count"] == 3


@pytest.mark.parametrize(
    ("form", "expected"),
    [("json", "[1,2]\n"), ("ndjson", "1\n2\n"), ("pretty", "[\n  1,\n  2\n]\n")],
)
def test_output_formats(toolkit: Toolkit, form: str, expected: str) -> None:
    assert toolkit.run("nothing", {}, f"--output={form}").stdout == expected


BAD_CONFIGS: list[tuple[object, str, str]] = [
    (b"{", "$", "config.json: $: is not JSON (line 1 column 2:"),
    (b"\xff{}", "$", "is not UTF-8"),
    (b'{"text": "a", "text": "b"}', "$", 'has the key "text" twice'),
    (b'{"text": NaN}', "$", "holds NaN"),
    (b'{"text": "\\ud800"}', "$", "holds half a character"),
    (b"[" * 100_000, "$", "nested too deeply"),
    ([1], "$", "is a JSON list, not an object"),
    ("x", "$", "is a JSON text, not an object"),
    ({}, "$.text", "is missing; it wants text"),
    ({"text": "a", "tmes": 1}, "$.tmes", "unknown key"),
    ({"text": "a", "times": "1"}, "$.times", 'wants whole number, got "1"'),
    ({"text": "a", "times": 1.5}, "$.times", "wants whole number, got 1.5"),
    ({"text": "a", "times": 2.0}, "$.times", "wants whole number, got 2.0"),
    ({"text": "a", "times": 0}, "$.times", "should be greater than or equal to 1, got 0"),
    ({"text": "a", "times": True}, "$.times", "wants whole number, got true"),
    ({"text": "", "times": 1}, "$.text", "should have at least 1 character"),
    ({"text": "a", "note": {"a": 1}}, "$.note", "wants text, got an object"),
    ({"text": "a", "mood": "gladd"}, "$.mood", 'wants one of "glad", "sad", got "gladd"'),
]


@pytest.mark.parametrize(("config", "path", "message"), BAD_CONFIGS)
def test_a_bad_config_is_explained_in_one_line_and_on_record(
    toolkit: Toolkit, config: object, path: str, message: str
) -> None:
    done = toolkit.run("echo", config)
    assert done.returncode == 64
    error = json.loads(done.stdout)
    assert set(error) == {"code", "message", "hint", "path", "retryable", "details"}
    assert (error["code"], error["path"]) == ("CONFIG_INVALID", path)
    assert message in error["message"]
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert sentence.startswith(f"error: {toolkit.home}/config.json: {path}: ")
    assert "Traceback" not in done.stderr
    record = toolkit.record()
    assert (record["exit_code"], record["error"]["path"]) == (64, path)


def test_all_faults_are_named_at_once(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", {"tmes": 1, "mood": "gla", "note": 5})
    faults = json.loads(done.stdout)["details"]["faults"]
    assert {fault["path"] for fault in faults} == {"$.text", "$.tmes", "$.mood", "$.note"}
    hints = {fault["path"]: fault.get("hint") for fault in faults}
    assert hints["$.tmes"] == 'did you mean "times"?'
    assert hints["$.mood"] == 'did you mean "glad"?'
    assert "(and 3 more)" in done.stderr
    assert done.stderr.count("also: $") == 3


def test_an_unreadable_config_is_stored_by_its_digest(toolkit: Toolkit) -> None:
    toolkit.run("echo", b'{"token": "s3cret"')
    stored = json.loads((toolkit.session / "001_echo.json").read_bytes())
    assert stored["$unreadable"]["bytes"] == 18
    assert not any("s3cret" in text for text in toolkit.stored_texts())


def test_a_missing_config_is_not_found_and_on_record(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", toolkit.home / "absent.json")
    assert done.returncode == 66
    assert "absent.json: there is no such file" in done.stderr
    assert toolkit.record()["exit_code"] == 66


def test_a_folder_is_no_config(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", toolkit.home)
    assert done.returncode == 64
    assert "cannot be read: Is a directory" in done.stderr


ERRORS = [
    name
    for name, error in vars(errors).items()
    if isinstance(error, type) and issubclass(error, errors.AspError) and "exit_code" in vars(error)
]


@pytest.mark.parametrize("kind", [name for name in ERRORS if name != "AspError"])
def test_each_error_has_its_exit_code_and_shape(toolkit: Toolkit, kind: str) -> None:
    done = toolkit.run("fail", {"kind": kind})
    assert done.returncode == getattr(errors, kind).exit_code
    error = json.loads(done.stdout)
    assert error["code"] == getattr(errors, kind).code
    assert error["path"] in ("$.kind", "$.a")
    assert f"config.json: {error['path']}: " in done.stderr
    assert toolkit.record()["error"] == error


def test_what_nobody_expected_is_a_sentence_and_its_traceback_is_on_record(
    toolkit: Toolkit,
) -> None:
    done = toolkit.run("broken", {"text": "x"})
    assert done.returncode == 70
    assert "error: internal error: LookupError: cannot find x" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "LookupError" in toolkit.record()["error"]["details"]["traceback"]


@pytest.mark.parametrize(
    ("name", "config"), [("leaving", {"code": 3}), ("shapeless", {"value": 1})]
)
def test_a_library_that_misbehaves_is_an_internal_error(
    toolkit: Toolkit, name: str, config: dict[str, Any]
) -> None:
    done = toolkit.run(name, config)
    assert (done.returncode, toolkit.record()["exit_code"]) == (70, 70)
    assert json.loads(done.stdout)["code"] == "INTERNAL"


def test_what_a_library_prints_goes_to_stderr(toolkit: Toolkit) -> None:
    done = toolkit.run("noisy", {"text": "data"})
    assert done.stdout == '"data"\n'
    assert "noise on stdout" in done.stderr


FOREIGN: list[tuple[str, dict[str, Any], Any]] = [
    ("greet", {"name": "Ada", "punctuation": "?"}, "Hello, Ada?"),
    ("total", {"label": "sum", "prices": [1, 2.5], "taxes": {"a": 3}}, "sum: 6.5"),
    ("total", {"label": "sum"}, "sum: 0"),
    ("ranked", {"words": ["ccc", "a"]}, ["a", "ccc"]),
    ("swallowed", {"schema": "s", "copy": True, "model_config": "c"}, "s 1 True c"),
    ("point", {"x": 1, "y": 2}, {"x": 1, "y": 2}),
    ("colours", {}, ["red"]),
    ("later", {"seconds": 1}, 1.0),
    ("remembered", {"number": 4}, 4),
    ("unlimited", {}, "inf object"),
    ("exported", {"number": 4}, 8),
    ("shelf_jars_load", {"number": 2}, "jarsjars"),
    (
        "typed",
        {"at": "2026-01-20T14:30:15Z", "folder": "/a/b", "colour": "blue", "box": {"width": 3}},
        {"year": 2026, "name": "b", "colour": "BLUE", "area": 3},
    ),
]


@pytest.mark.parametrize(("name", "config", "expected"), FOREIGN)
def test_functions_of_foreign_libraries(
    toolkit: Toolkit, name: str, config: dict[str, Any], expected: object
) -> None:
    done = toolkit.run(name, config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_a_foreign_generator_is_a_stream(toolkit: Toolkit) -> None:
    assert toolkit.run("countdown", {"start": 2}).stdout == "2\n1\n"


def test_dry_run_shows_the_request_and_calls_nothing(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", {"text": "hello"}, "--dry-run")
    assert "saying" not in done.stderr
    assert json.loads(done.stdout) == {
        "operation": "echo",
        "effect": "read",
        "parameters": {"text": "hello", "times": 1, "note": None, "mood": "glad", "share": 0.5},
        "checks": ["the config fits the operation", "the text may be said"],
    }
    assert toolkit.record()["dry_run"] is True


def test_dry_run_reports_what_the_operation_checks_offline(toolkit: Toolkit) -> None:
    done = toolkit.run("echo", {"text": "forbidden"}, "--dry-run")
    assert done.returncode == 65
    assert "config.json: $.text: may not be said" in done.stderr


def test_session_defaults_lie_beneath_the_config(toolkit: Toolkit) -> None:
    Store(toolkit.home).new(defaults={"times": 3, "mood": "sad", "unrelated": 1})
    shown = json.loads(toolkit.run("echo", {"text": "a", "mood": "glad"}, "--dry-run").stdout)
    assert (shown["parameters"]["times"], shown["parameters"]["mood"]) == (3, "glad")


def test_a_config_comes_from_standard_input_too(toolkit: Toolkit) -> None:
    done = subprocess.run(
        toolkit.command("echo", "-"),
        input=b'{"text": "piped"}',
        env=toolkit.environment,
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout)["words"] == ["piped"]


def test_a_wrapper_that_is_out_of_date_says_so(toolkit: Toolkit, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(toolkit.wrappers, copy)
    schema = copy / "schemas" / "echo.json"
    schema.write_text(schema.read_text().replace('"times"', '"often"'))
    toolkit.wrappers = copy
    done = toolkit.run("echo", {"text": "a"})
    assert done.returncode == 78
    assert "hint: python generate_cli_wrappers.py" in done.stderr
    schema.unlink()
    assert toolkit.run("echo", {"text": "a"}).returncode == 78
