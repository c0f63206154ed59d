"""Mistakes that documentation, old examples and assistants have put into the world.

A pasted pipeline should be told the right spelling and its place, not just "unknown field". Every
mistake is one row; a row speaks only where the grammar found a fault, unless it is marked `always`.

Source: asp-reference.md, section 5 ("Docs inconsistencies") and section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.faults import BAD_VALUE, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ABSENT: Final = object()

_WINDOWS: Final = ("$tumblingWindow", "$hoppingWindow", "$sessionWindow")
_CALLS: Final = ("$https", "$externalFunction")


@dataclass(frozen=True)
class Mistake:
    """A wrong field, or a wrong value of a right one.

    `hint` says what to write; `{value}` in it is what was written.
    """

    stages: tuple[str, ...]
    field: str
    """Path below the options, `config.key`."""
    hint: str
    message: str = ""
    """In place of what the grammar says; empty: its words stay."""
    when: Callable[[Any], bool] = lambda _: True
    """Which values are meant."""
    always: bool = False
    """The grammar takes it; it is a mistake all the same."""
    right: str = ""
    """The field that is meant: that it is missing need not be said any more."""


def _renamed(stages: tuple[str, ...], right: str, *wrong: str) -> list[Mistake]:
    """Rows for fields that go by another name."""
    hint = f"it is called {right}"
    if "." in right:
        above, name = right.rsplit(".", 1)
        hint = f"it is called {name} and stands in {above}"
    return [Mistake(stages, name, hint, right=right) for name in wrong]


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value.casefold() in values


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_processing_time(value: Any) -> bool:
    return isinstance(value, str) and value.casefold().startswith("process")


MISTAKES: Final[tuple[Mistake, ...]] = (
    # Windows
    Mistake(_WINDOWS, "boundaryType", 'write boundary: "processingTime"', when=_is_processing_time),
    Mistake(_WINDOWS, "boundaryType", 'write boundary: "eventTime" (the default)'),
    Mistake(_WINDOWS, "boundary", 'write "processingTime"', when=_one_of("processtime")),
    Mistake(_WINDOWS, "processTime", 'write boundary: "processingTime"'),
    Mistake(
        ("$sessionWindow",),
        "idleTimeout",
        "a session closes by its gap; only tumbling and hopping windows have idleTimeout",
    ),
    *_renamed(("$sessionWindow",), "partitionBy", "key", "groupBy", "sessionKey"),
    *_renamed(("$sessionWindow",), "gap", "timeout", "sessionTimeout", "inactivityGap", "interval"),
    *_renamed(("$hoppingWindow",), "hopSize", "hop", "slide", "advance", "every", "hopsize"),
    *_renamed(
        ("$tumblingWindow", "$hoppingWindow"),
        "interval",
        "size",
        "window",
        "windowSize",
        "duration",
    ),
    Mistake(
        _WINDOWS,
        "timeField",
        "event time is told by the source: {$source: {…, timeField: {$toDate: …}}}",
    ),
    Mistake(
        _WINDOWS,
        "partitionIdleTimeout",
        "it is an option of a Kafka $source; a window has idleTimeout",
    ),
    # Sources
    *_renamed(("$source",), "db", "database"),
    *_renamed(("$source",), "coll", "collection"),
    *_renamed(("$source",), "topic", "topics"),
    *_renamed(("$source",), "config.auto_offset_reset", "startFrom", "offset"),
    Mistake(
        ("$source",),
        "idleTimeout",
        "a window has idleTimeout; a Kafka source has partitionIdleTimeout",
    ),
    Mistake(
        ("$source",), "timeField", 'write {$toDate: "{value}"}', "must be an expression", _is_text
    ),
    # Lookups
    Mistake(
        ("$lookup", "$cachedLookup", "$vectorSearch"),
        "connectionName",
        'it stands in from: {connectionName: "{value}", db: "…", coll: "…"}',
        right="from.connectionName",
    ),
    Mistake(
        ("$lookup", "$cachedLookup"),
        "from",
        'write {connectionName: "…", db: "…", coll: "{value}"}',
        when=_is_text,
    ),
    *_renamed(("$lookup", "$cachedLookup"), "from.db", "from.database", "database"),
    *_renamed(("$lookup", "$cachedLookup"), "from.coll", "from.collection", "collection"),
    Mistake(("$cachedLookup",), "pipeline", "only $lookup takes a pipeline"),
    Mistake(("$cachedLookup",), "let", "only $lookup takes variables"),
    Mistake(("$lookup",), "ttl", "$cachedLookup keeps what it found for a while"),
    # Calls
    Mistake(
        _CALLS,
        "onError",
        '"ignore" passes the document on without the answer, "dlq" puts it aside',
        when=_one_of("discard", "drop", "skip", "continue"),
    ),
    *_renamed(("$https",), "path", "url", "endpoint"),
    *_renamed(("$https",), "payload", "body", "data"),
    *_renamed(("$https",), "parameters", "query", "params", "queryParameters"),
    *_renamed(("$externalFunction",), "functionName", "function", "lambda", "arn", "functionArn"),
    Mistake(
        _CALLS,
        "payload",
        'an array of $project, $addFields, $set or $replaceRoot: [{$replaceRoot: {newRoot: "$x"}}]',
        when=lambda value: isinstance(value, str | dict),
    ),
    # $validate
    Mistake(
        ("$validate",),
        "validationAction",
        'write "discard" (nothing is kept) or "dlq"; a stream processor does not stop for a '
        "document that is invalid",
        when=_one_of("error", "fail", "warn"),
    ),
    Mistake(("$validate",), "$jsonSchema", "it stands in validator: {$jsonSchema: …}"),
    *_renamed(("$validate",), "validator", "schema"),
    # Sinks
    Mistake(
        ("$emit",),
        "config.key",
        'key is the expression alone, its format stands beside it: config: {key: "$id", '
        'keyFormat: "string"}',
        "an object {field, format} is no key",
        lambda value: isinstance(value, dict) and set(value) == {"field", "format"},
        always=True,
    ),
    Mistake(
        ("$emit",),
        "key",
        'write config: {key: "$id", keyFormat: "string"}',
        "unknown field 'key': the key of a Kafka message stands in config",
    ),
    Mistake(
        ("$emit", "$source"),
        "schemaRegistry.valueSchema.type",
        'write "avro"',
        when=_one_of("avro"),
    ),
    Mistake(
        ("$emit",),
        "config.acks",
        'write it as a string: "{value}"',
        when=lambda value: isinstance(value, int),
    ),
    *_renamed(("$emit",), "config.outputFormat", "format", "outputFormat", "config.format"),
    *_renamed(("$emit",), "path", "prefix", "key_prefix"),
    *_renamed(("$merge",), "into.connectionName", "connectionName"),
    *_renamed(("$merge",), "into.db", "db", "database", "into.database"),
    *_renamed(("$merge",), "into.coll", "coll", "collection", "into.collection"),
    Mistake(
        ("$merge",),
        "into",
        'write {connectionName: "…", db: "…", coll: "{value}"}',
        when=_is_text,
    ),
    Mistake(
        ("$merge",),
        "whenMatched",
        'a stream offers "merge", "replace", "keepExisting", "delete", a pipeline or an expression',
        when=_one_of("fail"),
    ),
    Mistake(
        ("$merge",), "whenNotMatched", 'a stream offers "insert" or "discard"', when=_one_of("fail")
    ),
    # Everywhere
    Mistake(("$group",), "id", 'what to group by is called _id: {_id: "$device"}', right="_id"),
    Mistake(
        ("$source", "$merge", "$emit", *_CALLS),
        "dlq",
        "the dead letter queue is an option of the processor, beside the pipeline: "
        "dlq: {connectionName, db, coll}",
    ),
)


def with_advice(name: str, options: Any, path: str, faults: list[Fault]) -> list[Fault]:
    """The faults of a stage, those that are known mistakes with the right spelling.

    Args:
        name: The stage.
        options: Its options.
        path: JSON path of the stage.
        faults: What the grammar found.
    """
    advised: set[str] = set()
    for mistake in MISTAKES:
        if name not in mistake.stages or mistake.field in advised:
            continue
        value = _at(options, mistake.field)
        if value is not _ABSENT and mistake.when(value):
            advised.add(mistake.field)
            faults = list(_advised(mistake, value, path, faults))
    return faults


def _advised(mistake: Mistake, value: Any, path: str, faults: list[Fault]) -> Iterator[Fault]:
    where = f"{path}.{mistake.field}"
    text = value if isinstance(value, str) else shown(value)
    hint = mistake.hint.replace("{value}", text)
    said = False
    for fault in faults:
        if fault.path == where:
            if not said:
                yield Fault(where, mistake.message or fault.message, hint, fault.code)
            said = True
        elif not _is_absence_of(mistake.right, fault, path):
            yield fault
    if mistake.always and not said:
        yield Fault(where, mistake.message, hint, BAD_VALUE)


def _is_absence_of(right: str, fault: Fault, path: str) -> bool:
    """Whether a fault only says that the field which was meant is missing (or what holds it)."""
    if not right or "is missing" not in fault.message:
        return False
    return fault.path in (f"{path}.{right}", f"{path}.{right.split('.', 1)[0]}")


def _at(options: Any, field: str) -> Any:
    for part in field.split("."):
        if not isinstance(options, dict) or part not in options:
            return _ABSENT
        options = options[part]
    return options


REFUSALS: Final[dict[str, str]] = {
    "$out": "write with $merge",
    "$changeStream": "read a change stream with $source: {connectionName, db, coll}",
    "$facet": "use one processor for each branch",
    "$unionWith": "read several topics or collections in one $source, or use two processors",
    "$bucket": "inside a window: $group with _id: {$switch: {branches: […]}}",
    "$bucketAuto": "inside a window: $group with _id: {$switch: {branches: […]}}",
    "$sortByCount": "inside a window: $group with {$count: {}}, then $sort",
    "$setWindowFields": "put $group (with $push, $topN …) into a window stage",
    "$densify": "put the gaps right where the result is read",
    "$fill": "put the gaps right where the result is read",
    "$graphLookup": "use $lookup with a pipeline; $graphLookup may stand inside that pipeline",
    "$geoNear": "use $match with $geoWithin, or $lookup with a pipeline that begins with $geoNear",
    "$sample": "use $match: {$expr: {$lt: [{$rand: {}}, 0.1]}} for a tenth of the documents",
    "$skip": "a stream has no first documents; inside a window use $group with $lastN or $topN",
    "$search": "use $lookup with a pipeline, or $vectorSearch",
    "$searchMeta": "use $lookup with a pipeline",
    "$documents": "write {$source: {documents: […]}}",
    "$window": "there are $tumblingWindow, $hoppingWindow and $sessionWindow",
    "$slidingWindow": "use $hoppingWindow with a small hopSize",
    "$sink": "write with $merge or $emit",
    "$http": "it is called $https",
    "$function": "it is an expression: {$set: {field: {$function: {body, args, lang}}}}",
    "$lambda": "it is called $externalFunction",
    "$cron": "there is no schedule: use a source that always gives, and a $tumblingWindow",
}
"""Stages that Atlas Stream Processing does not have, and what to use instead (2.1)."""
