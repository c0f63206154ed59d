"""Foreign collections that stages look into: `from` of `$lookup` and `$cachedLookup`.

A document is not sent to the foreign cluster. Only what is compared there is: a small request
document, on which that cluster runs its own `$lookup`. So the semantics are mongod's own, and
neither hidden fields nor large documents travel.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asp_utils.engine.failures import ProcessorFailed
from asp_utils.errors import PermissionDenied, Unreachable
from asp_utils.pipeline.grammar import Name, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]


class From(Options):
    """The foreign collection."""

    connection_name: Name
    db: Name
    coll: Name


@contextmanager
def cluster_trouble(stage_name: str) -> Iterator[None]:
    """Turn what befalls a connection to a cluster into the failure of the processor.

    Raises:
        ProcessorFailed: 421, the cluster cannot be reached; 422, it refuses.
    """
    try:
        yield
    except PermissionDenied as error:
        raise ProcessorFailed(422, f"{stage_name}: {error.message}", retryable=True) from error
    except Unreachable as error:
        raise ProcessorFailed(421, f"{stage_name}: {error.message}", retryable=True) from error


def local_part(document: Document, path: str) -> Document:
    """As much of a document as decides what stands at `path`.

    Only embedded documents are reduced. Arrays are kept whole, as a path may go through their
    elements or name one by its index.
    """
    first, _, rest = path.partition(".")
    if first not in document:
        return {}
    value = document[first]
    return {first: local_part(value, rest) if rest and isinstance(value, dict) else value}


def set_joined(document: Document, path: str, value: Any) -> None:
    """Set a field in place as `$lookup` sets `as`.

    Unlike `$addFields` it puts a document wherever there is none on the way, in place of arrays
    too.
    """
    *above, last = path.split(".")
    for name in above:
        inner = document.get(name)
        if not isinstance(inner, dict):
            inner = document[name] = {}
        document = inner
    document[last] = value
