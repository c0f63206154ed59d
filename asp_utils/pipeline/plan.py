"""What a pipeline will do, step by step: source, stages before, window, stages after, sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asp_utils.pipeline.rewrite import refers_to_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.pipeline.catalogue import Catalogue, StageSpec


@dataclass(frozen=True)
class PlannedStage:
    """One stage with its place in the pipeline and the kind of stage that it is."""

    name: str
    options: Any
    path: str
    """JSON path below the pipeline, `[2].$match`."""
    spec: StageSpec

    @property
    def stage(self) -> dict[str, Any]:
        """The stage as it was written."""
        return {self.name: self.options}

    @property
    def operator_name(self) -> str:
        """The name under which stats and dead letters mention the stage (`MatchOperator`)."""
        bare = self.name.removeprefix("$")
        return f"{bare[0].upper()}{bare[1:]}Operator"


@dataclass(frozen=True)
class Plan:
    """A checked pipeline, divided at its window."""

    source: PlannedStage
    before: tuple[PlannedStage, ...]
    """Stages between the source and the window, or the sink where there is no window."""
    window: PlannedStage | None
    inner: tuple[PlannedStage, ...]
    """The window's own pipeline."""
    after: tuple[PlannedStage, ...]
    """Stages between the window and the sink."""
    sink: PlannedStage | None
    carries_metadata: bool
    """Whether documents must carry their stream metadata up to the window or the sink."""


def plan_pipeline(
    pipeline: Sequence[Mapping[str, Any]],
    catalogue: Catalogue,
    connections: Mapping[str, Mapping[str, Any]],
) -> Plan:
    """Divide a pipeline that has passed `check_pipeline`."""

    def planned(stage: Mapping[str, Any], path: str) -> PlannedStage:
        name, options = next(iter(stage.items()))
        spec = catalogue.kind_of(name, options, connections)
        assert spec is not None, f"{path}: unchecked stage {name}"  # noqa: S101
        return PlannedStage(name, options, f"{path}.{name}", spec)

    stages = [planned(stage, f"[{index}]") for index, stage in enumerate(pipeline)]
    source, rest = stages[0], stages[1:]
    sink = rest.pop() if rest and rest[-1].spec.role == "sink" else None
    at = next((i for i, stage in enumerate(rest) if stage.spec.role == "window"), len(rest))
    window = rest[at] if at < len(rest) else None
    inner: tuple[PlannedStage, ...] = ()
    if window is not None:
        inner = tuple(
            planned(stage, f"{window.path}.pipeline[{index}]")
            for index, stage in enumerate(window.options["pipeline"])
        )
    before = tuple(rest[:at])
    readers = [stage.options for stage in before]
    if window is None and sink is not None:
        readers.append(sink.options)
    return Plan(
        source=source,
        before=before,
        window=window,
        inner=inner,
        after=tuple(rest[at + 1 :]),
        sink=sink,
        carries_metadata=any(refers_to_metadata(options) for options in readers),
    )
