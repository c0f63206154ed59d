"""Check a pipeline offline: all faults at once, each with its JSON path.

The shape rules are those of the Atlas page "Stream Processing aggregation stages"
(asp-reference.md 2.1). What only a server can know (whether mongod parses an expression) is
checked by the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.catalogue import ATLAS_STAGES, Catalogue, StageSpec, connection_name
from asp_utils.pipeline.grammar import (
    BAD_VALUE,
    INVALID_OPTIONS,
    MISSING_FIELD,
    TYPE_MISMATCH,
    name_hint,
    option_faults,
)
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Connections = Mapping[str, Mapping[str, Any]]

NOT_HERE_YET: Final = CODES["NotImplemented"]
"""A stage of Atlas that the local engine does not run."""
_FORBIDDEN_VARIABLES: Final = {
    "$$NOW": "use {$currentDate: {}}",
    "$$CLUSTER_TIME": "use a field of the document",
    "$$USER_ROLES": "",
    "$$SEARCH_META": "",
}
_WINDOW_ONLY: Final = frozenset({"$group", "$sort", "$count", "$limit"})


def stage_name(stage: Any) -> str | None:
    """The name of a stage such as `{$match: {...}}`; None when it is not one."""
    if isinstance(stage, dict) and len(stage) == 1:
        name = next(iter(stage))
        return name if isinstance(name, str) else None
    return None


def check_pipeline(
    pipeline: Any,
    catalogue: Catalogue,
    connections: Connections | None = None,
    *,
    persistent: bool = True,
    local: bool = True,
) -> list[Fault]:
    """All faults of a pipeline; paths are relative to it (`[1].$tumblingWindow.interval`).

    Args:
        pipeline: The pipeline as it came from JSON.
        catalogue: The stages that may be used.
        connections: The connection registry by name (`{name: {type}}`); None when it is not
            known here, then names are not checked.
        persistent: Whether the pipeline must end in a sink (create), or may do without (process).
        local: Whether the local engine is to run it; else a stage that Atlas has is no fault.
    """
    if not isinstance(pipeline, list):
        return [Fault("", "a pipeline is a list of stages", "", TYPE_MISMATCH)]
    if not pipeline:
        hint = "begin with {$source: {connectionName: ...}}"
        return [Fault("", "the pipeline is empty", hint, INVALID_OPTIONS)]
    faults = list(_shape_faults(pipeline, catalogue, persistent=persistent))
    for index, stage in enumerate(pipeline):
        faults += _stage_faults(stage, f"[{index}]", catalogue, connections, in_window=False)
    return faults if local else [fault for fault in faults if fault.code != NOT_HERE_YET]


def _shape_faults(
    pipeline: list[Any], catalogue: Catalogue, *, persistent: bool
) -> Iterator[Fault]:
    """Faults of order: the source first, one sink last, at most one window."""
    names = [stage_name(stage) for stage in pipeline]
    sinks, windows = catalogue.names("sink"), catalogue.names("window")
    if names[0] != "$source":
        yield Fault("[0]", "the first stage must be $source", "", INVALID_OPTIONS)
    seen_window = False
    for index, name in enumerate(names):
        path = f"[{index}].{name}"
        if name == "$source" and index > 0:
            yield Fault(path, "$source may only be the first stage", "", INVALID_OPTIONS)
        if name in sinks and index < len(names) - 1:
            hint = "a pipeline has one sink, at its end"
            yield Fault(path, f"{name} may only be the last stage", hint, INVALID_OPTIONS)
        if name in windows:
            if seen_window:
                yield Fault(path, "a pipeline has at most one window", "", INVALID_OPTIONS)
            seen_window = True
    last = names[-1]
    if persistent and last not in sinks and (last is None or last in catalogue.by_name):
        yield Fault(
            f"[{len(names) - 1}]",
            f"the last stage must be a sink ({', '.join(sinks)})",
            "only process may leave the sink out",
            INVALID_OPTIONS,
        )


def _stage_faults(
    stage: Any,
    path: str,
    catalogue: Catalogue,
    connections: Connections | None,
    *,
    in_window: bool,
) -> Iterator[Fault]:
    name = stage_name(stage)
    if name is None:
        hint = "one stage is {$name: options}"
        yield Fault(path, "a stage is an object with exactly one key", hint, TYPE_MISMATCH)
        return
    path, options = f"{path}.{name}", stage[name]
    if name not in catalogue.by_name:
        yield _unknown_stage(name, path, catalogue)
        return
    spec = catalogue.by_name[name][0]
    if in_window and not spec.inside_window:
        yield Fault(path, f"{name} is not allowed inside a window", "", INVALID_OPTIONS)
        return
    if not in_window and not spec.main:
        hint = "put it into the pipeline of a window stage" if name in _WINDOW_ONLY else ""
        yield Fault(path, f"{name} is only allowed inside a window", hint, INVALID_OPTIONS)
        return
    yield from _forbidden_variables(_own_options(spec, options), path, in_match=name == "$match")
    kind = catalogue.kind_of(name, options, connections)
    yield from _connection_faults(options, path, catalogue.by_name[name], connections)
    if kind is None:
        yield from _kindless(options, path, catalogue.by_name[name], connections)
        return
    if kind.options is not None:
        yield from option_faults(kind.options, options, path)
    if kind.role == "window" and isinstance(options, dict):
        yield from _inner_faults(options.get("pipeline"), path, catalogue, connections)


def _own_options(spec: StageSpec, options: Any) -> Any:
    """The options without a window's inner pipeline, whose stages are checked one by one."""
    if spec.role == "window" and isinstance(options, dict):
        return {key: value for key, value in options.items() if key != "pipeline"}
    return options


