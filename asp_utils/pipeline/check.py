"""Check a pipeline offline: all faults at once, each with its JSON path.

The shape rules are those of the Atlas page "Stream Processing aggregation stages"
(asp-reference.md 2.1). What only a server can know (whether mongod parses an expression) is
checked by the engine. Traps in pipelines that are right are in `pipeline.traps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.catalogue import ATLAS_STAGES, Catalogue, StageSpec, connection_name
from asp_utils.pipeline.connections.roles import is_atlas_use, place_role
from asp_utils.pipeline.expressions import NEEDS_SERVER, Rules
from asp_utils.pipeline.faults import (
    INVALID_OPTIONS,
    MISSING_FIELD,
    TYPE_MISMATCH,
    UNKNOWN_FIELD,
    name_hint,
    option_faults,
)
from asp_utils.pipeline.located import Located, located, option_at
from asp_utils.pipeline.located import stage_name as stage_name
from asp_utils.pipeline.mistakes import REFUSALS, with_advice
from asp_utils.pipeline.operators import OLDEST, Version
from asp_utils.pipeline.shapes import shape_faults
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Connections = Mapping[str, Mapping[str, Any]]

NOT_HERE_YET: Final = NEEDS_SERVER
"""Code of what Atlas runs and the local engine, or the mongod under it, does not."""
_WINDOW_ONLY: Final = frozenset({"$group", "$sort", "$count", "$limit"})


def check_pipeline(
    pipeline: Any,
    catalogue: Catalogue,
    connections: Connections | None = None,
    *,
    persistent: bool = True,
    local: bool = True,
    server: Version = OLDEST,
) -> list[Fault]:
    """All faults of a pipeline; paths are relative to it (`[1].$tumblingWindow.interval`).

    Args:
        pipeline: The pipeline as it came from JSON.
        catalogue: The stages that may be used.
        connections: The connection registry by name (`{name: {type}}`); None when it is not
            known here, then names are not checked.
        persistent: Whether the pipeline must end in a sink (create), or may do without (process).
        local: Whether the local engine is to run it; else what Atlas has is no fault.
        server: Version of the mongod that evaluates expressions, where it runs locally.
    """
    if not isinstance(pipeline, list):
        return [Fault("", "a pipeline is a list of stages", "", TYPE_MISMATCH)]
    if not pipeline:
        hint = "begin with {$source: {connectionName: ...}}"
        return [Fault("", "the pipeline is empty", hint, INVALID_OPTIONS)]
    stages = list(located(pipeline, catalogue, connections))
    faults = list(_order_faults(stages, catalogue, persistent=persistent))
    checker = _Checker(catalogue, connections, Rules(server))
    for stage in stages:
        faults += checker.stage(stage)
    faults += _rules_across(stages, persistent=persistent)
    once = {(fault.path, fault.message): fault for fault in faults}.values()
    return [fault for fault in once if local or fault.code != NOT_HERE_YET]


def _order_faults(
    stages: Sequence[Located], catalogue: Catalogue, *, persistent: bool
) -> Iterator[Fault]:
    """Faults of order: the source first, one sink last, at most one window."""
    main = [stage for stage in stages if not stage.in_window]
    if main[0].name != "$source":
        hint = "begin with {$source: {connectionName: ...}}"
        yield Fault("[0]", "the first stage must be $source", hint, INVALID_OPTIONS)
    windows = [stage for stage in main if _role(stage) == "window"]
    for stage in main[1:]:
        if stage.name == "$source":
            hint = "a pipeline has one source; a Kafka source reads several topics"
            yield Fault(stage.path, "$source may only be the first stage", hint, INVALID_OPTIONS)
        if stage in windows[1:]:
            hint = "send what the first one gives to another processor, through a topic"
            yield Fault(stage.path, "a pipeline has at most one window", hint, INVALID_OPTIONS)
    for stage in main[:-1]:
        if _is_sink(stage, catalogue):
            message = f"{stage.name} may only be the last stage"
            hint = "a pipeline has one sink, at its end"
            yield Fault(stage.path, message, hint, INVALID_OPTIONS)
    last = main[-1]
    ends = _is_sink(last, catalogue) or (last.kind is not None and last.kind.ends)
    if persistent and not ends and (not last.name or last.name in catalogue.by_name):
        yield Fault(
            f"[{len(main) - 1}]",
            f"the last stage must be a sink ({', '.join(_ends(catalogue))})",
            "only process may leave the sink out",
            INVALID_OPTIONS,
        )


def _ends(catalogue: Catalogue) -> list[str]:
    """Every stage that may stand last."""
    ends = {name for name, kinds in catalogue.by_name.items() if any(k.ends for k in kinds)}
    return sorted({*catalogue.names("sink"), *ends})


def _is_sink(stage: Located, catalogue: Catalogue) -> bool:
    kinds = catalogue.by_name.get(stage.name, ())
    return bool(kinds) and kinds[0].role == "sink"


def _role(stage: Located) -> str | None:
    return stage.kind.role if stage.kind is not None else None


class _Checker:
    """Checks single stages, wherever they stand."""

    def __init__(self, catalogue: Catalogue, connections: Connections | None, rules: Rules) -> None:
        self._catalogue = catalogue
        self._connections = connections
        self._rules = rules

    def stage(self, stage: Located) -> Iterator[Fault]:
        """The faults of one stage."""
        name, options, path = stage.name, stage.options, stage.path
        if not name:
            hint = "one stage is {$name: options}"
            yield Fault(path, "a stage is an object with exactly one key", hint, TYPE_MISMATCH)
            return
        kinds = self._catalogue.by_name.get(name, ())
        misplaced = _misplaced(stage, kinds) if kinds else _unknown_stage(name, path)
        if misplaced is not None:
            yield misplaced
            return
        own = _own_options(kinds[0], options)
        expressions = list(self._rules.stage(name, own, path))
        found = [*self._connections_of(stage, kinds), *self._options_of(stage, kinds)]
        said = [f for f in found if not any(_same_place(f, other) for other in expressions)]
        yield from with_advice(name, options, path, [*expressions, *said])

    def _options_of(self, stage: Located, kinds: tuple[StageSpec, ...]) -> Iterator[Fault]:
        if stage.kind is None:
            yield from self._kindless(stage, kinds)
        elif stage.kind.options is not None:
            yield from option_faults(stage.kind.options, stage.options, stage.path)
        else:
            yield from shape_faults(stage.name, stage.options, stage.path)

    def _connections_of(self, stage: Located, kinds: tuple[StageSpec, ...]) -> Iterator[Fault]:
        """Faults of the connections that a stage names."""
        if self._connections is None:
            return
        below, name = connection_name(stage.options)
        usable = {kind.connection_type for kind in kinds} - {None}
        if stage.kind is not None and stage.kind.connection_type is not None:
            usable = {stage.kind.connection_type}
        if below:
            yield from self._connection(name, stage, below, usable)
        further = stage.kind.further_connections if stage.kind is not None else {}
        for where, wanted in further.items():
            named = option_at(stage.options, where)
            yield from self._connection(named, stage, f".{where}", {wanted})

    def _connection(
        self, name: Any, stage: Located, below: str, usable: set[str | None]
    ) -> Iterator[Fault]:
        connections = self._connections or {}
        if not isinstance(name, str):
            return
        path = stage.path + below
        if name not in connections:
            hint = name_hint(name, _of_types(connections, usable) or list(connections))
            yield Fault(path, f"there is no connection {name!r}", hint, INVALID_OPTIONS)
            return
        actual = connections[name]["type"]
        if (connections[name].get("authentication") or {}).get("aws"):
            message = f"connection {name!r} signs in with an AWS IAM role, which only Atlas can"
            yield Fault(path, message, "for here, give it a user or a certificate", NOT_HERE_YET)
        if usable and actual not in usable and is_atlas_use(actual, place_role(stage.name, below)):
            message = f"the local engine does not run {stage.name} with a connection of {actual!r}"
            hint = "it runs on Atlas; set check_pipeline: false to send it there"
            yield Fault(path, message, hint, NOT_HERE_YET)
        elif usable and actual not in usable:
            place = stage.name + below.removesuffix(".connectionName")
            message = f"connection {name!r} of type {actual!r} cannot be used in {place}"
            fitting = _of_types(connections, usable)
            hint = f"it needs one of type {', '.join(sorted(map(str, usable)))}"
            hint += f": {', '.join(fitting)}" if fitting else ""
            yield Fault(path, message, hint, INVALID_OPTIONS)

    def _kindless(self, stage: Located, kinds: tuple[StageSpec, ...]) -> Iterator[Fault]:
        """Faults of a stage whose kind nothing tells: those of the kind that it is most like."""
        options, path = stage.options, stage.path
        if not isinstance(options, dict):
            yield Fault(path, "the options are an object", "", TYPE_MISMATCH)
        elif "connectionName" not in options and "into" not in options:
            free = sorted(mark for kind in kinds if not kind.connection_type for mark in kind.marks)
            slip = nearest("connectionName", options, cutoff=0.8)
            other = f"or give {' or '.join(free)} instead" if free else ""
            hint = f"{slip!r} is misspelled" if slip else other
            message = "the required field 'connectionName' is missing"
            yield Fault(f"{path}.connectionName", message, hint, MISSING_FIELD)
        elif not isinstance(options.get("connectionName", ""), str):
            where = f"{path}.connectionName"
            yield Fault(where, "a connection's name is a string", "", TYPE_MISMATCH)
        elif self._connections is None:
            models = [kind.options for kind in kinds if kind.connection_type and kind.options]
            found = [option_faults(model, options, path) for model in models]
            yield from min(found, key=_unlikeness, default=[])


def _unlikeness(faults: list[Fault]) -> float:
    """How little options look like those of a kind: a slip counts less than a strange field."""
    return sum(
        0.5 if fault.code == UNKNOWN_FIELD and not fault.hint.startswith("known") else 1
        for fault in faults
    )


def _misplaced(stage: Located, kinds: tuple[StageSpec, ...]) -> Fault | None:
    """The fault of a stage that may not stand where it stands."""
    name, path = stage.name, stage.path
    if stage.in_window and not kinds[0].inside_window:
        hint = "put it before or after the window" if kinds[0].role == "transform" else ""
        return Fault(path, f"{name} is not allowed inside a window", hint, INVALID_OPTIONS)
    if not stage.in_window and not kinds[0].main:
        hint = "put it into the pipeline of a window stage" if name in _WINDOW_ONLY else ""
        return Fault(path, f"{name} is only allowed inside a window", hint, INVALID_OPTIONS)
    return None


def _own_options(spec: StageSpec, options: Any) -> Any:
    """The options without a window's inner pipeline, whose stages are checked one by one."""
    if spec.role == "window" and isinstance(options, dict):
        return {key: value for key, value in options.items() if key != "pipeline"}
    return options


