"""A processor in this process that is killed at chosen steps, and lives again."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.clock import ManualClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.delivery import commit as commit_module
from asp_utils.engine.delivery import transactions
from asp_utils.engine.delivery.checkpoint import CheckpointStore
from asp_utils.engine.delivery.dead_letters import DeadLetters
from asp_utils.engine.delivery.merge_writer import MergeWriter
from asp_utils.engine.delivery.outbox import Outbox
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.windows.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from pymongo import MongoClient

    from asp_utils.clients.mongod import Mongod
    from asp_utils.engine.processor import Processor

    Document = dict[str, Any]

STEPS: tuple[tuple[Any, str], ...] = (
    (MergeWriter, "_send"),
    (CheckpointStore, "write_parts"),
    (CheckpointStore, "switch"),
    (CheckpointStore, "keep_stats"),
    (DeadLetters, "write"),
    (Outbox, "put"),
    (Outbox, "remove"),
    (Spill, "_store"),
    (Spill, "checkpointed"),
    (transactions, "_commit"),
    (commit_module.Commit, "_committed"),
)
"""Everything that changes something outside of the process, or says that it is changed."""


class Killed(BaseException):
    """Ends a life at once: nothing may catch it."""


@dataclass
class Killer:
    """Ends the process (as far as others can see) before or behind one of its steps."""

    left: int = -1
    """Steps until then; below 0: never."""
    behind: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in STEPS:
            monkeypatch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def arm(self, left: int, *, behind: bool) -> None:
        self.left, self.behind = left, behind

    def _wrapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            is_last, self.left = self.left == 0, self.left - 1
            if is_last and not self.behind:
                raise Killed
            result = step(*args, **more)
            if is_last:
                raise Killed
            return result

        return wrapped


@contextmanager
def life(
    mongod: Mongod,
    state: MongoClient[Document],
    database: str,
    name: str,
    pipeline: list[Document],
    **options: Any,
) -> Iterator[Processor]:
    """A processor at its last checkpoint; it is dropped without a word at the end."""
    link = MongodSocket.to(mongod.uri)
    clock = ManualClock(1_700_000_000_000)
    connections = {"c": {"type": "atlas", "uri": mongod.uri}}
    surroundings = Surroundings(
        name,
        connections,
        Evaluator(link, database, name, clock),
        clock,
        threading.Event(),
        state=state[database],
    )
    store = CheckpointStore(state[database], name, mongod.uri)
    processor = assemble(Definition(name, name, pipeline, options=options), surroundings, store)
    try:
        yield processor
    finally:
        surroundings.close()
        link.close()


def run_lives(begin: Callable[[], Any], killer: Killer, kills: list[tuple[int, bool]]) -> Processor:
    """Live until killed, again and again, then to the end; the last life's processor."""
    for left, behind in kills:
        killer.arm(left, behind=behind)
        try:
            with begin() as processor:
                processor.run_until_drained()
                processor.checkpoint()
        except Killed:
            continue
        finally:
            killer.arm(-1, behind=False)
    with begin() as processor:
        processor.checkpoint()
        processor.run_until_drained()
        processor.checkpoint()
        last: Processor = processor
        return last
