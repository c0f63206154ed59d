"""Which tests prove what: read from the marks in test files, and from fixtures.

A test says `@pytest.mark.proves("$https.onError", …)`; a fixture (`tests/fixtures/*.json`) has a
list `proves` at its top. Test files are parsed, never run.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK: Final = "proves"
_Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, order=True, slots=True)
class Proof:
    """A test or fixture that shows something."""

    file: str
    """Path below the project, with slashes."""
    test: str
    """The test's name; that of the file where a whole file is marked."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """All proofs of a project."""

    by_name: dict[str, list[Proof]] = field(default_factory=dict)
    """What is proven (`$https.onError`) to its proofs, sorted."""
    faults: list[str] = field(default_factory=list)
    """Marks that cannot be read, one sentence each."""

    def of(self, name: str) -> list[Proof]:
        """The proofs of one thing."""
        return self.by_name.get(name, [])


def proofs_in(project: Path) -> Proofs:
    """Read all marks below `tests`."""
    found = Proofs()
    tests = project / "tests"
    for path in sorted(tests.rglob("*.py")):
        file = path.relative_to(project).as_posix()
        for name, test, line in _marks(ast.parse(path.read_bytes()), path.stem):
            if name is None:
                found.faults.append(f"{file}:{line}: {MARK}(…) takes texts as they stand")
            else:
                found.by_name.setdefault(name, []).append(Proof(file, test))
    for path in sorted((tests / "fixtures").rglob("*.json")):
        file = path.relative_to(project).as_posix()
        for name in _named_by_fixture(path, file, found.faults):
            found.by_name.setdefault(name, []).append(Proof(file, path.stem))
    for name, proofs in found.by_name.items():
        found.by_name[name] = sorted(set(proofs))
    return found


def _marks(node: ast.AST, inside: str) -> Iterator[tuple[str | None, str, int]]:
    """What is marked (None: no plain text), in which test, and the line."""
    for child in ast.iter_child_nodes(node):
        # A helper inside a test is no test of its own.
        outermost = isinstance(child, _Named) and not isinstance(node, ast.FunctionDef)
        name = child.name if outermost and isinstance(child, _Named) else inside
        if isinstance(child, ast.Call) and _is_mark(child.func):
            for argument in child.args:
                value = argument.value if isinstance(argument, ast.Constant) else None
                yield value if isinstance(value, str) else None, inside, child.lineno
        yield from _marks(child, name)


def _is_mark(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr == MARK
        and isinstance(function.value, ast.Attribute)
        and function.value.attr == "mark"
    )


def _named_by_fixture(path: Path, file: str, faults: list[str]) -> list[str]:
    try:
        fixture = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        faults.append(f"{file}: no JSON: {error}")
        return []
    names = fixture.get(MARK, []) if isinstance(fixture, dict) else []
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    faults.append(f"{file}: {MARK} is a list of texts")
    return []
