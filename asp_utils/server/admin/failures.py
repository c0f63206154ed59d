"""What the Admin API refuses, and the error body that says so.

Source: asp-reference.md 4.1 and 4.6; the public error texts of the Atlas Terraform provider's logs.
There `STREAM_PROCESSOR_GENERIC_ERROR` is a 400 whatever the engine had to say; so it is here, also
where a processor is in another state.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import AspError, ExitCode, FaultyInput
from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.errors import Fault

GENERIC: Final = "STREAM_PROCESSOR_GENERIC_ERROR"
_RETRY_S: Final = 1
_STATUS_OF_COMMAND: Final = {
    "StreamProcessorDoesNotExist": (404, "STREAM_PROCESSOR_NOT_FOUND"),
    "InternalError": (500, "UNEXPECTED_ERROR"),
}
"""A command's refusal to status and `errorCode`; any other is the caller's fault, 400."""
_STATUS_OF_EXIT: Final = {
    ExitCode.NOT_FOUND: (404, "RESOURCE_NOT_FOUND"),
    ExitCode.CONFLICT: (409, "CONFLICT"),
    ExitCode.PERMISSION: (403, "FORBIDDEN"),
    ExitCode.REFUSED: (403, "FORBIDDEN"),
    ExitCode.UNREACHABLE: (503, "SERVICE_UNAVAILABLE"),
    ExitCode.TEMPORARY: (503, "SERVICE_UNAVAILABLE"),
    ExitCode.TIMEOUT: (503, "SERVICE_UNAVAILABLE"),
}


class ApiFailure(AspError):
    """A request was refused or failed.

    Args:
        status: The HTTP status.
        error_code: Atlas' word for it, in upper case.
        detail: What is wrong, and what to do about it.
        parameters: The names that the detail speaks of.
        faults: All that is wrong with the request's fields.
        headers: Further headers of the reply.
    """

    code = "API_FAILURE"
    exit_code = ExitCode.UNEXPECTED_REPLY

    def __init__(
        self,
        status: int,
        error_code: str,
        detail: str,
        *,
        parameters: Sequence[str] = (),
        faults: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error_code = error_code
        self.parameters = list(parameters)
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The error body."""
        body: dict[str, Any] = {
            "detail": self.message,
            "error": self.status,
            "errorCode": self.error_code,
            "parameters": self.parameters,
            "reason": HTTPStatus(self.status).phrase,
        }
        if self.faults:
            body["badRequestDetail"] = {"fields": [_field(fault) for fault in self.faults]}
        return body


def invalid(faults: Sequence[Fault]) -> ApiFailure:
    """The refusal of a request whose fields are wrong; all of them are named."""
    text = "; ".join(f"{_path(fault) or 'the request'}: {_said(fault)}" for fault in faults)
    return ApiFailure(400, "VALIDATION_ERROR", text, faults=faults)


def not_found(path: str) -> ApiFailure:
    """The refusal of a path that leads nowhere."""
    return ApiFailure(404, "RESOURCE_NOT_FOUND", f"Cannot find resource {path}.", parameters=[path])


def name_taken(name: str) -> ApiFailure:
    """The refusal of a name that another processor has."""
    detail = f"A stream processor with name {name} already exists in the workspace."
    return ApiFailure(409, "STREAM_PROCESSOR_NAME_ALREADY_EXISTS", detail, parameters=[name])


def of_processor(error: CommandFailure, name: str) -> ApiFailure:
    """What a command said about a processor, as Atlas words it."""
    failure = failure_of(error)
    if failure.status == HTTPStatus.NOT_FOUND:
        detail = f"No stream processor with name {name} exists in the workspace."
        return ApiFailure(404, failure.error_code, detail, parameters=[name])
    if failure.error_code != GENERIC:
        return failure
    # With the hints: official clients show this text, and nothing of what stands beside it.
    said = "; ".join(f"{_path(each)}: {_said(each)}" for each in error.faults) or error.message
    detail = f"Streams Processor with this name ({name}) had a problem occur: {said}"
    return ApiFailure(failure.status, GENERIC, detail, parameters=[name, said], faults=error.faults)


def failure_of(error: AspError) -> ApiFailure:
    """The failure that tells a client about any error of the toolkit."""
    if isinstance(error, ApiFailure):
        return error
    if isinstance(error, CommandFailure):
        status, code = _STATUS_OF_COMMAND.get(error.name, (400, GENERIC))
        return ApiFailure(status, code, error.message, faults=error.faults)
    if isinstance(error, FaultyInput):
        return invalid(error.faults)
    status, code = _STATUS_OF_EXIT.get(error.exit_code, (500, "UNEXPECTED_ERROR"))
    headers = {"Retry-After": str(_RETRY_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    detail = f"{error.message} ({error.hint})" if error.hint else error.message
    return ApiFailure(status, code, detail, headers=headers)


def _field(fault: Fault) -> dict[str, str]:
    return {"field": _path(fault), "description": _said(fault)}


def _said(fault: Fault) -> str:
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message


def _path(fault: Fault) -> str:
    return fault.path.removeprefix(".")
