"""The options of `$lookup`.

Source: Atlas page "$lookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import Field, model_validator

from asp_utils.engine.field_path import FieldPath
from asp_utils.engine.lookup.foreign import From
from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

_READERS: Final = frozenset({"$lookup", "$unionWith", "$graphLookup"})
"""Stages that read a collection of their own."""
_SEARCHES: Final = frozenset(
    {"$search", "$searchMeta", "$vectorSearch", "$rankFusion", "$scoreFusion"}
)
"""Stages that only Atlas can parse."""


class LookupOptions(Options):
    """`localField` with `foreignField`, or `pipeline` with or without `let`, or all of them."""

    from_: Annotated[From | None, Field(alias="from")] = None
    local_field: FieldPath | None = None
    foreign_field: FieldPath | None = None
    let: dict[str, Any] | None = None
    pipeline: list[dict[str, Any]] | None = None
    as_: Annotated[FieldPath, Field(alias="as")]
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1
    partition_by: str | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _compares_something(self) -> Self:
        if self.local_field is None and self.foreign_field is not None:
            raise ValueError("localField is missing: foreignField is compared with it")
        if self.local_field is not None and self.foreign_field is None:
            raise ValueError("foreignField is missing: localField is compared with it")
        if self.local_field is None and self.pipeline is None:
            raise ValueError("localField and foreignField are missing, or a pipeline")
        if self.let is not None and self.pipeline is None:
            raise ValueError("let has no use without a pipeline")
        return self

    @model_validator(mode="after")
    def _reads_from_one_place(self) -> Self:
        stages = self.pipeline or []
        supplies = bool(stages) and "$documents" in stages[0]
        if self.from_ is None and not supplies:
            raise ValueError("from may only be missing where pipeline begins with $documents")
        if self.from_ is not None and supplies:
            raise ValueError("from has no use where pipeline begins with $documents")
        inner = sorted({name for stage in stages for name in stage} & _READERS)
        if self.from_ is None and inner:
            raise ValueError(f"from is missing: {inner[0]} in the pipeline has no cluster to read")
        return self

    @model_validator(mode="after")
    def _names_inner_collections(self) -> Self:
        for stage in self.pipeline or []:
            inner = stage.get("$lookup")
            if isinstance(inner, dict) and isinstance(inner.get("from"), dict):
                raise ValueError(
                    "pipeline reads over the connection of its $lookup: the from of a $lookup "
                    "inside it is the plain name of a collection"
                )
        return self


def lookup_probes(options: Document) -> Iterator[Probe]:
    """Everything in the options that mongod has to parse."""
    let = options.get("let") or {}
    if let:
        yield Probe(".let", {"$replaceWith": {"x": let}})
    if options.get("partitionBy") is not None:
        yield Probe(".partitionBy", {"$replaceWith": {"x": options["partitionBy"]}})
    for index, stage in enumerate(options.get("pipeline") or []):
        if _SEARCHES.isdisjoint(stage):
            lookup: Document = {"pipeline": [stage], "as": "x", "let": dict.fromkeys(let, 1)}
            if "$documents" not in stage:
                lookup["from"] = "x"
            yield Probe(f".pipeline[{index}]", {"$lookup": lookup})
