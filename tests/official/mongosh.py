"""The official shell as a subprocess, and the host alias that it takes for Atlas's host name."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asp_utils.ejson import loads
from tests.official.npm import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HOSTS: Final = Path("/etc/hosts")
_MARK: Final = "# asp-toolkit tests"
_LIMIT_S: Final = 60.0
_SHOWN: Final = "=> "


@dataclass(frozen=True)
class Printed:
    """What a run of the shell left."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> list[Any]:
        """What `show(...)` printed."""
        lines = self.out.splitlines()
        return [loads(line.removeprefix(_SHOWN)) for line in lines if line.startswith(_SHOWN)]


@dataclass(frozen=True)
class Mongosh:
    """The shell with a home of its own, as one user of one endpoint."""

    home: Path
    url: str
    user: str
    password: str

    def run(self, code: str, *options: str) -> Printed:
        """Run JavaScript, in which `show(value)` prints a line of relaxed Extended JSON.

        The password goes in by standard input: on the command line every user could read it.
        """
        self.home.mkdir(exist_ok=True)
        show = f"const show = value => print('{_SHOWN}' + EJSON.stringify(value ?? null));"
        words = [*program("mongosh"), self.url, "--username", self.user, "--quiet"]
        done = subprocess.run(
            [*words, *options, "--eval", f"{show}\n{code}"],
            input=self.password + "\n",
            env={**os.environ, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        return Printed(done.returncode, done.stdout, done.stderr)


def may_alias() -> bool:
    """Whether this user may name hosts."""
    return os.access(HOSTS, os.W_OK)


@contextlib.contextmanager
def alias(host: str) -> Iterator[None]:
    """Let a host name mean this machine, until the block ends."""
    line = f"127.0.0.1 {host} {_MARK}\n"
    before = HOSTS.read_text()
    with HOSTS.open("a") as hosts:
        hosts.write(line if before.endswith("\n") or not before else "\n" + line)
    try:
        yield
    finally:
        kept = HOSTS.read_text().splitlines(keepends=True)
        HOSTS.write_text("".join(each for each in kept if each != line))
