"""What every operation of the toolkit keeps, read from the registry."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from asp_utils.generation.help_text import help_text
from asp_utils.generation.shapes import schema_document
from asp_utils.introspection.registry import registry
from asp_utils.operation import marking_of

if TYPE_CHECKING:
    from asp_utils.introspection.specification import OperationSpec

OPERATIONS = registry()
each = pytest.mark.parametrize("spec", OPERATIONS, ids=lambda spec: spec.name)


def test_there_are_operations() -> None:
    assert {"sp_process", "local_start"} <= {spec.name for spec in OPERATIONS}


@each
def test_each_is_marked_with_its_effect(spec: OperationSpec) -> None:
    assert marking_of(spec.function) is not None, f"{spec.source}: add @operation or an underscore"


@each
def test_each_summary_is_one_sentence(spec: OperationSpec) -> None:
    assert spec.summary.endswith(".")
    assert spec.summary[0].isupper()
    assert len(spec.summary) <= 100


@each
def test_each_parameter_is_in_the_help_with_its_text(spec: OperationSpec) -> None:
    text = " ".join(help_text(spec).split())
    for parameter in spec.parameters:
        assert f" {parameter.name} " in text
        assert " ".join(parameter.description.split()) in text


@each
def test_parameters_have_units_in_their_names(spec: OperationSpec) -> None:
    unclear = ("timeout", "duration", "interval", "_seconds_", "_sec")
    assert not [it.name for it in spec.parameters if it.name.endswith(unclear)]


@each
def test_each_result_has_a_shape(spec: OperationSpec) -> None:
    shape = schema_document(spec)["output"]
    assert shape.get("items", shape).get("type") in ("object", "array")


@each
def test_required_parameters_come_first(spec: OperationSpec) -> None:
    required = [parameter.required for parameter in spec.parameters]
    assert required == sorted(required, reverse=True)


@each
def test_the_wrapper_calls_what_the_module_holds(spec: OperationSpec) -> None:
    module = inspect.getmodule(spec.function)
    assert module is not None
    assert (module.__name__, getattr(module, spec.attribute)) == (spec.module, spec.function)
