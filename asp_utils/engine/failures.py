"""A processor that cannot go on, with the code that clients see.

Source: asp-reference.md 1.10 (numbers and names of the public `error_codes.yml`).
"""

from __future__ import annotations

from typing import Final

CODE_NAMES: Final[dict[int, str]] = {
    1: "InternalError",
    2: "BadValue",
    18: "AuthenticationFailed",
    415: "StreamProcessorDoesNotExist",
    416: "StreamProcessorAlreadyExists",
    417: "StreamProcessorWorkerShuttingDown",
    418: "StreamProcessorWorkerOutOfMemory",
    419: "StreamProcessorKafkaConnectionError",
    420: "StreamProcessorInvalidOptions",
    421: "StreamProcessorAtlasConnectionError",
    422: "StreamProcessorAtlasUnauthorizedError",
    423: "StreamProcessorSourceDocTooLarge",
    425: "StreamProcessorCannotResumeFromSource",
    448: "StreamProcessorInvalidNamespace",
}


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
        return CODE_NAMES.get(self.code, "InternalError")
