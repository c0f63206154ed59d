"""From a plan to chains of steps: what mongod runs together, what the engine runs itself.

Hidden fields are carried along (`pipeline.rewrite`). A run ends where a second stage changes the
number of documents, so that every stage can be counted, and where a stage of our own stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.chain import Chain, OwnStep
from asp_utils.engine.evaluate import Run
from asp_utils.engine.windows.sessions import PARTITION
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    carry,
    mark_metadata,
    queries_metadata,
    refers_to_metadata,
    replace_metadata,
    resolve_metadata,
)
from asp_utils.pipeline.split_group import SplitGroup, split_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.stages import Stage
    from asp_utils.engine.windows.window import WindowShape
    from asp_utils.pipeline.plan import Plan, PlannedStage

    Document = dict[str, Any]

_FORGETTING: Final = frozenset({"$group", "$count"})
"""Stages whose documents are new: nothing hidden is left in them."""


@dataclass(frozen=True)
class Steps:
    """What is done with every batch, and what when a window closes."""

    before: Chain
    """The stages before the window, without the window's own: for late documents."""
    per_batch: Chain
    """Every batch: the stages before the window and as much of the window as can be done early."""
    placed: Chain | None
    """What of a session window can be done once documents have found their sessions."""
    compact: Run | None
    """Combines partial group states; None where windows hold documents."""
    closing: Chain
    """A closed window: the rest of its pipeline, and what follows it."""
    carries_metadata: bool
    """Whether documents carry their stream metadata up to the window or the sink."""

    @property
    def own_stages(self) -> list[Stage]:
        """The stages that the engine runs itself."""
        chains = (self.before, self.closing)
        return [s.stage for chain in chains for s in chain.steps if isinstance(s, OwnStep)]


@dataclass(frozen=True)
class _Link:
    """One stage on its way into a run: as mongod takes it, or as one of our own."""

    name: str
    path: str
    stage: Document = field(default_factory=dict)
    own: Stage | None = None
    changes_count: bool = False
    whole: bool = False


def steps_of(
    plan: Plan,
    shape: WindowShape | None,
    own: Mapping[str, Stage],
    *,
    partial_groups: bool,
    shows_metadata: bool = False,
) -> Steps:
    """Divide a plan into chains.

    Args:
        plan: A checked pipeline.
        shape: Its window's figures; None without a window.
        own: The stages that the engine runs itself, by path.
        partial_groups: Whether mongod divides a `$group` on request.
        shows_metadata: Whether output documents show it (`streamMetaFieldName`).
    """
    reads = plan.reads_metadata_before_window or (shows_metadata and plan.window is None)
    steps = _Builder(plan, shape, own, partial_groups, carries_metadata=reads).steps()
    if len(steps.per_batch.steps) > 1 and not reads:
        # A document that fails behind the first step has no place in the batch any more.
        return _Builder(plan, shape, own, partial_groups, carries_metadata=True).steps()
    return steps


