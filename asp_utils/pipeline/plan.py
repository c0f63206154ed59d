"""What a pipeline will do, step by step: source, stages before, window, stages after, sink."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asp_utils.pipeline.normalize import LEGACY_FIELD, Normalizer
from asp_utils.pipeline.rewrite import refers_to_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.pipeline.catalogue import Catalogue, StageSpec


@dataclass(frozen=True)
class PlannedStage:
    """One stage with its place in the pipeline and the kind of stage that it is."""

    name: str
    options: Any
    """In mongod's words (`pipeline.normalize`)."""
    path: str
    """JSON path below the pipeline, `[2].$match`."""
    spec: StageSpec

    @property
    def stage(self) -> dict[str, Any]:
        """The stage as mongod takes it."""
        return {self.name: self.options}

    @property
    def translated(self) -> tuple[dict[str, Any], ...] | None:
        """The stages of mongod's own that do the same; None where the engine runs the stage."""
        if self.spec.translate is not None:
            stages = self.spec.translate(self.options)
            if stages is not None:
                return tuple(stages)
        return None if self.spec.build is not None else (self.stage,)

    @property
    def reads_metadata(self) -> bool:
        """Whether it asks for the stream metadata of the document."""
        return refers_to_metadata(self.options)

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

    @property
    def reads_metadata_before_window(self) -> bool:
        """Whether documents must carry their stream metadata up to the window or the sink."""
        readers = [*self.before]
        if self.window is None and self.sink is not None:
            readers.append(self.sink)
        if self.window is not None:
            readers.append(replace(self.window, options={**self.window.options, "pipeline": []}))
        return any(stage.reads_metadata or stage.spec.writes_metadata for stage in readers)


def plan_pipeline(
    pipeline: Sequence[Mapping[str, Any]],
    catalogue: Catalogue,
    connections: Mapping[str, Mapping[str, Any]],
    metadata_field: str | None = None,
    *,
    persistent: bool = True,
) -> Plan:
    """Divide a pipeline that has passed `check_pipeline`.

    Args:
        pipeline: The stages as they were written.
        catalogue: The stages there are.
        connections: The connection registry by name.
        metadata_field: `streamMetaFieldName`: `$name.source.ts` means the stream metadata too.
        persistent: Whether it runs under a name. Where it does not, a last stage that may stand
            in place of a sink is an ordinary one if it puts its answer (`as`) into the documents,
            so that these are shown.
    """
    normalizer = Normalizer(_aliases(pipeline[0], metadata_field))

    def planned(stage: Mapping[str, Any], path: str) -> PlannedStage:
        name, options = next(iter(stage.items()))
        spec = catalogue.kind_of(name, options, connections)
        assert spec is not None, f"{path}: unchecked stage {name}"  # noqa: S101
        options = normalizer.stage({name: options})[name] if spec.role != "source" else options
        return PlannedStage(name, options, f"{path}.{name}", spec)

    stages = [planned(stage, f"[{index}]") for index, stage in enumerate(pipeline)]
    source, rest = stages[0], stages[1:]
    sink = rest.pop() if rest and _is_sink(rest[-1], persistent=persistent) else None
    at = next((i for i, stage in enumerate(rest) if stage.spec.role == "window"), len(rest))
    window = rest[at] if at < len(rest) else None
    inner: tuple[PlannedStage, ...] = ()
    if window is not None:
        inner = tuple(
            planned(stage, f"{window.path}.pipeline[{index}]")
            for index, stage in enumerate(window.options["pipeline"])
        )
    return Plan(
        source=source,
        before=tuple(rest[:at]),
        window=window,
        inner=inner,
        after=tuple(rest[at + 1 :]),
        sink=sink,
    )


def _is_sink(last: PlannedStage, *, persistent: bool) -> bool:
    if last.spec.role == "sink":
        return True
    return last.spec.ends and (persistent or "as" not in last.options)


def _aliases(source: Mapping[str, Any], metadata_field: str | None) -> dict[str, str]:
    """The field names under which old pipelines look for stream metadata."""
    options = next(iter(source.values()))
    time_name = options.get("tsFieldName") if isinstance(options, dict) else None
    named = {metadata_field: "stream"} if metadata_field else {}
    timed = {time_name: "stream.source.ts"} if isinstance(time_name, str) else {}
    return {LEGACY_FIELD: "stream", **named, **timed}
