"""A project folder of the tests' own, with generated wrappers and a running local instance."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.server import lifecycle
from session_manager import get_session_manager
from tests.instances import discard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.clients.endpoint import Endpoint

LIST = {"listStreamProcessors": 1}
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a wrapper's process left."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        """Standard output as one JSON document: the result, or the error object."""
        document: dict[str, Any] = json.loads(self.out)
        return document


class Project:
    """A project folder as a user has one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "ASP_HOME": str(root)}
        self._numbers = 0

    @property
    def session(self) -> Path:
        """The folder of the current session."""
        name = (self.root / "temp" / "current_session.txt").read_text().strip()
        return self.root / "temp" / "sessions" / Path(name).name

    def config(self, config: Any) -> Path:
        """A config file outside any session; a string is written as it is."""
        self._numbers += 1
        path = self.root / f"config_{self._numbers}.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    def command(self, name: str, config: Any, *options: str) -> list[str]:
        """The command line of a wrapper."""
        path = config if isinstance(config, Path) else self.config(config)
        wrapper = self.root / "temp" / "cli_wrappers" / f"cli_{name}.py"
        return [sys.executable, str(wrapper), str(path), *options]

    def run(self, name: str, config: Any, *options: str, **environment: str) -> Ran:
        """Run a wrapper to its end."""
        done = subprocess.run(
            self.command(name, config, *options),
            env={**self.environment, **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout
        return Ran(done.returncode, done.stdout, done.stderr)

    def open(self, name: str, config: Any) -> subprocess.Popen[str]:
        """A wrapper that runs on."""
        return subprocess.Popen(
            self.command(name, config),
            env=self.environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def instance(self) -> Path:
        """The folder of its local instance."""
        return self.root / "temp" / "local"

    def endpoint(self) -> closing[Endpoint]:
        """A connection to its local instance."""
        return closing(lifecycle.connect(lifecycle.start(self.instance)))

    def records(self) -> list[dict[str, Any]]:
        """The run records of the session, in the order of their configs."""
        return [json.loads(path.read_text()) for path in sorted(self.session.glob("*.run-*.json"))]

    def verify(self) -> int:
        """The exit code of `session_manager.py verify`."""
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "session_manager.py"), "verify"],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            check=False,
        )
        return done.returncode


@pytest.fixture(scope="session")
def bare_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Wrappers, but nothing that runs."""
    root = tmp_path_factory.mktemp("project")
    # Several packages have a project of their own by this fixture; one generation serves them.
    generated = tmp_path_factory.getbasetemp() / "cli_wrappers"
    if not generated.is_dir():
        generator = REPOSITORY / "generate_cli_wrappers.py"
        command = [sys.executable, str(generator), "--out", str(generated)]
        subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    shutil.copytree(generated, root / "temp" / "cli_wrappers")
    return Project(root)


@pytest.fixture(scope="session")
def running(bare_project: Project) -> Iterator[Project]:
    """The same project with a running local instance."""
    started = bare_project.run("local_start", {})
    assert started.code == 0, started.err
    yield bare_project
    discard(bare_project.instance)


@pytest.fixture
def project(running: Project) -> Iterator[Project]:
    """A running project with a new session; processors of the test are dropped after it."""
    get_session_manager(running.root).new_session()
    yield running
    for name in names(running):
        # By the wrapper: it ends the keeper of a time limit too.
        running.run("sp_drop_stream_processor", {"stream_processor_url": "local", "name": name})


def names(project: Project) -> list[str]:
    """The stream processors that exist."""
    with project.endpoint() as endpoint:
        return [item["name"] for item in endpoint.command(LIST)["streamProcessors"]]
