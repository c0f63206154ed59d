"""Imports go down only, inside functions and for annotations too, and nowhere in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]

# From the top down; one inner tuple is one part, and parts of one layer do not know each other.
LAYERS: list[list[tuple[str, ...]]] = [
    [("generate_cli_wrappers",), ("session_manager",)],
    [("launch", "runner", "running"), ("generation",)],
    [("operations",)],
    [("instance", "workspace", "pipeline_input", "admin", "run_limits", "checkup", "environment")],
    [("context", "operation", "introspection"), ("session",)],
    [("engine",), ("server",), ("script",), ("language",), ("data",)],
    [("pipeline",)],
    [("clients",)],
    [("model",)],
    [("errors", "units", "ejson", "spelling", "whole_files")],
]


@cache
def modules() -> dict[str, ast.Module]:
    roots = [PROJECT / "generate_cli_wrappers.py", PROJECT / "session_manager.py"]
    files = [*roots, *sorted((PROJECT / "asp_utils").rglob("*.py"))]
    return {_module_name(path): ast.parse(path.read_bytes()) for path in files}


def _module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(name: str) -> set[str]:
    """The modules of ours that a module imports, wherever in it."""
    found: set[str] = set()
    for statement in ast.walk(modules()[name]):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            below = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= {target for target in below if target in modules()}
            if not below <= set(modules()):
                found.add(statement.module)
    return found & set(modules())


def place_of(name: str) -> tuple[int, tuple[str, ...]] | None:
    """Layer (0 is the top) and part of a module; None for the empty `asp_utils` itself."""
    part = name.split(".")[1] if "." in name else name
    for depth, layer in enumerate(LAYERS):
        for parts in layer:
            if part in parts:
                return depth, parts
    return None


def test_every_module_has_a_layer() -> None:
    homeless = {name for name in modules() if place_of(name) is None}
    assert homeless == {"asp_utils"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down_only(name: str) -> None:
    here = place_of(name)
    for target in imports_of(name):
        there = place_of(target)
        if here is None or there is None:
            continue
        inside = here == there
        assert inside or there[0] > here[0], f"{name} imports {target}"


def cycles() -> Iterator[list[str]]:
    """Every way back to a module that is on the way already."""
    finished: set[str] = set()

    def walk(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in finished:
            for target in sorted(imports_of(name) - {name}):
                yield from walk(target, [*way, name])
            finished.add(name)

    for name in sorted(modules()):
        yield from walk(name, [])


def test_no_imports_go_in_a_circle() -> None:
    assert [" -> ".join(way) for way in cycles()] == []
