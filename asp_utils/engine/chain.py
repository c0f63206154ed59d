"""A chain of steps that documents go through: runs of stages at mongod, and stages of our own.

The first run of a chain is sent without waiting, so that several batches are in flight; what comes
behind it is done when the batch is taken back. Every step counts what goes in and what comes out:
a run has one stage at most that changes the number of documents, so the counts of all its stages
follow from its ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.engine.evaluate import Failure, Outcome, Run
from asp_utils.engine.reporting.stats import Stats
from asp_utils.errors import UnexpectedReply
from asp_utils.pipeline.split_group import COUNT_FIELD, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.evaluate import Evaluator, Ticket
    from asp_utils.engine.stages import Stage

    Document = dict[str, Any]


@dataclass(frozen=True)
class OwnStep:
    """A stage that the engine runs itself."""

    stage: Stage
    path: str
    """Its JSON path in the pipeline."""


@dataclass(frozen=True)
class Chain:
    """Steps one after another."""

    steps: tuple[Run | OwnStep, ...] = ()

    @property
    def behind_first(self) -> Chain:
        """The chain without its first step."""
        return Chain(self.steps[1:])


@dataclass
class InChain:
    """Documents on their way through a chain."""

    chain: Chain
    documents: Sequence[Document]
    variables: Mapping[str, Any] | None
    ticket: Ticket | None = None
    """The first run, when it has been sent."""
    size_bytes: int | None = None
    """The size of the documents, where it is known."""


@dataclass
class Chains:
    """Sends documents through chains, and counts.

    Args:
        evaluator: Runs what mongod runs.
        stats: Where every step is counted.
    """

    evaluator: Evaluator
    stats: Stats

    def begin(
        self,
        chain: Chain,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None = None,
        *,
        size_bytes: int | None = None,
    ) -> InChain:
        """Send documents into a chain without waiting for its first run."""
        inside = InChain(chain, documents, variables, size_bytes=size_bytes)
        first = chain.steps[0] if chain.steps else None
        if isinstance(first, Run):
            inside.ticket = self.evaluator.submit(first, documents, variables, whole=first.whole)
        return inside

    def finish(self, inside: InChain) -> Outcome:
        """What came out at the end of the chain, and everything that failed on the way.

        Failures of the first step keep their place in the batch; later ones have none.
        """
        whole = Outcome()
        for part in self.parts(inside):
            whole.documents += part.documents
            whole.failures += part.failures
        return whole

    def parts(self, inside: InChain) -> Iterator[Outcome]:
        """The same, part by part: behind a stage that waits, as it lets documents through."""
        if inside.chain.steps:
            yield from self._parts_from(
                inside, 0, Outcome(list(inside.documents), size_bytes=inside.size_bytes)
            )
        else:
            yield Outcome(plain_documents(inside.documents))

    def _parts_from(self, inside: InChain, index: int, entering: Outcome) -> Iterator[Outcome]:
        """What comes out when documents enter the chain at a step."""
        if index == len(inside.chain.steps):
            yield Outcome(entering.documents, size_bytes=entering.size_bytes)
            return
        step, is_first = inside.chain.steps[index], index == 0
        ticket = inside.ticket if is_first else None
        for start, portion in _portions(step, entering.documents):
            outcome = self._step(step, portion, inside.variables, ticket)
            if not start:
                self._count_sizes(step, entering.size_bytes, outcome.size_bytes)
            if outcome.failures:
                placed = is_first and start == 0
                yield Outcome(
                    failures=outcome.failures
                    if placed
                    else [replace(f, index=-1) for f in outcome.failures]
                )
            yield from self._parts_from(inside, index + 1, outcome)

    def through(
        self,
        chain: Chain,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Send documents through a chain and wait for what comes out."""
        return self.finish(self.begin(chain, documents, variables))

    def aside(self, chain: Chain, documents: Sequence[Document]) -> Outcome:
        """Send documents through without counting them, as they were never let in."""
        return Chains(self.evaluator, Stats()).through(chain, documents)

    def count_whole(self, run: Run, entered: int, documents: list[Document]) -> None:
        """Count a run that was evaluated elsewhere, of whose documents none failed."""
        self._count_run(run, entered, Outcome(documents), 0.0)

    def _step(
        self,
        step: Run | OwnStep,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None,
        ticket: Ticket | None,
    ) -> Outcome:
        begun_s = time.perf_counter()
        if isinstance(step, Run):
            outcome = self._run(step, documents, variables, ticket)
            spent_s = time.perf_counter() - begun_s
            self._count_run(step, len(documents), outcome, spent_s)
            return outcome
        outcome = step.stage.process(plain_documents(documents), variables)
        outcome.failures = [replace(f, path=step.path) for f in outcome.failures]
        counters = self.stats.operator(step.stage.operator_name, step.path)
        counters.count_step(len(documents), len(outcome.documents), time.perf_counter() - begun_s)
        return outcome

    def _run(
        self,
        run: Run,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None,
        ticket: Ticket | None,
    ) -> Outcome:
        evaluator = self.evaluator
        if not run.whole:
            sent = ticket or evaluator.submit(run, documents, variables)
            return evaluator.collect(sent)
        try:
            if ticket is None:
                return Outcome(evaluator.evaluate_whole(run, documents, variables))
            return Outcome(evaluator.collect_whole(ticket))
        except UnexpectedReply:
            return self._stage_by_stage(run, plain_documents(documents), variables)

    def _stage_by_stage(
        self, run: Run, documents: list[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """A window's run that failed: leave out the documents at fault, the others still count."""
        failures: list[Failure] = []
        for index in range(len(run.stages)):
            single = run.single(index)
            try:
                documents = self.evaluator.evaluate_whole(single, documents, variables)
                continue
            except UnexpectedReply as error:
                message = error.message
            # Documents that fail in this stage even alone are at fault.
            outcome = self.evaluator.evaluate(single, documents, variables)
            failed = {failure.index for failure in outcome.failures}
            failures += outcome.failures
            if not failed:
                name, path = single.operator_names[0], single.path(0)
                failures += [Failure(d, message, name, -1, path) for d in documents]
                return Outcome(failures=failures)
            left = [d for at, d in enumerate(documents) if at not in failed]
            documents = self.evaluator.evaluate_whole(single, left, variables)
        return Outcome(documents, failures)

    def _count_sizes(self, step: Run | OwnStep, came: int | None, went: int | None) -> None:
        """Sizes are known at the ends of a run only; those of partial states count nowhere."""
        if not isinstance(step, Run) or not step.paths:
            return
        names, paths = step.operator_names, step.paths
        if paths[0] and came and not step.merges:
            self.stats.operator(names[0], paths[0]).input_message_size += came
        if paths[-1] and went and not step.partial:
            self.stats.operator(names[-1], paths[-1]).output_message_size += went

    def _count_run(self, run: Run, entered: int, outcome: Outcome, spent_s: float) -> None:
        """Count every stage of a run; its time is shared out evenly, as mongod does not tell."""
        if not run.paths:
            return
        failed = dict.fromkeys(run.paths, 0)
        for failure in outcome.failures:
            if failure.path in failed:
                failed[failure.path] += 1
        left = sum(count_of(d[COUNT_FIELD]) for d in outcome.documents) if run.partial else 0
        count, last = entered, len(run.paths) - 1
        for index, path in enumerate(run.paths):
            came_in = 0 if run.merges and index == 0 else count
            count -= failed[path]
            if index == run.changer:
                behind = sum(failed[later] for later in run.paths[index + 1 :])
                count = (left if run.partial else len(outcome.documents)) + behind
            goes_out = 0 if run.partial and index == last else count
            if path:
                counters = self.stats.operator(run.operator_names[index], path)
                counters.count_step(came_in, goes_out, spent_s / (last + 1))


def _portions(
    step: Run | OwnStep, documents: Sequence[Document]
) -> Iterator[tuple[int, Sequence[Document]]]:
    """Documents in the portions that a step takes, each with the place of its first."""
    if isinstance(step, Run) or not documents:
        yield 0, documents
        return
    start, left = 0, plain_documents(documents)
    while left:
        count = step.stage.portion(left)
        yield start, left[:count]
        start, left = start + count, left[count:]


def plain_documents(documents: Sequence[Document]) -> list[Document]:
    """Documents as dictionaries, whatever form they were held in."""
    return [
        bson.decode(d.raw, DOCUMENTS) if isinstance(d, RawBSONDocument) else d for d in documents
    ]
