"""Rules for expressions and queries, wherever in a stage they stand.

What is data (`$literal`, the documents of a source, an Avro schema) is left alone; a query holds
expressions only below `$expr`. mongod has the last word (`engine.check`); what is found here is
found offline, by path.

Source: Atlas page "Stream Processing aggregation stages", section "Expressions" (asp-reference.md
2.1): no `$$NOW`, `$$CLUSTER_TIME`, `$$USER_ROLES`, `$$SEARCH_META`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.faults import BAD_VALUE, TYPE_MISMATCH
from asp_utils.pipeline.operators import (
    ACCUMULATORS,
    EXPRESSIONS,
    FIELD_QUERIES,
    FORBIDDEN_VARIABLES,
    NEWER,
    NEWER_ACCUMULATORS,
    NEWER_ARGUMENTS,
    NO_QUERIES,
    OLDEST,
    QUERIES,
    SYSTEM_VARIABLES,
    Version,
    version_words,
)
from asp_utils.spelling import nearest

Faults = Iterator[Fault]

NEEDS_SERVER: Final = CODES["NotImplemented"]
"""Code of what Atlas runs and the mongod that evaluates here does not."""
_DATA: Final = frozenset(
    {
        ("$source", "documents"),
        ("$source", "readPreferenceTags"),
        ("$emit", "schemaRegistry"),
        ("$emit", "timeseries"),
        ("$iceberg", "partitionedBy"),
    }
)
"""Options that hold data; an object as `documents` is an expression all the same."""
_ALL_EXPRESSION: Final = frozenset({"$replaceRoot", "$replaceWith", "$redact"})
"""Stages whose options are one expression."""
_QUERY_OPTIONS: Final = frozenset({("$validate", "validator"), ("$vectorSearch", "filter")})
_PIPELINE_OPTIONS: Final = frozenset({"pipeline", "payload", "whenMatched"})
_ON_THE_CLUSTER: Final = frozenset({"pipeline", "whenMatched"})
"""Pipelines that another server runs: what ours lacks does not matter there."""


@dataclass(frozen=True)
class Rules:
    """Finds the faults in stages' expressions.

    Args:
        server: Version of the mongod that evaluates.
    """

    server: Version = OLDEST

    def stage(self, name: str, options: Any, path: str) -> Faults:
        """Faults of one stage; those of a window's inner pipeline are not looked for."""
        match name:
            case "$match":
                yield from self._query(options, path)
            case "$group" if isinstance(options, dict):
                for field, value in options.items():
                    check = self._expression if field == "_id" else self._accumulator
                    yield from check(value, f"{path}.{field}")
            case "$project" | "$addFields" | "$set" if isinstance(options, dict):
                for field, value in options.items():
                    yield from self._expression(value, f"{path}.{field}")
            case "$sort" | "$unset" | "$unwind" | "$count" | "$limit":
                return
            case _ if isinstance(options, dict) and name not in _ALL_EXPRESSION:
                yield from self._own_options(name, options, path)
            case _:
                yield from self._expression(options, path)

    def _own_options(self, name: str, options: dict[str, Any], path: str) -> Faults:
        for field, value in options.items():
            where = f"{path}.{field}"
            if (name, field) in _DATA and not (field == "documents" and isinstance(value, dict)):
                continue
            if (name, field) in _QUERY_OPTIONS:
                yield from self._query(value, where)
            elif field in _PIPELINE_OPTIONS and isinstance(value, list):
                yield from self._nested(value, where, field)
            elif field == "config" and isinstance(value, dict):
                yield from self._own_options(name, value, where)
            else:
                yield from self._expression(value, where)

    def _nested(self, stages: list[Any], path: str, field: str) -> Faults:
        rules = Rules((99, 0)) if field in _ON_THE_CLUSTER else self
        for index, stage in enumerate(stages):
            if isinstance(stage, dict):
                for name, options in stage.items():
                    yield from rules.stage(name, options, f"{path}[{index}].{name}")

    def _expression(self, node: Any, path: str) -> Faults:
        if isinstance(node, str):
            if node.startswith("$$"):
                yield from _variable(node, path)
        elif isinstance(node, list):
            for index, item in enumerate(node):
                yield from self._expression(item, f"{path}[{index}]")
        elif isinstance(node, dict):
            operator = next((key for key in node if key.startswith("$")), None)
            if operator is not None and len(node) > 1:
                message = f"an object with {operator} holds nothing else"
                yield Fault(path, message, _several_hint(operator), BAD_VALUE)
            if operator is not None:
                yield from self._known(operator, f"{path}.{operator}", EXPRESSIONS, NEWER)
            for key, value in node.items():
                if key not in ("$literal", "$const"):
                    yield from self._argument(key, value, f"{path}.{key}")

    def _argument(self, operator: str, value: Any, path: str) -> Faults:
        if operator == "$function" and isinstance(value, dict):
            yield from self._expression(value.get("args"), f"{path}.args")
            return
        if operator == "$meta":
            yield from _metadata_source(value, path)
            return
        for (owner, argument), since in NEWER_ARGUMENTS.items():
            if owner == operator and isinstance(value, dict) and argument in value:
                yield from self._newer(f"{owner}.{argument}", f"{path}.{argument}", since)
        yield from self._expression(value, path)

    def _accumulator(self, node: Any, path: str) -> Faults:
        if not isinstance(node, dict) or len(node) != 1 or not next(iter(node)).startswith("$"):
            hint = 'for instance {$sum: "$amount"}; a field to group by belongs in _id'
            yield Fault(path, "must be an object with one accumulator", hint, BAD_VALUE)
            return
        operator, value = next(iter(node.items()))
        where = f"{path}.{operator}"
        if operator in EXPRESSIONS and operator not in ACCUMULATORS:
            hint = "compute it inside an accumulator ($first, $sum) or in a stage after $group"
            yield Fault(where, f"{operator} is no accumulator", hint, BAD_VALUE)
        else:
            yield from self._known(operator, where, ACCUMULATORS, NEWER_ACCUMULATORS)
        if operator != "$accumulator":
            yield from self._expression(value, where)

    def _query(self, node: Any, path: str) -> Faults:
        if not isinstance(node, dict):
            yield Fault(path, "a query is an object", "for instance {status: 3}", TYPE_MISMATCH)
            return
        for key, value in node.items():
            where = f"{path}.{key}"
            match key:
                case "$expr":
                    yield from self._expression(value, where)
                case "$and" | "$or" | "$nor":
                    yield from self._queries(value, where)
                case _ if not key.startswith("$"):
                    yield from self._asked(value, where)
                case _ if key not in QUERIES:
                    yield _no_query(key, where)

    def _queries(self, value: Any, path: str) -> Faults:
        if not isinstance(value, list) or not value:
            yield Fault(path, "must be an array of queries, not empty", "", BAD_VALUE)
            return
        for index, item in enumerate(value):
            yield from self._query(item, f"{path}[{index}]")

    def _asked(self, value: Any, path: str) -> Faults:
        """What a query asks of one field: a value, or operators."""
        if not isinstance(value, dict) or not next(iter(value), "").startswith("$"):
            return
        for operator, argument in value.items():
            where = f"{path}.{operator}"
            if operator == "$not":
                yield from self._asked(argument, where)
            elif operator == "$elemMatch" and isinstance(argument, dict):
                on_values = next(iter(argument), "") in FIELD_QUERIES
                yield from (self._asked if on_values else self._query)(argument, where)
            elif operator not in FIELD_QUERIES and operator not in ("$ref", "$id", "$db"):
                yield _no_query(operator, where)

    def _known(
        self, operator: str, path: str, known: frozenset[str], newer: dict[str, Version]
    ) -> Faults:
        if operator in newer:
            yield from self._newer(operator, path, newer[operator])
        elif operator not in known:
            yield _no_operator(operator, path, {*known, *newer})

    def _newer(self, what: str, path: str, since: Version) -> Faults:
        if self.server < since:
            here = f"MongoDB {self.server[0]}.{self.server[1]}"
            message = f"{what} needs {version_words(since)}; expressions are evaluated by {here}"
            hint = "it runs on Atlas; here set ASP_MONGOD_URI to a newer mongod"
            yield Fault(path, message, hint, NEEDS_SERVER)


