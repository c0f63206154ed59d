"""What a stage does, said in one sentence with the figures from its options.

A stage that has no row here is said by its name alone, so a new one needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.faults import shown
from asp_utils.pipeline.scene import CLUSTER, KAFKA, KINESIS, SAMPLE, duration_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asp_utils.pipeline.plan import PlannedStage

    Options = dict[str, Any]

_DEFAULT_LATENESS: Final = {"size": 3, "unit": "second"}


def sentence(stage: PlannedStage) -> str:
    """What a stage of a checked pipeline does."""
    if stage.name in ("$source", "$emit"):
        words = (_SOURCES if stage.name == "$source" else _EMITS).get(stage.spec.connection_type)
    else:
        words = _STAGES.get(stage.name)
    return words(stage.options) if words is not None else f"Runs {stage.name}."


def listed(items: Iterable[Any], most: int = 4) -> str:
    """Names with commas and a last `and`; of many only the first few."""
    names = [str(item) for item in items]
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _said(expression: Any) -> str:
    """An expression, short; a text or field path without quotes."""
    return expression if isinstance(expression, str) else shown(expression)


def _time(options: Options) -> str:
    field = options.get("timeField")
    if not field:
        return ""
    expression = field.get("$toDate", field)
    return f" A document's time is {_said(expression)}."


def _kafka(options: Options) -> str:
    topics = options["topic"] if isinstance(options["topic"], list) else [options["topic"]]
    where = (options.get("config") or {}).get("auto_offset_reset", "latest")
    from_the_oldest = where in ("earliest", "beginning", "smallest")
    begin = "from the oldest message on" if from_the_oldest else "new messages only"
    text = f"Reads {listed(topics)} of Kafka {options['connectionName']}, {begin}."
    idle = options.get("partitionIdleTimeout")
    return text + _time(options) + (_idle("partition", idle) if idle else "")


def _idle(part: str, idle: Any) -> str:
    return f" A {part} that is silent for {duration_words(idle)} no longer holds the watermark."


def _kinesis(options: Options) -> str:
    where = (options.get("config") or {}).get("initialPosition", "LATEST")
    begin = "from the oldest record on" if where == "TRIM_HORIZON" else "new records only"
    text = f"Reads {options['stream']} of Kinesis {options['connectionName']}, {begin}."
    idle = options.get("shardIdleTimeout")
    return text + _time(options) + (_idle("shard", idle) if idle else "")


def _change_stream(options: Options) -> str:
    collections = options.get("coll")
    names = collections if isinstance(collections, list) else [collections]
    if collections:
        what = listed(f"{options['db']}.{name}" for name in names)
    else:
        what = f"database {options['db']}" if options.get("db") else "the whole cluster"
    text = f"Reads the changes of {what} in {options['connectionName']}"
    if (options.get("initialSync") or {}).get("enable"):
        text += ", after the documents that are there"
    only = (options.get("config") or {}).get("fullDocumentOnly")
    return text + (", only the full documents." if only else ".") + _time(options)


def _sample(options: Options) -> str:
    return f"Gives made-up readings of {options['connectionName']}." + _time(options)


def _documents(options: Options) -> str:
    documents = options.get("documents")
    count = f"{len(documents)} documents" if isinstance(documents, list) else "computed documents"
    return f"Gives {count}, once." + _time(options)


_SOURCES: Final[dict[str | None, Callable[[Any], str]]] = {
    KAFKA: _kafka,
    KINESIS: _kinesis,
    CLUSTER: _change_stream,
    SAMPLE: _sample,
    None: _documents,
}


def _project(options: Options) -> str:
    fields = {name: value for name, value in options.items() if name != "_id"}
    kept = [name for name, value in fields.items() if value is True or value == 1]
    out = [name for name, value in options.items() if value is False or value == 0]
    computed = [name for name in fields if name not in kept and name not in out]
    parts = [f"keeps {listed(kept)}"] if kept else []
    parts += [f"computes {listed(computed)}"] if computed else []
    parts += [f"leaves out {listed(out)}"] if out else []
    return _capital(" and ".join(parts) or "keeps _id") + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unset(options: Any) -> str:
    return f"Removes {listed(options if isinstance(options, list) else [options])}."


def _unwind(options: Any) -> str:
    path = options["path"] if isinstance(options, dict) else options
    return f"Makes a document for each element of {path}."


def _group(options: Options) -> str:
    made = [
        f"{name} ({next(iter(value), '')})"
        for name, value in options.items()
        if name != "_id" and isinstance(value, dict)
    ]
    key = options["_id"]
    by = "Puts all documents together" if key is None else f"Groups by {_said(key)}"
    return by + (f": {listed(made)}." if made else ".")


def _sort(options: Options) -> str:
    orders = [
        f"{name} {'descending' if order == -1 else 'ascending'}" for name, order in options.items()
    ]
    return f"Sorts by {listed(orders)}."


def _validate(options: Options) -> str:
    to = "become dead letters" if options.get("validationAction") == "dlq" else "are discarded"
    return f"Documents that do not match {shown(options['validator'])} {to}."


def _lookup(options: Options) -> str:
    source = options.get("from") or {}
    where = f"{source['db']}.{source['coll']} in {source['connectionName']}" if source else "itself"
    text = f"Puts into {options['as']} what it finds in {where}"
    if "localField" in options:
        text += f", where {options['foreignField']} is {options['localField']}"
    if options.get("ttl"):
        text += f"; kept for {duration_words(options['ttl'])}"
    return text + _beside(options) + "."


def _beside(options: Options) -> str:
    """How many at a time, where it is more than one."""
    parallelism = options.get("parallelism", 1)
    return f", {parallelism} at a time" if parallelism != 1 else ""


def _https(options: Options) -> str:
    path = options.get("path")
    call = f"{options.get('method', 'GET')} {options['connectionName']}"
    call += _said(path) if isinstance(path, str) else f" {shown(path)}" if path else ""
    to = f"puts the answer into {options['as']}" if options.get("as") else "drops the answer"
    return f"Calls {call} for each document and {to}."


def _function(options: Options) -> str:
    call = f"Calls {options['functionName']} of {options['connectionName']} for each document"
    to = f" and puts the answer into {options['as']}" if options.get("as") else ""
    return call + to + _beside(options) + "."


def _throttle(options: Options) -> str:
    limits = [
        f"{options[name]} {unit} a second"
        for name, unit in (("messagesPerSec", "documents"), ("bytesPerSec", "bytes"))
        if options.get(name)
    ]
    return f"Lets {listed(limits)} pass."


def _fixed_window(options: Options) -> str:
    text = f"Windows of {duration_words(options['interval'])}"
    if "hopSize" in options:
        text += f", one every {duration_words(options['hopSize'])}"
    if options.get("boundary") == "processingTime":
        return text + ", by the clock."
    text += ", by event time." + _closing(options)
    idle = options.get("idleTimeout")
    return text + (f" Silence of {duration_words(idle)} closes it too." if idle else "")


def _closing(options: Options) -> str:
    lateness = options.get("allowedLateness", _DEFAULT_LATENESS)
    if not isinstance(lateness, dict) or not lateness.get("size"):
        return " One closes when the watermark reaches its end."
    return f" One closes when the watermark is {duration_words(lateness)} past its end."


def _session_window(options: Options) -> str:
    text = f"Sessions of {_said(options['partitionBy'])}, which {duration_words(options['gap'])} "
    text += "without documents end"
    return text + (
        ", by the clock."
        if options.get("boundary") == "processingTime"
        else ", by event time." + _closing(options)
    )


_MATCHED: Final = {
    "merge": "merges with what is there",
    "replace": "replaces what is there",
    "keepExisting": "leaves what is there",
    "delete": "deletes what is there",
}


_NOT_MATCHED: Final = {"insert": "inserts", "discard": "drops"}


def _merge(options: Options) -> str:
    into = options["into"]
    on = options.get("on", "_id")
    by = listed(on if isinstance(on, list) else [on])
    target = f"{_said(into['db'])}.{_said(into['coll'])} in {into['connectionName']}"
    matched = options.get("whenMatched", "merge")
    does = "decides for each document" if isinstance(matched, dict) else "updates what is there"
    does = _MATCHED.get(matched, does) if isinstance(matched, str) else does
    new = options.get("whenNotMatched", "insert")
    other = _NOT_MATCHED.get(new, "") if isinstance(new, str) else "decides about"
    return f"Writes to {target}, by {by}: {does}, {other} what is new{_beside(options)}."


def _emit_kafka(options: Options) -> str:
    key = (options.get("config") or {}).get("key")
    by = f", key {_said(key)}" if key is not None else ""
    how = " as Avro" if options.get("schemaRegistry") else ""
    return f"Writes to topic {_said(options['topic'])} of {options['connectionName']}{how}{by}."


def _emit_kinesis(options: Options) -> str:
    key = _said(options["partitionKey"])
    return f"Writes to stream {options['stream']} of {options['connectionName']}, key {key}."


def _emit_s3(options: Options) -> str:
    where = f"{_said(options['bucket'])}/{_said(options['path'])}"
    written = (options.get("config") or {}).get("writeOptions") or {}
    interval = duration_words(written.get("interval", {"size": 1, "unit": "minute"}))
    return f"Writes files to {where}, a new one every {interval} at the latest{_beside(options)}."


def _emit_time_series(options: Options) -> str:
    target = f"{_said(options['db'])}.{_said(options['coll'])}"
    return f"Writes to the time series {target} in {options['connectionName']}."


_EMITS: Final[dict[str | None, Callable[[Any], str]]] = {
    KAFKA: _emit_kafka,
    KINESIS: _emit_kinesis,
    "s3": _emit_s3,
    CLUSTER: _emit_time_series,
}
_STAGES: Final[dict[str, Callable[[Any], str]]] = {
    "$addFields": lambda options: f"Sets {listed(options)}.",
    "$cachedLookup": _lookup,
    "$count": lambda name: f"Counts the documents into {name}.",
    "$externalFunction": _function,
    "$group": _group,
    "$hoppingWindow": _fixed_window,
    "$https": _https,
    "$limit": lambda count: f"Keeps the first {count}.",
    "$lookup": _lookup,
    "$match": lambda query: f"Keeps documents that match {shown(query)}.",
    "$merge": _merge,
    "$project": _project,
    "$redact": lambda _: "Leaves out parts of documents.",
    "$replaceRoot": lambda options: f"Puts {_said(options['newRoot'])} in place of the document.",
    "$replaceWith": lambda value: f"Puts {_said(value)} in place of the document.",
    "$sessionWindow": _session_window,
    "$set": lambda options: f"Sets {listed(options)}.",
    "$setStreamMeta": lambda options: f"Sets metadata {listed(options)}.",
    "$sort": _sort,
    "$throttle": _throttle,
    "$tumblingWindow": _fixed_window,
    "$unset": _unset,
    "$unwind": _unwind,
    "$validate": _validate,
}
