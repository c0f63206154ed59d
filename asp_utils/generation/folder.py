"""A folder of generated files as a whole: written, compared, rid of what is stale."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from asp_utils.generation.shapes import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_WRAPPER_NAMES: Final = ("cli_*.py", "schemas/*.json")


def differences(files: Mapping[Path, bytes]) -> list[str]:
    """Which files are not what they should be, one sentence each."""
    return [why for path, content in files.items() if (why := _difference(path, content))]


def write(files: Mapping[Path, bytes]) -> None:
    """Make files what they should be; those that are so already are not touched."""
    for path, content in files.items():
        if _difference(path, content):
            replace_file(path, content)


def orphans(folder: Path, files: Mapping[Path, bytes]) -> list[Path]:
    """Wrappers and schemas in a folder that belong to no operation."""
    found = [path for pattern in _WRAPPER_NAMES for path in folder.glob(pattern)]
    return sorted(path for path in found if path not in files)


def remove_generated(paths: Iterable[Path]) -> list[str]:
    """Remove the generated ones of some files; say what became of each."""
    return [_removed(path) for path in paths]


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees either the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _difference(path: Path, content: bytes) -> str:
    if not path.is_file():
        return f"{path}: is missing"
    return "" if path.read_bytes() == content else f"{path}: is out of date"


def _removed(path: Path) -> str:
    if GENERATOR.encode() not in path.read_bytes():
        return f"{path}: was not generated; left alone"
    path.unlink()
    return f"{path}: removed, it belonged to no operation"
