"""Calls to AWS from a running processor: transient faults are tried again, others have a code.

Source: asp-reference.md 1.10 (443, 444, 451, 460, 461, 440) and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.aws import READ_TIMEOUT_S, AwsClient
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.errors import (
    AspError,
    EnvironmentMissing,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings

TRANSIENT: Final = (Unreachable, TimedOut, Temporary)
"""Faults that may be gone when the same call is made again."""
_INVALID: Final = CODES["StreamProcessorInvalidOptions"]
FIRST_PAUSE_MS: Final = 100
ATTEMPTS: Final = 6
"""With pauses that double this is three seconds; then the supervisor decides about a restart."""


@dataclass(frozen=True)
class Codes:
    """The codes with which a processor fails at one service."""

    connection: int
    """Not reached, throttled for too long, or forbidden."""
    error: int
    """Reached, but the request cannot be fulfilled: there is no such bucket."""
    expired: int
    """The credentials have expired."""


S3_CODES: Final = Codes(
    connection=CODES["StreamProcessorS3ConnectionError"],
    error=CODES["StreamProcessorS3Error"],
    expired=CODES["StreamProcessorS3TokenExpired"],
)
KINESIS_CODES: Final = Codes(
    connection=CODES["StreamProcessorKinesisConnectionError"],
    error=CODES["StreamProcessorKinesisError"],
    expired=CODES["StreamProcessorKinesisConnectionError"],
)
FUNCTION_CODES: Final = Codes(
    connection=CODES["StreamProcessorExternalFunctionConnectionError"],
    error=CODES["StreamProcessorExternalFunctionConnectionError"],
    expired=CODES["StreamProcessorExternalFunctionConnectionError"],
)


class AwsCalls:
    """One AWS service as a stage of a pipeline uses it; any number of threads may call it.

    Args:
        service: boto3's name of it.
        connection_name: The connection in the registry.
        surroundings: Time, and the word to stop.
        what: Who is named in messages, `$emit to S3`.
        codes: The codes of failures.
        region: The region that the stage names.
        connections: How many calls may be under way at a time.

    Raises:
        ProcessorFailed: boto3 is missing (420), or endpoint, region or credentials cannot be.
    """

    def __init__(
        self,
        service: str,
        connection_name: str,
        surroundings: Surroundings,
        *,
        what: str,
        codes: Codes,
        region: str | None = None,
        connections: int = 10,
        read_timeout_s: int = READ_TIMEOUT_S,
    ) -> None:
        self._what = what
        self._codes = codes
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping
        try:
            self._client = AwsClient(
                service,
                surroundings.connections[connection_name],
                region=region,
                connections=connections,
                read_timeout_s=read_timeout_s,
            )
        except EnvironmentMissing as error:
            message = f"{what}: {error.message}: {error.hint}"
            raise ProcessorFailed(_INVALID, message, retryable=False) from error
        except UnexpectedReply as error:
            raise self.failure(error) from error

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation, again after a pause when the fault may pass; see `AwsClient.call`.

        Raises:
            AspError: What the last attempt raised.
        """
        pause_ms = FIRST_PAUSE_MS
        for _ in range(ATTEMPTS - 1):
            try:
                return self._client.call(operation, **parameters)
            except TRANSIENT:
                if self.pause(pause_ms):
                    raise
            pause_ms *= 2
        return self._client.call(operation, **parameters)

    def pause(self, pause_ms: int) -> bool:
        """Wait before the next attempt; whether the processor has been told to stop."""
        return self._clock.wait(self._stopping, pause_ms)

    def failure(self, error: AspError) -> ProcessorFailed:
        """What a fault means for the processor."""
        message = f"{self._what}: {error.message}"
        if error.hint:
            message = f"{message}; {error.hint}"
        if isinstance(error, TRANSIENT):
            return ProcessorFailed(self._codes.connection, message, retryable=True)
        if isinstance(error, PermissionDenied):
            expired = error.details.get("expired")
            code = self._codes.expired if expired else self._codes.connection
            return ProcessorFailed(code, message, retryable=True)
        return ProcessorFailed(self._codes.error, message, retryable=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
