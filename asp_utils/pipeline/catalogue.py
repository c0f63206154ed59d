"""What stages there are: where each may stand, and which options it takes.

The engine's modules declare `StageSpec`s, one per stage and one per kind of source or sink; the
`Catalogue` holds them all. Checking and planning read it and know no stage by name, so a new stage
is a new module and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asp_utils.errors import Fault
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
    constructor; this layer only carries it. A transform is run by mongod as it stands, by mongod
    after `translate`, or by what `build` makes.
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
    further_connections: Mapping[str, str] = field(default_factory=dict)
    """Other connections it may name: path below the options (`schemaRegistry.connectionName`) to
    the type that is needed there."""
    ends: bool = False
    """A transform that may stand last, in place of a sink; then `build_sink` makes the sink."""
    keeps_count: bool = False
    """Every document that goes in comes out, unless it fails (a stage that mongod runs)."""
    writes_metadata: bool = False
    """It changes the stream metadata of the documents that pass."""
    marks: frozenset[str] = frozenset()
    """Fields that only this kind has, to tell kinds apart where no connection does."""
    probes: Callable[[dict[str, Any]], Iterable[Probe]] | None = None
    """What of the options mongod has to parse before the stage is accepted."""
    warnings: Callable[[Any], Iterable[Fault]] | None = None
    """Traps in options that are allowed; paths are relative to the options."""
    translate: Callable[[Any], Sequence[dict[str, Any]] | None] | None = None
    """The stages of mongod's own that do the same; None, or giving None: `build` makes it."""
    build: Any = None
    """What the engine makes of it: `build(options, surroundings)`, for a source with the position
    too; its type depends on the role."""
    build_sink: Any = None
    """What the engine makes of it where it `ends` a pipeline."""
    partial: Mapping[str, str] = field(default_factory=dict)
    """What is not as on Atlas: option (`config.acks`, "" for the stage) to the difference."""


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

        A stage with one kind is that kind. Else the named connection's type decides, or, where it
        is not known or fits no kind, a field that only one kind has.
        """
        specs = self.by_name.get(name, ())
        if len(specs) == 1:
            return specs[0]
        connection_type = _connection_type(options, connections)
        for spec in specs:
            if spec.connection_type is not None and spec.connection_type == connection_type:
                return spec
        fields: set[str] = set(options) if isinstance(options, dict) else set()
        return next((spec for spec in specs if spec.marks & fields), None)


def connection_name(options: Any) -> tuple[str, Any]:
    """Where (path below the options) and what connection the options name; ("", None) if none."""
    if isinstance(options, dict):
        if "connectionName" in options:
            return ".connectionName", options["connectionName"]
        for outer in ("into", "from"):
            inner = options.get(outer)
            if isinstance(inner, dict) and "connectionName" in inner:
                return f".{outer}.connectionName", inner["connectionName"]
    return "", None


def _connection_type(
    options: Any, connections: Mapping[str, Mapping[str, Any]] | None
) -> str | None:
    name = connection_name(options)[1]
    if connections is None or not isinstance(name, str) or name not in connections:
        return None
    kind: str = connections[name]["type"]
    return kind
