"""TypedDicts as pydantic wants them, with the docstrings of their keys as descriptions.

Before Python 3.12 pydantic refuses `typing.TypedDict`, and `typing_extensions` costs every run a
few milliseconds: modules use the former, and introspection rebuilds each shape here.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from functools import cache, reduce
from itertools import pairwise
from operator import or_
from typing import Annotated, Any, Final, NotRequired, Required, Union

import typing_extensions
from pydantic import Field

from asp_utils.introspection.namespaces import checking_names

_MARKERS: Final = (Required, NotRequired)


def rebuilt(annotation: Any) -> Any:
    """The annotation with every TypedDict in it replaced by a documented twin."""
    if typing_extensions.is_typeddict(annotation):
        return _twin(annotation)
    arguments = typing.get_args(annotation)
    replaced = tuple(map(rebuilt, arguments))
    if all(new is old for new, old in zip(replaced, arguments, strict=True)):
        return annotation
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return Annotated[(replaced[0], *annotation.__metadata__)]
    return reduce(or_, replaced) if origin in (Union, types.UnionType) else origin[replaced]


def hints_of(shape: Any) -> dict[str, Any]:
    """The annotations of a TypedDict's keys, strings evaluated, `NotRequired` kept."""
    names = dict(checking_names(shape.__module__))
    # As locals: the references in a TypedDict look for globals in their own module alone.
    return typing.get_type_hints(shape, localns=names, include_extras=True)


@cache
def _twin(shape: Any) -> Any:
    try:
        hints = hints_of(shape)
    except NameError:  # left as it is, pydantic names what it cannot resolve
        return shape
    texts = _key_docstrings(shape)
    keys = {key: _key(hint, texts.get(key), shape, key) for key, hint in hints.items()}
    build: Any = typing_extensions.TypedDict  # as a function: its keys are only known here
    twin = build(shape.__name__, keys)
    twin.__doc__ = shape.__doc__
    twin.__module__ = shape.__module__
    return twin


def _key(hint: Any, text: str | None, shape: Any, key: str) -> Any:
    marker = typing.get_origin(hint)
    value = rebuilt(typing.get_args(hint)[0]) if marker in _MARKERS else rebuilt(hint)
    if text:
        value = Annotated[value, Field(description=text)]
    if marker not in _MARKERS:
        marker = Required if key in shape.__required_keys__ else NotRequired
    return marker[value]


def _key_docstrings(shape: Any) -> dict[str, str]:
    """The string below each key, its lines joined."""
    texts: dict[str, str] = {}
    for base in getattr(shape, "__orig_bases__", ()):
        if typing_extensions.is_typeddict(base):
            texts |= _key_docstrings(base)
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(shape))).body[0]
    except (OSError, TypeError, SyntaxError):
        return texts
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for key, text in pairwise(statements):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    texts[key.target.id] = " ".join(words.split())
    return texts
