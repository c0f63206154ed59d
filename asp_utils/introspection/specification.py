"""What is derived from an operation's function: pydantic model, JSON Schema, call.

Nothing here runs when a good config of our own operations is executed: their wrappers carry the
schema with them. Wrapper generation, explanations of bad configs, secrets and the functions of
foreign libraries need it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema

from asp_utils.errors import ConfigInvalid
from asp_utils.introspection.annotations import SCHEMA_ERRORS, is_plain, stream_item
from asp_utils.introspection.explain import faults_of
from asp_utils.introspection.namespaces import checking_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.context import Context
    from asp_utils.operation import Effect

NEEDS_PYTHON: Final = "x-python"
"""Marks a property of an input schema whose JSON value is converted to a Python type."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One key that a config of the operation may have."""

    name: str
    annotation: Any
    required: bool
    default: Any = None
    description: str = ""


@dataclass(frozen=True)
class OperationSpec:
    """All that is derived from an operation's function."""

    name: str
    """Name of wrapper and operation; the function's own unless two functions share it."""
    module: str
    attribute: str
    """Under which name the module holds the function."""
    function: Callable[..., Any]
    effect: Effect
    summary: str
    """First line of the docstring."""
    description: str
    """The rest of the docstring."""
    parameters: tuple[Parameter, ...]
    returns: Any
    source: str
    """Where the function is defined: `file:line`."""
    context_name: str | None = None
    """The parameter that gets the context, hidden from configs."""

    @property
    def streams(self) -> bool:
        """Whether a call gives documents one by one."""
        return stream_item(self.returns)[0]

    @cached_property
    def model(self) -> type[BaseModel]:
        """The pydantic model of a config; unknown keys are refused, nothing is coerced."""
        fields: dict[str, Any] = {}
        for number, item in enumerate(self.parameters):
            default = Field(... if item.required else item.default, alias=item.name)
            # The field's own name never meets pydantic's attributes; configs see the alias.
            fields[f"p{number}"] = (item.annotation, default)
        settings = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
        model: type[BaseModel] = create_model(self.name, __config__=settings, **fields)
        model.model_rebuild(_types_namespace=checking_names(self.function.__module__))
        return model

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of a config; `NEEDS_PYTHON` marks what is not taken as it is."""
        schema = self.model.model_json_schema(schema_generator=_Schema)
        schema.pop("title", None)
        properties = schema.setdefault("properties", {})
        for item in self.parameters:
            shape = properties[item.name]
            if not is_plain(item.annotation):
                shape[NEEDS_PYTHON] = True
            if not _is_json(shape.get("default")):
                del shape["default"]
        return schema

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the result; of each document, under `items`, when it is a stream."""
        streams, shape = stream_item(self.returns)
        schema = _value_schema(shape, checking_names(self.function.__module__))
        return {"stream": True, "items": schema} if streams else schema

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The Python values of a config's keys; keys that it leaves out stay out.

        Raises:
            ConfigInvalid: With all faults of the config.
        """
        try:
            values = self.model.model_validate_json(json.dumps(config))
        except ValidationError as exc:
            faults = faults_of(exc, config, self.input_schema)
            raise ConfigInvalid(f"config of {self.name}", faults) from exc
        names = {f"p{number}": item.name for number, item in enumerate(self.parameters)}
        return {names[key]: getattr(values, key) for key in values.model_fields_set}

    def call(self, arguments: Mapping[str, Any], context: Context) -> Any:
        """Call the function; what the arguments leave out takes the function's defaults."""
        given = dict(arguments)
        if self.context_name is not None:
            given[self.context_name] = context
        bound = inspect.signature(self.function).bind_partial()
        bound.arguments.update(given)
        bound.apply_defaults()
        result = self.function(*bound.args, **bound.kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result


def _is_json(value: Any) -> bool:
    """Whether JSON can hold the value: NaN and infinity it cannot."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


class _Schema(GenerateJsonSchema):
    """JSON Schema without invented titles; a default that is no JSON is left out in silence."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as in the base

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _value_schema(shape: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of a result, with the docstrings of its attributes as descriptions."""
    settings = ConfigDict(use_attribute_docstrings=True, arbitrary_types_allowed=True)
    try:
        holder: type[BaseModel] = create_model("Result", __config__=settings, value=(shape, ...))
        holder.model_rebuild(_types_namespace=names)
        schema = holder.model_json_schema(schema_generator=_Schema, mode="serialization")
    except SCHEMA_ERRORS:
        return {}  # a class of its own that JSON Schema cannot describe: any value
    definitions: dict[str, Any] = schema.get("$defs", {})
    value = _inlined(schema["properties"]["value"], definitions)
    return {**value, "$defs": definitions} if definitions else value


def _inlined(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A value that is only a reference, with what it refers to unless that refers to itself."""
    reference = value.get("$ref", "")
    name = reference.removeprefix("#/$defs/")
    if set(value) != {"$ref"} or f'"{reference}"' in json.dumps(definitions):
        return value
    inlined: dict[str, Any] = definitions.pop(name)
    return inlined
