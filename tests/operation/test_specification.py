"""From signature to schema, values and call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

import pytest
from pydantic import AfterValidator, Field, SecretStr

from asp_utils.context import Context
from asp_utils.introspection.annotations import is_plain
from asp_utils.introspection.signature import DefinitionRefused, introspect
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from asp_utils.introspection.specification import OperationSpec


class Inner(TypedDict):
    """A shape inside."""

    price: Decimal
    """What it costs; its type is imported for type checking only."""


class Outer(TypedDict, total=False):
    """A shape."""

    inner: list[Inner]
    """The parts."""
    note: NotRequired[str]


def spec_of(function: Callable[..., Any]) -> OperationSpec:
    return introspect(function, name="sample", module=__name__, attribute="sample")


def shaped() -> Outer:
    """Give a shape."""
    return {}


def test_results_are_described_by_the_docstrings_of_their_keys() -> None:
    schema = spec_of(shaped).output_schema
    assert schema["properties"]["inner"]["description"] == "The parts."
    price = schema["$defs"]["Inner"]["properties"]["price"]
    assert price["description"].startswith("What it costs")
    assert "required" not in schema
    assert schema["$defs"]["Inner"]["required"] == ["price"]


def many(
    ctx: Context,
    token: SecretStr,
    folder: Path = Path(),
    count: Annotated[int, Field(ge=1)] = 1,
    ratio: float = float("nan"),
) -> Iterator[dict[str, int]]:
    """Have parameters of several kinds."""
    yield {"count": count}


def test_input_schema_marks_secrets_and_what_becomes_a_python_type() -> None:
    schema = spec_of(many).input_schema
    assert set(schema["properties"]) == {"token", "folder", "count", "ratio"}
    assert schema["properties"]["token"] == {
        "type": "string", "format": "password", "writeOnly": True, "x-python": True,
    }  # fmt: skip
    assert schema["properties"]["folder"]["x-python"] is True
    assert schema["properties"]["count"] == {"default": 1, "minimum": 1, "type": "integer"}
    assert schema["properties"]["ratio"] == {"type": "number"}
    assert (schema["required"], schema["additionalProperties"]) == (["token"], False)


def test_a_stream_is_described_by_its_documents() -> None:
    schema = spec_of(many).output_schema
    assert schema["stream"] is True
    assert schema["items"]["additionalProperties"] == {"type": "integer"}


def test_values_become_the_annotated_types_and_the_context_is_injected() -> None:
    spec = spec_of(many)
    values = spec.arguments({"token": "s3cret", "folder": "/tmp"})  # noqa: S108
    assert isinstance(values["token"], SecretStr)
    assert values["folder"] == Path("/tmp")  # noqa: S108
    assert list(spec.call(values, Context(Path()))) == [{"count": 1}]


@pytest.mark.parametrize(
    ("annotation", "plain"),
    [
        (int, True),
        (dict[str, list[int | None]], True),
        (Annotated[str, Field(description="x", min_length=1, pattern="a")], True),
        (Any, True),
        (Annotated[int, AfterValidator(abs)], False),
        (Path, False),
        (list[SecretStr], False),
        (tuple[int, int], False),
        (Outer, False),
    ],
)
def test_plain_values_are_told_from_those_that_are_converted(annotation: Any, plain: bool) -> None:
    assert is_plain(annotation) is plain


def test_marking_leaves_the_function_as_it_is() -> None:
    def function() -> int:
        """Do."""
        return 1

    assert operation(effect="read")(function) is function


def test_marking_loads_no_pydantic() -> None:
    assert sys.modules["asp_utils.operation"].__dict__.keys().isdisjoint({"pydantic", "BaseModel"})


def test_a_shape_that_cannot_be_resolved_is_refused() -> None:
    class Lost(TypedDict):
        value: Nowhere  # type: ignore[name-defined]  # noqa: F821

    def lost(shape: Lost) -> int:
        """Need it."""
        return 0

    lost.__annotations__["shape"] = Lost
    with pytest.raises(DefinitionRefused, match="parameter 'shape'"):
        spec_of(lost)
