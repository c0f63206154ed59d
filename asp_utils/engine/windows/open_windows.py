"""What a processor does with its windows: mark, keep, compact, spill, close."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.chain import InChain
from asp_utils.engine.evaluate import Run
from asp_utils.errors import UnexpectedReply
from asp_utils.pipeline.rewrite import METADATA_FIELD, WINDOW_FIELD
from asp_utils.pipeline.split_group import COUNT_FIELD, count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.batch import Source
    from asp_utils.engine.chain import Chains
    from asp_utils.engine.evaluate import Failure
    from asp_utils.engine.steps import Steps
    from asp_utils.engine.windows.spill import Spill
    from asp_utils.engine.windows.window import Late, OpenWindow, Windows, WindowShape

    Document = dict[str, Any]

_COMPACT_FROM: Final = 5000
"""Partial group states of one window before they are combined."""


@dataclass
class OpenWindows:
    """The windows of one processor with the stages that belong to them.

    Args:
        windows: Which documents belong to which window.
        steps: The processor's chains.
        chains: Runs them.
        spill: Where documents wait that memory has no room for.
        path: The window's JSON path, for counters.
        operator_name: Its name in stats.
    """

    windows: Windows
    steps: Steps
    chains: Chains
    spill: Spill
    path: str
    operator_name: str
    late_count: int = field(default=0, init=False)
    closed_count: int = field(default=0, init=False)
    largest_bytes: int = field(default=0, init=False)
    """The most that they held whenever somebody asked."""
    _silent_from_ms: int | None = field(default=None, init=False)
    """Where the stream stood when nothing came any more."""

    @property
    def shape(self) -> WindowShape:
        """The window's figures."""
        return self.windows.shape

    def state_bytes(self) -> int:
        """What they hold now, in memory and in mongod."""
        held_bytes = self.windows.state_bytes
        self.largest_bytes = max(self.largest_bytes, held_bytes)
        return held_bytes

    def mark(
        self,
        source: Source,
        documents: list[Document],
        times_ms: Sequence[int],
        partitions: Sequence[str] | None,
        now_ms: int,
    ) -> tuple[list[int], list[Late]]:
        """Mark documents with their windows and move the watermark; see `Windows.mark`."""
        self._silent_from_ms = None
        if self.shape.processing_time:
            return self.windows.mark(documents, times_ms, None)
        if partitions is None:
            return self.windows.mark(documents, times_ms, None)
        # Those that come back from silence count again from their first document on.
        self._hear(source, now_ms)
        marked = self.windows.mark(documents, times_ms, partitions)
        self.windows.watermark.hear(set(partitions), now_ms)
        return marked

    def keep(self, documents: list[Document]) -> tuple[list[Late], list[Failure]]:
        """Put what has come through the stages before the window into the open windows."""
        failures: list[Failure] = []
        late: list[Late] = []
        if self.steps.placed is not None:
            documents, late = self.windows.place(documents)
            outcome = self.chains.through(self.steps.placed, documents)
            documents, failures = outcome.documents, outcome.failures
        partial = self.steps.compact is not None
        touched: dict[int, OpenWindow] = {}
        entered = 0
        for document in documents:
            if partial:
                key = document["_id"]
                document["_id"] = key.get("k")
                window = self.windows.window(key["w"])
                count = count_of(document.pop(COUNT_FIELD))
            else:
                document.pop(METADATA_FIELD, None)
                window, count = self.windows.window(document.pop(WINDOW_FIELD)), 1
            window.hold(document)
            window.count += count
            entered += count
            touched[window.key] = window
        self.chains.stats.operator(self.operator_name, self.path).count_step(entered, 0, 0)
        if partial:
            self._compact(touched.values())
        else:
            self.spill.relieve(self.windows.open.values())
        return late, failures

    def begin_closing(self, window: OpenWindow, variables: Mapping[str, Any]) -> InChain:
        """Send a closed window through its stages, without waiting where that is possible."""
        self.closed_count += 1
        chain = self.steps.closing
        if not window.stored:
            return self.chains.begin(chain, window.documents(), variables)
        self.spill.release(window)
        first = chain.steps[0] if chain.steps else None
        if isinstance(first, Run):
            try:
                documents = self.chains.evaluator.evaluate_stored(
                    first, self.spill.documents(window), variables
                )
            except UnexpectedReply:
                # One document is at fault: it is found among all of them, in memory.
                return self.chains.begin(chain, list(self.spill.documents(window)), variables)
            self.chains.count_whole(first, window.count, documents)
            return InChain(chain.behind_first, documents, variables)
        return self.chains.begin(chain, list(self.spill.documents(window)), variables)

    def checkpointed(self) -> None:
        """Hear that a checkpoint was taken."""
        self.spill.checkpointed()

    def horizon_of_silence(self, source: Source, now_ms: int, idle_ms: int) -> int | None:
        """Up to where windows close although nothing comes; None when none does.

        Args:
            source: May leave silent partitions out of the watermark.
            now_ms: The clock.
            idle_ms: How long nothing at all has come.
        """
        windows = self.windows
        if self.shape.processing_time:
            windows.watermark.observe(now_ms)
            return now_ms
        before_ms = windows.watermark.value_ms
        self._hear(source, now_ms)
        if self._silent_from_ms is None or windows.watermark.value_ms != before_ms:
            self._silent_from_ms = windows.silent_from_ms
        horizon_ms = windows.idle_horizon_ms(idle_ms, self._silent_from_ms)
        if horizon_ms is not None:
            windows.watermark.advance(horizon_ms + self.shape.allowed_lateness_ms)
            return horizon_ms
        return windows.horizon_ms if windows.watermark.value_ms != before_ms else None

    @property
    def can_close(self) -> bool:
        """Whether time alone would still close a window."""
        if not self.windows.open:
            return False
        return self.shape.processing_time or self.shape.idle_timeout_ms is not None

    def _hear(self, source: Source, now_ms: int) -> None:
        """Keep the watermark informed of which partitions there are and which are silent."""
        watermark = self.windows.watermark
        expected = source.partitions
        if expected is not None:
            watermark.expect(expected, now_ms)
        if source.partition_idle_timeout_ms is not None:
            watermark.leave_out_silent(now_ms, source.partition_idle_timeout_ms)

    def _compact(self, touched: Iterable[OpenWindow]) -> None:
        """Combine the partial group states of windows that hold many."""
        assert self.steps.compact is not None  # noqa: S101 - narrows the type
        for window in touched:
            if len(window.held) > _COMPACT_FROM + 2 * window.compacted_count:
                held = window.documents()
                window.replace(self.chains.evaluator.evaluate_whole(self.steps.compact, held))
