"""What an error of a MongoDB cluster means for a processor.

Source: asp-reference.md 1.10: 421 and 422 are worth another try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pymongo.errors import OperationFailure

from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from pymongo.errors import PyMongoError

_UNAUTHORIZED: Final = (13, 18)


def cluster_failure(stage: str, error: PyMongoError) -> ProcessorFailed:
    """The failure of `stage` (`$merge`) that an error of its cluster brings about."""
    if isinstance(error, OperationFailure) and error.code in _UNAUTHORIZED:
        message = f"{stage}: the cluster refused: {error}"
        return ProcessorFailed(422, message, retryable=True)
    return ProcessorFailed(421, f"{stage}: {error}", retryable=True)
