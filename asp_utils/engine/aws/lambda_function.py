"""Calls of one AWS Lambda function, and what its answers mean for a document.

A refusal that only concerns the request (too large, no such function) and an error inside the
function are the matter of the document that was sent. What may pass (throttling, 5xx, the network)
is tried again; then, like missing permission, it fails the processor.

Source: AWS documentation, "Invoke" of the Lambda API; Atlas page "$externalFunction".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import bson

from asp_utils import ejson
from asp_utils.clients.aws import READ_TIMEOUT_S
from asp_utils.clients.op_msg import NOT_BSON
from asp_utils.engine.aws.calls import FUNCTION_CODES, AwsCalls
from asp_utils.errors import AspError, PermissionDenied, Temporary, UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.engine.context import Surroundings

_LONGEST_S: Final = 900
"""No function may run longer."""
_GRACE_S: Final = 10
"""For the answer to come back when a function uses all its time."""
_SHOWN: Final = 300


@dataclass(frozen=True)
class Answer:
    """What came of one call."""

    payload: bytes = b""
    """What the function returned; empty for asynchronous calls."""
    fault: str = ""
    """Why the call failed, in the function or before it."""


class LambdaFunction:
    """One function behind a connection; any number of threads may call it.

    Args:
        connection_name: The connection in the registry.
        function: Its name or ARN; the region in an ARN goes before the connection's.
        surroundings: Connections, time, and the word to stop.
        waits: Whether calls wait for what the function returns.
        connections: How many calls may be under way at a time.

    Raises:
        ProcessorFailed: 440: the service cannot be reached; 420: boto3 is missing here.
    """

    def __init__(
        self,
        connection_name: str,
        function: str,
        surroundings: Surroundings,
        *,
        waits: bool,
        connections: int,
    ) -> None:
        self._function = function
        self._kind = "RequestResponse" if waits else "Event"

        def calls(read_timeout_s: int) -> AwsCalls:
            return AwsCalls(
                "lambda",
                connection_name,
                surroundings,
                what=f"$externalFunction {function!r}",
                codes=FUNCTION_CODES,
                region=function.split(":")[3] if function.startswith("arn:") else None,
                connections=connections,
                read_timeout_s=read_timeout_s,
            )

        self._calls = calls(READ_TIMEOUT_S)
        longest_s = self._timeout_s() if waits else 0
        if longest_s + _GRACE_S > READ_TIMEOUT_S:
            self._calls.close()
            self._calls = calls(longest_s + _GRACE_S)

    def call(self, payload: bytes) -> Answer:
        """Call the function once, again where that may help.

        Raises:
            ProcessorFailed: 440: the service cannot be reached, or forbids the call.
        """
        try:
            reply = self._calls.call(
                "invoke",
                FunctionName=self._function,
                InvocationType=self._kind,
                Payload=payload,
            )
        except UnexpectedReply as error:
            if not error.details.get("status"):
                raise self._calls.failure(error) from error
            return Answer(fault=f"$externalFunction {self._function!r}: {error.message}")
        except AspError as error:
            raise self._calls.failure(error) from error
        returned: bytes = reply.get("Payload", b"")
        if "FunctionError" in reply:
            return Answer(fault=self._raised(reply["FunctionError"], returned))
        return Answer(returned)

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def _timeout_s(self) -> int:
        """How long the function may run; the longest there is where that cannot be known.

        Raises:
            ProcessorFailed: The service cannot be reached.
        """
        try:
            reply = self._calls.call("get_function_configuration", FunctionName=self._function)
        except (PermissionDenied, Temporary, UnexpectedReply):
            # Stand-ins know calls only, and whoever may call need not be allowed to look.
            return _LONGEST_S
        except AspError as error:
            raise self._calls.failure(error) from error
        return int(reply.get("Timeout", _LONGEST_S))

    def _raised(self, kind: str, returned: bytes) -> str:
        try:
            found = ejson.loads(returned)
        except ValueError:
            found = None
        text = returned.decode(errors="replace")
        if isinstance(found, dict) and "errorMessage" in found:
            text = _error_text(found)
        return f"$externalFunction {self._function!r} raised ({kind}): {text[:_SHOWN]}"


def value_of(payload: bytes) -> Any:
    """What a function returned, typed values (`$date`, `$oid`) as BSON.

    Raises:
        ValueError: It is no JSON, or cannot be stored as BSON.
    """
    value = ejson.loads(payload)
    try:
        bson.encode({"": value})
    except NOT_BSON as error:
        raise ValueError(str(error)) from error
    return value


def _error_text(found: Mapping[str, Any]) -> str:
    kind = found.get("errorType")
    return f"{kind}: {found['errorMessage']}" if kind else str(found["errorMessage"])
