"""`$merge` into a collection of a cluster.

A batch becomes `update` commands, one statement a document, the same statements that mongod itself
makes of a `$merge` (compared in the tests, field order included). So single documents can be
refused without touching the others, and writes keep their order.

Source: Atlas page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import PyMongoError

from asp_utils.engine.cluster_errors import cluster_failure
from asp_utils.engine.computed import Computed
from asp_utils.engine.delivery.merge_writer import MergeWriter
from asp_utils.engine.delivery.transactions import TransactionalSink
from asp_utils.engine.delivery.writes import Write
from asp_utils.engine.hidden import visible
from asp_utils.engine.sinks import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.synchronous.client_session import ClientSession

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.failures import ProcessorFailed
    from asp_utils.engine.sinks.merge_options import MergeOptions

    Document = dict[str, Any]

_WHEN_MATCHED: Final = ("merge", "replace", "keepExisting", "delete")
_WHEN_NOT_MATCHED: Final = ("insert", "discard")


class MergeSink(TransactionalSink):
    """Writes documents into one or, with dynamic targets, many collections."""

    operator_name = "MergeOperator"

    def __init__(self, options: MergeOptions, surroundings: Surroundings) -> None:
        self.uri = surroundings.connections[options.into.connection_name]["uri"]
        self.client = surroundings.cluster(options.into.connection_name)
        self._computed = Computed(
            _computed_fields(options), "MergeOperator", surroundings.evaluator
        )
        self._writer = MergeWriter(
            self.client,
            [options.on] if isinstance(options.on, str) else options.on,
            options.when_matched if isinstance(options.when_matched, list) else None,
            surroundings.clock,
            options.parallelism,
        )

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Write a batch in order; gives the documents that were refused.

        Raises:
            ProcessorFailed: The cluster cannot be reached, or forbids writing.
        """
        writes, rejected = self.prepare(documents, variables)
        try:
            return rejected + self._writer.write(writes)
        except PyMongoError as error:
            raise self.failure(error) from error

    def prepare(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Write], list[Rejected]]:
        """Targets, modes and variables of every document; see `TransactionalSink.prepare`."""
        values, failures = self._computed.values(documents, variables)
        rejected = [Rejected(documents[f.index], f.reason, f.index) for f in failures]
        writes = []
        for index, (document, computed) in enumerate(zip(documents, values, strict=True)):
            if computed is None:
                continue
            reason = _faulty_target(computed)
            if reason:
                rejected.append(Rejected(document, reason, index))
                continue
            target = (computed["db"], computed["coll"])
            let = computed.get("let", {})
            writes.append(
                Write(index, visible(document), target, computed["wm"], computed["wnm"], let)
            )
        return writes, rejected

    def apply(self, writes: Sequence[Write], session: ClientSession) -> None:
        """Write inside a transaction; see `TransactionalSink.apply`."""
        self._writer.write(writes, session)

    def failure(self, error: PyMongoError) -> ProcessorFailed:
        """What an error of the cluster means for the processor."""
        return cluster_failure("$merge", error)

    def stats(self) -> Document:
        """The targets written to."""
        return {"targetStats": self._writer.target_stats()}


def _computed_fields(options: MergeOptions) -> Document:
    """What is computed, or constant, for every document."""
    when_matched: Any = options.when_matched
    if isinstance(when_matched, list):
        when_matched = "pipeline"
    let = {"let": options.let} if options.let else {}
    into = options.into
    modes = {"wm": when_matched, "wnm": options.when_not_matched}
    return {"db": into.db, "coll": into.coll, **modes, **let}


def _faulty_target(computed: Document) -> str:
    for field, what in (("db", "into.db"), ("coll", "into.coll")):
        if not isinstance(computed.get(field), str) or not computed[field]:
            return f"$merge: {what} gave no name but {computed.get(field)!r:.60}"
    if computed.get("wm") not in (*_WHEN_MATCHED, "pipeline"):
        return f"$merge: whenMatched gave {computed.get('wm')!r:.60}"
    if computed.get("wnm") not in _WHEN_NOT_MATCHED:
        return f"$merge: whenNotMatched gave {computed.get('wnm')!r:.60}"
    return ""


def open_merge(options: MergeOptions, surroundings: Surroundings) -> MergeSink:
    """The sink."""
    return MergeSink(options, surroundings)
