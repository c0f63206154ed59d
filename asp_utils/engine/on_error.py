"""`onError` of `$https` and `$externalFunction`: what becomes of documents that failed there.

Source: Atlas pages "$https" and "$externalFunction"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from asp_utils.engine.evaluate import Failure
from asp_utils.engine.failures import ProcessorFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Document = dict[str, Any]

OnError = Literal["dlq", "ignore", "fail"]
"""`dlq`: to the dead letters; `ignore`: it goes on as it came; `fail`: the processor fails."""


def apply_on_error(
    on_error: OnError,
    faults: Mapping[int, str],
    documents: Sequence[Document],
    operator_name: str,
    code: int,
) -> list[Failure]:
    """The failures that go to the dead letters: all for `dlq`, none for `ignore`.

    Args:
        on_error: The option.
        faults: Index of a document to what went wrong with it.
        documents: The batch.
        operator_name: Who is named in the dead letter.
        code: The code with which `fail` ends the processor (436, 440).

    Raises:
        ProcessorFailed: There are faults, and the option is `fail`.
    """
    if faults and on_error == "fail":
        raise ProcessorFailed(code, faults[min(faults)], retryable=False)
    if on_error == "ignore":
        return []
    return [Failure(documents[i], faults[i], operator_name, i) for i in sorted(faults)]
