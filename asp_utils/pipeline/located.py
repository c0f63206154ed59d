"""The stages of a pipeline one after the other, each with its place; a window's inner ones too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.pipeline.catalogue import Catalogue, StageSpec

    Connections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Located:
    """One stage as it was written, right or wrong."""

    name: str
    """Empty where it is no stage at all."""
    options: Any
    path: str
    """JSON path below the pipeline: `[1].$tumblingWindow.pipeline[0].$group`."""
    kind: StageSpec | None
    """None where the catalogue has no such stage, or nothing tells which kind it is."""
    in_window: bool
    is_last: bool
    """Whether it is the last stage of the main pipeline."""


def stage_name(stage: Any) -> str | None:
    """The name of a stage such as `{$match: {...}}`; None when it is not one."""
    if isinstance(stage, dict) and len(stage) == 1:
        name = next(iter(stage))
        return name if isinstance(name, str) else None
    return None


def located(
    pipeline: Any, catalogue: Catalogue, connections: Connections | None = None
) -> Iterator[Located]:
    """Every stage of a pipeline; those inside a window follow it."""
    if not isinstance(pipeline, list):
        return
    for index, stage in enumerate(pipeline):
        is_last = index == len(pipeline) - 1
        found = _placed(stage, f"[{index}]", catalogue, connections, is_last=is_last)
        yield found
        is_window = found.kind is not None and found.kind.role == "window"
        inner = found.options.get("pipeline") if isinstance(found.options, dict) else None
        if is_window and isinstance(inner, list):
            for place, inner_stage in enumerate(inner):
                where = f"{found.path}.pipeline[{place}]"
                yield _placed(inner_stage, where, catalogue, connections, in_window=True)


def _placed(
    stage: Any,
    path: str,
    catalogue: Catalogue,
    connections: Connections | None,
    *,
    in_window: bool = False,
    is_last: bool = False,
) -> Located:
    name = stage_name(stage)
    if name is None:
        return Located("", stage, path, None, in_window, is_last)
    options = stage[name]
    kind = catalogue.kind_of(name, options, connections)
    return Located(name, options, f"{path}.{name}", kind, in_window, is_last)


def option_at(options: Any, path: str) -> Any:
    """The value at a dotted path below options; None where there is none."""
    for part in path.split("."):
        if not isinstance(options, dict):
            return None
        options = options.get(part)
    return options
