"""Sizes, docstrings, names and broad handlers of the product's own code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
FILES = [
    PROJECT / "generate_cli_wrappers.py",
    PROJECT / "session_manager.py",
    *sorted((PROJECT / "asp_utils").rglob("*.py")),
]
Function = ast.FunctionDef | ast.AsyncFunctionDef
everywhere = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def code_lines(function: Function) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    skipped = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - skipped


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    """Public classes and functions, with the public methods of the classes."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def swallows_everything(node: ast.ExceptHandler) -> bool:
    """Whether a handler catches whatever comes, and does not raise it again."""
    if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False
    names = {it.id for it in ast.walk(node.type) if isinstance(it, ast.Name)} if node.type else {""}
    return bool(names & {"", "Exception", "BaseException"})


@everywhere
def test_modules_have_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@everywhere
def test_functions_have_at_most_60_lines(path: Path) -> None:
    long = {it.name: code_lines(it) for it in functions(ast.parse(path.read_text()))}
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


@everywhere
def test_every_public_name_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "the module"
    assert [it.name for it in public(tree.body) if not ast.get_docstring(it)] == []


@everywhere
def test_only_the_runner_catches_everything(path: Path) -> None:
    tree = ast.parse(path.read_text())
    handlers = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    broad = [node.lineno for node in handlers if swallows_everything(node)]
    assert len(broad) == (path.name == "runner.py" and path.parent.name == "asp_utils")


def test_half_of_all_functions_are_short() -> None:
    sizes = sorted(
        code_lines(it) for path in FILES for it in functions(ast.parse(path.read_text()))
    )
    assert sizes[len(sizes) // 2] <= 9
    assert sizes[len(sizes) * 9 // 10] <= 25
