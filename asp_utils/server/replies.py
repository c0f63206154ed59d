"""The error replies of the stream endpoint, and the exception that carries one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.errors import AspError, ExitCode
from asp_utils.model.error_codes import CODES, code_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.errors import Fault


class CommandFailure(AspError):
    """A command was refused or failed; it becomes `{ok: 0, errmsg, code, codeName}`."""

    code = "COMMAND_FAILURE"
    exit_code = ExitCode.UNEXPECTED_REPLY

    def __init__(
        self, name: str, message: str, *, number: int | None = None, faults: Sequence[Fault] = ()
    ) -> None:
        super().__init__(message)
        self.name = name
        self.number = CODES[name] if number is None else number
        self.faults = tuple(faults)

    @classmethod
    def of_faults(cls, faults: Sequence[Fault]) -> CommandFailure:
        """The refusal of a definition: the first fault's code, all faults in text and array."""
        number = faults[0].code or CODES["StreamProcessorInvalidOptions"]
        text = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        return cls(code_name(number), text, number=number, faults=faults)

    def reply(self) -> dict[str, Any]:
        """The reply document."""
        shape: dict[str, Any] = {
            "ok": 0.0,
            "errmsg": self.message,
            "code": self.number,
            "codeName": self.name,
        }
        if self.faults:
            shape["faults"] = [fault.to_json() for fault in self.faults]
        return shape


def with_warnings(reply: dict[str, Any], warnings: Sequence[Fault]) -> dict[str, Any]:
    """A reply, with `warnings: [{path, message, hint}]` where there are any; Atlas has none."""
    return {**reply, "warnings": [each.to_json() for each in warnings]} if warnings else reply


def failure_of(error: AspError) -> CommandFailure:
    """The command failure that tells a client about any error of the toolkit."""
    if isinstance(error, CommandFailure):
        return error
    number = error.details.get("code")
    if isinstance(number, int):
        name = error.details.get("codeName") or code_name(number)
        return CommandFailure(name, error.message, number=number)
    name = "HostUnreachable" if error.exit_code is ExitCode.UNREACHABLE else "CommandFailed"
    return CommandFailure(name, error.message)


def does_not_exist(name: str) -> CommandFailure:
    """The refusal of a name that no processor has."""
    return CommandFailure("StreamProcessorDoesNotExist", f"stream processor {name!r} not found")


def already_exists(name: str) -> CommandFailure:
    """The refusal of a name that another processor has."""
    message = f"stream processor {name!r} already exists"
    return CommandFailure("StreamProcessorAlreadyExists", message)


def already_running(name: str) -> CommandFailure:
    """The refusal to start a processor that runs (asp-reference.md 1.10: code 416)."""
    message = f"stream processor {name!r} is already running"
    return CommandFailure("StreamProcessorAlreadyExists", message)


def not_running(name: str, state: str) -> CommandFailure:
    """The refusal of what only a running processor can do."""
    message = f"stream processor {name!r} is not running: its state is {state}"
    return CommandFailure("CommandFailed", message)
