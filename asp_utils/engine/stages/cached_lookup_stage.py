"""`$cachedLookup`: `$lookup` by equality that remembers what it found for a while.

Source: Atlas page "$cachedLookup"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson import Int64

from asp_utils.clients.cluster_link import ClusterLink
from asp_utils.engine.evaluate import Failure, Outcome
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.lookup.cache import LookupCache
from asp_utils.engine.lookup.equality_join import EqualityJoin, Found, documents_of
from asp_utils.engine.lookup.foreign import cluster_trouble, set_joined
from asp_utils.engine.stages import Stage
from asp_utils.engine.stages.cached_lookup_options import CachedLookupOptions, default_bytes
from asp_utils.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_INVALID_OPTIONS: Final = 420


class CachedLookupStage(Stage):
    """Looks up what it does not remember, and remembers it, whether anything was found or not."""

    operator_name = "CachedLookupOperator"

    def __init__(self, options: CachedLookupOptions, surroundings: Surroundings) -> None:
        self._as = options.as_
        self._clock = surroundings.clock
        self._link = ClusterLink(surroundings.cluster(options.from_.connection_name))
        self._join = EqualityJoin(
            self._link,
            options.from_,
            options.local_field,
            options.foreign_field,
            self.operator_name,
        )
        self._cache = LookupCache(options.ttl.ms, options.max_mem_usage_bytes or default_bytes())
        self._hits = 0
        self._misses = 0

    def process(
        self,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None,
    ) -> Outcome:
        """Set `as` in every document; those whose lookup fails are failures."""
        requests = self._join.requests(documents)
        found = self._found(requests)
        outcome = Outcome()
        for index, (document, request) in enumerate(zip(documents, requests, strict=True)):
            joined = documents_of(found[request])
            if isinstance(joined, Failure):
                failure = Failure(document, joined.reason, self.operator_name, index)
                outcome.failures.append(failure)
            else:
                set_joined(document, self._as, joined)
                outcome.documents.append(document)
        return outcome

    def stats(self) -> Document:
        """How often the cache had the answer, how often the cluster was asked, and its size."""
        cache = self._cache
        return {
            "cache": {
                "hits": Int64(self._hits),
                "misses": Int64(self._misses),
                "entries": Int64(len(cache)),
                "bytes": Int64(cache.size_bytes),
            }
        }

    def prove(self) -> None:
        """Let the cluster parse the stage before any document comes.

        Raises:
            ProcessorFailed: It refuses, or cannot be reached.
        """
        try:
            with cluster_trouble("$cachedLookup"):
                self._join.prove()
        except UnexpectedReply as error:
            message = f"$cachedLookup: the cluster refuses the stage: {error.message}"
            raise ProcessorFailed(_INVALID_OPTIONS, message, retryable=False) from error

    def close(self) -> None:
        """End the session on the cluster."""
        self._link.close()

    def _found(self, requests: Sequence[bytes]) -> dict[bytes, Found]:
        """The answer to each request, from the cache or, all others at once, from the cluster."""
        now_ms = self._clock.now_ms()
        found: dict[bytes, Found] = {}
        missing: dict[bytes, None] = {}
        for request in requests:
            kept = self._cache.get(request, now_ms)
            if kept is None:
                missing[request] = None
            else:
                found[request] = kept
        with cluster_trouble("$cachedLookup"):
            fetched = self._join.find(missing)
        for request, answer in fetched.items():
            if isinstance(answer, bytes):
                self._cache.put(request, answer, now_ms)
        self._misses += len(missing)
        self._hits += len(requests) - len(missing)
        return found | fetched


def open_cached_lookup(
    options: CachedLookupOptions, surroundings: Surroundings
) -> CachedLookupStage:
    """The stage, its options accepted by the cluster.

    Raises:
        ProcessorFailed: The cluster cannot be reached, or refuses.
    """
    stage = CachedLookupStage(options, surroundings)
    stage.prove()
    return stage
