"""The options of `$externalFunction`.

Source: Atlas page "$externalFunction"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from asp_utils.engine.field_path import FieldPath
from asp_utils.engine.on_error import OnError
from asp_utils.engine.payload import PayloadStages, payload_probes
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]


class ExternalFunctionOptions(Options):
    """One call per document; what the function returns goes to the field `as`."""

    connection_name: Name
    function_name: Name
    """Name or ARN."""
    execution: Literal["sync", "async"] = "sync"
    """`async` does not wait for the function; only errors of the call itself are seen."""
    as_: Annotated[FieldPath | None, Field(alias="as")] = None
    on_error: OnError = "dlq"
    payload: PayloadStages | None = None
    """What is sent; without it the whole document, as relaxed Extended JSON."""
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1
    partition_by: Expression | None = None
    """Documents for which this is equal are called for in their order."""

    @model_validator(mode="after")
    def _only_when_waiting(self) -> Self:
        waits = self.execution == "sync"
        if not waits and self.as_ is not None:
            raise ValueError("as is not allowed with execution async, which gives no answer")
        if not waits and self.parallelism > 1:
            raise ValueError("parallelism above 1 is not allowed with execution async")
        if self.partition_by is not None and self.parallelism == 1:
            raise ValueError("partitionBy needs a parallelism above 1")
        return self


def external_function_probes(options: Document) -> Iterator[Probe]:
    """What of the options mongod has to parse."""
    key = options.get("partitionBy")
    if key is not None and is_expression(key):
        yield Probe(".partitionBy", {"$project": {"x": key}})
    yield from payload_probes(options)