def _variable(text: str, path: str) -> Faults:
    name = text[2:].split(".", 1)[0]
    if name in FORBIDDEN_VARIABLES:
        message = f"the variable $${name} is not available"
        yield Fault(path, message, FORBIDDEN_VARIABLES[name], BAD_VALUE)
    elif "A" <= name[:1] <= "Z" and name not in SYSTEM_VARIABLES:
        close = nearest(name, SYSTEM_VARIABLES, cutoff=0.75)
        hint = f"did you mean $${close}?" if close else "a text is {$literal: …}"
        yield Fault(path, f"there is no variable $${name}", hint, BAD_VALUE)


def _metadata_source(value: Any, path: str) -> Faults:
    if not isinstance(value, str) or value.split(".", 1)[0] != "stream":
        message = f"there is no metadata {value!r:.40} in a stream"
        yield Fault(path, message, 'for instance {$meta: "stream.source.ts"}', BAD_VALUE)


def _several_hint(operator: str) -> str:
    if operator in FIELD_QUERIES and operator not in EXPRESSIONS:
        return f"{operator} belongs in a query, not in an expression"
    return "give each expression a field of its own"


def _no_operator(operator: str, path: str, known: set[str]) -> Fault:
    if operator in ACCUMULATORS:
        hint = "it is an accumulator: use it in $group, inside a window"
        return Fault(path, f"{operator} is only allowed in $group", hint, BAD_VALUE)
    if operator in FIELD_QUERIES or operator in QUERIES:
        hint = "it belongs in a query, in $match"
        return Fault(path, f"{operator} is no operator of expressions", hint, BAD_VALUE)
    close = nearest(operator, known, cutoff=0.7)
    hint = f"did you mean {close}?" if close else "a field name cannot begin with $"
    return Fault(path, f"there is no operator {operator}", hint, BAD_VALUE)


def _no_query(operator: str, path: str) -> Fault:
    if operator in NO_QUERIES:
        return Fault(path, f"{operator} is not available in a stream", "", BAD_VALUE)
    if operator in FIELD_QUERIES:
        hint = f"name the field first: {{field: {{{operator}: …}}}}"
        return Fault(path, f"{operator} is asked of a field", hint, BAD_VALUE)
    if operator in EXPRESSIONS:
        hint = "put the expression below $expr"
        return Fault(path, f"{operator} is no operator of queries", hint, BAD_VALUE)
    close = nearest(operator, FIELD_QUERIES | QUERIES, cutoff=0.7)
    hint = f"did you mean {close}?" if close else ""
    return Fault(path, f"there is no query operator {operator}", hint, BAD_VALUE)


def metadata_paths(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every `{$meta: "stream…"}` in a value: its JSON path, and the path that it asks for."""
    yield from _found(value, path, lambda node: node.get("$meta") if len(node) == 1 else None)


def _found(
    value: Any, path: str, wanted: Callable[[dict[str, Any]], Any]
) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        asked = wanted(value)
        if isinstance(asked, str):
            yield path, asked
        for key, inner in value.items():
            if key != "$literal":
                yield from _found(inner, f"{path}.{key}", wanted)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _found(inner, f"{path}[{index}]", wanted)
