"""Reading annotations: names resolved, and what can be said in JSON told from what cannot."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as AbcGenerator
from typing import Annotated, Any, Final, Literal, Union

import annotated_types
from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, is_typeddict

from asp_utils.introspection.namespaces import checking_names
from asp_utils.introspection.typed_dicts import hints_of, rebuilt

_PLAIN_ATOMS: Final = (str, int, float, bool, type(None), dict, list, Any, object)
_PLAIN_CONTAINERS: Final = (
    dict, list, Union, types.UnionType, typing.Required, typing.NotRequired
)  # fmt: skip
_STREAMS: Final = (Iterator, Iterable, AbcGenerator)

SCHEMA_ERRORS: Final = (PydanticUserError, PydanticUndefinedAnnotation, TypeError, ValueError)
"""What pydantic raises for an annotation that it cannot use."""


def resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function by parameter name, `return` included, strings evaluated.

    Raises:
        NameError, TypeError, SyntaxError, AttributeError: An annotation cannot be evaluated.
    """
    inner = inspect.unwrap(function)
    names = dict(checking_names(inner.__module__)) if inner.__module__ in sys.modules else {}
    names = {**getattr(inner, "__globals__", {}), **names}
    hints = typing.get_type_hints(inner, globalns=names, include_extras=True)
    return {name: rebuilt(hint) for name, hint in hints.items()}


def description_of(annotation: Any) -> str:
    """The text of `Annotated[..., Field(description=...)]`, or of a plain string in its place."""
    for extra in _extras(annotation):
        text = extra.description if isinstance(extra, FieldInfo) else extra
        if isinstance(text, str) and text:
            return text
    return ""


def is_expressible(annotation: Any) -> bool:
    """Whether a value of the annotated type can be given in JSON."""
    try:
        TypeAdapter(annotation).json_schema()
    except SCHEMA_ERRORS:
        return False
    return True


def is_plain(annotation: Any) -> bool:
    """Whether the JSON value itself is the value: no conversion to a Python type is needed."""
    if isinstance(annotation, TypeAliasType):
        return is_plain(annotation.__value__)
    if annotation in _PLAIN_ATOMS or typing.get_origin(annotation) is Literal:
        return True
    if is_typeddict(annotation):
        return all(map(is_plain, hints_of(annotation).values()))
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return is_plain(inner[0]) and all(map(_is_constraint, inner[1:]))
    return typing.get_origin(annotation) in _PLAIN_CONTAINERS and all(map(is_plain, inner))


def stream_item(annotation: Any) -> tuple[bool, Any]:
    """Whether a return annotation is a stream of documents, and the annotation of what it holds.

    Example:
        >>> stream_item(Iterator[int])
        (True, <class 'int'>)
    """
    origin = typing.get_origin(annotation) or annotation
    if origin not in _STREAMS:
        return False, annotation
    inner: Sequence[Any] = typing.get_args(annotation)
    return True, inner[0] if inner else Any


def _extras(annotation: Any) -> Sequence[Any]:
    if isinstance(annotation, TypeAliasType):
        return _extras(annotation.__value__)
    return typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()


def _is_constraint(extra: Any) -> bool:
    """Whether metadata only bounds a value, in a way that the JSON Schema shows."""
    if isinstance(extra, FieldInfo):
        return all(map(_is_constraint, extra.metadata))
    bounds = (str, annotated_types.BaseMetadata, annotated_types.GroupedMetadata)
    return isinstance(extra, bounds) or type(extra).__name__ == "_PydanticGeneralMetadata"
