"""`$lookup` into a collection of a cluster.

Per batch: the expressions of `let` and `partitionBy` are evaluated here, and what is compared goes
to the cluster as small request documents, on which it runs its own `$lookup`.

Source: Atlas page "$lookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import bson

from asp_utils.clients.cluster_link import ClusterLink
from asp_utils.engine.evaluate import Evaluator, Failure, Outcome, Run
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.hidden import metadata_base
from asp_utils.engine.lookup.equality_join import EqualityJoin
from asp_utils.engine.lookup.foreign import cluster_trouble, set_joined
from asp_utils.engine.lookup.pipeline_join import LET, PipelineJoin
from asp_utils.engine.stages import Stage
from asp_utils.errors import UnexpectedReply
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    carry,
    refers_to_metadata,
    resolve_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.stages.lookup_options import LookupOptions

    Document = dict[str, Any]
    Looked = list[Document] | Failure

_INVALID_OPTIONS: Final = 420
_OPERATOR: Final = "LookupOperator"
_PARTITION: Final = "p"
_SPLIT_FROM: Final = 32
"""Documents from which a batch is shared out among connections."""


class LookupStage(Stage):
    """Looks foreign documents up, batch by batch; the order of the documents is kept."""

    operator_name = _OPERATOR

    def __init__(self, options: LookupOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._evaluator = surroundings.evaluator
        self._links: list[ClusterLink] = []
        self._joins = self._opened(surroundings)
        self._threads = ThreadPoolExecutor(len(self._joins)) if len(self._joins) > 1 else None

    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """Set `as` in every document; those whose lookup fails are failures."""
        computed = self._computed(documents, variables)
        ready = [index for index, values in enumerate(computed) if isinstance(values, dict)]
        requests = [self._request(documents[index], computed[index]) for index in ready]
        keys = [self._partition(computed[index]) for index in ready]
        with cluster_trouble("$lookup"):
            found: dict[int, Looked] = dict(
                zip(ready, self._looked_up(requests, keys), strict=True)
            )
        outcome = Outcome()
        for index, document in enumerate(documents):
            joined = found.get(index, computed[index])
            if isinstance(joined, Failure):
                failure = Failure(document, joined.reason, self.operator_name, index)
                outcome.failures.append(failure)
            else:
                set_joined(document, self._options.as_, joined)
                outcome.documents.append(document)
        return outcome

    def prove(self) -> None:
        """Let the cluster parse the stage before any document comes.

        Raises:
            ProcessorFailed: It refuses, or cannot be reached.
        """
        try:
            with cluster_trouble("$lookup"):
                self._joins[0].prove()
        except UnexpectedReply as error:
            message = f"$lookup: the cluster refuses the stage: {error.message}"
            raise ProcessorFailed(_INVALID_OPTIONS, message, retryable=False) from error

    def close(self) -> None:
        """End the threads and the sessions on the cluster."""
        if self._threads is not None:
            self._threads.shutdown()
        for link in self._links:
            link.close()

    def _opened(self, surroundings: Surroundings) -> Sequence[EqualityJoin | PipelineJoin]:
        """As many joins as may be at work at once, each with a link of its own."""
        options = self._options
        if options.from_ is None:
            return [self._pipeline_join(surroundings.evaluator)]
        client = surroundings.cluster(options.from_.connection_name)
        self._links = [ClusterLink(client) for _ in range(options.parallelism)]
        if options.pipeline is not None:
            database, clock = options.from_.db, surroundings.clock
            return [
                self._pipeline_join(Evaluator(link, database, clock=clock)) for link in self._links
            ]
        local, foreign = str(options.local_field), str(options.foreign_field)
        return [
            EqualityJoin(link, options.from_, local, foreign, self.operator_name)
            for link in self._links
        ]

    def _pipeline_join(self, evaluator: Evaluator) -> PipelineJoin:
        options = self._options
        lookup: Document = {"pipeline": options.pipeline}
        if options.from_ is not None:
            lookup["from"] = options.from_.coll
        if options.local_field is not None:
            lookup |= {"localField": options.local_field, "foreignField": options.foreign_field}
        return PipelineJoin(evaluator, lookup, self._variables(), self.operator_name)

    def _variables(self) -> Document:
        """What every request brings along: `let`, and the metadata where the pipeline asks."""
        options = self._options
        asks = refers_to_metadata(options.pipeline)
        return {**(options.let or {}), **({METADATA_VARIABLE: {"$meta": "stream"}} if asks else {})}

    def _computed(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Document | Failure]:
        """The values of `let` and of `partitionBy` for each document."""
        asked: Document = {}
        if self._variables():
            asked[LET] = self._variables()
        if self._options.partition_by is not None:
            asked[_PARTITION] = self._options.partition_by
        if not asked:
            return [{} for _ in documents]
        run = Run((_computing(asked, metadata_base(documents)),), (self.operator_name,))
        outcome = self._evaluator.evaluate(run, documents, variables)
        failures = {failure.index: failure for failure in outcome.failures}
        results = iter(outcome.documents)
        return [
            failures[index] if index in failures else next(results)
            for index in range(len(documents))
        ]

    def _request(self, document: Document, computed: Any) -> Document:
        join = self._joins[0]
        if isinstance(join, PipelineJoin):
            return join.request(document, computed.get(LET, {}))
        return document

    def _partition(self, computed: Any) -> bytes | None:
        """Equal for documents whose order must be kept; None where nobody asked for that."""
        if self._options.partition_by is None:
            return None
        return bson.encode({key: value for key, value in computed.items() if key == _PARTITION})

    def _looked_up(
        self, requests: Sequence[Document], keys: Sequence[bytes | None]
    ) -> list[Looked]:
        """What was found for each request, shared out among the connections."""
        if self._threads is None or len(requests) < _SPLIT_FROM:
            return list(self._joins[0].look_up(requests))
        shares: list[list[int]] = [[] for _ in self._joins]
        for index, key in enumerate(keys):
            lane = index if key is None else crc32(key)
            shares[lane % len(shares)].append(index)
        looked: list[Looked] = [[] for _ in requests]
        parts = [[requests[index] for index in share] for share in shares]
        results = self._threads.map(lambda join, part: join.look_up(part), self._joins, parts)
        for share, result in zip(shares, results, strict=True):
            for index, found in zip(share, result, strict=True):
                looked[index] = found
        return looked


def _computing(asked: Document, base: str) -> Document:
    """The stage that gives the values asked for, in place of the document."""
    without_hidden = carry({"$set": asked}, [METADATA_FIELD, WINDOW_FIELD])
    return {"$replaceWith": resolve_metadata(without_hidden, base)["$set"]}


def open_lookup(options: LookupOptions, surroundings: Surroundings) -> LookupStage:
    """The stage, its options accepted by the cluster.

    Raises:
        ProcessorFailed: The cluster cannot be reached, or refuses.
    """
    stage = LookupStage(options, surroundings)
    stage.prove()
    return stage
