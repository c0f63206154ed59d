"""What mongod has to parse of option values before a stage is accepted.

It stands apart from what evaluates them (`engine.computed`), which a check does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def value_probes(values: Mapping[str, Any]) -> Iterator[Probe]:
    """What mongod has to parse of option values: path below the options to value.

    Constants and options that are not given (None) need no parsing.
    """
    for path, value in values.items():
        if value is not None and is_expression(value):
            yield Probe(path, {"$project": {"x": whole(value)}})


def whole(expression: Any) -> Any:
    """The expression as one: bare objects and numbers would say which fields to keep."""
    return {"$let": {"vars": {}, "in": expression}}
