"""The names that a module's annotations may use."""

from __future__ import annotations

import ast
import inspect
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def checking_names(module_name: str) -> Mapping[str, Any]:
    """All names that annotations of a module may use: its globals and its `if TYPE_CHECKING:`.

    Modules import what only annotations need under `TYPE_CHECKING`, which keeps pydantic out of
    every run; here those blocks are executed. What they cannot import is left out.
    """
    module = sys.modules[module_name]
    names = dict(vars(module))
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):  # no source: built in, frozen or made at run time
        return names
    for block in tree.body:
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test):
            _execute(block.body, names)
    return names


def _execute(statements: list[ast.stmt], names: dict[str, Any]) -> None:
    for statement in statements:
        code = compile(ast.Module([statement], []), "<TYPE_CHECKING>", "exec")
        with suppress(ImportError, NameError, AttributeError, TypeError):
            exec(code, names)  # noqa: S102 - the module's own statements, which a type checker runs too
