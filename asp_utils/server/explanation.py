"""What can be said about a processor's output when no worker is there to say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.model.processor_states import CREATED, FAILED, STARTED, STOPPED

if TYPE_CHECKING:
    from asp_utils.server.processors import Processor

_NOT_RUNNING: Final = {
    CREATED: ("it has never been started", "start it"),
    STOPPED: ("it is stopped", "start it: it goes on from its checkpoint"),
}


def without_worker(processor: Processor, trouble: str) -> dict[str, Any]:
    """The explanation `{sentence, findings}` of a processor without a worker that answers.

    Args:
        processor: The processor.
        trouble: Why its last worker ended, if it did not end as it was meant to.
    """
    state = processor.state
    if state in _NOT_RUNNING:
        message, hint = _NOT_RUNNING[state]
    elif state == FAILED:
        message = f"it failed: {processor.error_message}"
        hint = "start it again" if processor.error_retryable else "modify it, then start it again"
    elif state == STARTED and trouble:
        message = f"its worker ended and is started again: {trouble}"
        hint = "read its log, workers/<id>.log in the folder of the local instance"
    elif state == STARTED:
        message = "its worker does not answer at this moment"
        hint = "it may be busy with a large batch, or waiting for a sink: ask again"
    else:
        message, hint = f"its state is {state}", "ask again when that has passed"
    sentence = f"Nothing comes out: {message} ({hint})."
    return {"sentence": sentence, "findings": [{"kind": "not_running", "sentence": sentence}]}