@dataclass
class _Builder:
    plan: Plan
    shape: WindowShape | None
    own: Mapping[str, Stage]
    partial_groups: bool
    carries_metadata: bool

    def steps(self) -> Steps:
        """All chains."""
        carried = [METADATA_FIELD] if self.carries_metadata else []
        if self.shape is None:
            chain = _chain(self._links(self.plan.before, carried))
            return Steps(chain, chain, None, None, Chain(), self.carries_metadata)
        carried.append(WINDOW_FIELD)
        before = self._links(self.plan.before, carried)
        # A late document tells where it came from, even where the others need not.
        for_late = self._links(self.plan.before, [METADATA_FIELD, WINDOW_FIELD])
        early = self._early()
        split = self._split(len(early), carried)
        in_window = self._links(early, carried)
        if split is not None:
            in_window.append(self._link(self.plan.inner[len(early)], split.partial))
        partial = split is not None
        entering = self._entering(carried)
        if self.shape.is_session:
            per_batch = _chain([*before, *entering])
            placed: Chain | None = _chain(in_window, partial=partial)
        else:
            per_batch, placed = _chain([*before, *entering, *in_window], partial=partial), None
        compact = Run((split.merge,), ("GroupOperator",), partial=True) if split else None
        closing = self._closing(len(early), split)
        return Steps(_chain(for_late), per_batch, placed, compact, closing, self.carries_metadata)

    def _early(self) -> tuple[PlannedStage, ...]:
        """The window's first stages that may run before it closes: those without memory.

        A stage that names the window's metadata cannot, as a batch spans several windows.
        """
        prefix: list[PlannedStage] = []
        for stage in self.plan.inner:
            hidden = stage.reads_metadata or stage.spec.writes_metadata
            if not stage.spec.main or stage.path in self.own or hidden:
                break
            prefix.append(stage)
        return tuple(prefix)

    def _split(self, early_count: int, carried: Sequence[str]) -> SplitGroup | None:
        """The halves of the `$group` that comes next in the window, if it can be divided.

        One that names the window's metadata cannot, as a batch spans several windows; but where
        the window is of a fixed length, its bounds follow from the mark that documents carry.
        """
        if not self.partial_groups or early_count >= len(self.plan.inner):
            return None
        first = self.plan.inner[early_count]
        if first.name == "$count":
            return split_group({"_id": None, first.options: {"$sum": 1}})
        if first.name != "$group":
            return None
        group = carry(self._with_bounds(first.stage), carried)
        return None if refers_to_metadata(group) else split_group(group["$group"])

    def _with_bounds(self, stage: Document) -> Document:
        """The stage with the bounds of a window of fixed length as expressions of its mark."""
        assert self.shape is not None  # noqa: S101 - only windows come here
        if self.shape.is_session:
            return stage
        start = {"$toDate": {"$toLong": f"${WINDOW_FIELD}"}}
        bounds = {"start": start, "end": {"$add": [start, self.shape.interval_ms]}}
        return replace_metadata(stage, {f"stream.window.{k}": bound for k, bound in bounds.items()})

    def _entering(self, carried: Sequence[str]) -> list[_Link]:
        """What the window itself needs of mongod: a session's key, a document per hop."""
        assert self.shape is not None  # noqa: S101 - only windows come here
        assert self.plan.window is not None  # noqa: S101 - only windows come here
        window = self.plan.window
        if self.shape.is_session:
            key = {"$set": {f"{WINDOW_FIELD}.{PARTITION}": self.shape.partition_by}}
            key = carry(resolve_metadata(key, f"${METADATA_FIELD}"), carried)
            return [_Link(window.operator_name, "", key)]
        if self.shape.hop_ms < self.shape.interval_ms:
            unwind = {"$unwind": f"${WINDOW_FIELD}"}
            return [_Link(window.operator_name, "", unwind, changes_count=True)]
        if self.shape.hop_ms > self.shape.interval_ms:
            first = {"$set": {WINDOW_FIELD: {"$first": f"${WINDOW_FIELD}"}}}
            return [_Link(window.operator_name, "", first)]
        return []

    def _closing(self, early_count: int, split: SplitGroup | None) -> Chain:
        inner = self.plan.inner[early_count:]
        links: list[_Link] = []
        merges = split is not None
        if split is not None:
            group = self._link(inner[0], split.merge)
            links.append(_Link(group.name, group.path, group.stage, None, True, True))
            if inner[0].name == "$count":
                links.append(_Link(group.name, "", {"$project": {"_id": 0}}))
            inner = inner[1:]
        carried: list[str] = []
        for planned in (*inner, *self.plan.after):
            if not carried and _needs_field(planned):
                links.append(_taking_up())
                carried = [METADATA_FIELD]
            base = f"${METADATA_FIELD}" if carried else f"$${METADATA_VARIABLE}"
            links += self._links([planned], carried, base)
            if planned.name in _FORGETTING:
                carried = []
        return _chain(links, merges=merges)

    def _links(
        self,
        stages: Iterable[PlannedStage],
        carried: Sequence[str],
        base: str = f"${METADATA_FIELD}",
    ) -> list[_Link]:
        links: list[_Link] = []
        for planned in stages:
            if planned.path in self.own:
                own = self.own[planned.path]
                links.append(_Link(own.operator_name, planned.path, own=own, changes_count=True))
                continue
            stages_of = [
                carry(resolve_metadata(s, base), carried) for s in planned.translated or ()
            ]
            # Of several stages that stand for one, the last is counted.
            helping = [_Link(planned.operator_name, "", stage) for stage in stages_of[:-1]]
            links += [*helping, self._link(planned, stages_of[-1])]
        return links

    @staticmethod
    def _link(planned: PlannedStage, stage: Document) -> _Link:
        keeps, whole = planned.spec.keeps_count, not planned.spec.main
        return _Link(planned.operator_name, planned.path, stage, None, not keeps, whole)


def _needs_field(planned: PlannedStage) -> bool:
    """Whether a stage behind a window works only where documents carry their metadata."""
    return planned.spec.writes_metadata or queries_metadata(planned.options)


def _taking_up() -> _Link:
    """From here on documents carry the window's metadata themselves."""
    marked = {"$mergeObjects": [f"$${METADATA_VARIABLE}", mark_metadata({})]}
    return _Link("WindowOperator", "", {"$set": {METADATA_FIELD: marked}})


def _chain(links: Sequence[_Link], *, partial: bool = False, merges: bool = False) -> Chain:
    """Put stages into runs, each with one stage at most that changes the number of documents."""
    steps: list[Run | OwnStep] = []
    group: list[_Link] = []

    def close(*, last: bool = False) -> None:
        if group:
            steps.append(_run(group, partial=partial and last, merges=merges and not steps))
            group.clear()

    for index, link in enumerate(links):
        if link.own is not None:
            close()
            steps.append(OwnStep(link.own, link.path))
            continue
        counted = link.changes_count and not (partial and index == len(links) - 1)
        if counted and any(other.changes_count for other in group):
            close()
        group.append(link)
    close(last=True)
    return Chain(tuple(steps))


def _run(links: Sequence[_Link], *, partial: bool, merges: bool) -> Run:
    changers = [index for index, link in enumerate(links) if link.changes_count]
    if partial and changers and changers[-1] == len(links) - 1:
        changers.pop()
    return Run(
        tuple(link.stage for link in links),
        tuple(link.name for link in links),
        partial=partial,
        merges=merges,
        paths=tuple(link.path for link in links),
        changer=changers[0] if changers else None,
        whole=any(link.whole for link in links) and not partial,
    )
