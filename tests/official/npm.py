"""The official clients that npm has: fetched at pinned versions, kept in a cache, run by the tests.

`python -m tests.official.npm --fetch` installs exactly what package-lock.json beside this file
pins into `~/.cache/asp-toolkit/npm-<versions>`, without running any package's scripts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
VERSIONS: Final[dict[str, str]] = json.loads((HERE / "package.json").read_text())["dependencies"]
"""The clients and their versions; package-lock.json pins all that they need."""
_OLDEST_NODE: Final = (20, 19)
_FLAGS: Final = ("--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")


class ClientsMissing(Exception):
    """The clients are not there and cannot be fetched; the message says why."""


def cache() -> Path:
    """Where the clients are, or will be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    versions = "-".join(f"{name}-{version}" for name, version in VERSIONS.items())
    return Path(base) / "asp-toolkit" / f"npm-{versions}"


def is_available() -> bool:
    """Whether the clients can be run."""
    return cache().is_dir() and shutil.which("node") is not None


def program(name: str) -> list[str]:
    """The command line that runs the program which an installed package is."""
    package = cache() / "node_modules" / name
    programs = json.loads((package / "package.json").read_text())["bin"]
    path = package / (programs if isinstance(programs, str) else programs[name])
    return [_node(), str(path)]


def fetch() -> Path:
    """Install the clients from the npm registry, unless they are here; their folder.

    Raises:
        ClientsMissing: There is no npm, node is too old, or npm could not install them.
    """
    target = cache()
    if target.is_dir():
        return target
    _require_node()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as folder:
        place = Path(folder) / "clients"
        place.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, place)
        words = ["npm", "ci", *_FLAGS]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClientsMissing(f"npm ended with {done.returncode}: {done.stderr[-2000:]}")
        # Another process may have been faster; then its folder is as good as this one.
        with contextlib.suppress(OSError):
            place.rename(target)
    return target


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        raise ClientsMissing("node is not installed; it runs the clients")
    return found


def _require_node() -> None:
    if shutil.which("npm") is None:
        raise ClientsMissing("npm is not installed; it fetches the clients")
    done = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=True)
    version = done.stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("v").split(".")[:2])
    if numbers < _OLDEST_NODE:
        wanted = ".".join(map(str, _OLDEST_NODE))
        raise ClientsMissing(f"node is {version}; the MCP server needs {wanted} or newer")


def main() -> int:
    """Fetch the official clients that npm has."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--fetch", action="store_true", required=True, help="install them")
    parser.parse_args()
    try:
        folder = fetch()
    except ClientsMissing as problem:
        sys.stderr.write(f"{problem}\n")
        return 78
    versions = ", ".join(f"{name} {version}" for name, version in VERSIONS.items())
    sys.stdout.write(f"{versions}: {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
