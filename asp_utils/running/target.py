"""The operation that a wrapper runs: its schema, its parameters' values, the call.

A good config of our own operations is checked by the schema beside the wrapper and passed on as it
is. Pydantic is loaded to explain a bad config, for values that become Python types (a secret, a
path) and for functions of foreign libraries.
"""

from __future__ import annotations

import importlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from asp_utils.context import Context
from asp_utils.errors import EnvironmentMissing
from asp_utils.operation import marking_of
from asp_utils.session.wrappers import secret_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from asp_utils.introspection.specification import OperationSpec

_REGENERATE: Final = "python generate_cli_wrappers.py"
_NEEDS_PYTHON: Final = "x-python"


class Target:
    """One operation as its wrapper names it.

    Args:
        schema_file: The schema document beside the wrapper.
        module: The module that holds the operation.
        attribute: Its name there.

    Raises:
        EnvironmentMissing: The schema document is missing or damaged.
    """

    def __init__(self, schema_file: Path, module: str, attribute: str) -> None:
        self._module = module
        self._attribute = attribute
        try:
            document = json.loads(schema_file.read_bytes())
            self.name: str = document["name"]
            self.effect: str = document["effect"]
            self.streams: bool = document["output"].get("stream", False)
            self._schema: dict[str, Any] = document["input"]
            self.properties: dict[str, Any] = self._schema["properties"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise EnvironmentMissing(f"cannot use {schema_file}: {exc}", hint=_REGENERATE) from exc

    @property
    def needs_config(self) -> bool:
        """Whether there are parameters that must be given."""
        return bool(self._schema.get("required"))

    @property
    def secret_parameters(self) -> set[str]:
        """The parameters that the schema calls secret."""
        return set(secret_parameters({"properties": self.properties}))

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The operation's function.

        Raises:
            EnvironmentMissing: It is not there, or has other parameters than the wrapper knows.
        """
        place = f"{self._module}.{self._attribute}"
        try:
            function: Callable[..., Any] = getattr(
                importlib.import_module(self._module), self._attribute
            )
        except (ImportError, AttributeError) as exc:
            raise EnvironmentMissing(f"cannot import {place}: {exc}", hint=_REGENERATE) from exc
        if marking_of(function) is not None:
            wanted = {name for name in function.__annotations__ if name != "return"}
            if wanted - _context_names(function) != set(self.properties):
                raise EnvironmentMissing(
                    f"this wrapper is out of date: {place} has changed", hint=_REGENERATE
                )
        return function

    @cached_property
    def spec(self) -> OperationSpec:
        """The operation as introspection sees it; costs pydantic."""
        from asp_utils.introspection.signature import introspect

        return introspect(
            self.function, name=self.name, module=self._module, attribute=self._attribute
        )

    def with_defaults(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config and, for what it leaves out, the defaults that are said in the schema."""
        defaults = {
            name: shape["default"]
            for name, shape in self.properties.items()
            if "default" in shape and name not in config
        }
        return {**config, **defaults}

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The values that the function gets; what the config leaves out stays out.

        Raises:
            ConfigInvalid: The config is wrong; all faults are named.
        """
        if marking_of(self.function) is not None and self._is_taken_as_it_is(config):
            return dict(config)
        return self.spec.arguments(config)

    def call(self, arguments: Mapping[str, Any], context: Context) -> Any:
        """Call the function."""
        if marking_of(self.function) is None:
            return self.spec.call(arguments, context)
        contexts = dict.fromkeys(_context_names(self.function), context)
        return self.function(**arguments, **contexts)

    def _is_taken_as_it_is(self, config: Mapping[str, Any]) -> bool:
        """Whether the config is right, and none of its values becomes a Python type."""
        import fastjsonschema  # 6 ms: only a run needs it

        converted = (name for name, shape in self.properties.items() if _NEEDS_PYTHON in shape)
        if any(config.get(name) is not None for name in converted) or _holds_whole_float(config):
            return False
        check: Callable[[Any], Any] = fastjsonschema.compile(self._schema, use_default=False)
        try:
            check(dict(config))
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True


def _context_names(function: Callable[..., Any]) -> set[str]:
    """The parameters that get the context, without evaluating annotations."""
    annotations = function.__annotations__.items()
    return {name for name, annotation in annotations if annotation in (Context, "Context")}


def _holds_whole_float(value: Any) -> bool:
    """Whether there is a `5.0`, which JSON Schema takes for an integer and Python does not."""
    if isinstance(value, dict):
        return any(map(_holds_whole_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_whole_float, value))
    return isinstance(value, float) and value.is_integer()
