"""The second life: a command line for a module of the standard library, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def loads(
    generate: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[[object], subprocess.CompletedProcess[str]]:
    """`cli_loads.py`, generated from `tomllib`, given a config."""
    done = generate("--package", "tomllib", "--out", tmp_path / "wrappers")
    assert done.returncode == 0
    assert "load: parameter 'fp' has a type that JSON cannot express" in done.stderr

    def call(config: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "config.json").write_text(json.dumps(config))
        words = [sys.executable, str(tmp_path / "wrappers" / "cli_loads.py")]
        env = {**os.environ, "ASP_HOME": str(tmp_path)}
        words.append(str(tmp_path / "config.json"))
        return subprocess.run(words, capture_output=True, text=True, check=False, env=env)

    return call


def test_a_good_config_is_parsed(
    loads: Callable[[object], subprocess.CompletedProcess[str]],
) -> None:
    done = loads({"s": 'when = 2026-01-20T14:30:15Z\n[a]\nb = [1, "two"]'})
    assert (done.returncode, done.stderr.count("\n")) == (0, 2)
    moment = {"$date": "2026-01-20T14:30:15Z"}
    assert json.loads(done.stdout) == {"when": moment, "a": {"b": [1, "two"]}}


def test_a_config_that_does_not_fit_is_explained(
    loads: Callable[[object], subprocess.CompletedProcess[str]],
) -> None:
    done = loads({"text": "a = 1"})
    assert done.returncode == 64
    faults = json.loads(done.stdout)["details"]["faults"]
    assert {fault["path"] for fault in faults} == {"$.s", "$.text"}
