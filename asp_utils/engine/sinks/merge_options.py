"""The options of `$merge`.

Source: Atlas page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]


class Into(Options):
    """The target collection; database and collection may be computed for every document."""

    connection_name: Name
    db: Expression
    coll: Expression


class MergeOptions(Options):
    """`$merge`: what to do with a document that is there already, and with one that is not."""

    into: Into
    on: Name | Annotated[list[Name], Field(min_length=1)] = "_id"
    let: dict[str, Any] | None = None
    when_matched: (
        Literal["merge", "replace", "keepExisting", "delete"]
        | list[dict[str, Any]]
        | dict[str, Any]
    ) = "merge"
    when_not_matched: Literal["insert", "discard"] | dict[str, Any] = "insert"
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if (self.when_matched, self.when_not_matched) == ("keepExisting", "discard"):
            raise ValueError("whenMatched keepExisting with whenNotMatched discard writes nothing")
        return self


def merge_probes(options: Document) -> Iterator[Probe]:
    """Everything in the options that mongod has to parse."""
    for name in ("db", "coll"):
        value = options["into"][name]
        if is_expression(value):
            yield Probe(f".into.{name}", {"$project": {"x": value}})
    let = options.get("let") or {}
    if let:
        yield Probe(".let", {"$project": {"x": let}})
    when_matched = options.get("whenMatched")
    if isinstance(when_matched, list):
        variables: Document = {"new": {}, **dict.fromkeys(let)}
        for index, stage in enumerate(when_matched):
            yield Probe(f".whenMatched[{index}]", stage, variables)
    for name in ("whenMatched", "whenNotMatched"):
        if isinstance(options.get(name), dict):
            yield Probe(f".{name}", {"$project": {"x": options[name]}})
