"""A processor that cannot go on, with the code that clients see."""

from __future__ import annotations

from asp_utils.model.error_codes import code_name


class ProcessorFailed(Exception):
    """The processor as a whole failed; single documents go to the dead letter queue instead."""

    def __init__(self, code: int, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable

    @property
    def code_name(self) -> str:
        """The name that goes with the code."""
        return code_name(self.code)
