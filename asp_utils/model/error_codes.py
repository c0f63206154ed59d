"""The error codes of the stream endpoint and their names.

Source: asp-reference.md 1.10 (numbers and names of the public `error_codes.yml`).
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, int]] = {
    "InternalError": 1,
    "BadValue": 2,
    "HostUnreachable": 6,
    "FailedToParse": 9,
    "Unauthorized": 13,
    "TypeMismatch": 14,
    "ProtocolError": 17,
    "AuthenticationFailed": 18,
    "CursorNotFound": 43,
    "CommandNotFound": 59,
    "InvalidOptions": 72,
    "CommandFailed": 125,
    "NotImplemented": 238,
    "MechanismUnavailable": 334,
    "UnsupportedOpQueryCommand": 352,
    "StreamProcessorDoesNotExist": 415,
    "StreamProcessorAlreadyExists": 416,
    "StreamProcessorWorkerShuttingDown": 417,
    "StreamProcessorWorkerOutOfMemory": 418,
    "StreamProcessorKafkaConnectionError": 419,
    "StreamProcessorInvalidOptions": 420,
    "StreamProcessorAtlasConnectionError": 421,
    "StreamProcessorAtlasUnauthorizedError": 422,
    "StreamProcessorSourceDocTooLarge": 423,
    "StreamProcessorTooManyOutputTargets": 424,
    "StreamProcessorCannotResumeFromSource": 425,
    "StreamProcessorHTTPSConnectionError": 436,
    "StreamProcessorExternalFunctionConnectionError": 440,
    "StreamProcessorS3ConnectionError": 443,
    "StreamProcessorS3Error": 444,
    "StreamProcessorInvalidNamespace": 448,
    "StreamProcessorS3TokenExpired": 451,
    "StreamProcessorKinesisConnectionError": 460,
    "StreamProcessorKinesisError": 461,
    "BSONObjectTooLarge": 10334,
    "IDLDuplicateField": 40413,
    "IDLFailedToParse": 40414,
    "IDLUnknownField": 40415,
}
"""Code name to code."""

FINAL: Final = frozenset(
    {CODES["StreamProcessorWorkerOutOfMemory"], CODES["StreamProcessorInvalidOptions"]}
)
"""Failures that no retry can help: the processor is FAILED at once (asp-reference.md 3.5)."""

_NAMES: Final = {code: name for name, code in CODES.items()}


def code_name(code: int) -> str:
    """The name of an error code; `Location<code>` for one without a name, as mongod does."""
    return _NAMES.get(code, f"Location{code}")
