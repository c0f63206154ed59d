"""The generator run on the sample packages of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
GENERATOR = HERE.parents[1] / "generate_cli_wrappers.py"

Generate = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sample packages importable in this process."""
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture(scope="session")
def generate() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`generate("--package", "x", ...)`: the generator as a person calls it."""

    def call(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, GENERATOR, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(HERE), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def wrappers(
    generate: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The wrappers of `sample_library`, generated once."""
    folder = tmp_path_factory.mktemp("wrappers")
    done = generate("--package", "sample_library", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder
