"""Wrappers of the sample library, called as an agent calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
LIBRARY = PROJECT / "tests" / "generator"


@dataclass
class Toolkit:
    """A project folder with the wrappers of `sample_library`."""

    wrappers: Path
    home: Path
    environment: dict[str, str]

    def command(self, name: str, *words: str | Path) -> list[str]:
        """The command line of a wrapper."""
        return [sys.executable, str(self.wrappers / f"cli_{name}.py"), *map(str, words)]

    def config(self, content: object) -> Path:
        """Write a config outside every session; bytes are written as they are."""
        path = self.home / "config.json"
        is_raw = isinstance(content, bytes)
        path.write_bytes(content if is_raw else json.dumps(content).encode())  # type: ignore[arg-type]
        return path

    def run(
        self, name: str, config: object, *words: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Call a wrapper with a config, to its end."""
        path = config if isinstance(config, Path) else self.config(config)
        return subprocess.run(
            self.command(name, path, *words),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def session(self) -> Path:
        """The folder of the only session."""
        (folder,) = (path for path in self.home.glob("temp/sessions/*") if path.is_dir())
        return folder

    def record(self) -> dict[str, Any]:
        """The newest run record."""
        newest = max(self.session.glob("*.run-*.json"), key=lambda path: path.stat().st_mtime_ns)
        record: dict[str, Any] = json.loads(newest.read_bytes())
        return record

    def stored_texts(self) -> Iterator[str]:
        """All that lies on disk."""
        for path in self.home.rglob("temp/**/*"):
            if path.is_file() and path.name != ".redaction_key":
                yield path.read_text("utf-8", "replace")


@pytest.fixture(scope="session")
def sample_wrappers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wrappers of `sample_library`, generated once."""
    folder = tmp_path_factory.mktemp("wrappers")
    words = ["--package", "sample_library", "--out", str(folder)]
    subprocess.run(
        [sys.executable, str(PROJECT / "generate_cli_wrappers.py"), *words],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        check=True,
    )
    return folder


@pytest.fixture
def toolkit(sample_wrappers: Path, tmp_path: Path) -> Toolkit:
    """A fresh project folder."""
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "ASP_HOME": str(tmp_path)}
    return Toolkit(sample_wrappers, tmp_path, environment)
