"""A checked pipeline as the traps look at it: source, window, sink, and what stands between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from asp_utils.pipeline.located import located, option_at
from asp_utils.units import MS_PER_UNIT, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.pipeline.catalogue import Catalogue
    from asp_utils.pipeline.located import Located

KAFKA: Final = "kafka"
KINESIS: Final = "awskinesisdatastreams"
CLUSTER: Final = "atlas"
SAMPLE: Final = "inmemory"


@dataclass(frozen=True)
class Scene:
    """The stages of a pipeline, with the processor's options."""

    stages: tuple[Located, ...]
    """All of them in order; those inside the window follow it."""
    dlq: Mapping[str, Any] | None = None
    persistent: bool = True
    """Whether it is to run under a name; what is tried out shows its dead letters anyway."""

    @classmethod
    def of(
        cls,
        pipeline: Sequence[Any],
        catalogue: Catalogue,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        dlq: Mapping[str, Any] | None = None,
        persistent: bool = True,
    ) -> Scene:
        """The scene of a pipeline without faults."""
        return cls(tuple(located(pipeline, catalogue, connections)), dlq, persistent)

    @property
    def source(self) -> Located:
        """The first stage."""
        return self.stages[0]

    @cached_property
    def source_type(self) -> str | None:
        """The type of the source's connection; None for documents, "" where nothing tells."""
        kind = self.source.kind
        if kind is not None:
            return kind.connection_type
        return ""

    @cached_property
    def window(self) -> Located | None:
        """The window stage."""
        return next((s for s in self.stages if s.kind and s.kind.role == "window"), None)

    @property
    def by_event_time(self) -> bool:
        """Whether there is a window that follows the watermark."""
        return self.window is not None and self.option("boundary", of=self.window) in (
            None,
            "eventTime",
        )

    @cached_property
    def inner(self) -> tuple[Located, ...]:
        """The stages inside the window."""
        return tuple(stage for stage in self.stages if stage.in_window)

    @cached_property
    def before(self) -> tuple[Located, ...]:
        """Source and stages up to the window; all where there is none."""
        if self.window is None:
            return tuple(self.stages)
        return self.stages[: self.stages.index(self.window)]

    @cached_property
    def sink(self) -> Located | None:
        """The last stage, where it is a sink."""
        last = next(stage for stage in reversed(self.stages) if not stage.in_window)
        kind = last.kind
        return last if kind is not None and (kind.role == "sink" or kind.ends) else None

    def option(self, path: str, of: Located | None = None) -> Any:
        """An option of the source, or of another stage."""
        return option_at((of or self.source).options, path)


def milliseconds(value: Any) -> int | None:
    """The length of a duration as it stands in a pipeline; None for anything else."""
    if value == 0:
        return 0
    if not isinstance(value, dict) or value.get("unit") not in MS_PER_UNIT:
        return None
    size = value.get("size")
    return to_ms(size, value["unit"]) if isinstance(size, int) else None


def duration_words(value: Any) -> str:
    """A duration in words: `5 minutes`, `1 hour`; `0` for none."""
    if not isinstance(value, dict):
        return "0"
    size, unit = value.get("size"), str(value.get("unit"))
    return f"{size} {unit}" + ("" if size == 1 or unit == "ms" else "s")
