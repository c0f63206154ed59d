"""What stages there are: where each may stand, and which options it takes.

The engine's modules declare `StageSpec`s, one per stage and one per kind of source or sink; the
`Catalogue` holds them all. Checking and planning read it and know no stage by name, so a new stage
is a new module and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asp_utils.pipeline.grammar import Options

Role = Literal["source", "transform", "window", "sink"]

ATLAS_STAGES: Final = frozenset(
    [
        "$source",
        "$addFields",
        "$set",
        "$project",
        "$replaceRoot",
        "$match",
        "$redact",
        "$replaceWith",
        "$unset",
        "$unwind",
        "$validate",
        "$lookup",
        "$https",
        "$externalFunction",
        "$group",
        "$sort",
        "$count",
        "$limit",
        "$merge",
        "$emit",
        "$iceberg",
        "$tumblingWindow",
        "$hoppingWindow",
        "$sessionWindow",
        "$cachedLookup",
        "$setStreamMeta",
        "$throttle",
        "$vectorSearch",
    ]
)
"""Every stage that Atlas Stream Processing documents (asp-reference.md 2.1)."""


@dataclass(frozen=True)
class Probe:
    """Something in a stage's options that only mongod can parse, made into a stage."""

    path: str
    """Where it stands below the options."""
    stage: dict[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageSpec:
    """One stage, or one kind of a stage that has several (`$source` from Kafka, from documents).

    `options` is None for a stage whose grammar mongod itself checks. `build` is the engine's
    constructor; this layer only carries it.
    """

    name: str
    """The stage's name, `$match`."""
    role: Role
    options: type[Options] | None = None
    main: bool = True
    """Allowed in the main pipeline."""
    inside_window: bool = False
    """Allowed in a window's inner pipeline."""
    connection_type: str | None = None
    """The connection type that this kind of source or sink needs; None: it takes no connection."""
    marks: frozenset[str] = frozenset()
    """Fields that only this kind has, to tell kinds apart where no connection does."""
    probes: Callable[[dict[str, Any]], Iterable[Probe]] | None = None
    """What of the options mongod has to parse before the stage is accepted."""
    build: Any = None
    """What the engine makes of it; its type depends on the role."""


@dataclass(frozen=True)
class Catalogue:
    """All stages that this engine runs."""

    by_name: Mapping[str, tuple[StageSpec, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, specs: Iterable[StageSpec]) -> Catalogue:
        """A catalogue of these specs."""
        by_name: dict[str, tuple[StageSpec, ...]] = {}
        for spec in specs:
            by_name[spec.name] = (*by_name.get(spec.name, ()), spec)
        return cls(by_name)

    def names(self, role: Role) -> list[str]:
        """The names of all stages of one role, sorted."""
        return sorted(name for name, specs in self.by_name.items() if specs[0].role == role)

    def kind_of(
        self, name: str, options: Any, connections: Mapping[str, Mapping[str, Any]] | None
    ) -> StageSpec | None:
        """Which kind of stage `name` these options describe; None when nothing tells.

        A stage with one kind is that kind. Else the named connection's type decides, or a field
        that only one kind has.
        """
        specs = self.by_name.get(name, ())
        if len(specs) == 1:
            return specs[0]
        fields: set[str] = set(options) if isinstance(options, dict) else set()
        for spec in specs:
            if spec.marks & fields:
                return spec
        connection_type = _connection_type(options, connections)
        for spec in specs:
            if spec.connection_type is not None and spec.connection_type == connection_type:
                return spec
        return None


def connection_name(options: Any) -> tuple[str, Any]:
    """Where (path below the options) and what connection the options name; ("", None) if none."""
    if isinstance(options, dict):
        if "connectionName" in options:
            return ".connectionName", options["connectionName"]
        into = options.get("into")
        if isinstance(into, dict) and "connectionName" in into:
            return ".into.connectionName", into["connectionName"]
    return "", None


def _connection_type(
    options: Any, connections: Mapping[str, Mapping[str, Any]] | None
) -> str | None:
    name = connection_name(options)[1]
    if connections is None or not isinstance(name, str) or name not in connections:
        return None
    kind: str = connections[name]["type"]
    return kind
