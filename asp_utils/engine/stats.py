"""What a processor counts about itself.

Source: Atlas page "Monitor stream processors"; asp-reference.md 3.2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bson import Int64

from asp_utils.engine.evaluate import documents_bytes
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from asp_utils.engine.window import Windows

    Document = dict[str, Any]


@dataclass
class OperatorStats:
    """Counters of one operator; sizes in BSON bytes."""

    name: str
    input_message_count: int = 0
    input_message_size: int = 0
    output_message_count: int = 0
    output_message_size: int = 0
    dlq_message_count: int = 0
    dlq_message_size: int = 0

    def to_document(self) -> Document:
        """The shape of an `operatorStats` item."""
        return {
            "name": self.name,
            "inputMessageCount": Int64(self.input_message_count),
            "inputMessageSize": self.input_message_size,
            "outputMessageCount": Int64(self.output_message_count),
            "outputMessageSize": self.output_message_size,
            "dlqMessageCount": Int64(self.dlq_message_count),
            "dlqMessageSize": self.dlq_message_size,
        }


@dataclass
class Stats:
    """Counters of a processor since it was created; they outlive restarts in the checkpoint."""

    total: OperatorStats = field(default_factory=lambda: OperatorStats("processor"))
    operators: dict[str, OperatorStats] = field(default_factory=dict)
    last_message_ms: int | None = None

    def operator(self, name: str) -> OperatorStats:
        """The counters of one operator, made on first use."""
        return self.operators.setdefault(name, OperatorStats(name))

    def count_input(self, name: str, count: int, size_bytes: int, now_ms: int) -> None:
        """Documents that came in from the source."""
        for counters in (self.total, self.operator(name)):
            counters.input_message_count += count
            counters.input_message_size += size_bytes
        self.operator(name).output_message_count += count
        self.operator(name).output_message_size += size_bytes
        self.last_message_ms = now_ms

    def count_output(self, name: str, documents: list[Document]) -> None:
        """Documents that went to the sink."""
        size_bytes = documents_bytes(documents)
        for counters in (self.total, self.operator(name)):
            counters.output_message_count += len(documents)
            counters.output_message_size += size_bytes
        self.operator(name).input_message_count += len(documents)
        self.operator(name).input_message_size += size_bytes

    def count_dead_letter(self, name: str, size_bytes: int) -> None:
        """A document that went to the dead letter queue, or was dropped for want of one."""
        for counters in (self.total, self.operator(name)):
            counters.dlq_message_count += 1
            counters.dlq_message_size += size_bytes

    def to_document(self, name: str, windows: Windows | None, *, verbose: bool) -> Document:
        """The `stats` document of a running processor."""
        document = self.total.to_document() | {
            "name": name,
            "status": "running",
            "scaleFactor": Int64(1),
            "stateSize": windows.state_bytes if windows else 0,
        }
        if self.last_message_ms is not None:
            document["lastMessageIn"] = datetime_of(self.last_message_ms)
        if windows is not None and windows.watermark.started:
            document["watermark"] = datetime_of(windows.watermark.value_ms)
        if windows is not None and windows.open:
            document["minOpenWindowStartTime"] = datetime_of(min(windows.open))
            document["maxOpenWindowStartTime"] = datetime_of(max(windows.open))
        if verbose:
            document["operatorStats"] = [o.to_document() for o in list(self.operators.values())]
        return document

    def snapshot(self) -> Document:
        """What a checkpoint keeps."""
        return {
            "total": asdict(self.total),
            "operators": [asdict(operator) for operator in self.operators.values()],
        }

    @classmethod
    def restored(cls, snapshot: Document) -> Stats:
        """Counters taken over from a checkpoint."""
        operators = [OperatorStats(**item) for item in snapshot["operators"]]
        return cls(OperatorStats(**snapshot["total"]), {o.name: o for o in operators})