def _same_place(fault: Fault, other: Fault) -> bool:
    """Whether two faults are about one value: a rule for expressions says it better."""
    return fault.path == other.path and fault.code != UNKNOWN_FIELD


def _unknown_stage(name: str, path: str) -> Fault:
    if name in ATLAS_STAGES:
        hint = "it runs on Atlas; set check_pipeline: false to send it there"
        return Fault(path, f"the local engine does not run {name}", hint, NOT_HERE_YET)
    close = nearest(name, sorted(ATLAS_STAGES), cutoff=0.7)
    hint = REFUSALS.get(name, f"did you mean {close}?" if close else "")
    return Fault(path, f"{name} is no stage of Atlas Stream Processing", hint, INVALID_OPTIONS)


def _rules_across(stages: Sequence[Located], *, persistent: bool) -> Iterator[Fault]:
    """Rules that concern more than one stage, or a stage and its place."""
    source = stages[0]
    window = next((stage for stage in stages if _role(stage) == "window"), None)
    if window is not None and option_at(source.options, "initialSync.enable") is True:
        message = "initialSync cannot be combined with a window"
        hint = "copy with one processor, aggregate with another"
        yield Fault(f"{source.path}.initialSync", message, hint, INVALID_OPTIONS)
    for stage in stages:
        if stage.kind is not None and stage.kind.ends and isinstance(stage.options, dict):
            yield from _calls(stage, persistent=persistent)


def _calls(stage: Located, *, persistent: bool) -> Iterator[Fault]:
    """A stage that may end a pipeline: as a sink nobody reads its answer, before it somebody must.

    A temporary processor shows the documents of its last stage, answers in them too.

    Source: Atlas pages "$https", "$externalFunction".
    """
    is_function = stage.name == "$externalFunction"
    is_async = stage.options.get("execution") == "async"
    if stage.is_last and (persistent or "as" not in stage.options):
        if is_function and not is_async:
            hint = 'write execution: "async"'
            message = "as the last stage a function must be called asynchronously"
            yield Fault(f"{stage.path}.execution", message, hint, INVALID_OPTIONS)
    elif "as" not in stage.options and not is_async:
        message = "the required field 'as' is missing: it names the field for the answer"
        hint = "only as the last stage it may be left out"
        yield Fault(f"{stage.path}.as", message, hint, MISSING_FIELD)


def _of_types(connections: Connections, types: set[str | None]) -> list[str]:
    return sorted(name for name, entry in connections.items() if entry["type"] in types)
