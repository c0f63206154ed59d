"""What a processor counts about itself.

Counters are kept for the whole and for every stage, by the stage's JSON path, so that two stages
of one name stay apart.

Source: Atlas page "Monitor stream processors"; asp-reference.md 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.engine.reporting.latency import Latency
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]

_KEPT: Final = (
    "input_message_count",
    "input_message_size",
    "output_message_count",
    "output_message_size",
    "dlq_message_count",
    "dlq_message_size",
)
"""What a checkpoint keeps."""


@dataclass
class OperatorStats:
    """Counters of one stage; sizes in BSON bytes.

    Sizes are known where documents enter and leave mongod, hidden fields included; the time of a
    run of stages at mongod is shared out evenly among them.
    """

    name: str
    path: str = ""
    input_message_count: int = 0
    input_message_size: int = 0
    output_message_count: int = 0
    output_message_size: int = 0
    dlq_message_count: int = 0
    dlq_message_size: int = 0
    spent_s: float = 0.0

    def count_step(self, entered: int, left: int, spent_s: float) -> None:
        """Documents that came in and went on, and the time that took."""
        self.input_message_count += entered
        self.output_message_count += left
        self.spent_s += spent_s

    def to_document(self) -> Document:
        """The shape of an `operatorStats` item, without what only some stages have."""
        return {
            "name": self.name,
            "inputMessageCount": Int64(self.input_message_count),
            "inputMessageSize": Int64(self.input_message_size),
            "outputMessageCount": Int64(self.output_message_count),
            "outputMessageSize": Int64(self.output_message_size),
            "dlqMessageCount": Int64(self.dlq_message_count),
            "dlqMessageSize": Int64(self.dlq_message_size),
        }

    def to_operator_document(self) -> Document:
        """The item with its place in the pipeline and its time."""
        spent_ms = Int64(round(self.spent_s * 1000))
        times = {"executionTimeMillis": spent_ms, "timeSpentMillis": spent_ms}
        document = {**self.to_document(), **times, "path": self.path}
        for way in ("input", "output"):
            if document[f"{way}MessageCount"] and not document[f"{way}MessageSize"]:
                # Inside of mongod nobody counts bytes: no figure is better than a wrong one.
                del document[f"{way}MessageSize"]
        return document


@dataclass
class Stats:
    """Counters of a processor since it was created; they outlive restarts in the checkpoint."""

    total: OperatorStats = field(default_factory=lambda: OperatorStats("processor"))
    operators: dict[str, OperatorStats] = field(default_factory=dict)
    """By the stage's path; by its name where it has none."""
    latency: Latency = field(default_factory=Latency)
    """From reading a document to writing what came of it; not for what waits in windows."""
    last_message_ms: int | None = None

    def operator(self, name: str, path: str = "") -> OperatorStats:
        """The counters of one stage, made on first use."""
        found = self.operators.get(path or name)
        if found is None:
            found = self.operators[path or name] = OperatorStats(name, path)
        return found

    def expect(self, stages: Sequence[tuple[str, str]]) -> None:
        """Show these stages (name, path) in this order; others counted under another pipeline."""
        known = self.operators
        self.operators = {
            path: known[path]
            if path in known and known[path].name == name
            else OperatorStats(name, path)
            for name, path in stages
        }

    def count_input(
        self, name: str, path: str, records: int, documents: int, size_bytes: int
    ) -> None:
        """Records that came in from the source, and the documents they gave."""
        operator = self.operator(name, path)
        for counters in (self.total, operator):
            counters.input_message_count += records
            counters.input_message_size += size_bytes
        operator.output_message_count += documents
        operator.output_message_size += size_bytes

    def count_output(self, name: str, path: str, count: int, size_bytes: int) -> None:
        """Documents that went to the sink."""
        operator = self.operator(name, path)
        for counters in (self.total, operator):
            counters.output_message_count += count
            counters.output_message_size += size_bytes
        operator.input_message_count += count
        operator.input_message_size += size_bytes

    def count_dead_letter(self, name: str, path: str, size_bytes: int) -> None:
        """A document that went to the dead letter queue, or was dropped for want of one."""
        for counters in (self.total, self.operator(name, path)):
            counters.dlq_message_count += 1
            counters.dlq_message_size += size_bytes

    def to_document(self, name: str, *, verbose: bool) -> Document:
        """The counters as the `stats` of a running processor show them."""
        document = self.total.to_document() | {
            "name": name,
            "status": "running",
            "scaleFactor": Int64(1),
        }
        if self.last_message_ms is not None:
            document["lastMessageIn"] = datetime_of(self.last_message_ms)
        if self.latency.count:
            document["latency"] = self.latency.to_document()
        if verbose:
            operators = list(self.operators.values())
            document["operatorStats"] = [each.to_operator_document() for each in operators]
        return document

    def snapshot(self) -> Document:
        """What a checkpoint keeps."""
        return {
            "total": _counts(self.total),
            "operators": [
                {"name": each.name, "path": each.path, **_counts(each)}
                for each in self.operators.values()
            ],
        }

    @classmethod
    def restored(cls, snapshot: Document) -> Stats:
        """Counters taken over from a checkpoint."""
        operators = [OperatorStats(**item) for item in snapshot["operators"]]
        total = OperatorStats("processor", **snapshot["total"])
        return cls(total, {each.path or each.name: each for each in operators})


def _counts(counters: OperatorStats) -> dict[str, int]:
    return {name: getattr(counters, name) for name in _KEPT}
