"""From a function to its specification: the signature read, and what is wrong with it named."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from asp_utils.context import Context
from asp_utils.errors import Fault, InternalError
from asp_utils.introspection.annotations import (
    SCHEMA_ERRORS,
    description_of,
    is_expressible,
    resolved,
)
from asp_utils.introspection.specification import OperationSpec, Parameter
from asp_utils.operation import marking_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EMPTY: Final = inspect.Parameter.empty
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SWALLOWED: Final = frozenset(name for name in dir(BaseModel) if not name.startswith("__"))


class DefinitionRefused(InternalError):
    """A function cannot be an operation; `faults` name file and line of each reason."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        reasons = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        details = {"faults": [fault.to_json() for fault in faults]}
        super().__init__(f"{subject}: {reasons}", details=details)
        self.faults = list(faults)


def introspect(
    function: Callable[..., Any], *, name: str, module: str, attribute: str
) -> OperationSpec:
    """Derive an operation from a function.

    A marked function must be complete. Of any other one, parameters that JSON cannot express are
    left at their defaults, and texts may be missing.

    Args:
        function: The function.
        name: Name of the operation.
        module: The module that holds the function.
        attribute: Its name there.

    Raises:
        DefinitionRefused: It cannot be an operation, for the reasons given.
    """
    reader = _Reader(function, source_of(function), marked=marking_of(function) is not None)
    spec = reader.read(name, module, attribute)
    if reader.faults:
        raise DefinitionRefused(f"{module}.{attribute}", reader.faults)
    try:
        _ = spec.input_schema, spec.output_schema
    except SCHEMA_ERRORS as exc:
        fault = Fault(spec.source, f"{attribute}: {str(exc).splitlines()[0]}")
        raise DefinitionRefused(f"{module}.{attribute}", [fault]) from exc
    return spec


def source_of(function: Callable[..., Any]) -> str:
    """Where a function is defined: `file:line`, relative to the working folder when inside it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"<{getattr(function, '__module__', 'unknown')}>"
    path = Path(code.co_filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{code.co_firstlineno}"


@dataclass
class _Reader:
    """Reads one signature, and notes what is wrong with it."""

    function: Callable[..., Any]
    source: str
    marked: bool
    faults: list[Fault] = field(default_factory=list)
    context_name: str | None = None

    def read(self, name: str, module: str, attribute: str) -> OperationSpec:
        hints = self._hints()
        parameters = [
            found
            for parameter in inspect.signature(self.function).parameters.values()
            if hints is not None
            and (found := self._parameter(parameter, hints.get(parameter.name, _EMPTY)))
        ]
        if self.marked and hints is not None and "return" not in hints:
            self._refuse("has no return type")
        text = inspect.getdoc(self.function) or ""
        if self.marked and not text.strip():
            self._refuse("has no docstring")
        summary, _, rest = text.strip().partition("\n")
        marking = marking_of(self.function)
        return OperationSpec(
            name=name,
            module=module,
            attribute=attribute,
            function=self.function,
            effect=marking.effect if marking else "write",
            summary=summary.strip() or f"Call {module}.{attribute}.",
            description=rest.strip("\n"),
            parameters=tuple(parameters),
            returns=(hints or {}).get("return", Any),
            source=self.source,
            context_name=self.context_name,
        )

    def _hints(self) -> dict[str, Any] | None:
        """The annotations; None when they cannot be read, which says all that there is to say."""
        try:
            return resolved(self.function)
        except (NameError, TypeError, SyntaxError, AttributeError) as exc:
            self._refuse(f"an annotation cannot be resolved: {exc}")
            return None

    def _parameter(self, parameter: inspect.Parameter, annotation: Any) -> Parameter | None:
        if annotation is Context:
            self.context_name = parameter.name
            return None
        if self.marked:
            self._demand_complete(parameter, annotation)
        variadic = parameter.kind in _VARIADIC
        if annotation is _EMPTY or not is_expressible(annotation):
            if self.marked or not (variadic or parameter.default is not _EMPTY):
                lack = (
                    "no annotation" if annotation is _EMPTY else "a type that JSON cannot express"
                )
                self._refuse(f"parameter {parameter.name!r} has {lack}")
            return None
        if variadic:
            return _collected(parameter, annotation)
        required = parameter.default is _EMPTY
        default = None if required else parameter.default
        text = description_of(annotation)
        return Parameter(parameter.name, annotation, required, default, text)

    def _demand_complete(self, parameter: inspect.Parameter, annotation: Any) -> None:
        name = parameter.name
        if parameter.kind in _VARIADIC:
            self._refuse(f"parameter {name!r} collects arguments; name each one")
        if annotation is not _EMPTY and not description_of(annotation):
            self._refuse(f"parameter {name!r} has no description")
        if name in _SWALLOWED or name.startswith(("_", "model_")):
            self._refuse(f"parameter {name!r} has a name that pydantic keeps for itself")

    def _refuse(self, reason: str) -> None:
        self.faults.append(Fault(self.source, f"{self.function.__name__}: {reason}"))


def _collected(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    """`*args` is a list in a config, `**kwargs` an object; both may be left out."""
    text = description_of(annotation)
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return Parameter(parameter.name, list[annotation], required=False, description=text)
    if typing.get_origin(annotation) is typing.Unpack:
        shape = typing.get_args(annotation)[0]
    else:
        shape = dict[str, annotation]
    return Parameter(parameter.name, shape, required=False, description=text)