def _inner_faults(
    inner: Any, path: str, catalogue: Catalogue, connections: Connections | None
) -> Iterator[Fault]:
    if isinstance(inner, list):
        for index, stage in enumerate(inner):
            where = f"{path}.pipeline[{index}]"
            yield from _stage_faults(stage, where, catalogue, connections, in_window=True)


def _unknown_stage(name: str, path: str, catalogue: Catalogue) -> Fault:
    if name in ATLAS_STAGES:
        hint = f"it runs here: {', '.join(sorted(catalogue.by_name))}"
        return Fault(path, f"the local engine does not run {name} yet", hint, NOT_HERE_YET)
    close = nearest(name, sorted(ATLAS_STAGES), cutoff=0.7)
    hint = f"did you mean {close}?" if close else ""
    return Fault(path, f"{name} is no stage of Atlas Stream Processing", hint, INVALID_OPTIONS)


def _connection_faults(
    options: Any, path: str, kinds: tuple[StageSpec, ...], connections: Connections | None
) -> Iterator[Fault]:
    below, name = connection_name(options)
    if connections is None or not isinstance(name, str) or not below:
        return
    if name not in connections:
        hint = name_hint(name, list(connections))
        yield Fault(path + below, f"there is no connection {name!r}", hint, INVALID_OPTIONS)
        return
    usable = {kind.connection_type for kind in kinds} - {None}
    actual = connections[name]["type"]
    if usable and actual not in usable:
        stage = path.rsplit(".", 1)[-1]
        message = f"connection {name!r} of type {actual!r} cannot be used in {stage}"
        hint = f"it needs one of type {', '.join(sorted(str(kind) for kind in usable))}"
        yield Fault(path + below, message, hint, INVALID_OPTIONS)


def _kindless(
    options: Any, path: str, kinds: tuple[StageSpec, ...], connections: Connections | None
) -> Iterator[Fault]:
    """Faults of a stage whose kind nothing tells; none where only the registry could tell."""
    if not isinstance(options, dict):
        yield Fault(path, "the options are an object", "", TYPE_MISMATCH)
    elif "connectionName" not in options and "into" not in options:
        free = sorted(mark for kind in kinds if not kind.connection_type for mark in kind.marks)
        slip = nearest("connectionName", options, cutoff=0.8)
        hint = f"{slip!r} is misspelled" if slip else f"or give {' or '.join(free)} instead"
        message = "the required field 'connectionName' is missing"
        yield Fault(f"{path}.connectionName", message, hint, MISSING_FIELD)
    elif not isinstance(options.get("connectionName", ""), str):
        yield Fault(f"{path}.connectionName", "a connection's name is a string", "", TYPE_MISMATCH)


def _forbidden_variables(value: Any, path: str, *, in_match: bool) -> Iterator[Fault]:
    """Variables that Atlas does not offer, found in expressions only (not in literals)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "$literal":
                literal = in_match and key != "$expr"
                yield from _forbidden_variables(inner, f"{path}.{key}", in_match=literal)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _forbidden_variables(inner, f"{path}[{index}]", in_match=in_match)
    elif isinstance(value, str) and not in_match:
        variable = value.split(".", 1)[0]
        if variable in _FORBIDDEN_VARIABLES:
            hint = _FORBIDDEN_VARIABLES[variable]
            yield Fault(path, f"the variable {variable} is not available", hint, BAD_VALUE)
